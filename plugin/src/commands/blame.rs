//! `kubectl replicas blame`.

use clap::Args;
use jiff::Timestamp;

use super::{connect::connect, selection::SelectionArgs};
use crate::{
    args::ConnectionArgs,
    error::Error,
    output::{self, Blame, DocumentFormat, ReportFormat},
    program::in_text,
};

const EXAMPLES: &str = "\
Examples:
  # Show which programs caused the drifts in the namespace
  kubectl replicas blame

  # Show those of all namespaces, with what to do about each
  kubectl replicas blame -A -o wide

  # Show who interfered with two targets
  kubectl replicas blame web sts/db";

/// Show which programs caused the most drifts
///
/// A program is a field manager, such as helm. Unless the chart's admission.mode is off, the person who ran it last is
/// shown, too. The server keeps the five latest programs of each target, so a number may be 'at least'. Advice is shown
/// for programs that contest a target now. `history` shows the drifts of one target.
#[derive(Debug, Args)]
#[command(after_help = in_text(EXAMPLES))]
pub(crate) struct BlameArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    /// Print the programs in this format
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: ReportFormat,
}

/// Shows the programs.
pub(crate) async fn run(args: BlameArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let words = args.selection.parse(&[])?;
    let session = connect(connection).await?;
    let listed = SelectionArgs::settle(&session, words).await?;
    let selected = args.selection.read(&session, listed, false, "shown").await?;
    let blame = Blame::of(&selected.counts);
    let is_for_people = matches!(args.output, ReportFormat::Table | ReportFormat::Wide);
    if !blame.is_empty() || (selected.result.is_ok() && !is_for_people) {
        show(blame, args.output)?;
    } else if selected.result.is_ok() {
        output::note(&args.selection.describe_empty("drifts", &session.namespace));
    }
    selected.result
}

fn show(blame: Blame, format: ReportFormat) -> Result<(), Error> {
    let format = match format {
        ReportFormat::Table => {
            return Ok(output::print_table(&blame.table(false, output::terminal_width(), Timestamp::now()))?);
        }
        ReportFormat::Wide => return Ok(output::print_table(&blame.table(true, None, Timestamp::now()))?),
        ReportFormat::Json => DocumentFormat::Json,
        ReportFormat::Yaml => DocumentFormat::Yaml,
    };
    Ok(output::print_document(&output::serialize(&blame.document(), format)?)?)
}
