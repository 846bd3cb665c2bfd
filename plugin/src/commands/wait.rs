//! The wait of `kubectl replicas set --wait`: it follows the targets until their replicas are ready.

use std::{collections::BTreeMap, io::IsTerminal, time::Duration};

use contract::replicas::v1::{
    ReplicaCount, SetReplicaCountResponse, WatchReplicaCountsRequest, watch_replica_counts_response::Event,
};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time;
use tonic::Status;

use super::batch;
use crate::{
    error::Error,
    interrupt,
    output::{self, Lines},
    session::{Session, explain, is_temporary},
    target, terminal,
};

/// The pause before another watch, which gives a restarting server time.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The progress of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// This watch has not shown the target yet.
    Unseen,
    /// Some replicas are not ready, for the reason that the server saw last.
    Waiting {
        ready: i32,
        desired: i32,
        why: Option<String>,
    },
    Ready {
        desired: i32,
    },
    /// The target does not exist.
    Missing,
    /// The target is no longer managed.
    Unset,
}

fn state_of(count: &ReplicaCount) -> State {
    match (count.desired, count.observed) {
        (None, _) => State::Unset,
        (Some(_), None) => State::Missing,
        // Some kinds do not report ready replicas. For them the right count is enough.
        (Some(desired), Some(observed)) if observed == desired && count.ready.is_none_or(|ready| ready >= desired) => {
            State::Ready { desired }
        }
        (Some(desired), _) => {
            State::Waiting { ready: count.ready.unwrap_or_default(), desired, why: output::why_not_ready(count) }
        }
    }
}

/// The targets that are not ready yet.
struct Wait<'a> {
    lines: &'a mut Lines,
    states: BTreeMap<String, State>,
    allow_missing: bool,
    all: usize,
    failed: usize,
    /// The error of the last watch, until another watch delivers its snapshot.
    watch_error: Option<Box<Error>>,
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
        Self { lines, all: states.len(), states, allow_missing, failed: 0, watch_error: None, bar }
    }

    fn is_over(&self) -> bool {
        self.states.is_empty()
    }

    /// Forgets what the last watch has shown: a target may have been unset since it ended.
    fn start_over(&mut self) {
        self.states.values_mut().for_each(|state| *state = State::Unseen);
    }

    fn handle(&mut self, event: Option<Event>) -> Result<(), Error> {
        let (target, state) = match event {
            Some(Event::Changed(count)) => (count.target.clone(), state_of(&count)),
            Some(Event::Removed(target)) => (Some(target), State::Unset),
            Some(Event::Synced(_)) => return self.handle_synced(),
            None => return Ok(()),
        };
        let name = target::name(&target.unwrap_or_default());
        match state {
            _ if !self.states.contains_key(&name) => return Ok(()),
            State::Ready { desired } => {
                self.finish(&name, |lines| lines.print(&format!("{name} is ready ({desired}/{desired})\n")));
            }
            State::Missing if !self.allow_missing => self.fail(name, "does not exist any more")?,
            State::Unset => self.fail(name, "is not managed any more")?,
            state => drop(self.states.insert(name, state)),
        }
        self.bar.set_message(terminal::one_line(&self.describe_open().join(", ")));
        Ok(())
    }

    /// Handles the end of the snapshot. A target that is not in the snapshot is no longer managed.
    fn handle_synced(&mut self) -> Result<(), Error> {
        self.watch_error = None;
        let unseen = self.states.iter().filter(|(_, state)| **state == State::Unseen);
        let unseen: Vec<_> = unseen.map(|(name, _)| name.clone()).collect();
        unseen.into_iter().try_for_each(|name| self.fail(name, "is not managed any more"))
    }

    fn finish(&mut self, name: &str, print: impl FnOnce(&mut Lines)) {
        self.states.remove(name);
        self.bar.inc(1);
        self.bar.suspend(|| print(self.lines));
    }

    /// Reports a target that cannot become ready. The failure of a single target becomes the error of the command.
    fn fail(&mut self, target: String, why: &'static str) -> Result<(), Error> {
        let error = Error::Lost { target: target.clone(), why };
        if self.all == 1 {
            return Err(error);
        }
        self.failed += 1;
        self.finish(&target, |_| batch::report(&target, &error));
        Ok(())
    }

    /// Describes the targets that are not ready yet.
    fn describe_open(&self) -> Vec<String> {
        let describe = |(name, state): (&String, &State)| match state {
            State::Waiting { ready, desired, why: None } => format!("{name}: {ready} of {desired} ready"),
            State::Waiting { ready, desired, why: Some(why) } => format!("{name}: {ready} of {desired} ready ({why})"),
            State::Missing => format!("{name}: does not exist"),
            _ => format!("{name}: not seen"),
        };
        self.states.iter().map(describe).collect()
    }
}

/// Waits until the targets of the responses are ready.
pub(super) async fn until_ready(
    session: &Session,
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
    let names = counts.into_iter().filter_map(|count| count.target).map(|target| target::name(&target));
    let mut wait = Wait::new(lines, names, allow_missing);
    let result = tokio::select! {
        biased;
        result = time::timeout(timeout, follow(session, request, &mut wait)) => Some(result),
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
    while !wait.is_over() {
        match stream.message().await {
            Ok(Some(message)) => wait.handle(message.event)?,
            Ok(None) => return Ok(None),
            Err(status) => return Ok(Some(status)),
        }
    }
    Ok(None)
}

/// The newest resource version. A watch from there on shows every count that was set.
fn newest_version(counts: &[ReplicaCount]) -> String {
    let versions = counts.iter().map(|count| &count.resource_version);
    versions.max_by_key(|version| version.parse::<u128>().ok()).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests;
