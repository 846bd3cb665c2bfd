//! The flags that choose targets to write to, instead of their names.

use std::path::{Path, PathBuf};

use clap::Args;
use contract::replicas::v1::ReplicaCount;
use tokio::task;

use super::selection::SelectionArgs;
use crate::{
    args::ConnectionArgs,
    error::Error,
    manifests::{self, Manifest},
    session::Session,
    words::Listed,
};

/// The flags that choose targets. With one of them, no target must be named.
pub(super) const FLAGS: [&str; 4] = ["all", "all_namespaces", "selector", "filename"];

/// The flags that choose targets.
#[derive(Debug, Args)]
pub(crate) struct ChoiceArgs {
    /// Take all targets of the namespace
    #[arg(long)]
    all: bool,
    /// Take all targets of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Take the targets that this label selector selects
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// Take the ReplicaCounts in this file, as `export` writes them; - is the standard input
    #[arg(short = 'f', long, value_name = "FILE", conflicts_with_all = ["all", "all_namespaces", "selector"])]
    filename: Option<PathBuf>,
}

impl ChoiceArgs {
    /// Reads the words as kinds, if flags choose the targets.
    pub(super) fn listed(&self, words: &[String]) -> Result<Option<Listed>, Error> {
        let is_chosen = self.all || self.all_namespaces || self.selector.is_some();
        let parse = || self.selection(words).parse(&[(self.all, "--all")]);
        is_chosen.then(parse).transpose()
    }

    fn selection(&self, words: &[String]) -> SelectionArgs {
        SelectionArgs::new(words.to_vec(), self.all_namespaces, self.selector.clone())
    }

    /// Lists the chosen targets. Unmanaged targets are among them if `with_unmanaged`.
    pub(super) async fn list(
        &self,
        session: &Session,
        listed: Listed,
        with_unmanaged: bool,
    ) -> Result<Vec<ReplicaCount>, Error> {
        let selected = self.selection(&[]).read(session, listed, with_unmanaged, "chosen").await?;
        Ok(selected.counts)
    }

    /// Reads the file, if there is one. The standard input may wait for the user, who may press Ctrl-C meanwhile.
    pub(super) async fn read_file(&self) -> Result<Option<Vec<Manifest>>, manifests::Error> {
        let Some(path) = self.filename.clone() else { return Ok(None) };
        let file = path.display().to_string();
        let read = task::spawn_blocking(move || manifests::read(&path)).await;
        read.map_err(|error| manifests::Error::Read { file, source: error.into() })?.map(Some)
    }

    /// Puts the targets of the file into their namespaces.
    pub(super) fn place(
        &self,
        manifests: &mut [Manifest],
        connection: &ConnectionArgs,
        session: &Session,
    ) -> Result<(), manifests::Error> {
        let file = self.filename.as_deref().unwrap_or(Path::new("-"));
        manifests::place(file, manifests, connection.kube.namespace.as_deref(), &session.namespace)
    }

    /// Says that no targets were chosen.
    pub(super) fn describe_empty(&self, what: &str, namespace: &str) -> String {
        self.selection(&[]).describe_empty(what, namespace)
    }
}
