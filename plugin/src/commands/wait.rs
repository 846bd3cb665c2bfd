//! `kubectl replicas wait`, and the wait of `set --wait`: they follow targets until their replicas are ready.

mod expected_count;
mod progress;
mod progress_line;

use std::time::Duration;

use clap::Args;
use contract::replicas::v1::{ReplicaCount, WatchReplicaCountsRequest};
use tokio::time::{self, Instant, error::Elapsed};

use self::progress::Wait;
use super::{
    batch,
    connect::connect,
    follow::{Follower, Step, newest},
    selection::SelectionArgs,
};
use crate::{
    args::ConnectionArgs, error::Error, interrupt, output::Lines, program::in_text, session::Session, time::parse_limit,
};

const EXAMPLES: &str = "\
Examples:
  # Wait until the Deployment web has as many ready replicas as it should
  kubectl replicas wait web

  # Wait for all managed targets with a label, up to ten minutes
  kubectl replicas wait -l app=shop --timeout 10m

  # Apply replica counts, and wait for those of the namespace
  kubectl apply -f counts.yaml && kubectl replicas wait";

/// Wait until targets have their desired counts, with all replicas ready
///
/// If another count is set meanwhile, it waits for that one. At the end of the time it says what is not ready and why:
/// the reasons of the pods, if you may read them, and who changes the count. The exit code is then 4.
#[derive(Debug, Args)]
#[command(after_help = in_text(EXAMPLES))]
pub(crate) struct WaitArgs {
    #[command(flatten)]
    selection: SelectionArgs,
    /// Give up waiting after this time; 0 means no limit
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_limit)]
    #[arg(allow_hyphen_values = true)]
    timeout: Duration,
}

/// What a command waits for.
struct Goal {
    /// The counts as they were when the wait began.
    counts: Vec<ReplicaCount>,
    /// Whether targets may appear later.
    allow_missing: bool,
    /// Whether the command has set the counts. Otherwise others may set other ones meanwhile.
    is_own: bool,
    timeout: Duration,
}

/// How often the pods of waiting targets are looked at: rarely enough for the API server, and soon enough for people.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Waits until the targets are ready.
pub(crate) async fn run(args: WaitArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let words = args.selection.parse(&[])?;
    let prepare = async {
        let session = connect(connection).await?;
        let listed = SelectionArgs::settle(&session, words).await?;
        let selected = args.selection.read(&session, listed, false, "read").await?;
        Ok((session, selected))
    };
    let (session, selected) = interrupt::guard("nothing was waited for", prepare).await?;
    if selected.counts.is_empty() {
        let namespace = (!args.selection.all_namespaces).then(|| session.namespace.clone());
        return selected.result.and(Err(Error::NothingToWaitFor { namespace }));
    }
    let goal = Goal { counts: selected.counts, allow_missing: true, is_own: false, timeout: args.timeout };
    let mut lines = Lines::default();
    let waited = reach(&session, connection, &mut lines, goal).await;
    lines.end(waited.and(selected.result))
}

/// Waits until the targets of the responses are ready.
pub(super) async fn until_ready(
    session: &Session,
    connection: &ConnectionArgs,
    lines: &mut Lines,
    counts: Vec<ReplicaCount>,
    allow_missing: bool,
    timeout: Duration,
) -> Result<(), Error> {
    reach(session, connection, lines, Goal { counts, allow_missing, is_own: true, timeout }).await
}

async fn reach(session: &Session, connection: &ConnectionArgs, lines: &mut Lines, goal: Goal) -> Result<(), Error> {
    let Goal { counts, allow_missing, is_own, timeout } = goal;
    let request = WatchReplicaCountsRequest {
        namespace: common_namespace(&counts),
        min_resource_version: newest_version(&counts),
        ..WatchReplicaCountsRequest::default()
    };
    let mut follower = Follower::new(session, connection, request);
    let mut wait = Wait::new(lines, &counts, &session.namespace, allow_missing);
    wait.accepts_changes = !is_own;
    let result = tokio::select! {
        biased;
        result = follow_for(session, &mut follower, &mut wait, timeout) => Some(result),
        () = interrupt::pressed() => None,
    };
    wait.bar.finish_and_clear();
    let Some(result) = result else {
        let done = if is_own { "the counts were set, but these" } else { "these" };
        let account = format!("{done} are not ready: {}", batch::enumerate(&wait.describe_open()));
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
            Step::Lost(error) => wait.watch_error = Some(Box::new(error)),
        }
    }
    Ok(())
}

/// The only namespace of the targets; empty, which means all, if there are several.
fn common_namespace(counts: &[ReplicaCount]) -> String {
    let mut namespaces = counts.iter().filter_map(|count| Some(count.target.as_ref()?.namespace.as_str()));
    let first = namespaces.next().unwrap_or_default();
    if namespaces.all(|namespace| namespace == first) { first.to_owned() } else { String::new() }
}

/// The newest resource version. A watch from there on shows every count that was set.
fn newest_version(counts: &[ReplicaCount]) -> String {
    newest(counts.iter().map(|count| count.resource_version.as_str()))
}

#[cfg(test)]
mod tests {
    use contract::replicas::v1::Target;

    use super::*;

    #[test]
    fn the_watch_covers_one_namespace_or_all() {
        let count = |namespace: &str| ReplicaCount {
            target: Some(Target { namespace: namespace.to_owned(), ..Target::default() }),
            ..ReplicaCount::default()
        };
        for (name, namespaces, expected) in
            [("none", vec![], ""), ("one", vec!["a", "a"], "a"), ("several", vec!["a", "a", "b"], "")]
        {
            let counts: Vec<_> = namespaces.into_iter().map(count).collect();
            assert_eq!(common_namespace(&counts), expected, "{name}");
        }
    }

    #[test]
    fn the_newest_version_is_the_largest_number() {
        let version = |version: &str| ReplicaCount { resource_version: version.to_owned(), ..ReplicaCount::default() };
        assert_eq!(newest_version(&[version("9"), version("10"), version("")]), "10");
        assert_eq!(newest_version(&[]), "");
    }
}
