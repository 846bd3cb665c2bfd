//! The flags that choose targets to write to, instead of their names.

use std::path::{Path, PathBuf};

use clap::Args;
use contract::replicas::v1::ReplicaCount;
use tokio::task;

use super::selection::{SelectionArgs, given_selector, is_blank};
use crate::{
    args::ConnectionArgs,
    error::Error,
    manifests::{self, Manifest},
    session::Session,
    words::{self, Kinds},
};

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
    #[arg(short = 'f', long, value_name = "FILE", conflicts_with_all = ["all", "all_namespaces"])]
    filename: Option<PathBuf>,
}

impl ChoiceArgs {
    /// Reads the words as kinds, if flags choose the targets. Returns None if a file or the words name them.
    pub(super) fn kinds(&self, words: &[String]) -> Result<Option<Kinds>, words::Error> {
        let selector = given_selector(self.selector.as_deref());
        let is_blank = is_blank(self.selector.as_deref());
        let flags =
            [(self.all, "--all"), (self.all_namespaces, "--all-namespaces"), (selector.is_some(), "--selector")];
        match flags.into_iter().find(|(is_given, _)| *is_given) {
            _ if self.filename.is_some() && selector.is_some() => Err(words::Error::FileAndSelector),
            _ if self.filename.is_some() => Ok(None),
            // The selector was meant to limit what is chosen.
            Some(_) if is_blank && !self.all => Err(words::Error::BlankSelector),
            Some((_, flag)) => words::parse_kinds(words, flag).map(Some),
            None if !words.is_empty() => Ok(None),
            None if is_blank => Err(words::Error::BlankSelector),
            None => Err(words::Error::NothingChosen),
        }
    }

    fn selection(&self) -> SelectionArgs {
        SelectionArgs::new(self.all_namespaces, self.selector.clone())
    }

    /// The namespace of requests. It is empty for all namespaces.
    pub(super) fn namespace(&self, session: &Session) -> String {
        self.selection().namespace(session)
    }

    /// Lists the chosen targets. Unmanaged targets are among them if `with_unmanaged`.
    pub(super) async fn list(
        &self,
        session: &Session,
        kinds: Kinds,
        with_unmanaged: bool,
    ) -> Result<Vec<ReplicaCount>, Error> {
        self.selection().list(session, kinds, with_unmanaged).await
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
        self.selection().describe_empty(what, namespace)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        args: ChoiceArgs,
        words: Vec<String>,
    }

    #[test]
    fn something_must_choose_the_targets_of_a_write() {
        use words::Error::{BlankSelector, FileAndSelector, NothingChosen};
        let (kinds, named) = (|flag: &'static str| Ok(Some(flag)), || Ok(None));
        for (name, line, expected) in [
            ("nothing", "", Err(NothingChosen)),
            ("an empty selector", "-l|", Err(BlankSelector)),
            ("a blank selector", "-l| ", Err(BlankSelector)),
            ("a blank selector and all namespaces", "-A|-l|", Err(BlankSelector)),
            ("a blank selector and all", "--all|-l|", kinds("--all")),
            ("a blank selector and a name", "web|-l|", named()),
            ("a selector", "-l|app=web", kinds("--selector")),
            ("all", "--all", kinds("--all")),
            ("all namespaces", "-A", kinds("--all-namespaces")),
            ("a kind and all", "sts|--all", kinds("--all")),
            ("a name", "web", named()),
            ("a file", "-f|x.yaml", named()),
            ("a file and a blank selector", "-f|x.yaml|-l|", named()),
            ("a file and a selector", "-f|x.yaml|-l|app=web", Err(FileAndSelector)),
        ] {
            let words = std::iter::once("set").chain(line.split('|').filter(|_| !line.is_empty()));
            let Command { args, words } = Command::try_parse_from(words).unwrap();
            let found = args.kinds(&words).map(|kinds| kinds.and_then(|kinds| kinds.flag));
            assert_eq!(found, expected, "{name}");
        }
    }
}
