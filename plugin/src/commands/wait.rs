//! The wait of `kubectl replicas set --wait`: it follows the targets until their replicas are ready.

mod progress;

use std::time::Duration;

use contract::replicas::v1::{ReplicaCount, SetReplicaCountResponse, WatchReplicaCountsRequest};
use tokio::time::{self, Instant, error::Elapsed};

use self::progress::Wait;
use super::{
    batch,
    follow::{Follower, Step, version},
};
use crate::{args::ConnectionArgs, error::Error, interrupt, output::Lines, session::Session};

/// How often the pods of waiting targets are looked at: rarely enough for the API server, and soon enough for people.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Waits until the targets of the responses are ready.
pub(super) async fn until_ready(
    session: &Session,
    connection: &ConnectionArgs,
    lines: &mut Lines,
    responses: Vec<SetReplicaCountResponse>,
    allow_missing: bool,
    timeout: Duration,
) -> Result<(), Error> {
    let counts: Vec<_> = responses.into_iter().filter_map(|response| response.replica_count).collect();
    let request = WatchReplicaCountsRequest {
        namespace: session.namespace.clone(),
        min_resource_version: newest_version(&counts),
        ..WatchReplicaCountsRequest::default()
    };
    let mut follower = Follower::new(session, connection, request);
    let mut wait = Wait::new(lines, &counts, allow_missing);
    let result = tokio::select! {
        biased;
        result = follow_for(session, &mut follower, &mut wait, timeout) => Some(result),
        () = interrupt::pressed() => None,
    };
    wait.bar.finish_and_clear();
    let Some(result) = result else {
        let account =
            format!("the counts were set, but these are not ready: {}", batch::enumerate(&wait.describe_open()));
        return Err(Error::Interrupted { account });
    };
    match result {
        Ok(result) => result.and(batch::finish(wait.failed, wait.all, "brought to their counts")),
        Err(_) => Err(Error::NotReady { timeout, open: wait.describe_open(), source: wait.watch_error }),
    }
}

/// Follows the targets until they are ready or the time is over. Then it looks for the reasons once more.
async fn follow_for(
    session: &Session,
    follower: &mut Follower<'_>,
    wait: &mut Wait<'_>,
    limit: Duration,
) -> Result<Result<(), Error>, Elapsed> {
    let result = time::timeout(limit, follow(session, follower, wait)).await;
    if result.is_err() {
        wait.look_at_pods(session).await;
    }
    result
}

/// Follows the counts until all targets are ready.
async fn follow(session: &Session, follower: &mut Follower<'_>, wait: &mut Wait<'_>) -> Result<(), Error> {
    let mut next_look = Instant::now() + LOOK_INTERVAL;
    while !wait.is_over() {
        let step = tokio::select! {
            biased;
            step = follower.next() => step?,
            () = time::sleep_until(next_look) => {
                wait.look_at_pods(session).await;
                next_look = Instant::now() + LOOK_INTERVAL;
                continue;
            }
        };
        match step {
            Step::Started => wait.start_over(),
            Step::Event(event) => wait.handle(event)?,
            Step::Lost(error) => wait.watch_error = Some(Box::new(error.into())),
        }
    }
    Ok(())
}

/// The newest resource version. A watch from there on shows every count that was set.
fn newest_version(counts: &[ReplicaCount]) -> String {
    let newest = counts.iter().max_by_key(|count| version(count));
    newest.map(|count| count.resource_version.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_is_the_largest_number() {
        let version = |version: &str| ReplicaCount { resource_version: version.to_owned(), ..ReplicaCount::default() };
        assert_eq!(newest_version(&[version("9"), version("10"), version("")]), "10");
        assert_eq!(newest_version(&[]), "");
    }
}
