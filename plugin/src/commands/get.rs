//! `kubectl replicas get`.

use clap::Args;
use contract::replicas::v1::{GetReplicaCountRequest, ReplicaCount};
use jiff::Timestamp;

use super::connect::connect;
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
  # Describe the replica count of the Deployment web
  kubectl replicas get web

  # Print the desired count, for a script
  kubectl replicas get sts/db -o json | jq .desired";

/// Show the replica count of a target, with its status and history
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct GetArgs {
    /// Show this target: web, deploy/web, sts/db
    #[arg(value_name = "TARGET")]
    target: String,
    /// Print it in this format instead of a description
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,
}

/// Shows the replica count.
pub(crate) async fn run(args: GetArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let target: TargetRef = args.target.parse()?;
    let session = connect(connection).await?;
    let count = get(&session, &target).await?;
    let columns = Columns { namespace: false, wide: args.output == Some(Format::Wide) };
    let text = match args.output {
        None => output::describe(&count, Timestamp::now()),
        Some(Format::Table | Format::Wide) => table::replica_counts(&[count], columns, Timestamp::now()),
        Some(Format::Name) => output::printable(&target::name(&count.target.unwrap_or_default())) + "\n",
        Some(Format::Json) => return print_document(count, DocumentFormat::Json),
        Some(Format::Yaml) => return print_document(count, DocumentFormat::Yaml),
    };
    Ok(output::print(&text)?)
}

fn print_document(count: ReplicaCount, format: DocumentFormat) -> Result<(), Error> {
    Ok(output::print_document(&output::serialize(&document::one(count), format)?)?)
}

/// Gets the replica count of a target.
pub(super) async fn get(session: &Session, target: &TargetRef) -> Result<ReplicaCount, Error> {
    let target = session.resolve(target).await?;
    let request = GetReplicaCountRequest { target: Some(target), ..GetReplicaCountRequest::default() };
    let response = session.answer(session.client.clone().get_replica_count(request)).await?;
    Ok(response.replica_count.unwrap_or_default())
}
