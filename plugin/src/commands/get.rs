//! `kubectl replicas get`.

use clap::Args;
use contract::replicas::v1::ReplicaCount;
use jiff::Timestamp;

use super::{connect::connect, read};
use crate::{
    args::ConnectionArgs,
    error::Error,
    output::{
        self, DocumentFormat, Format, document,
        table::{self, Columns},
    },
    program::in_text,
    target, words,
};

const EXAMPLES: &str = "\
Examples:
  # Describe the replica count of the Deployment web
  kubectl replicas get web

  # Print the desired count, for a script
  kubectl replicas get sts/db -o json | jq .desired";

/// Show the replica count of a target, with its status and history
///
/// A target that is not managed is shown with the count that it has.
#[derive(Debug, Args)]
#[command(after_help = in_text(EXAMPLES))]
pub(crate) struct GetArgs {
    /// Show this target: web, deploy/web, sts db
    #[arg(value_name = "TARGET", required = true, num_args = 1..=2)]
    words: Vec<String>,
    /// Print it in this format instead of a description
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,
}

/// Shows the replica count.
pub(crate) async fn run(args: GetArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let target = words::parse_target(&args.words)?;
    let session = connect(connection).await?;
    let count = read::named(&session, &target).await?;
    let columns =
        Columns { namespace: false, wide: args.output == Some(Format::Wide), width: output::terminal_width() };
    let text = match args.output {
        None => output::describe(&count, Timestamp::now()),
        Some(Format::Table | Format::Wide) => {
            return Ok(output::print_table(&table::replica_counts(&[count], columns, Timestamp::now()))?);
        }
        Some(Format::Name) => output::printable(&target::name(&count.target.unwrap_or_default())) + "\n",
        Some(Format::Json) => return print_document(count, DocumentFormat::Json),
        Some(Format::Yaml) => return print_document(count, DocumentFormat::Yaml),
    };
    Ok(output::print(&text)?)
}

fn print_document(count: ReplicaCount, format: DocumentFormat) -> Result<(), Error> {
    Ok(output::print_document(&output::serialize(&document::one(count), format)?)?)
}
