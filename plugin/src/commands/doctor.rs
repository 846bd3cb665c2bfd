//! `kubectl replicas doctor`.

mod access;
mod admission;
mod checks;
mod facts;
mod finding;
#[cfg(test)]
mod fixtures;
mod installation;
mod report;
mod server;
mod targets;

use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, sleep, timeout_at};

use self::{
    checks::{CHECKS, examine},
    report::{Checked, Outcome},
};
use crate::{
    args::ConnectionArgs,
    color,
    error::Error,
    output::{self, DocumentFormat},
    program::in_text,
    time::parse_limit,
};

/// The pause between two rounds of checks: soon enough for people, and few requests for the servers.
const PAUSE: Duration = Duration::from_secs(2);

const EXAMPLES: &str = "\
Examples:
  # Check each step from the kubeconfig to the targets
  kubectl replicas doctor

  # Wait up to two minutes after an installation until all is well
  kubectl replicas doctor --wait 2m

  # Print the names of the checks that failed
  kubectl replicas doctor -o json | jq -r '.checks[] | select(.status == \"failed\") | .name'

Exit codes:
  0  no check failed; there may be warnings
  1  a check failed
  3  there is no connection to the server
  4  a check still failed at the end of --wait";

/// Check each step from the kubeconfig to the targets, and say how to fix what fails
///
/// Changes nothing: it renews no certificate, and tests `set` only as a dry run. A check is skipped if one that it depends
/// on failed. Each check ends after --request-timeout.
#[derive(Debug, Args)]
#[command(after_help = in_text(EXAMPLES))]
pub(crate) struct DoctorArgs {
    /// Repeat the checks until none fails, or until this time is over, by default 5m; 0 means no limit
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "5m", value_parser = parse_limit)]
    wait: Option<Duration>,
    /// Print a document for programs
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<DocumentFormat>,
}

/// Checks everything.
pub(crate) async fn run(args: DoctorArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let is_shown_at_once = args.wait.is_none() && args.output.is_none();
    let mut printer = Printer::default();
    let mut checked =
        examine(connection, |checked| if is_shown_at_once { printer.print(checked) } else { Ok(()) }).await?;
    if let Some(timeout) = args.wait {
        wait(connection, &mut checked, timeout).await?;
    }
    let outcome = Outcome::of(&checked);
    match args.output {
        Some(format) => output::print_document(&output::serialize(&report::document(checked), format)?)?,
        None => {
            if !is_shown_at_once {
                checked.iter().try_for_each(|checked| printer.print(checked))?;
            }
            output::print(&format!("\n{}\n", outcome.summary()))?;
        }
    }
    match (outcome.failed, args.wait) {
        (0, _) => Ok(()),
        (failed, Some(timeout)) => Err(Error::StillUnhealthy { failed, all: CHECKS.len(), timeout }),
        (failed, None) => Err(Error::Unhealthy { failed, all: CHECKS.len(), is_connected: outcome.is_connected }),
    }
}

/// Repeats the checks until none fails, or until the time is over. Then the last whole round counts.
async fn wait(connection: &ConnectionArgs, checked: &mut Vec<Checked>, timeout: Duration) -> Result<(), Error> {
    let deadline = Instant::now().checked_add(timeout);
    let is_over = |at: Instant| deadline.is_some_and(|deadline| at >= deadline);
    let mut failing = String::new();
    while Outcome::of(checked).failed > 0 && !is_over(Instant::now() + PAUSE) {
        let now_failing = report::failing(checked);
        if now_failing != failing {
            output::note(&format!("waiting for {now_failing}"));
            failing = now_failing;
        }
        sleep(PAUSE).await;
        let round = examine(connection, |_| Ok(()));
        *checked = match deadline {
            None => round.await?,
            Some(deadline) => match timeout_at(deadline, round).await {
                Ok(round) => round?,
                Err(_) => return Ok(()),
            },
        };
    }
    Ok(())
}

/// Prints the checks, each section under its title.
#[derive(Default)]
struct Printer {
    section: &'static str,
}

impl Printer {
    fn print(&mut self, checked: &Checked) -> Result<(), output::Error> {
        let mut text = String::new();
        if checked.section != self.section {
            let gap = if self.section.is_empty() { "" } else { "\n" };
            text = format!("{gap}{}\n{}\n", checked.section, "-".repeat(checked.section.len()));
            self.section = checked.section;
        }
        output::print_marked(&(text + &report::lines(checked, color::is_unicode())))
    }
}
