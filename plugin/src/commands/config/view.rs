//! `kubectl replicas config view`.

use std::path::Path;

use clap::Args;

use crate::{
    config::{self, file},
    error::Error,
    output::{self, DocumentFormat},
};

/// Show the configuration of each context, without certificates and keys
///
/// For each client certificate it shows the issuer and the end.
#[derive(Debug, Args)]
pub(super) struct ViewArgs {}

/// Shows the configuration.
pub(super) fn run(_args: &ViewArgs) -> Result<(), Error> {
    let path = config::path().ok_or(config::Error::NoPath)?;
    Ok(output::print_document(&output::serialize(
        &file::load(&path)?.view(path.parent().unwrap_or(Path::new("")))?,
        DocumentFormat::Yaml,
    )?)?)
}
