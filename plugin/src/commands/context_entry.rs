//! Changes of the context's entry in the configuration file.

use crate::{
    args::KubeArgs,
    config::{
        self,
        file::{self, File},
    },
    error::Error,
    impersonation::Impersonation,
    kubernetes::Cluster,
};

/// Changes the file for the context and the identity that the flags choose, and returns a description of that context.
pub(super) fn edit(
    args: &KubeArgs,
    change: impl FnOnce(&mut File, &str, Option<&Impersonation>) -> Result<(), config::Error>,
) -> Result<String, Error> {
    let cluster = Cluster::load(args)?;
    let context = cluster.context().unwrap_or_default();
    let path = config::path().ok_or(config::Error::NoPath)?;
    file::edit(&path, |file| change(file, context, cluster.impersonation()))?;
    Ok(config::describe(context))
}
