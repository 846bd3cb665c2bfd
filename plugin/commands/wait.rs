//! Waiting until the targets have their replicas ready.

use std::{collections::BTreeMap, io::IsTerminal, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use replica_count_manager::proto::replicas::v1::{
    ReplicaCount, SetReplicaCountResponse, WatchReplicaCountsRequest, watch_replica_counts_response::Event,
};
use tokio::time;
use tonic::{Code, Status};

use super::batch;
use crate::{
    connect::{Session, explain},
    error::Error,
    output, target,
};

/// Gives a server that restarts the time to do so.
const PAUSE: Duration = Duration::from_secs(1);

/// How far a target is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Nothing is known yet.
    Unseen,
    /// Some replicas are missing.
    Waiting { ready: i32, desired: i32 },
    /// All replicas are there and ready.
    Done { desired: i32 },
    /// The target does not exist.
    Gone,
    /// Somebody stopped managing it.
    Unset,
}

fn state(count: &ReplicaCount) -> State {
    match (count.desired, count.observed) {
        (None, _) => State::Unset,
        (Some(_), None) => State::Gone,
        // Kinds that do not tell how many are ready are done when their count is right.
        (Some(desired), Some(observed)) if observed == desired && count.ready.is_none_or(|ready| ready == desired) => {
            State::Done { desired }
        }
        (Some(desired), _) => State::Waiting { ready: count.ready.unwrap_or_default(), desired },
    }
}

/// The targets that are waited for.
struct Wait {
    states: BTreeMap<String, State>,
    allow_missing: bool,
    all: usize,
    failed: usize,
    bar: ProgressBar,
}

impl Wait {
    fn new(names: impl Iterator<Item = String>, allow_missing: bool) -> Self {
        let states: BTreeMap<_, _> = names.map(|name| (name, State::Unseen)).collect();
        let bar = match std::io::stderr().is_terminal() {
            true => ProgressBar::new(states.len() as u64),
            false => ProgressBar::hidden(),
        };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {pos}/{len} targets ready  {wide_msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { all: states.len(), states, allow_missing, failed: 0, bar }
    }

    fn is_over(&self) -> bool {
        self.states.is_empty()
    }

    fn see(&mut self, event: Option<Event>) -> Result<(), Error> {
        let (target, state) = match event {
            Some(Event::Changed(count)) => (count.target.clone(), state(&count)),
            Some(Event::Removed(target)) => (Some(target), State::Unset),
            Some(Event::Synced(_)) | None => return Ok(()),
        };
        let name = target::name(&target.unwrap_or_default());
        match state {
            _ if !self.states.contains_key(&name) => return Ok(()),
            State::Done { desired } => {
                self.finish(&name, |name| output::data(&format!("{name} is ready ({desired}/{desired})\n")))?
            }
            State::Gone if !self.allow_missing => self.fail(name, "does not exist any more")?,
            State::Unset => self.fail(name, "is not managed any more")?,
            state => drop(self.states.insert(name, state)),
        }
        self.bar.set_message(self.open().join(", "));
        Ok(())
    }

    fn finish<T>(&mut self, name: &str, tell: impl FnOnce(&str) -> T) -> T {
        self.states.remove(name);
        self.bar.inc(1);
        self.bar.suspend(|| tell(name))
    }

    /// Tells of a target that never gets there; the failure of a single one is the command's own.
    fn fail(&mut self, target: String, why: &'static str) -> Result<(), Error> {
        let error = Error::Lost { target: target.clone(), why };
        if self.all == 1 {
            return Err(error);
        }
        self.failed += 1;
        self.finish(&target, |name| batch::tell(name, &error));
        Ok(())
    }

    /// The targets that are not done, with how far they are.
    fn open(&self) -> Vec<String> {
        let describe = |(name, state): (&String, &State)| match state {
            State::Waiting { ready, desired } => format!("{name}: {ready} of {desired} ready"),
            State::Gone => format!("{name}: does not exist"),
            _ => format!("{name}: not seen"),
        };
        self.states.iter().map(describe).collect()
    }
}

/// Waits until the targets of the responses are ready.
pub(super) async fn until_ready(
    session: &Session,
    stored: Vec<SetReplicaCountResponse>,
    allow_missing: bool,
    timeout: Duration,
) -> Result<(), Error> {
    let counts: Vec<_> = stored.into_iter().filter_map(|response| response.replica_count).collect();
    let request = WatchReplicaCountsRequest {
        namespace: session.namespace.clone(),
        min_resource_version: newest(&counts),
        ..WatchReplicaCountsRequest::default()
    };
    let names = counts.into_iter().filter_map(|count| count.target).map(|target| target::name(&target));
    let mut wait = Wait::new(names, allow_missing);
    let result = time::timeout(timeout, follow(session, request, &mut wait)).await;
    wait.bar.finish_and_clear();
    match result {
        Ok(result) => result.and(batch::finish(wait.failed, wait.all, "brought to their counts")),
        Err(_) => Err(Error::NotReady { timeout, open: wait.open() }),
    }
}

/// Follows the counts, and starts again when the server wants that.
async fn follow(session: &Session, request: WatchReplicaCountsRequest, wait: &mut Wait) -> Result<(), Error> {
    loop {
        match watch(session, request.clone(), wait).await? {
            _ if wait.is_over() => return Ok(()),
            Some(status) if !matches!(status.code(), Code::Aborted | Code::Unavailable) => return Err(explain(status)),
            _ => time::sleep(PAUSE).await,
        }
    }
}

/// Follows the counts until all is done or the stream ends, and returns the status that it ended with.
async fn watch(
    session: &Session,
    request: WatchReplicaCountsRequest,
    wait: &mut Wait,
) -> Result<Option<Status>, Error> {
    let mut stream = match session.client.clone().watch_replica_counts(request).await {
        Ok(response) => response.into_inner(),
        Err(status) => return Ok(Some(status)),
    };
    while !wait.is_over() {
        match stream.message().await {
            Ok(Some(message)) => wait.see(message.event)?,
            Ok(None) => return Ok(None),
            Err(status) => return Ok(Some(status)),
        }
    }
    Ok(None)
}

/// The newest resource version: a watch that has seen it has seen every count that was stored.
fn newest(counts: &[ReplicaCount]) -> String {
    let versions = counts.iter().map(|count| &count.resource_version);
    versions.max_by_key(|version| version.parse::<u128>().ok()).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use replica_count_manager::proto::replicas::v1::Target;

    use super::*;

    fn count(desired: Option<i32>, observed: Option<i32>, ready: Option<i32>) -> ReplicaCount {
        let target = Target { name: "web".to_owned(), ..Target::default() };
        ReplicaCount { target: Some(target), desired, observed, ready, ..ReplicaCount::default() }
    }

    #[test]
    fn a_target_is_done_when_its_count_is_right_and_ready() {
        let table = [
            (count(Some(3), Some(3), Some(3)), State::Done { desired: 3 }),
            (count(Some(0), Some(0), Some(0)), State::Done { desired: 0 }),
            (count(Some(3), Some(3), None), State::Done { desired: 3 }),
            (count(Some(3), Some(3), Some(2)), State::Waiting { ready: 2, desired: 3 }),
            (count(Some(3), Some(5), Some(3)), State::Waiting { ready: 3, desired: 3 }),
            (count(Some(3), None, None), State::Gone),
            (count(None, Some(3), Some(3)), State::Unset),
        ];
        for (count, expected) in table {
            assert_eq!(state(&count), expected, "{count:?}");
        }
    }

    #[test]
    fn a_target_that_disappears_fails_unless_it_may_be_missing() {
        for (allow_missing, failed) in [(false, 1), (true, 0)] {
            let names = ["deployment.apps/web", "statefulset.apps/db"].map(str::to_owned);
            let mut wait = Wait::new(names.into_iter(), allow_missing);
            wait.see(Some(Event::Changed(count(Some(3), None, None).into()))).unwrap();
            assert_eq!((wait.failed, wait.states.len()), (failed, 2 - failed));
        }
    }

    #[test]
    fn a_single_target_that_disappears_is_the_error() {
        let mut wait = Wait::new(["deployment.apps/web".to_owned()].into_iter(), false);
        let error = wait.see(Some(Event::Changed(count(Some(3), None, None).into()))).unwrap_err();
        assert_eq!(error.to_string(), "deployment.apps/web does not exist any more");
    }

    #[test]
    fn other_targets_do_not_matter() {
        let mut wait = Wait::new(["statefulset.apps/db".to_owned()].into_iter(), false);
        wait.see(Some(Event::Changed(count(Some(3), None, None).into()))).unwrap();
        assert_eq!(wait.open(), ["statefulset.apps/db: not seen"]);
    }

    #[test]
    fn the_newest_version_is_the_largest_number() {
        let version = |version: &str| ReplicaCount { resource_version: version.to_owned(), ..ReplicaCount::default() };
        assert_eq!(newest(&[version("9"), version("10"), version("")]), "10");
        assert_eq!(newest(&[]), "");
    }
}
