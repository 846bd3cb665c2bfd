//! `kubectl replicas set`.

use std::time::Duration;

use clap::{ArgGroup, Args};
use contract::replicas::v1::{GetServerInfoRequest, SetReplicaCountRequest, SetReplicaCountResponse};
use jiff::{RoundMode, Timestamp, TimestampRound, Unit};

use super::{batch, connect::connect, dry_run::DryRunArgs, wait};
use crate::{
    args::ConnectionArgs,
    assignment::{self, Assignment, CountSource},
    error::Error,
    output::{self, Lines, printable},
    session::Session,
    target,
    time::{from_proto, parse_duration, parse_limit, parse_time, to_proto},
};

const EXAMPLES: &str = "\
Examples:
  # Hold the Deployment web at 3 replicas, and wait until they are ready
  kubectl replicas set web 3 --wait

  # Set several targets, each to its own count
  kubectl replicas set web=3 sts/db=1

  # Set several targets to the same count
  kubectl replicas set --replicas 0 web sts/db --reason maintenance

  # Hold targets at their current counts
  kubectl replicas set --current web sts/db

  # Hold web at 10 for two hours, and then at its lasting count again
  kubectl replicas set web 10 --for 2h --reason sale";

/// Hold targets at a replica count, even if others change it
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, group(ArgGroup::new("end").args(["for", "until"])))]
#[command(override_usage = "\
kubectl replicas set [OPTIONS] TARGET COUNT
       kubectl replicas set [OPTIONS] TARGET=COUNT...
       kubectl replicas set [OPTIONS] --replicas COUNT TARGET...
       kubectl replicas set [OPTIONS] --current TARGET...")]
pub(crate) struct SetArgs {
    /// Set these: web, deploy/web, sts/db, rollouts.argoproj.io/web
    #[arg(value_name = "TARGET", required = true, allow_negative_numbers = true)]
    words: Vec<String>,
    /// Hold all targets at this count
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true, value_parser = assignment::parse_count)]
    replicas: Option<i32>,
    /// Hold each target at its current count
    #[arg(long, conflicts_with_all = ["replicas", "for", "until"])]
    current: bool,
    /// End the count after this time, such as 2h or 1d; then the lasting count holds again
    #[arg(long, id = "for", value_name = "DURATION", value_parser = parse_duration, conflicts_with = "until")]
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
    #[arg(long, value_name = "COUNT", value_parser = assignment::parse_count)]
    current_replicas: Option<i32>,
    /// Accept targets that do not exist yet
    #[arg(long)]
    allow_missing: bool,
    /// Set even if an autoscaler scales the target, or another tool manages its ReplicaCount
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    dry_run: DryRunArgs,
    /// Wait until the replicas are ready; a dry run does not wait
    #[arg(long)]
    wait: bool,
    /// Give up waiting after this time; 0 means no limit
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_limit, requires = "wait")]
    timeout: Duration,
}

impl SetArgs {
    fn count_source(&self) -> CountSource {
        match self.replicas {
            Some(replicas) => CountSource::Flag(replicas),
            None if self.current => CountSource::Current,
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
    let session = connect(connection).await?;
    let requests = build_requests(&session, &args, &assignments).await?;
    if requests.len() > 1 {
        check_limit(&session, &requests).await?;
    }
    let mut lines = Lines::default();
    let (responses, result) = batch::run(&mut lines, requests, "set", |request| set(&session, request)).await;
    let should_wait = args.wait && !args.dry_run.dry_run && !responses.is_empty();
    let waited = match should_wait {
        true => wait::until_ready(&session, &mut lines, responses, args.allow_missing, args.timeout).await,
        false => Ok(()),
    };
    lines.end(waited.and(result))
}

async fn build_requests(
    session: &Session,
    args: &SetArgs,
    assignments: &[Assignment],
) -> Result<Vec<SetReplicaCountRequest>, Error> {
    let until = args.end(Timestamp::now()).map(to_proto);
    let mut requests = Vec::with_capacity(assignments.len());
    for Assignment { target, replicas } in assignments {
        requests.push(SetReplicaCountRequest {
            target: Some(session.resolve(target).await?),
            replicas: *replicas,
            current: replicas.is_none(),
            expected_replicas: args.current_replicas,
            allow_missing: args.allow_missing,
            force: args.force,
            dry_run: args.dry_run.dry_run,
            until,
            then_unset: args.then_unset,
            reason: args.reason.clone(),
        });
    }
    Ok(requests)
}

/// Refuses a count above the server's limit before anything is set.
async fn check_limit(session: &Session, requests: &[SetReplicaCountRequest]) -> Result<(), Error> {
    let info = session.answer(session.client.clone().get_server_info(GetServerInfoRequest {})).await?;
    let too_many = requests.iter().find(|request| request.replicas.is_some_and(|count| count > info.max_replicas));
    match too_many {
        None => Ok(()),
        Some(request) => Err(Error::TooMany {
            target: target::name(&request.target.clone().unwrap_or_default()),
            replicas: request.replicas.unwrap_or_default(),
            most: info.max_replicas,
        }),
    }
}

async fn set(
    session: &Session,
    request: SetReplicaCountRequest,
) -> (String, Result<(String, SetReplicaCountResponse), Error>) {
    let name = target::name(&request.target.clone().unwrap_or_default());
    let response = session.answer(session.client.clone().set_replica_count(request.clone())).await;
    let result = match response {
        Ok(response) => {
            response
                .warnings
                .iter()
                .for_each(|warning| output::note(&format!("warning: {name}: {}", printable(warning))));
            Ok((line(&name, &request, &response), response))
        }
        Err(error) if request.dry_run => Err(error.into()),
        Err(error) => Err(Error::of_write(error, &name, "set")),
    };
    (name, result)
}

fn line(name: &str, request: &SetReplicaCountRequest, response: &SetReplicaCountResponse) -> String {
    let now = response.replica_count.as_ref().and_then(|count| count.desired).or(request.replicas);
    let now = now.map_or_else(|| "its count".to_owned(), |now| now.to_string());
    let was = response.old_desired.map_or_else(|| "not managed".to_owned(), |old| old.to_string());
    let cleared = if response.override_cleared { ", by an override that ends now" } else { "" };
    let until = request.until.as_ref().and_then(from_proto).map(|until| {
        let then = if request.then_unset { ", then unset and left at that count" } else { "" };
        format!(" until {until:.0}{then}")
    });
    let dry = if request.dry_run { " (server dry run)" } else { "" };
    format!("{name} set to {now}{} (was {was}{cleared}){dry}\n", until.unwrap_or_default())
}

#[cfg(test)]
mod tests;
