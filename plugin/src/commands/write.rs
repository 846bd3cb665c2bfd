//! The write to one target: guarded by what was read, and kept for the operation log.

mod lines;

use contract::{
    names::reasons,
    replicas::v1::{ReplicaCount, SetReplicaCountRequest, Target, UnsetReplicaCountRequest},
};

use super::{batch, journal::Journal, read};
use crate::{
    count::Count,
    error::Error,
    operations::State,
    output::{self, Lines, printable},
    refusal,
    session::{CallError, Session},
    spec::is_same,
};

/// How often a count is read again because its status has changed since. The status changes a few times after a Set.
const MAX_READS: usize = 5;

/// A write to a target.
#[derive(Clone, Debug)]
pub(super) struct Write {
    /// The target's name, as it is shown.
    pub(super) name: String,
    pub(super) target: Target,
    /// The state before, or None if it was not read.
    pub(super) before: Option<ReplicaCount>,
    pub(super) action: Action,
    /// Whether it is refused if anything but the status has changed since the state before was read. Otherwise, that
    /// state is read again.
    pub(super) is_guarded: bool,
    pub(super) dry_run: bool,
}

/// What is written. The requests have no target, and no flag for a dry run.
#[derive(Clone, Debug)]
pub(super) enum Action {
    Set(SetReplicaCountRequest),
    /// A Set of a count that starts from the one that is there.
    Relative(Count, SetReplicaCountRequest),
    Unset(UnsetReplicaCountRequest),
    /// Nothing: the target is as it should be.
    Keep,
}

/// A write that was answered.
struct Written {
    line: String,
    before: Option<ReplicaCount>,
    after: State,
    /// The replica count as stored.
    stored: Option<ReplicaCount>,
    is_unchanged: bool,
}

impl Write {
    /// Whether the target gets the count 0.
    pub(super) fn leads_to_zero(&self) -> bool {
        let original = self.before.as_ref().and_then(|before| before.original_replicas);
        match &self.action {
            Action::Set(request) => request.replicas == Some(0),
            // A relative count is at least 1.
            Action::Relative(..) | Action::Keep => false,
            Action::Unset(request) => request.restore && original == Some(0),
        }
    }

    fn done(&self) -> &'static str {
        if matches!(self.action, Action::Unset(_)) { "unset" } else { "set" }
    }

    /// Sends the requests. They expect the version that was read, if there is one.
    async fn send(&self, session: &Session, before: Option<&ReplicaCount>) -> Result<Written, Failure> {
        let is_expected = !self.dry_run || self.is_guarded;
        let version = before.filter(|_| is_expected).map(|before| before.resource_version.clone());
        match &self.action {
            Action::Set(request) => self.set(session, before, version, request).await,
            Action::Relative(count, request) => {
                let read = match before.filter(|before| count_before(before).is_some()) {
                    Some(before) => before.clone(),
                    // The refusal says why there is no count.
                    None => read::of_target(session, &self.target).await?,
                };
                let request = start_from(&read, *count, request, &self.name)?;
                self.set(session, Some(&read), Some(read.resource_version.clone()), &request).await
            }
            Action::Keep => Ok(Written {
                line: format!("{} unchanged\n", self.name),
                before: before.cloned(),
                after: before.map_or(State::Unknown, State::of),
                stored: None,
                is_unchanged: true,
            }),
            Action::Unset(request) => {
                let request = UnsetReplicaCountRequest {
                    target: Some(self.target.clone()),
                    dry_run: self.dry_run,
                    expected_resource_version: version.filter(|version| !version.is_empty()),
                    ..request.clone()
                };
                let response = session.answer(session.client.clone().unset_replica_count(request)).await?;
                self.warn(&response.warnings);
                Ok(Written {
                    line: lines::unset(&self.name, &response, self.dry_run),
                    before: before.cloned(),
                    after: State::Unmanaged(lines::counts_left(&response)),
                    stored: response.replica_count,
                    is_unchanged: false,
                })
            }
        }
    }

    async fn set(
        &self,
        session: &Session,
        before: Option<&ReplicaCount>,
        version: Option<String>,
        request: &SetReplicaCountRequest,
    ) -> Result<Written, Failure> {
        let request = SetReplicaCountRequest {
            target: Some(self.target.clone()),
            dry_run: self.dry_run,
            expected_resource_version: version,
            ..request.clone()
        };
        let response = session.answer(session.client.clone().set_replica_count(request.clone())).await?;
        self.warn(&response.warnings);
        Ok(Written {
            line: lines::set(&self.name, &request, &response),
            before: before.cloned(),
            after: response.replica_count.as_ref().map_or(State::Unknown, State::of),
            is_unchanged: response.unchanged,
            stored: response.replica_count,
        })
    }

    fn warn(&self, warnings: &[String]) {
        for warning in warnings {
            output::note(&format!("warning: {}: {}", self.name, printable(warning)));
        }
    }

    /// Sends the requests, and reads the state before again if another write came first.
    async fn run(&self, session: &Session) -> Result<Written, Error> {
        let mut before = self.before.clone();
        for attempt in 0..=MAX_READS {
            let source = match self.send(session, before.as_ref()).await {
                Ok(written) => return Ok(written),
                Err(Failure::NoCount(error)) => return Err(error),
                Err(Failure::Call(source)) => source,
            };
            let is_stale = refusal::is_for(&source, reasons::UNEXPECTED_VERSION) && before.is_some();
            let is_other_count = self.is_guarded && refusal::is_for(&source, reasons::UNEXPECTED_COUNT);
            if !is_stale && !is_other_count || attempt == MAX_READS {
                return Err(self.explain(source));
            }
            let changed = |source| Error::Changed { target: self.name.clone(), done: self.done(), source };
            let now = match is_stale {
                true => read::before(session, &self.target, self.is_guarded).await?,
                false => return Err(changed(source)),
            };
            let is_as_read = before.as_ref().zip(now.as_ref()).is_some_and(|(before, now)| is_same(before, now));
            if self.is_guarded && !is_as_read {
                return Err(changed(source));
            }
            // At last, do without what only the log needs.
            before = now.filter(|_| self.is_guarded || attempt + 1 < MAX_READS);
        }
        Err(Error::NoCount { target: self.name.clone() })
    }

    fn explain(&self, error: CallError) -> Error {
        if self.dry_run { error.into() } else { Error::of_write(error, &self.name, self.done()) }
    }
}

/// Why a write was not made.
enum Failure {
    Call(CallError),
    NoCount(Error),
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::NoCount(error)
    }
}

/// The count that a relative one starts from.
pub(super) fn count_before(before: &ReplicaCount) -> Option<i32> {
    before.desired.or(before.observed)
}

/// Computes a relative count from what was read, and guards the Set by that.
pub(super) fn start_from(
    before: &ReplicaCount,
    count: Count,
    request: &SetReplicaCountRequest,
    name: &str,
) -> Result<SetReplicaCountRequest, Error> {
    let read = count_before(before).ok_or_else(|| Error::NoCount { target: name.to_owned() })?;
    Ok(SetReplicaCountRequest {
        replicas: count.beside(read),
        expected_replicas: request.expected_replicas.or(before.observed),
        ..request.clone()
    })
}

/// Makes a write, and keeps it in the journal. Returns its line, the replica count as stored, and whether that is
/// unchanged.
async fn make(
    session: &Session,
    journal: &Journal,
    write: Write,
    keeps_unchanged: bool,
) -> Result<(String, (Option<ReplicaCount>, bool)), Error> {
    let state = |before: Option<&ReplicaCount>| before.map_or(State::Unknown, State::of);
    let begun = (!write.dry_run).then(|| journal.begin(write.target.clone(), state(write.before.as_ref())));
    match (write.run(session).await, begun) {
        (Ok(written), begun) => {
            match begun {
                Some(begun) if written.is_unchanged && !keeps_unchanged => journal.cancel(begun),
                Some(begun) => journal.finish(begun, state(written.before.as_ref()), written.after),
                None => {}
            }
            Ok((written.line, (written.stored, written.is_unchanged)))
        }
        // The server may have made it.
        (Err(error @ Error::Unsure { .. }), _) => Err(error),
        (Err(error), begun) => {
            begun.into_iter().for_each(|begun| journal.cancel(begun));
            Err(error)
        }
    }
}

/// Makes the writes, and records them in the operation log. Returns the replica counts as stored.
///
/// `done` says what was done to a target. `undoes` is the number of the operation that this one undoes.
pub(super) async fn make_all(
    session: &Session,
    lines: &mut Lines,
    writes: Vec<Write>,
    done: &'static str,
    undoes: Option<u64>,
) -> (Vec<ReplicaCount>, Result<(), Error>) {
    let journal = Journal::new();
    let dry = if writes.iter().any(|write| write.dry_run) { " (server dry run)" } else { "" };
    let requests: Vec<_> = writes.into_iter().map(|write| (write.name.clone(), write)).collect();
    let all = requests.len();
    // A target that an undo finds unchanged is undone.
    let make = |write| make(session, &journal, write, undoes.is_some());
    let (made, result) = batch::run(lines, requests, done, make).await;
    if all > 1 && result.is_ok() {
        let unchanged = made.iter().filter(|(_, is_unchanged)| *is_unchanged).count();
        lines.sum_up(&format!("{}{dry}", lines::summary(all, unchanged, done)));
    }
    journal.record(session, undoes).await;
    (made.into_iter().filter_map(|(stored, _)| stored).collect(), result)
}

#[cfg(test)]
mod tests;
