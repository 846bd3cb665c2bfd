//! `kubectl replicas export`.

use clap::Args;
use contract::{
    names::CORE_GROUP,
    replicas::v1::{ReplicaCount, Target},
};
use jiff::Timestamp;

use super::{
    batch::{self, Failures},
    connect::connect,
    selection::{Found, SelectionArgs},
};
use crate::{
    args::ConnectionArgs,
    error::Error,
    output::{self, DocumentFormat, manifest},
    program::in_text,
    session::Session,
    target,
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
    let words = args.selection.parse(&[])?;
    let session = connect(connection).await?;
    let listed = SelectionArgs::settle(&session, words).await?;
    let Found { counts, mut failures } = args.selection.find(&session, listed, false).await?;
    if counts.is_empty() && failures.is_empty() {
        output::note(&args.selection.describe_empty("replica counts", &session.namespace));
        return Ok(());
    }
    let counts = with_versions(&session, counts, &mut failures).await?;
    let now = Timestamp::now();
    let objects: Vec<_> =
        counts.into_iter().filter_map(|(count, version)| manifest::of(count, &version, now)).collect();
    let exported = objects.len();
    let document = match args.output {
        DocumentFormat::Json => output::serialize(&manifest::list(objects), args.output)?,
        DocumentFormat::Yaml => {
            let documents = objects.iter().map(|object| output::serialize(object, args.output));
            documents.collect::<Result<Vec<_>, _>>()?.join("---\n")
        }
    };
    if exported > 0 {
        output::print_document(&document)?;
    }
    let failed = failures.report();
    batch::finish(failed, exported + failed, "exported")
}

/// Finds the version of each kind, which a ReplicaCount names. Only the API server knows those that are not built in. A
/// count whose kind it does not know is a failure, and the others are exported.
async fn with_versions(
    session: &Session,
    counts: Vec<ReplicaCount>,
    failures: &mut Failures,
) -> Result<Vec<(ReplicaCount, String)>, Error> {
    let mut exported = Vec::with_capacity(counts.len());
    for count in counts {
        let target = count.target.clone().unwrap_or_default();
        let Target { group, kind, .. } = &target;
        let is_built_in = matches!(group.as_str(), "" | "apps" | CORE_GROUP);
        let version = if is_built_in { Ok("v1".to_owned()) } else { session.version(group, kind).await };
        match version {
            Ok(version) => exported.push((count, version)),
            Err(error) if batch::is_of_kind(&error) => failures.add(&target::name(&target), error.into()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(exported)
}
