//! `kubectl replicas explain`.

mod document;
mod facts;
mod gather;
mod sentences;

use clap::Args;
use contract::replicas::v1::Target;
use jiff::Timestamp;

use super::{batch, connect::connect, resolve};
use crate::{
    args::ConnectionArgs,
    error::Error,
    output::{self, DocumentFormat},
    program::{in_hint, in_text},
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
/// is explained, too. The text shows the end of an override in the time zone of this machine.
#[derive(Debug, Args)]
#[command(after_help = in_text(EXAMPLES))]
pub(crate) struct ExplainArgs {
    /// Explain these targets: web, deploy/web, sts db
    #[arg(value_name = "TARGET", required = true)]
    words: Vec<String>,
    /// Print a document for programs
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<DocumentFormat>,
}

/// Explains the counts.
pub(crate) async fn run(args: ExplainArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let targets = words::parse_shown(&args.words)?;
    let session = connect(connection).await?;
    resolve::check_first_word(&session, &args.words).await?;
    let read = async |target: Target| gather::facts(&session, target).await;
    let (facts, failures) = resolve::each(&session, &targets, read).await?;
    let result = batch::finish(failures.report(), targets.len(), "explained");
    if facts.is_empty() {
        return result;
    }
    let now = Timestamp::now();
    match args.output {
        Some(format) if targets.len() == 1 => {
            output::print_document(&output::serialize(&facts.into_iter().map(document::of).next(), format)?)?;
        }
        Some(format) => output::print_document(&output::serialize(&document::of_several(facts), format)?)?,
        None => {
            let texts: Vec<_> = facts.iter().map(|facts| sentences::text(facts, now)).collect();
            output::print(&in_hint(&texts.join("\n")))?;
        }
    }
    result
}
