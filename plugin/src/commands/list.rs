//! `kubectl replicas list`.

use clap::Args;
use contract::replicas::v1::ReplicaCount;
use jiff::Timestamp;

use super::{connect::connect, selection::SelectionArgs};
use crate::{
    args::ConnectionArgs,
    error::Error,
    output::{
        self, DocumentFormat, Format, document,
        table::{self, Columns},
    },
    program::in_text,
    target,
    words::Listed,
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

  # Print the names of all targets that drifted
  kubectl replicas list -o json | jq -r '.items[] | select(.drifts > 0) | .target.name'";

/// List replica counts, and who tried to change them
#[derive(Debug, Args)]
#[command(after_help = in_text(EXAMPLES), visible_alias = "ls")]
pub(crate) struct ListArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    /// Also list targets that are not managed
    #[arg(long)]
    all_targets: bool,
    /// Print the list in this format
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// Lists the replica counts.
pub(crate) async fn run(args: ListArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let listed = args.selection.parse(&[(args.all_targets, "--all-targets")])?;
    // A target that the user names is shown, managed or not.
    let with_unmanaged = args.all_targets || matches!(listed, Listed::Targets(_));
    let session = connect(connection).await?;
    let selected = args.selection.read(&session, listed, with_unmanaged, "listed").await?;
    let is_for_people = matches!(args.output, Format::Table | Format::Wide);
    if !selected.counts.is_empty() || (selected.result.is_ok() && !is_for_people) {
        show(selected.counts, &args)?;
    } else if selected.result.is_ok() {
        let what = if args.all_targets { "targets" } else { "replica counts" };
        output::note(&args.selection.describe_empty(what, &session.namespace));
    }
    selected.result
}

fn show(counts: Vec<ReplicaCount>, args: &ListArgs) -> Result<(), Error> {
    let document = match args.output {
        Format::Table | Format::Wide => {
            let namespace = args.selection.all_namespaces;
            let columns = Columns { namespace, wide: args.output == Format::Wide, width: output::terminal_width() };
            return Ok(output::print_table(&table::replica_counts(&counts, columns, Timestamp::now()))?);
        }
        Format::Name => return Ok(output::print(&names(&counts))?),
        Format::Json => output::serialize(&document::list(counts), DocumentFormat::Json)?,
        Format::Yaml => output::serialize(&document::list(counts), DocumentFormat::Yaml)?,
    };
    Ok(output::print_document(&document)?)
}

fn names(counts: &[ReplicaCount]) -> String {
    let targets = counts.iter().filter_map(|count| count.target.as_ref());
    targets.map(|target| output::printable(&target::name(target)) + "\n").collect()
}
