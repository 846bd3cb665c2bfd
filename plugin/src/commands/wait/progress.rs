//! What is known of the targets that a command waits for.

use std::{collections::BTreeMap, io::IsTerminal, time::Duration};

use contract::replicas::v1::{Condition, ReplicaCount, watch_replica_counts_response::Event};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use super::{expected_count::ExpectedCount, progress_line};
use crate::{
    commands::batch,
    error::Error,
    output::{self, Lines, actor, count_or_none, printable},
    session::Session,
    target, terminal,
};

/// How long one look at the pods of a target may take. Changes of the counts wait for it.
const LOOK_LIMIT: Duration = Duration::from_secs(2);

/// The most targets whose pods are looked at: more reasons do not fit on a screen.
const MAX_LOOKED_AT: usize = 5;

const NOT_MANAGED: &str = "is not managed any more";

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
        (Some(desired), _) => State::Waiting { ready: count.ready.unwrap_or_default(), desired, why: why(count) },
    }
}

/// Why a count is not there: what the server could not do, and who works against it.
fn why(count: &ReplicaCount) -> Option<String> {
    let drift =
        count.last_drift.as_ref().filter(|drift| drift.corrected_at.is_none() && count.observed != count.desired);
    let drift = drift.map(|drift| format!("changed to {} by {}", count_or_none(drift.to), actor(drift)));
    let is_contested = |it: &&Condition| it.r#type == "Contested" && it.status == "True";
    let contested = count.conditions.iter().find(is_contested).map(|it| format!("contested: {}", it.message));
    let why: Vec<_> = [output::why_not_ready(count), drift, contested].into_iter().flatten().collect();
    (!why.is_empty()).then(|| why.join("; "))
}

/// The targets that are not ready yet.
pub(super) struct Wait<'a> {
    lines: &'a mut Lines,
    /// The namespace of the command.
    home: &'a str,
    states: BTreeMap<String, State>,
    expected: BTreeMap<String, ExpectedCount>,
    /// Why the pods of targets are not ready, as far as that was looked up.
    pods: BTreeMap<String, Vec<String>>,
    /// Whether the caller may read pods. After a refusal, the API server is not asked again.
    can_look: bool,
    allow_missing: bool,
    /// Whether others may set other counts meanwhile. Then it waits for those.
    pub(super) accepts_changes: bool,
    pub(super) all: usize,
    pub(super) failed: usize,
    /// The error of the last watch, until another watch delivers its snapshot.
    pub(super) watch_error: Option<Box<Error>>,
    pub(super) bar: ProgressBar,
}

impl<'a> Wait<'a> {
    pub(super) fn new(lines: &'a mut Lines, counts: &[ReplicaCount], home: &'a str, allow_missing: bool) -> Self {
        let expected = counts.iter().map(ExpectedCount::new).map(|count| (target::shown(&count.target, home), count));
        let expected: BTreeMap<_, _> = expected.collect();
        let states: BTreeMap<_, _> = expected.keys().map(|name| (name.clone(), State::Unseen)).collect();
        let bar = match std::io::stderr().is_terminal() {
            true => ProgressBar::with_draw_target(Some(states.len() as u64), progress_line::target()),
            false => ProgressBar::hidden(),
        };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {pos}/{len} targets ready  {wide_msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        let (all, pods) = (states.len(), BTreeMap::new());
        Self {
            lines,
            home,
            states,
            expected,
            pods,
            can_look: true,
            allow_missing,
            accepts_changes: false,
            all,
            failed: 0,
            watch_error: None,
            bar,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.states.is_empty()
    }

    /// Forgets the states that an earlier watch has shown. That watch may have missed the end of a target.
    pub(super) fn start_over(&mut self) {
        self.states.values_mut().for_each(|state| *state = State::Unseen);
    }

    pub(super) fn handle(&mut self, event: Event) -> Result<(), Error> {
        let (target, state, taken_over) = match event {
            Event::Changed(count) => {
                let name = target::shown(&count.target.clone().unwrap_or_default(), self.home);
                let taken_over = self.find_takeover(&name, &count, Timestamp::now());
                (count.target.clone(), self.state_of(&name, &count), taken_over)
            }
            Event::Removed(target) => (Some(target), State::Unset, None),
            Event::Synced(_) => return self.handle_synced(),
        };
        let name = target::shown(&target.unwrap_or_default(), self.home);
        if !self.states.contains_key(&name) {
            return Ok(());
        }
        match (taken_over, state) {
            (Some(why), _) => self.fail(name, why)?,
            (None, State::Ready { desired }) => {
                self.finish(&name, |lines| lines.print(&format!("{name} is ready ({desired}/{desired})\n")));
            }
            (None, State::Missing) if !self.allow_missing => self.fail(name, "does not exist any more".to_owned())?,
            (None, State::Unset) => self.fail(name, NOT_MANAGED.to_owned())?,
            (None, state) => drop(self.states.insert(name, state)),
        }
        self.show_open();
        Ok(())
    }

    /// Describes who has set another count. If that is accepted, it is reported once.
    fn find_takeover(&mut self, name: &str, count: &ReplicaCount, now: Timestamp) -> Option<String> {
        let expected = self.expected.get_mut(name)?;
        let why = expected.describe_takeover(count, now)?;
        if !self.accepts_changes {
            return Some(why);
        }
        expected.desired = count.desired;
        if self.states.contains_key(name) {
            self.bar.suspend(|| output::note(&format!("{name} {why}")));
        }
        None
    }

    fn state_of(&self, name: &str, count: &ReplicaCount) -> State {
        let drifts = self.expected.get(name).and_then(|expected| expected.describe_drifts(count));
        match state_of(count) {
            State::Waiting { ready, desired, why } => {
                let why: Vec<_> = why.into_iter().chain(drifts).collect();
                State::Waiting { ready, desired, why: (!why.is_empty()).then(|| why.join("; ")) }
            }
            state => state,
        }
    }

    fn show_open(&self) {
        self.bar.set_message(terminal::one_line(&self.describe_open().join(", ")));
    }

    /// Handles the end of the snapshot. A target that is not in the snapshot is no longer managed.
    fn handle_synced(&mut self) -> Result<(), Error> {
        self.watch_error = None;
        let unseen = self.states.iter().filter(|(_, state)| **state == State::Unseen);
        let unseen: Vec<_> = unseen.map(|(name, _)| name.clone()).collect();
        unseen.into_iter().try_for_each(|name| self.fail(name, NOT_MANAGED.to_owned()))
    }

    fn finish(&mut self, name: &str, print: impl FnOnce(&mut Lines)) {
        self.states.remove(name);
        self.bar.inc(1);
        self.bar.suspend(|| print(self.lines));
    }

    /// Reports a target that cannot become ready. The failure of a single target becomes the error of the command.
    fn fail(&mut self, target: String, why: String) -> Result<(), Error> {
        let error = Error::Lost { target: target.clone(), why };
        if self.all == 1 {
            return Err(error);
        }
        self.failed += 1;
        self.finish(&target, |_| batch::report(&target, &error));
        Ok(())
    }

    /// Looks up why the pods of some targets are not ready.
    pub(super) async fn look_at_pods(&mut self, session: &Session) {
        let is_waiting = |(_, state): &(&String, &State)| matches!(state, State::Waiting { .. });
        let names: Vec<_> = self.states.iter().filter(is_waiting).map(|(name, _)| name.clone()).collect();
        for name in names.into_iter().take(MAX_LOOKED_AT) {
            let Some(expected) = self.expected.get(&name).filter(|_| self.can_look) else { return };
            match session.why_unready(&expected.target, LOOK_LIMIT).await {
                Ok(reasons) => drop(self.pods.insert(name, reasons)),
                // The command waits for counts, and can do without the pods.
                Err(_) => self.can_look = false,
            }
        }
        self.show_open();
    }

    /// Describes the targets that are not ready yet.
    pub(super) fn describe_open(&self) -> Vec<String> {
        let describe = |(name, state): (&String, &State)| match state {
            State::Waiting { ready, desired, why } => {
                let pods = self.pods.get(name).into_iter().flatten();
                let why: Vec<_> = why.iter().chain(pods).map(|why| printable(why)).collect();
                let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join("; ")) };
                format!("{name}: {ready} of {desired} ready{why}")
            }
            State::Missing => format!("{name}: does not exist"),
            _ => format!("{name}: not seen"),
        };
        self.states.iter().map(describe).collect()
    }
}

#[cfg(test)]
mod tests;
