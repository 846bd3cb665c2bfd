//! `kubectl replicas undo`.

mod flags;
mod last;
mod target;

use clap::Args;
use jiff::Timestamp;

use self::flags::UndoFlags;
use crate::{
    args::ConnectionArgs,
    count,
    error::Error,
    operations::{last::Undone, log, past::Goal},
    output::{self, plan},
    program::in_text,
    words,
};

const EXAMPLES: &str = "\
Examples:
  # Take back your last command in this cluster, whatever it was
  kubectl replicas undo

  # See your last commands
  kubectl replicas undo --list

  # Go on with the command before, if the last one cannot be taken back any more
  kubectl replicas undo --skip

  # Go back to the lasting count that the Deployment web had before
  kubectl replicas undo web

  # Go back to a count in its history: to 3, or to the one after change 4
  kubectl replicas undo web --to 3
  kubectl replicas undo sts db --to-change 4";

/// Take back your last command, or go back to an earlier count of a target
///
/// Without a target, it takes back all that your last set, unset or adopt did in this cluster, in any namespace: counts,
/// overrides that are not over, reasons, and what was managed. Repeated, it takes back the command before. If somebody
/// else has changed one of the targets since, nothing is changed, and it says who it was. The log is on this machine, and
/// keeps the commands of each user apart, also those with --as.
///
/// With a target, it goes back to a lasting count in the history of that target, no matter who changed it. `history` shows them.
///
/// It asks as `set` does. Clusters are distinguished by the UID of their namespace kube-system. If you may not read that,
/// or use --address, the address counts.
#[derive(Debug, Args)]
#[command(after_help = in_text(EXAMPLES))]
pub(crate) struct UndoArgs {
    /// Go back to an earlier count of this target: web, deploy/web, sts db
    #[arg(value_name = "TARGET", num_args = 0..=2, conflicts_with = "list")]
    words: Vec<String>,
    /// Go back to this count, which must be in the history of the target
    #[arg(long, value_name = "COUNT", requires = "words", value_parser = count::parse_exact, allow_negative_numbers = true)]
    to: Option<i32>,
    /// Go back to the count after the change of this number
    #[arg(long, value_name = "NUMBER", requires = "words", conflicts_with = "to")]
    to_change: Option<i64>,
    /// Show the log of your commands, of all clusters and users
    #[arg(long)]
    list: bool,
    /// Drop your last command in this cluster from the log; nothing in the cluster changes
    #[arg(long, conflicts_with_all = ["words", "list", "force", "yes", "dry_run"])]
    skip: bool,
    #[command(flatten)]
    flags: UndoFlags,
}

impl UndoArgs {
    fn goal(&self) -> Goal {
        match (self.to, self.to_change) {
            (Some(count), _) => Goal::Count(count),
            (None, Some(number)) => Goal::Change(number),
            (None, None) => Goal::Previous,
        }
    }
}

/// Undoes a command or a change.
pub(crate) async fn run(args: UndoArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    if args.list {
        return list();
    }
    match args.words.as_slice() {
        [] if args.skip => last::skip(connection).await,
        [] => last::run(args.flags, connection).await,
        words => target::run(args.flags, args.goal(), &words::parse_single(words)?, connection).await,
    }
}

fn list() -> Result<(), Error> {
    let operations = log::load_own()?;
    if operations.is_empty() {
        output::note("There are no operations in the log.");
        return Ok(());
    }
    let undone = Undone::of(&operations);
    let counted: Vec<_> = operations.iter().map(|it| (it.clone(), undone.count(it))).collect();
    Ok(output::print_table(&plan::operations(&counted, output::terminal_width(), Timestamp::now()))?)
}
