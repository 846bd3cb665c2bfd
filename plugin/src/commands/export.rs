//! `kubectl replicas export`.

use std::collections::BTreeMap;

use clap::Args;
use contract::replicas::v1::{ReplicaCount, Target};
use jiff::Timestamp;
use kube::discovery;

use super::{connect::connect, selection::SelectionArgs};
use crate::{
    args::ConnectionArgs,
    error::Error,
    kubernetes::{self, Cluster, request::send},
    output::{self, DocumentFormat, manifest},
    program::in_text,
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
    let versions = find_versions(&selected.counts, connection).await?;
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

/// Finds the versions of kinds outside the group `apps`. A ReplicaCount names one, and only the API server knows it.
async fn find_versions(
    counts: &[ReplicaCount],
    connection: &ConnectionArgs,
) -> Result<BTreeMap<(String, String), String>, Error> {
    let mut versions = BTreeMap::new();
    let is_custom = |(group, _): &(String, String)| !matches!(group.as_str(), "" | "apps");
    let mut custom: Vec<_> = counts.iter().map(kind_of).filter(is_custom).collect();
    custom.sort();
    custom.dedup();
    if custom.is_empty() {
        return Ok(versions);
    }
    let client = Cluster::load(&connection.kube)?.client().await?;
    for (group, kind) in custom {
        let action = format!("discover the kinds of the API group {group}");
        let found = send(connection.request_timeout, action, discovery::group(&client, &group)).await;
        let found = found.map_err(kubernetes::Error::from)?.recommended_kind(&kind);
        let missing = || kubernetes::Error::NoResource { resource: kind.clone(), group: group.clone() };
        let (resource, _) = found.ok_or_else(missing)?;
        versions.insert((group, kind), resource.version);
    }
    Ok(versions)
}
