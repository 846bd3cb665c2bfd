//! `kubectl replicas set`.

mod build;

use std::time::Duration;

use clap::{ArgGroup, Args};
use contract::replicas::v1::SetReplicaCountRequest;
use jiff::{RoundMode, Timestamp, TimestampRound, Unit};

use self::build::{Input, Wanted};
use super::{
    choice::ChoiceArgs,
    connect::connect,
    consent::{self, Question, YesArgs},
    dry_run::DryRunArgs,
    resolve,
    stored::StoredArgs,
    wait, write,
};
use crate::{
    args::ConnectionArgs,
    assignment::{self, CountSource},
    count::{self, Count},
    error::Error,
    interrupt, output,
    program::in_text,
    time::{parse_limit, parse_override, parse_time, to_proto},
};

const EXAMPLES: &str = "\
Examples:
  # Hold the Deployment web at 3 replicas, and wait until they are ready
  kubectl replicas set web 3 --wait

  # Set several targets, each to its own count
  kubectl replicas set web=3 sts/db=1

  # Set several targets to the same count
  kubectl replicas set --replicas 0 web sts/db --reason maintenance

  # Add two replicas to the Deployment web, and halve the StatefulSet db
  kubectl replicas set web=+2 sts/db=50%

  # Hold targets at their current counts
  kubectl replicas set --current web sts/db

  # Hold web at 10 for two hours, and then at its lasting count again
  kubectl replicas set web 10 --for 2h --reason sale

  # Stop all StatefulSets of the namespace, and what has a label in all namespaces
  kubectl replicas set sts --all --replicas 0
  kubectl replicas set -A -l tier=batch --replicas 0 --yes

  # Set what `export` has stored in a file
  kubectl replicas set -f counts.yaml";

const USAGE: &str = "\
kubectl replicas set [OPTIONS] TARGET COUNT
       kubectl replicas set [OPTIONS] KIND NAME COUNT
       kubectl replicas set [OPTIONS] TARGET=COUNT...
       kubectl replicas set [OPTIONS] --replicas COUNT (TARGET... | KIND NAME...)
       kubectl replicas set [OPTIONS] --current (TARGET... | KIND NAME...)
       kubectl replicas set [OPTIONS] (--replicas COUNT | --current) (--all | -A | -l SELECTOR) [KIND...]
       kubectl replicas set [OPTIONS] -f FILE";

/// Hold targets at a replica count, even if others change it
///
/// A COUNT is a number, such as 3 or =3. It may start from the count that is there: +3 adds three, x2 doubles it, and
/// 50% halves it, rounded up and never below 1. If somebody changes that count meanwhile, nothing is set.
///
/// On a terminal, the command shows its plan and asks before it sets several targets, or a count of 0. Without a terminal
/// there is no question: targets given by name are set, and targets chosen by --all, -A, -l or -f need --yes, except a
/// single one with a count above 0. `undo` takes a command back.
#[derive(Debug, Args)]
#[command(after_help = in_text(EXAMPLES), group(ArgGroup::new("end").args(["for", "until"])))]
#[command(override_usage = in_text(USAGE))]
pub(crate) struct SetArgs {
    /// Set these: web, deploy/web, sts db, rollouts.argoproj.io/web; with --all, -A or -l only those of these kinds
    #[arg(value_name = "TARGET", allow_negative_numbers = true)]
    #[arg(conflicts_with = "filename")]
    words: Vec<String>,
    #[command(flatten)]
    choice: ChoiceArgs,
    /// Hold all targets at this count
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true, value_parser = count::parse)]
    #[arg(conflicts_with = "filename")]
    replicas: Option<Count>,
    /// Hold each target at its current count
    #[arg(long, conflicts_with_all = ["replicas", "for", "until", "filename"])]
    current: bool,
    /// Hold this count only for this time, at least a minute, such as 2h or 1d: an override. Then the lasting count holds
    /// again, or the current one if the target is not managed yet
    #[arg(long, id = "for", value_name = "DURATION", value_parser = parse_override)]
    #[arg(allow_hyphen_values = true, conflicts_with_all = ["until", "filename"])]
    for_: Option<Duration>,
    /// Hold this count only until this time, such as 2026-11-23T18:00:00Z; it must be in the future, but may be less
    /// than a minute away
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "filename")]
    until: Option<Timestamp>,
    /// At the end of --for or --until, stop managing the targets, and leave them at that count
    #[arg(long, requires = "end")]
    then_unset: bool,
    /// Record this reason, for people
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, conflicts_with = "filename")]
    reason: String,
    /// Refuse unless this is the current count
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true, value_parser = count::parse_exact)]
    #[arg(conflicts_with = "filename")]
    current_replicas: Option<i32>,
    /// Accept targets that do not exist yet
    #[arg(long)]
    allow_missing: bool,
    /// Set even if an autoscaler scales the target, or another tool manages its ReplicaCount
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    yes: YesArgs,
    #[command(flatten)]
    dry_run: DryRunArgs,
    #[command(flatten)]
    stored: StoredArgs,
    /// Wait until the replicas are ready; a dry run does not wait
    #[arg(long)]
    wait: bool,
    /// Give up waiting after this time; 0 means no limit
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_limit, requires = "wait")]
    #[arg(allow_hyphen_values = true)]
    timeout: Duration,
}

impl SetArgs {
    fn count_source(&self) -> CountSource {
        match self.replicas {
            Some(count) => CountSource::Flag(count),
            None if self.current => CountSource::Flag(Count::Current),
            None => CountSource::Arguments,
        }
    }

    fn end(&self, now: Timestamp) -> Option<Timestamp> {
        // An end beyond the last possible time becomes that time.
        let after = self.for_.map(|duration| now.saturating_add(duration).unwrap_or(Timestamp::MAX));
        // The server keeps whole seconds. Round up, so that the count does not end too early.
        let end = after.or(self.until)?;
        Some(end.round(TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Ceil)).unwrap_or(end))
    }
}

impl SetArgs {
    /// The request that the flags describe.
    fn wanted(&self) -> Wanted {
        let base = SetReplicaCountRequest {
            expected_replicas: self.current_replicas,
            allow_missing: self.allow_missing,
            force: self.force,
            until: self.end(Timestamp::now()).map(to_proto),
            then_unset: self.then_unset,
            reason: self.reason.clone(),
            ..SetReplicaCountRequest::default()
        };
        Wanted { base, dry_run: self.dry_run.dry_run }
    }

    /// Reads the words, or the file.
    async fn input(&self) -> Result<Input, Error> {
        let kinds = self.choice.kinds(&self.words)?;
        if let Some(manifests) = self.choice.read_file().await? {
            return Ok(Input::File(manifests));
        }
        let Some(kinds) = kinds else {
            return Ok(Input::Named(assignment::parse(&self.words, self.count_source())?));
        };
        match self.count_source() {
            CountSource::Flag(count) => Ok(Input::Chosen(kinds, count)),
            CountSource::Arguments => {
                Err(assignment::Error::NoCount { target: "the targets that the flags choose".to_owned() }.into())
            }
        }
    }
}

/// Sets the count of each target. It checks all of the input before it sends the first request.
pub(crate) async fn run(args: SetArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let mut input = interrupt::guard("nothing was set", args.input()).await?;
    let prepare = async {
        let session = connect(connection).await?;
        let is_named = matches!(input, Input::Named(_));
        if let Input::File(manifests) = &mut input {
            args.choice.place(manifests, connection, &session)?;
        }
        if is_named && matches!(args.count_source(), CountSource::Flag(_)) {
            resolve::check_first_word(&session, &args.words).await?;
        }
        let writes = build::build(&session, &args.choice, input, &args.wanted()).await?;
        if writes.len() > 1 {
            build::check_limit(&session, &writes).await?;
        }
        let question = Question { ask: "Set", done: "set", is_named, yes: args.yes.yes };
        consent::obtain(&session, &writes, question).await?;
        Ok((session, writes))
    };
    let (session, writes) = interrupt::guard("nothing was set", prepare).await?;
    if writes.is_empty() {
        output::note(&args.choice.describe_empty("targets", &session.namespace));
        return Ok(());
    }
    let (mut lines, requested) = (args.stored.lines(), writes.len());
    let (stored, result) = write::make_all(&session, &mut lines, writes, "set", None).await;
    args.stored.print(&mut lines, stored.clone(), requested);
    let is_interrupted = matches!(result, Err(Error::Interrupted { .. }));
    let should_wait = args.wait && !args.dry_run.dry_run && !stored.is_empty() && !is_interrupted;
    let waited = match should_wait {
        true => wait::until_ready(&session, connection, &mut lines, stored, args.allow_missing, args.timeout).await,
        false => Ok(()),
    };
    lines.end(waited.and(result))
}

#[cfg(test)]
mod tests;
