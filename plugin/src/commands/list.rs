//! `kubectl replicas list`.

use clap::Args;
use contract::replicas::v1::{ReplicaCount, WatchReplicaCountsRequest};
use jiff::Timestamp;

use super::{
    connect::connect,
    contexts::{self, ContextsArgs},
    selection::SelectionArgs,
    watch::{self, Shown, Watch},
};
use crate::{
    args::ConnectionArgs,
    context_pattern::ContextPatterns,
    error::Error,
    output::{
        self, DocumentFormat, Format, document,
        table::{self, Columns},
    },
    program::in_text,
    session::Session,
    target,
    words::{Listed, ListedWords},
};

const EXAMPLES: &str = "\
Examples:
  # List the managed targets of the namespace
  kubectl replicas list

  # List those of all namespaces, with the user and the reason of each count
  kubectl replicas list -A -o wide

  # List the StatefulSets, and two targets
  kubectl replicas list sts
  kubectl replicas list web sts/db

  # List all targets with a label, managed or not
  kubectl replicas list --all-targets -l app=shop

  # Watch them: a row for each change, and the status Gone for what is unset, deleted or no longer selected
  kubectl replicas list -w

  # Watch them in a program, with an object a line; one that is gone has \"removed\": true
  kubectl replicas list -w -o json | jq -c '[.target.name, .observed, .removed]'

  # List those of several clusters, with the kubeconfig's context of each
  kubectl replicas list -A --contexts 'prod-*'

  # Show each of them; a name comes with the flags of its context and, with -A, of its namespace
  kubectl replicas list -A --contexts 'prod-*' -o name | xargs -L 1 kubectl replicas get

  # Print the names of all targets that drifted
  kubectl replicas list -o json | jq -r '.items[] | select(.drifts > 0) | .target.name'";

/// List replica counts, and who tried to change them
///
/// Tables show the end of an override in the time zone of this machine.
#[derive(Debug, Args)]
#[command(after_help = in_text(EXAMPLES), visible_alias = "ls")]
pub(crate) struct ListArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    /// Also list targets that are not managed
    #[arg(long)]
    all_targets: bool,
    /// Print the list in this format; with -A, a name comes with the flag of its namespace
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
    /// After the list, print each target that changes, until Ctrl-C; a lost connection is opened again
    #[arg(short, long)]
    pub(crate) watch: bool,
    #[command(flatten)]
    contexts: ContextsArgs,
}

impl ListArgs {
    /// What is listed, in messages.
    fn what(&self) -> &'static str {
        if self.all_targets { "targets" } else { "replica counts" }
    }

    /// Whether unmanaged targets are shown. A target that the user names is shown, managed or not.
    fn is_unmanaged_shown(&self, listed: &Listed) -> bool {
        self.all_targets || matches!(listed, Listed::Targets(_))
    }
}

/// Lists the replica counts.
pub(crate) async fn run(args: ListArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let words = args.selection.parse(&[(args.all_targets, "--all-targets")])?;
    if let Some(patterns) = &args.contexts.contexts {
        return list_contexts(&args, patterns, connection, &words).await;
    }
    let session = connect(connection).await?;
    let listed = SelectionArgs::settle(&session, words).await?;
    if args.watch {
        return watch(&args, &session, connection, listed).await;
    }
    let with_unmanaged = args.is_unmanaged_shown(&listed);
    let selected = args.selection.read(&session, listed, with_unmanaged, "listed").await?;
    let is_for_people = matches!(args.output, Format::Table | Format::Wide);
    if !selected.counts.is_empty() || (selected.result.is_ok() && !is_for_people) {
        show(selected.counts, &args)?;
    } else if selected.result.is_ok() {
        output::note(&args.selection.describe_empty(args.what(), &session.namespace));
    }
    selected.result
}

fn show(counts: Vec<ReplicaCount>, args: &ListArgs) -> Result<(), Error> {
    let document = match args.output {
        Format::Table | Format::Wide => {
            let (namespace, wide) = (args.selection.all_namespaces, args.output == Format::Wide);
            let columns = Columns { namespace, wide, width: output::terminal_width(), ..Columns::default() };
            return Ok(output::print_table(&table::replica_counts(&counts, columns, Timestamp::now()))?);
        }
        Format::Name => return Ok(output::print(&names(&counts, args.selection.all_namespaces))?),
        Format::Json => output::serialize(&document::list(counts), DocumentFormat::Json)?,
        Format::Yaml => output::serialize(&document::list(counts), DocumentFormat::Yaml)?,
    };
    Ok(output::print_document(&document)?)
}

/// The names, with the flags of their namespaces if these may be several.
fn names(counts: &[ReplicaCount], namespace: bool) -> String {
    let name = if namespace { target::with_flag } else { target::name };
    let targets = counts.iter().filter_map(|count| count.target.as_ref());
    targets.map(|target| output::printable(&name(target)) + "\n").collect()
}

/// Watches what the arguments select. Targets that the user names must be there at first.
async fn watch(args: &ListArgs, session: &Session, connection: &ConnectionArgs, listed: Listed) -> Result<(), Error> {
    let (shown, all_targets) = match listed {
        Listed::Kinds(kinds) if kinds.kinds.is_empty() => (Shown::All, args.all_targets),
        Listed::Kinds(kinds) => (Shown::Kinds(args.selection.name_kinds(session, kinds).await?), args.all_targets),
        named @ Listed::Targets(_) => {
            let named = args.selection.read(session, named, true, "watched").await?;
            if named.counts.is_empty() {
                return named.result;
            }
            watch::of_named(&named.counts)
        }
    };
    let request = WatchReplicaCountsRequest {
        namespace: args.selection.namespace(session),
        label_selector: args.selection.label_selector(),
        all_targets,
        ..WatchReplicaCountsRequest::default()
    };
    let empty = args.selection.describe_empty(args.what(), &session.namespace);
    watch::run(session, connection, Watch { request, shown, format: args.output, empty }).await
}

/// Lists the replica counts of several clusters.
async fn list_contexts(
    args: &ListArgs,
    patterns: &ContextPatterns,
    connection: &ConnectionArgs,
    words: &ListedWords,
) -> Result<(), Error> {
    let find = async |session: &Session| {
        let listed = SelectionArgs::settle(session, words.clone()).await?;
        let with_unmanaged = args.is_unmanaged_shown(&listed);
        args.selection.find(session, listed, with_unmanaged).await
    };
    let mut answers = contexts::ask(patterns, connection, find).await?;
    let counts = answers.take_counts();
    let is_for_people = matches!(args.output, Format::Table | Format::Wide);
    if !counts.is_empty() || !is_for_people {
        contexts::show(counts, args.selection.all_namespaces, args.output)?;
    } else if answers.is_complete() {
        output::note(&format!("No {} found.", args.what()));
    }
    answers.finish()
}

#[cfg(test)]
mod tests {
    use contract::replicas::v1::Target;

    use super::*;

    #[test]
    fn a_name_comes_with_the_flag_of_its_namespace_if_there_may_be_several() {
        let target = Target { namespace: "shop".to_owned(), name: "web".to_owned(), ..Target::default() };
        let counts = [ReplicaCount { target: Some(target), ..ReplicaCount::default() }];
        for (name, namespace, expected) in [
            ("one namespace", false, "deployment.apps/web\n"),
            ("all namespaces", true, "--namespace=shop deployment.apps/web\n"),
        ] {
            assert_eq!(names(&counts, namespace), expected, "{name}");
        }
    }
}
