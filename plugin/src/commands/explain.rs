//! `kubectl replicas explain`.

mod document;
mod facts;
mod gather;
mod sentences;

use clap::Args;
use jiff::Timestamp;

use super::{connect::connect, resolve};
use crate::{
    args::ConnectionArgs,
    error::Error,
    output::{self, DocumentFormat},
    program::in_text,
    words,
};

const EXAMPLES: &str = "\
Examples:
  # Explain why the Deployment web has the count that it has
  kubectl replicas explain web

  # Find out what would speak against holding a StatefulSet that is not managed yet
  kubectl replicas explain sts/db

  # Print the autoscalers of a target, for a script
  kubectl replicas explain web -o json | jq '.autoscalers'";

/// Explain why a target has its count, who else writes it, and what happens next
///
/// Asks the server of this program for the count, and the API server, with the rights of your kubeconfig, for the target,
/// its autoscalers and its pods. It leaves out what you may not read, and a line says so. A target that is not managed
/// is explained, too.
#[derive(Debug, Args)]
#[command(after_help = in_text(EXAMPLES))]
pub(crate) struct ExplainArgs {
    /// Explain this target: web, deploy/web, sts db
    #[arg(value_name = "TARGET", required = true, num_args = 1..=2)]
    words: Vec<String>,
    /// Print a document for programs
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<DocumentFormat>,
}

/// Explains the count.
pub(crate) async fn run(args: ExplainArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let target = words::parse_single(&args.words)?;
    let session = connect(connection).await?;
    let target = resolve::target(&session, &target).await?;
    let facts = gather::facts(&session, target).await?;
    Ok(match args.output {
        Some(format) => output::print_document(&output::serialize(&document::of(facts), format)?),
        None => output::print(&in_text(&sentences::text(&facts, Timestamp::now()))),
    }?)
}
