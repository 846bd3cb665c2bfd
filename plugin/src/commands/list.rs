//! `kubectl replicas list`.

use clap::Args;
use contract::replicas::v1::{ListReplicaCountsRequest, ReplicaCount};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use super::{batch, connect::connect, get};
use crate::{
    args::ConnectionArgs,
    error::Error,
    output::{
        self, DocumentFormat, Format, document,
        table::{self, Columns},
    },
    session::Session,
    target::{self, TargetRef},
};

const EXAMPLES: &str = "\
Examples:
  # List the managed targets of the namespace
  kubectl replicas list

  # List those of all namespaces, with the user and the reason of each count
  kubectl replicas list -A -o wide

  # List two targets
  kubectl replicas list web sts/db

  # List all targets with a label, managed or not
  kubectl replicas list --all-targets -l app=shop

  # Print the names of all targets that drifted
  kubectl replicas list -o json | jq -r '.items[] | select(.drifts > 0) | .target.name'";

/// List replica counts, and who tried to change them
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, visible_alias = "ls")]
pub(crate) struct ListArgs {
    /// List only these managed targets: web, deploy/web, sts/db
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// List all namespaces
    #[arg(short = 'A', long, conflicts_with = "targets")]
    all_namespaces: bool,
    /// List only targets that this label selector selects
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "targets")]
    selector: Option<String>,
    /// Also list targets that are not managed
    #[arg(long, conflicts_with = "targets")]
    all_targets: bool,
    /// Print the list in this format
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// Lists the replica counts.
pub(crate) async fn run(args: ListArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let targets = args.targets.iter().map(|word| word.parse()).collect::<Result<Vec<TargetRef>, _>>()?;
    let session = connect(connection).await?;
    if targets.is_empty() {
        let counts = list(&session, &args).await?;
        if counts.is_empty() && matches!(args.output, Format::Table | Format::Wide) {
            output::note(&describe_empty(&args, &session.namespace));
            return Ok(());
        }
        show(counts, &args)
    } else {
        let all = targets.len();
        let counts = get_each(&session, &targets).await?;
        let failed = all - counts.len();
        if !counts.is_empty() {
            show(counts, &args)?;
        }
        batch::finish(failed, all, "listed")
    }
}

/// Gets all pages of the list.
async fn list(session: &Session, args: &ListArgs) -> Result<Vec<ReplicaCount>, Error> {
    let mut request = ListReplicaCountsRequest {
        namespace: if args.all_namespaces { String::new() } else { session.namespace.clone() },
        label_selector: args.selector.clone().unwrap_or_default(),
        all_targets: args.all_targets,
        ..ListReplicaCountsRequest::default()
    };
    let mut counts = Vec::new();
    loop {
        let page = session.answer(session.client.clone().list_replica_counts(request.clone())).await?;
        counts.extend(page.replica_counts);
        if page.next_page_token.is_empty() {
            return Ok(counts);
        }
        request.page_token = page.next_page_token;
    }
}

/// Gets each target, and reports those that fail. The error of a single one becomes the error of the command.
async fn get_each(session: &Session, targets: &[TargetRef]) -> Result<Vec<ReplicaCount>, Error> {
    if let [target] = targets {
        return Ok(vec![get::get(session, target).await?]);
    }
    let results = stream::iter(targets).map(|target| get::get(session, target)).buffered(batch::AT_ONCE);
    let found = results.zip(stream::iter(targets)).map(|(result, target)| match result {
        Err(error) if batch::is_of_connection(&error) => Err(error),
        Err(error) => {
            batch::report(&target.to_string(), &error);
            Ok(None)
        }
        Ok(count) => Ok(Some(count)),
    });
    let found: Vec<_> = found.try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

fn show(counts: Vec<ReplicaCount>, args: &ListArgs) -> Result<(), Error> {
    let columns = Columns { namespace: args.all_namespaces, wide: args.output == Format::Wide };
    let document = match args.output {
        Format::Table | Format::Wide => {
            return Ok(output::print(&table::replica_counts(&counts, columns, Timestamp::now()))?);
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

fn describe_empty(args: &ListArgs, namespace: &str) -> String {
    let what = if args.all_targets { "targets" } else { "replica counts" };
    match args.all_namespaces {
        true => format!("No {what} found."),
        false => format!("No {what} found in namespace {namespace}."),
    }
}
