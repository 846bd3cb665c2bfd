//! `--watch` of `list` and `get`: the states of the targets, and then each change.

mod known;
mod printer;

use contract::replicas::v1::{ReplicaCount, Target, WatchReplicaCountsRequest, watch_replica_counts_response::Event};

use self::{known::Known, printer::Printer};
use super::follow::{Follower, Step};
use crate::{
    args::ConnectionArgs,
    error::Error,
    output::{self, Format},
    session::Session,
    target,
};

/// What to watch.
pub(super) struct Watch {
    pub(super) request: WatchReplicaCountsRequest,
    /// Which of the targets that the request covers are shown.
    pub(super) shown: Shown,
    pub(super) format: Format,
    /// The message for people if there is nothing yet.
    pub(super) empty: String,
}

/// Which targets are shown.
pub(super) enum Shown {
    All,
    /// Those of these kinds, such as `deployment.apps/`.
    Kinds(Vec<String>),
    /// Those with these names, such as `deployment.apps/web`.
    Names(Vec<String>),
}

impl Shown {
    fn includes(&self, target: &Target) -> bool {
        let name = target::name(target);
        match self {
            Self::All => true,
            Self::Kinds(kinds) => kinds.iter().any(|kind| name.starts_with(kind.as_str())),
            Self::Names(names) => names.contains(&name),
        }
    }
}

/// Shows targets that are there now. If one of them is not managed, the request must cover all targets.
pub(super) fn of_named(counts: &[ReplicaCount]) -> (Shown, bool) {
    let name = |count: &ReplicaCount| target::name(&count.target.clone().unwrap_or_default());
    let all_targets = counts.iter().any(|count| count.desired.is_none());
    (Shown::Names(counts.iter().map(name).collect()), all_targets)
}

/// Prints the states and their changes, until the user presses Ctrl-C or the server refuses another watch.
pub(super) async fn run(session: &Session, connection: &ConnectionArgs, watch: Watch) -> Result<(), Error> {
    let Watch { request, shown, format, empty } = watch;
    let mut view = View {
        known: Known::new(!request.label_selector.is_empty()),
        printer: Printer::new(format, request.namespace.is_empty()),
        shown,
        empty,
        phase: Phase::First,
    };
    let mut follower = Follower::new(session, connection, request);
    loop {
        match follower.next().await? {
            Step::Started => view.known.start_over(),
            Step::Event(Event::Changed(count)) => view.handle_change(*count)?,
            Step::Event(Event::Removed(target)) => view.handle_end(&target)?,
            Step::Event(Event::Synced(_)) => view.handle_synced()?,
            Step::Lost(error) => view.handle_loss(error)?,
        }
    }
}

/// The progress of a command that watches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The first snapshot is not complete, and nothing was printed.
    First,
    Watching,
    /// The connection is lost, and the user knows it.
    Lost,
}

/// What the user sees.
struct View {
    known: Known,
    printer: Printer,
    shown: Shown,
    empty: String,
    phase: Phase,
}

impl View {
    fn handle_change(&mut self, count: ReplicaCount) -> Result<(), Error> {
        if !count.target.as_ref().is_some_and(|target| self.shown.includes(target)) {
            return Ok(());
        }
        match self.known.change(count) {
            Some(change) if self.phase != Phase::First => Ok(self.printer.print_change(&change)?),
            _ => Ok(()),
        }
    }

    fn handle_end(&mut self, target: &Target) -> Result<(), Error> {
        match self.known.remove(target) && self.phase != Phase::First {
            true => Ok(self.printer.print_gone(target)?),
            false => Ok(()),
        }
    }

    fn handle_synced(&mut self) -> Result<(), Error> {
        let gone = self.known.complete();
        match std::mem::replace(&mut self.phase, Phase::Watching) {
            Phase::First => return self.print_first(),
            Phase::Watching => {}
            Phase::Lost => output::note("the connection is back, and the watch goes on"),
        }
        Ok(gone.iter().try_for_each(|target| self.printer.print_gone(target))?)
    }

    fn print_first(&mut self) -> Result<(), Error> {
        if self.known.counts().next().is_some() {
            self.printer.print_all(self.known.counts())?;
        } else if matches!(self.printer, Printer::Table(_)) {
            output::note(&self.empty);
        }
        Ok(())
    }

    /// Handles the end of a connection. Before the first snapshot it is the end of the command.
    fn handle_loss(&mut self, error: Error) -> Result<(), Error> {
        match self.phase {
            Phase::First => return Err(error),
            Phase::Watching => output::note(&format!("warning: the watch is interrupted: {error}; trying again")),
            Phase::Lost => {}
        }
        self.phase = Phase::Lost;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_names_choose_what_is_shown() {
        let target = |kind: &str, name: &str| Target { kind: kind.into(), name: name.into(), ..Target::default() };
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        for (name, shown, expected) in [
            ("all", Shown::All, [true, true, true]),
            ("a kind", Shown::Kinds(words(&["deployment.apps/"])), [true, true, false]),
            ("a name", Shown::Names(words(&["deployment.apps/web"])), [true, false, false]),
        ] {
            let targets = [target("Deployment", "web"), target("Deployment", "web-2"), target("StatefulSet", "web")];
            assert_eq!(targets.map(|target| shown.includes(&target)), expected, "{name}");
        }
    }
}
