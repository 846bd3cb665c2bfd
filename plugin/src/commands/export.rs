//! `kubectl replicas export`.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use contract::{
    names::CORE_GROUP,
    replicas::v1::{ReplicaCount, Target},
};
use jiff::Timestamp;

use super::{connect::connect, selection::SelectionArgs};
use crate::{
    args::ConnectionArgs,
    error::Error,
    output::{self, DocumentFormat, manifest},
    program::in_text,
    session::Session,
};

const EXAMPLES: &str = "\
Examples:
  # Store the replica counts of the namespace in a file
  kubectl replicas export > counts.yaml

  # Compare them with the cluster later, and put them back
  kubectl diff -f counts.yaml
  kubectl apply -f counts.yaml

  # Export those of all namespaces whose targets have a label
  kubectl replicas export -A -l app=shop";

/// Print replica counts as ReplicaCounts, for kubectl apply and kubectl diff
#[derive(Debug, Args)]
#[command(after_help = in_text(EXAMPLES))]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    /// Print them in this format
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml")]
    output: DocumentFormat,
}

/// Prints the ReplicaCounts.
pub(crate) async fn run(args: ExportArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let listed = args.selection.parse(&[])?;
    let session = connect(connection).await?;
    let selected = args.selection.read(&session, listed, false, "exported").await?;
    if selected.counts.is_empty() && selected.result.is_ok() {
        output::note(&args.selection.describe_empty("replica counts", &session.namespace));
        return Ok(());
    }
    let versions = find_versions(&session, &selected.counts).await?;
    let now = Timestamp::now();
    let object = |count: ReplicaCount| {
        let version = versions.get(&kind_of(&count)).map_or("v1", String::as_str);
        manifest::of(count, version, now)
    };
    let objects: Vec<_> = selected.counts.into_iter().filter_map(object).collect();
    let document = match args.output {
        DocumentFormat::Json => output::serialize(&manifest::list(objects), args.output)?,
        DocumentFormat::Yaml => {
            let documents = objects.iter().map(|object| output::serialize(object, args.output));
            documents.collect::<Result<Vec<_>, _>>()?.join("---\n")
        }
    };
    output::print_document(&document)?;
    selected.result
}

/// The group and the kind of a target.
fn kind_of(count: &ReplicaCount) -> (String, String) {
    let Target { group, kind, .. } = count.target.clone().unwrap_or_default();
    (group, kind)
}

/// Finds the versions of kinds that are not built in. A ReplicaCount names one, and only the API server knows it.
async fn find_versions(
    session: &Session,
    counts: &[ReplicaCount],
) -> Result<BTreeMap<(String, String), String>, Error> {
    let mut versions = BTreeMap::new();
    let is_custom = |(group, _): &(String, String)| !matches!(group.as_str(), "" | "apps" | CORE_GROUP);
    for (group, kind) in counts.iter().map(kind_of).filter(is_custom).collect::<BTreeSet<_>>() {
        let version = session.version(&group, &kind).await?;
        versions.insert((group, kind), version);
    }
    Ok(versions)
}
