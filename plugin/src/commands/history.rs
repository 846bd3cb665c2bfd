//! `kubectl replicas history`.

use std::{fs, path::PathBuf};

use clap::Args;
use contract::{
    names::reasons,
    replicas::v1::{ReplicaCount, Target},
};
use jiff::{Timestamp, tz::TimeZone};

use super::{batch, connect::connect, read, resolve};
use crate::{
    args::ConnectionArgs,
    error::{Error, explain},
    output::{
        self, DocumentFormat, ReportFormat, document,
        history::{self, Timeline, Unmanaged},
    },
    program::in_text,
    refusal,
    session::Session,
    words,
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
/// that a program wrote; the history says whether it was put back. It names the program, by its field manager, and the
/// person who ran it if the chart's admission.mode is not off. An attempt is a count that the guard has kept from being
/// stored. The server keeps the latest 20 changes, the latest 20 drifts and the latest attempt. They are numbered from
/// the first `set` or `adopt` on. After an `unset`, only that end is shown, for as long as the cluster keeps Events.
#[derive(Debug, Args)]
#[command(after_help = in_text(EXAMPLES))]
pub(crate) struct HistoryArgs {
    /// Show the histories of these targets: web, deploy/web, sts db
    #[arg(value_name = "TARGET", required = true)]
    words: Vec<String>,
    /// Print them in this format
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: ReportFormat,
    /// Draw that of a single target as an SVG into this file; - is standard output
    #[arg(long, value_name = "FILE", conflicts_with = "output")]
    svg: Option<PathBuf>,
}

/// Shows the histories.
pub(crate) async fn run(args: HistoryArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let targets = match args.svg {
        Some(_) => vec![words::parse_single(&args.words)?],
        None => words::parse_shown(&args.words)?,
    };
    let session = connect(connection).await?;
    resolve::check_first_word(&session, &args.words).await?;
    let read = async |target: Target| read_timeline(&session, target).await;
    let (timelines, failures) = resolve::each(&session, &targets, read).await?;
    let result = batch::finish(failures.report(), targets.len(), "read");
    if let (Some(file), [timeline]) = (&args.svg, timelines.as_slice()) {
        return draw(timeline, file);
    }
    for timeline in timelines.iter().filter(|timeline| timeline.is_empty()) {
        output::note(&format!("No changes of {} are recorded yet.", timeline.name()));
    }
    if !timelines.is_empty() {
        show(timelines, targets.len() == 1, args.output)?;
    }
    result
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

/// Shows the histories. That of a single target that the user names has no name above it, and its document is no list.
fn show(timelines: Vec<Timeline>, is_single: bool, format: ReportFormat) -> Result<(), Error> {
    let format = match format {
        ReportFormat::Table => return draw_tables(&timelines, is_single, output::terminal_width()),
        ReportFormat::Wide => return draw_tables(&timelines, is_single, None),
        ReportFormat::Json => DocumentFormat::Json,
        ReportFormat::Yaml => DocumentFormat::Yaml,
    };
    let mut documents = timelines.into_iter().map(history::document);
    let document = match is_single {
        true => output::serialize(&documents.next(), format)?,
        false => output::serialize(&document::list_of_kind("HistoryViewList", documents.collect()), format)?,
    };
    Ok(output::print_document(&document)?)
}

/// Prints a table for each history, as `kubectl rollout history` does.
fn draw_tables(timelines: &[Timeline], is_single: bool, width: Option<usize>) -> Result<(), Error> {
    for (index, timeline) in timelines.iter().enumerate() {
        if !is_single {
            output::print(&format!("{}{}\n", if index == 0 { "" } else { "\n" }, timeline.name()))?;
        }
        output::print_table(&history::table(timeline, width))?;
    }
    Ok(())
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
