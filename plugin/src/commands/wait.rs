//! The wait of `kubectl replicas set --wait`: it follows the targets until their replicas are ready.

mod progress;

use std::time::Duration;

use contract::replicas::v1::{ReplicaCount, WatchReplicaCountsRequest};
use tokio::time::{self, Instant, error::Elapsed};
use tonic::Status;

use self::progress::Wait;
use super::batch;
use crate::{
    error::Error,
    interrupt,
    output::Lines,
    session::{Session, explain, is_temporary},
};

/// The pause before another watch, which gives a restarting server time.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// How often the pods of waiting targets are looked at: rarely enough for the API server, and soon enough for people.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Waits until the targets of the responses are ready.
pub(super) async fn until_ready(
    session: &Session,
    lines: &mut Lines,
    counts: Vec<ReplicaCount>,
    allow_missing: bool,
    timeout: Duration,
) -> Result<(), Error> {
    let request = WatchReplicaCountsRequest {
        namespace: common_namespace(&counts),
        min_resource_version: newest_version(&counts),
        ..WatchReplicaCountsRequest::default()
    };
    let mut wait = Wait::new(lines, &counts, &session.namespace, allow_missing);
    let result = tokio::select! {
        biased;
        result = follow_for(session, request, &mut wait, timeout) => Some(result),
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
    request: WatchReplicaCountsRequest,
    wait: &mut Wait<'_>,
    limit: Duration,
) -> Result<Result<(), Error>, Elapsed> {
    let result = time::timeout(limit, follow(session, request, wait)).await;
    if result.is_err() {
        wait.look_at_pods(session).await;
    }
    result
}

/// Watches the counts, and starts again when the watch ends for a temporary reason.
async fn follow(session: &Session, request: WatchReplicaCountsRequest, wait: &mut Wait<'_>) -> Result<(), Error> {
    loop {
        match watch(session, request.clone(), wait).await? {
            _ if wait.is_over() => return Ok(()),
            Some(status) if !is_temporary(&status) => return Err(explain(status).into()),
            status => {
                wait.watch_error = status.map(|status| Box::new(explain(status).into()));
                time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

/// Watches the counts until all targets are ready or the stream ends. Returns the status of the end.
async fn watch(
    session: &Session,
    request: WatchReplicaCountsRequest,
    wait: &mut Wait<'_>,
) -> Result<Option<Status>, Error> {
    let mut stream = match session.client.clone().watch_replica_counts(request).await {
        Ok(response) => response.into_inner(),
        Err(status) => return Ok(Some(status)),
    };
    wait.start_over();
    let mut next_look = Instant::now() + LOOK_INTERVAL;
    while !wait.is_over() {
        let message = tokio::select! {
            biased;
            message = stream.message() => message,
            () = time::sleep_until(next_look) => {
                wait.look_at_pods(session).await;
                next_look = Instant::now() + LOOK_INTERVAL;
                continue;
            }
        };
        match message {
            Ok(Some(message)) => wait.handle(message.event)?,
            Ok(None) => return Ok(None),
            Err(status) => return Ok(Some(status)),
        }
    }
    Ok(None)
}

/// The only namespace of the targets; empty, which means all, if there are several.
fn common_namespace(counts: &[ReplicaCount]) -> String {
    let mut namespaces = counts.iter().filter_map(|count| Some(count.target.as_ref()?.namespace.as_str()));
    let first = namespaces.next().unwrap_or_default();
    if namespaces.all(|namespace| namespace == first) { first.to_owned() } else { String::new() }
}

/// The newest resource version. A watch from there on shows every count that was set.
fn newest_version(counts: &[ReplicaCount]) -> String {
    let versions = counts.iter().map(|count| &count.resource_version);
    versions.max_by_key(|version| version.parse::<u128>().ok()).cloned().unwrap_or_default()
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
