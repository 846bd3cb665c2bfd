//! The flag `--output` of `set` and `unset`: what was stored or removed, for programs.

use clap::{Args, ValueEnum};
use contract::replicas::v1::ReplicaCount;

use crate::{
    output::{self, DocumentFormat, Lines, document},
    target,
};

/// A format of what a command has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StoredFormat {
    /// Only the names, as kubectl accepts them
    Name,
    /// JSON for programs
    Json,
    /// YAML for programs
    Yaml,
}

/// The flag `--output`, with kubectl's formats for commands that write.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct StoredArgs {
    /// Print the replica counts that were changed in this format, instead of a line for each
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<StoredFormat>,
}

impl StoredArgs {
    /// The lines of the command. With a format there are none.
    pub(super) fn lines(&self) -> Lines {
        if self.output.is_some() { Lines::silent() } else { Lines::default() }
    }

    /// Prints the replica counts, if a format is chosen. If several were requested, it is a list.
    pub(super) fn print(&self, lines: &mut Lines, counts: Vec<ReplicaCount>, requested: usize) {
        if let Some(text) = self.show(counts, requested) {
            lines.print_document(text);
        }
    }

    fn show(&self, mut counts: Vec<ReplicaCount>, requested: usize) -> Option<Result<String, output::Error>> {
        let format = match self.output? {
            StoredFormat::Name => {
                let targets = counts.iter().filter_map(|count| count.target.as_ref());
                return Some(Ok(targets.map(|target| output::printable(&target::name(target)) + "\n").collect()));
            }
            StoredFormat::Json => DocumentFormat::Json,
            StoredFormat::Yaml => DocumentFormat::Yaml,
        };
        match requested {
            1 => counts.pop().map(|count| output::serialize(&document::one(count), format)),
            _ => Some(output::serialize(&document::list(counts), format)),
        }
    }
}

#[cfg(test)]
mod tests {
    use contract::replicas::v1::Target;

    use super::*;

    #[test]
    fn the_output_is_what_kubectl_would_print() {
        let count = |name: &str| ReplicaCount {
            target: Some(Target { name: name.to_owned(), ..Target::default() }),
            desired: Some(3),
            ..ReplicaCount::default()
        };
        let (name, json) = (Some(StoredFormat::Name), Some(StoredFormat::Json));
        for (case, output, counts, requested, start) in [
            ("no flag", None, vec![count("web")], 1, None),
            ("names", name, vec![count("web"), count("db")], 2, Some("deployment.apps/web\ndeployment.apps/db\n")),
            (
                "one document",
                json,
                vec![count("web")],
                1,
                Some("{\n  \"apiVersion\": \"cli.replica-count-manager.io/v1\",\n  \"kind\": \"ReplicaCountView\","),
            ),
            (
                "one of two",
                json,
                vec![count("web")],
                2,
                Some(
                    "{\n  \"apiVersion\": \"cli.replica-count-manager.io/v1\",\n  \"kind\": \"ReplicaCountViewList\",",
                ),
            ),
            ("none of one", json, vec![], 1, None),
            ("YAML", Some(StoredFormat::Yaml), vec![count("web")], 1, Some("apiVersion: ")),
        ] {
            let shown = StoredArgs { output }.show(counts, requested).map(Result::unwrap);
            match start {
                Some(start) => {
                    assert!(shown.as_ref().is_some_and(|shown| shown.starts_with(start)), "{case}: {shown:?}")
                }
                None => assert_eq!(shown, None, "{case}"),
            }
        }
    }
}
