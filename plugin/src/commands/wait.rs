//! Waiting until the targets have their replicas ready.

use std::{collections::BTreeMap, io::IsTerminal, time::Duration};

use contract::replicas::v1::{
    ReplicaCount, SetReplicaCountResponse, WatchReplicaCountsRequest, watch_replica_counts_response::Event,
};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time;
use tonic::Status;

use super::batch;
use crate::{
    connect::{Session, explain, may_pass},
    error::Error,
    output::{self, Lines},
    target,
};

/// Gives a server that restarts the time to do so.
const PAUSE: Duration = Duration::from_secs(1);

/// How far a target is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Nothing is known yet.
    Unseen,
    /// Some replicas are missing, for the reason that the server saw last.
    Waiting { ready: i32, desired: i32, why: Option<String> },
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
        (Some(desired), _) => {
            State::Waiting { ready: count.ready.unwrap_or_default(), desired, why: output::not_ready(count) }
        }
    }
}

/// The targets that are waited for.
struct Wait<'a> {
    lines: &'a mut Lines,
    states: BTreeMap<String, State>,
    allow_missing: bool,
    all: usize,
    failed: usize,
    /// What ended the last try to follow the targets, until another gets as far.
    trouble: Option<Box<Error>>,
    bar: ProgressBar,
}

impl<'a> Wait<'a> {
    fn new(lines: &'a mut Lines, names: impl Iterator<Item = String>, allow_missing: bool) -> Self {
        let states: BTreeMap<_, _> = names.map(|name| (name, State::Unseen)).collect();
        let bar = match std::io::stderr().is_terminal() {
            true => ProgressBar::new(states.len() as u64),
            false => ProgressBar::hidden(),
        };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {pos}/{len} targets ready  {wide_msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { lines, all: states.len(), states, allow_missing, failed: 0, trouble: None, bar }
    }

    fn is_over(&self) -> bool {
        self.states.is_empty()
    }

    /// Forgets what an earlier try has seen: it may have missed the end of a target.
    fn start_over(&mut self) {
        self.states.values_mut().for_each(|state| *state = State::Unseen);
    }

    fn see(&mut self, event: Option<Event>) -> Result<(), Error> {
        let (target, state) = match event {
            Some(Event::Changed(count)) => (count.target.clone(), state(&count)),
            Some(Event::Removed(target)) => (Some(target), State::Unset),
            Some(Event::Synced(_)) => return self.see_all(),
            None => return Ok(()),
        };
        let name = target::name(&target.unwrap_or_default());
        match state {
            _ if !self.states.contains_key(&name) => return Ok(()),
            State::Done { desired } => {
                self.finish(&name, |lines| lines.print(&format!("{name} is ready ({desired}/{desired})\n")));
            }
            State::Gone if !self.allow_missing => self.fail(name, "does not exist any more")?,
            State::Unset => self.fail(name, "is not managed any more")?,
            state => drop(self.states.insert(name, state)),
        }
        self.bar.set_message(self.open().join(", "));
        Ok(())
    }

    /// Notes that the snapshot is complete: what was not in it was unset, maybe before it was asked for.
    fn see_all(&mut self) -> Result<(), Error> {
        self.trouble = None;
        let unseen = self.states.iter().filter(|(_, state)| **state == State::Unseen);
        let unseen: Vec<_> = unseen.map(|(name, _)| name.clone()).collect();
        unseen.into_iter().try_for_each(|name| self.fail(name, "is not managed any more"))
    }

    fn finish(&mut self, name: &str, tell: impl FnOnce(&mut Lines)) {
        self.states.remove(name);
        self.bar.inc(1);
        self.bar.suspend(|| tell(self.lines));
    }

    /// Tells of a target that never gets there; the failure of a single one is the command's own.
    fn fail(&mut self, target: String, why: &'static str) -> Result<(), Error> {
        let error = Error::Lost { target: target.clone(), why };
        if self.all == 1 {
            return Err(error);
        }
        self.failed += 1;
        self.finish(&target, |_| batch::tell(&target, &error));
        Ok(())
    }

    /// The targets that are not done, with how far they are.
    fn open(&self) -> Vec<String> {
        let describe = |(name, state): (&String, &State)| match state {
            State::Waiting { ready, desired, why: None } => format!("{name}: {ready} of {desired} ready"),
            State::Waiting { ready, desired, why: Some(why) } => format!("{name}: {ready} of {desired} ready ({why})"),
            State::Gone => format!("{name}: does not exist"),
            _ => format!("{name}: not seen"),
        };
        self.states.iter().map(describe).collect()
    }
}

/// Waits until the targets of the responses are ready.
pub(super) async fn until_ready(
    session: &Session,
    lines: &mut Lines,
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
    let mut wait = Wait::new(lines, names, allow_missing);
    let result = time::timeout(timeout, follow(session, request, &mut wait)).await;
    wait.bar.finish_and_clear();
    match result {
        Ok(result) => result.and(batch::finish(wait.failed, wait.all, "brought to their counts")),
        Err(_) => Err(Error::NotReady { timeout, open: wait.open(), trouble: wait.trouble }),
    }
}

/// Follows the counts, and starts again when the server wants that, or when the way to it breaks.
async fn follow(session: &Session, request: WatchReplicaCountsRequest, wait: &mut Wait<'_>) -> Result<(), Error> {
    loop {
        match watch(session, request.clone(), wait).await? {
            _ if wait.is_over() => return Ok(()),
            Some(status) if !may_pass(&status) => return Err(explain(status)),
            ended => {
                wait.trouble = ended.map(|status| Box::new(explain(status)));
                time::sleep(PAUSE).await;
            }
        }
    }
}

/// Follows the counts until all is done or the stream ends, and returns the status that it ended with.
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
mod tests;
