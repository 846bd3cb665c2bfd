//! `kubectl replicas set`.

use std::time::Duration;

use clap::{ArgGroup, Args};
use contract::{
    names::reasons,
    replicas::v1::{GetServerInfoRequest, ReplicaCount, SetReplicaCountRequest, SetReplicaCountResponse},
};
use jiff::{RoundMode, Timestamp, TimestampRound, Unit};

use super::{batch, connect::connect, dry_run::DryRunArgs, read, stored::StoredArgs, wait};
use crate::{
    args::ConnectionArgs,
    assignment::{self, Assignment, CountSource},
    count::{self, Count},
    error::Error,
    interrupt,
    output::{self, printable},
    program::in_text,
    refusal,
    session::{CallError, Session},
    target,
    time::{from_proto, local, parse_limit, parse_override, parse_time, to_proto},
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
  kubectl replicas set web 10 --for 2h --reason sale";

/// How often a count is read again because its status has changed since. The status changes a few times after a Set.
const MAX_READS: usize = 5;

const USAGE: &str = "\
kubectl replicas set [OPTIONS] TARGET COUNT
       kubectl replicas set [OPTIONS] KIND NAME COUNT
       kubectl replicas set [OPTIONS] TARGET=COUNT...
       kubectl replicas set [OPTIONS] --replicas COUNT (TARGET... | KIND NAME...)
       kubectl replicas set [OPTIONS] --current (TARGET... | KIND NAME...)";

/// Hold targets at a replica count, even if others change it
///
/// A COUNT is a number, such as 3 or =3. It may start from the count that is there: +3 adds three, x2 doubles it, and
/// 50% halves it, rounded up and never below 1. If somebody changes that count meanwhile, nothing is set.
#[derive(Debug, Args)]
#[command(after_help = in_text(EXAMPLES), group(ArgGroup::new("end").args(["for", "until"])))]
#[command(override_usage = in_text(USAGE))]
pub(crate) struct SetArgs {
    /// Set these: web, deploy/web, sts db, rollouts.argoproj.io/web
    #[arg(value_name = "TARGET", required = true, allow_negative_numbers = true)]
    words: Vec<String>,
    /// Hold all targets at this count
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true, value_parser = count::parse)]
    replicas: Option<Count>,
    /// Hold each target at its current count
    #[arg(long, conflicts_with_all = ["replicas", "for", "until"])]
    current: bool,
    /// End the count after this time, at least a minute, such as 2h or 1d; then the lasting count holds again
    #[arg(long, id = "for", value_name = "DURATION", value_parser = parse_override, conflicts_with = "until")]
    #[arg(allow_hyphen_values = true)]
    for_: Option<Duration>,
    /// End the count at this time, such as 2026-11-23T18:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<Timestamp>,
    /// Stop managing the targets when the count ends, and leave them at that count
    #[arg(long, requires = "end")]
    then_unset: bool,
    /// Record this reason, for people
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
    /// Refuse unless this is the current count
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true, value_parser = count::parse_exact)]
    current_replicas: Option<i32>,
    /// Accept targets that do not exist yet
    #[arg(long)]
    allow_missing: bool,
    /// Set even if an autoscaler scales the target, or another tool manages its ReplicaCount
    #[arg(long)]
    force: bool,
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

/// Sets the count of each target. It checks all of the input before it sends the first request.
pub(crate) async fn run(args: SetArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let assignments = assignment::parse(&args.words, args.count_source())?;
    let prepare = async {
        let session = connect(connection).await?;
        let requests = build_requests(&session, &args, &assignments).await?;
        if requests.len() > 1 {
            check_limit(&session, &requests).await?;
        }
        Ok((session, requests))
    };
    let (session, requests) = interrupt::guard("nothing was set", prepare).await?;
    let (mut lines, requested) = (args.stored.lines(), requests.len());
    let (responses, result) = batch::run(&mut lines, requests, "set", |request| set(&session, request)).await;
    let stored = responses.iter().filter_map(|response| response.replica_count.clone()).collect();
    args.stored.print(&mut lines, stored, requested);
    let is_interrupted = matches!(result, Err(Error::Interrupted { .. }));
    let should_wait = args.wait && !args.dry_run.dry_run && !responses.is_empty() && !is_interrupted;
    let waited = match should_wait {
        true => wait::until_ready(&session, connection, &mut lines, responses, args.allow_missing, args.timeout).await,
        false => Ok(()),
    };
    lines.end(waited.and(result))
}

/// A Set whose count may depend on the one that is there.
struct Planned {
    count: Count,
    request: SetReplicaCountRequest,
}

async fn build_requests(
    session: &Session,
    args: &SetArgs,
    assignments: &[Assignment],
) -> Result<Vec<(String, Planned)>, Error> {
    let until = args.end(Timestamp::now()).map(to_proto);
    let mut requests = Vec::with_capacity(assignments.len());
    for Assignment { target, count } in assignments {
        let target = session.resolve(target).await?;
        let name = target::name(&target);
        let request = SetReplicaCountRequest {
            target: Some(target),
            replicas: if let Count::Exactly(replicas) = count { Some(*replicas) } else { None },
            current: *count == Count::Current,
            expected_replicas: args.current_replicas,
            allow_missing: args.allow_missing,
            force: args.force,
            dry_run: args.dry_run.dry_run,
            until,
            then_unset: args.then_unset,
            reason: args.reason.clone(),
            ..SetReplicaCountRequest::default()
        };
        requests.push((name, Planned { count: *count, request }));
    }
    Ok(requests)
}

/// Refuses a count above the server's limit before anything is set.
async fn check_limit(session: &Session, requests: &[(String, Planned)]) -> Result<(), Error> {
    let info = session.answer(session.client.clone().get_server_info(GetServerInfoRequest {})).await?;
    let is_too_many =
        |(_, planned): &&(String, Planned)| planned.request.replicas.is_some_and(|count| count > info.max_replicas);
    match requests.iter().find(is_too_many) {
        None => Ok(()),
        Some((name, planned)) => Err(Error::TooMany {
            target: name.clone(),
            replicas: planned.request.replicas.unwrap_or_default(),
            most: info.max_replicas,
        }),
    }
}

async fn set(
    session: &Session,
    Planned { count, request }: Planned,
) -> Result<(String, SetReplicaCountResponse), Error> {
    let name = target::name(&request.target.clone().unwrap_or_default());
    let answer = match count.is_relative() {
        true => set_relative(session, count, &request, &name).await?,
        false => send(session, request.clone()).await,
    };
    match answer {
        Ok(response) => {
            let warn = |text: &str| output::note(&format!("warning: {name}: {text}"));
            response.warnings.iter().for_each(|warning| warn(&printable(warning)));
            Ok((line(&name, &request, &response), response))
        }
        Err(error) if request.dry_run => Err(error.into()),
        Err(error) => Err(Error::of_write(error, &name, "set")),
    }
}

async fn send(session: &Session, request: SetReplicaCountRequest) -> Result<SetReplicaCountResponse, CallError> {
    session.answer(session.client.clone().set_replica_count(request)).await
}

/// Sets a count that starts from the one that is there.
///
/// The server refuses if anything has changed since that one was read. If that was only the status, which changes by
/// itself, the count is read again.
async fn set_relative(
    session: &Session,
    count: Count,
    request: &SetReplicaCountRequest,
    name: &str,
) -> Result<Result<SetReplicaCountResponse, CallError>, Error> {
    let target = request.target.clone().unwrap_or_default();
    let changed = |source| Error::Changed { target: name.to_owned(), source };
    let mut before = read::of_target(session, &target).await?;
    for _ in 0..MAX_READS {
        let answer = send(session, start_from(&before, count, request, name)?).await;
        match answer {
            Err(source) if refusal::is_for(&source, reasons::UNEXPECTED_COUNT) => return Err(changed(source)),
            Err(source) if refusal::is_for(&source, reasons::UNEXPECTED_VERSION) => {
                let now = read::of_target(session, &target).await?;
                if !is_same(&before, &now) {
                    return Err(changed(source));
                }
                before = now;
            }
            answer => return Ok(answer),
        }
    }
    Ok(send(session, start_from(&before, count, request, name)?).await)
}

/// Computes a relative count from what was read, and guards the Set by that.
fn start_from(
    before: &ReplicaCount,
    count: Count,
    request: &SetReplicaCountRequest,
    name: &str,
) -> Result<SetReplicaCountRequest, Error> {
    let read = before.desired.or(before.observed).ok_or_else(|| Error::NoCount { target: name.to_owned() })?;
    Ok(SetReplicaCountRequest {
        replicas: count.beside(read),
        expected_replicas: request.expected_replicas.or(before.observed),
        // It is empty if the target is not managed.
        expected_resource_version: Some(before.resource_version.clone()),
        ..request.clone()
    })
}

fn line(name: &str, request: &SetReplicaCountRequest, response: &SetReplicaCountResponse) -> String {
    let dry = if request.dry_run { " (server dry run)" } else { "" };
    if response.unchanged {
        return format!("{name} unchanged{dry}\n");
    }
    let now = response.replica_count.as_ref().and_then(|count| count.desired).or(request.replicas);
    let now = now.map_or_else(|| "its count".to_owned(), |now| now.to_string());
    let was = response.old_desired.map_or_else(|| "not managed".to_owned(), |old| old.to_string());
    let cleared = if response.override_cleared { ", from an override that is now cleared" } else { "" };
    let until = request.until.as_ref().and_then(from_proto).map(|until| {
        let then = if request.then_unset { ", then unset and left at that count" } else { "" };
        format!(" until {}{then}", local(until))
    });
    format!("{name} set to {now}{} (was {was}{cleared}){dry}\n", until.unwrap_or_default())
}

/// Whether two reads differ in nothing that a Set changes.
fn is_same(before: &ReplicaCount, after: &ReplicaCount) -> bool {
    let part = |count: &ReplicaCount| {
        let ReplicaCount { desired, replicas, reason, set_by, r#override, .. } = count.clone();
        (desired, replicas, reason, set_by, r#override)
    };
    part(before) == part(after)
}

#[cfg(test)]
mod tests;
