//! `kubectl replicas history`.

use std::{fs, path::PathBuf};

use clap::Args;
use contract::{
    names::reasons,
    replicas::v1::{ReplicaCount, Target},
};
use jiff::{Timestamp, tz::TimeZone};

use super::{connect::connect, read, resolve};
use crate::{
    args::ConnectionArgs,
    error::{Error, explain},
    output::{
        self, DocumentFormat, ReportFormat,
        history::{self, Timeline, Unmanaged},
    },
    program::in_text,
    refusal,
    session::Session,
    target, words,
};

const EXAMPLES: &str = "\
Examples:
  # Show who changed the count of the Deployment web, and when, with the newest at the bottom
  kubectl replicas history web

  # Draw it as a picture for an incident report
  kubectl replicas history sts/db --svg db.svg

  # Print the programs that caused the latest drifts
  kubectl replicas history web -o json | jq -r '.items[] | select(.type == \"drift\") | .manager'";

/// The value of `--svg` that stands for standard output.
const STDOUT: &str = "-";

/// Show all changes of a target's count, and who made them
///
/// A change is one of the count that is held: of the lasting count, of an override, or of a reason. A drift is a count
/// that a program wrote and that was put back. It names the program, by its field manager, and the person who ran it if
/// the chart's admission.mode is not off. An attempt is a count that the guard has kept from being stored. The server
/// keeps the latest 20 changes, the latest 20 drifts and the latest attempt. They are numbered from the first `set` or
/// `adopt` on. After an `unset`, only that end is shown, for as long as the cluster keeps Events.
#[derive(Debug, Args)]
#[command(after_help = in_text(EXAMPLES))]
pub(crate) struct HistoryArgs {
    /// Show the history of this target: web, deploy/web, sts db
    #[arg(value_name = "TARGET", required = true, num_args = 1..=2)]
    words: Vec<String>,
    /// Print it in this format
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: ReportFormat,
    /// Draw it as an SVG into this file; - is standard output
    #[arg(long, value_name = "FILE", conflicts_with = "output")]
    svg: Option<PathBuf>,
}

/// Shows the history.
pub(crate) async fn run(args: HistoryArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let target = words::parse_single(&args.words)?;
    let session = connect(connection).await?;
    let target = resolve::target(&session, &target).await?;
    let timeline = read_timeline(&session, target.clone()).await?;
    if let Some(file) = &args.svg {
        return draw(&timeline, file);
    }
    if timeline.is_empty() {
        output::note(&format!("No changes of {} are recorded yet.", target::name(&target)));
    }
    show(timeline, args.output)
}

/// Reads the history of a target, managed or not.
async fn read_timeline(session: &Session, target: Target) -> Result<Timeline, Error> {
    let ends = session.ends_of_management(&target).await;
    let (count, refused) = match read::managed(session, &target).await {
        Ok(count) => (count, None),
        Err(refused) if refusal::is_for(&refused, reasons::NOT_MANAGED) => {
            (ReplicaCount { target: Some(target), ..ReplicaCount::default() }, Some(refused))
        }
        Err(error) => return Err(error.into()),
    };
    let ends = match (ends, &refused) {
        (Ok(ends), _) => ends,
        // The history of the management itself can do without them.
        (Err(_), None) => Vec::new(),
        (Err(error), Some(_)) => {
            output::note(&explain("warning: the Event about the end of its management was not read", &error.into()));
            Vec::new()
        }
    };
    match refused {
        Some(refused) if ends.is_empty() => Err(refused.into()),
        _ => {
            let ends = ends.into_iter().map(|event| Unmanaged { at: event.at, note: event.note });
            Ok(Timeline::new(count, ends.collect()))
        }
    }
}

fn show(timeline: Timeline, format: ReportFormat) -> Result<(), Error> {
    let format = match format {
        ReportFormat::Table => {
            return Ok(output::print_table(&history::table(&timeline, output::terminal_width()))?);
        }
        ReportFormat::Wide => return Ok(output::print_table(&history::table(&timeline, None))?),
        ReportFormat::Json => DocumentFormat::Json,
        ReportFormat::Yaml => DocumentFormat::Yaml,
    };
    Ok(output::print_document(&output::serialize(&history::document(timeline), format)?)?)
}

fn draw(timeline: &Timeline, file: &PathBuf) -> Result<(), Error> {
    let picture = history::picture(timeline, Timestamp::now(), &TimeZone::system());
    if file.as_os_str() == STDOUT {
        return Ok(output::print_document(&picture)?);
    }
    fs::write(file, picture).map_err(|source| Error::Picture { file: file.clone(), source })?;
    output::note(&format!("The picture is in {}.", file.display()));
    Ok(())
}
