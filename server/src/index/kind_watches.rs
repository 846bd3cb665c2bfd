//! The watches of targets: permanent ones of some kinds, and one for each further kind that a `ReplicaCount` names and
//! the API server serves. One shared answer of discovery decides which those are.
//!
//! A `ReplicaCount` can name any kind, so there may be very many that are not served. All of this runs on the thread of
//! enforcement, so it takes in changes one by one, and looks at the missing kinds in portions.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    mem,
    ops::Bound,
    sync::Arc,
    time::Duration,
};

use kube::Client;
use tokio::{
    task::{AbortHandle, Id, JoinError, JoinSet, yield_now},
    time::{Instant, MissedTickBehavior, interval},
};
use tracing::{error, warn};

use super::{
    discovery::{self, Discovery, FRESH},
    kind_health,
    kind_watch::KindWatch,
    served::ServedKinds,
    snapshot::{KindState, Unavailable},
    store::Index,
    watch_source::{WatchSource, kinds_always_watched},
};
use crate::{
    resources::{GroupKind, TargetKind, api_errors::RepeatedRefusal, reasons},
    telemetry::FailureLog,
};

/// How many kinds are watched at most. Each costs a task, a watch and the memory of its targets. The largest clusters
/// serve a few dozen kinds with a scale subresource.
const MAX_KINDS: usize = 256;

/// How often the health of the watches is reviewed.
const TICK: Duration = Duration::from_secs(2);

/// How often the kinds without a watch are looked at again. One request serves all of them, and most answers are "not
/// modified".
const POLL: Duration = Duration::from_secs(5);

/// How many changes are taken in at once, and how many kinds without a watch are looked at. Both together take well under
/// a millisecond, for which a correction may have to wait.
const PORTION: usize = 128;

/// Watches the kinds in use for as long as it is polled. Returns only if a watch panicked.
pub(crate) async fn run(index: Arc<Index>, client: Client, namespace: Option<String>) {
    let mut watches = KindWatches::new(index.clone(), client, namespace);
    kinds_always_watched().for_each(|kind| watches.start(kind));
    let (mut ticks, mut polls) = (interval(TICK), interval(POLL));
    for timer in [&mut ticks, &mut polls] {
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    loop {
        let has_more = watches.take_turn().await;
        tokio::select! {
            () = index.changed_kinds.notified() => {}
            // The other tasks of the thread come first.
            () = yield_now(), if has_more => {}
            _ = ticks.tick() => kind_health::review(&index),
            _ = polls.tick() => watches.begin_round(),
            more = watches.lines.left_out() => {
                warn!(more, "further kinds cannot be watched: lines about them were left out");
            }
            Some(ended) = watches.tasks.join_next_with_id() => match ended {
                Ok((id, ())) => watches.remove(id, false),
                Err(ended) if ended.is_cancelled() => watches.remove(ended.id(), true),
                Err(panicked) => return log_panic(&panicked),
            },
        }
    }
}

fn log_panic(panicked: &JoinError) {
    error!(%panicked, "a watch panicked");
}

/// Why a kind cannot be watched beside this many others. `None` if it can.
fn problem_of(
    kind: &GroupKind,
    served: Result<&ServedKinds, &Arc<kube::Error>>,
    running: usize,
) -> Option<Unavailable> {
    let error = match served {
        Ok(served) => served.find(kind).err().map(|absence| discovery::Error::of(kind, absence)),
        Err(error) => Some(discovery::Error::Unknown { kind: kind.clone(), source: error.clone() }),
    };
    if error.is_none() && running >= MAX_KINDS {
        let message = format!("{MAX_KINDS} kinds are watched already: delete the ReplicaCounts of another kind");
        return Some(Unavailable { reason: reasons::TOO_MANY_KINDS, message });
    }
    error.map(Unavailable::from)
}

/// The kinds that are watched, and those that cannot be.
struct KindWatches {
    index: Arc<Index>,
    client: Client,
    namespace: Option<String>,
    discovery: Arc<Discovery>,
    always: BTreeSet<GroupKind>,
    running: HashMap<GroupKind, AbortHandle>,
    /// The kinds in use without a watch.
    absent: BTreeMap<GroupKind, Absent>,
    /// Those of them that were not looked at yet.
    new: Vec<GroupKind>,
    /// After which kind the present round over the absent kinds goes on. `None` if all of them were looked at.
    round: Option<Bound<GroupKind>>,
    /// Which problems get a line in the log.
    lines: FailureLog,
    tasks: JoinSet<()>,
}

/// A kind that cannot be watched now.
#[derive(Default)]
struct Absent {
    refusal: RepeatedRefusal,
    /// The problem that was reported last. The index shares it.
    problem: Option<Arc<Unavailable>>,
}

impl KindWatches {
    /// Watches nothing yet.
    fn new(index: Arc<Index>, client: Client, namespace: Option<String>) -> Self {
        let discovery = Arc::new(Discovery::new(client.clone(), namespace.clone()));
        Self {
            index,
            client,
            namespace,
            discovery,
            always: kinds_always_watched().collect(),
            running: HashMap::new(),
            absent: BTreeMap::new(),
            new: Vec::new(),
            round: None,
            lines: FailureLog::default(),
            tasks: JoinSet::new(),
        }
    }

    /// Takes in a portion of what has changed, and looks at the kinds that are new and at a portion of the others without
    /// a watch. Returns whether there is more to do.
    async fn take_turn(&mut self) -> bool {
        let changed = self.index.take_changed_kinds(PORTION);
        let has_more = changed.len() == PORTION;
        self.take_changes(changed);
        let new = mem::take(&mut self.new);
        let again = self.next_of_round();
        self.look_at(new.into_iter().chain(again).collect()).await;
        has_more || self.round.is_some()
    }

    /// Starts the watches of kinds that have come into use, and stops those of kinds that no `ReplicaCount` names any
    /// more.
    fn take_changes(&mut self, changed: Vec<(GroupKind, bool)>) {
        let mut unused = BTreeMap::new();
        for (kind, is_in_use) in changed {
            if is_in_use || self.always.contains(&kind) {
                self.want(kind);
            } else if let Some(watch) = self.running.get(&kind) {
                watch.abort();
            } else if self.absent.remove(&kind).is_some() {
                unused.insert(kind, KindState::Unlisted);
            }
        }
        if !unused.is_empty() {
            self.index.set_kinds(unused);
        }
    }

    /// Watches a kind, or looks at it in this turn. The kind of a watch that is being stopped is wanted again once the
    /// watch has ended.
    fn want(&mut self, kind: GroupKind) {
        if self.running.contains_key(&kind) {
            return;
        }
        if TargetKind::built_in().iter().any(|known| known.group_kind == kind) {
            return self.start(kind);
        }
        self.absent.entry(kind.clone()).or_default();
        self.new.push(kind);
    }

    /// Looks at all kinds without a watch again, unless a round is under way.
    fn begin_round(&mut self) {
        self.round.get_or_insert(Bound::Unbounded);
    }

    /// The next kinds of the round.
    fn next_of_round(&mut self) -> Vec<GroupKind> {
        let Some(after) = self.round.take() else { return Vec::new() };
        let next = self.absent.range::<GroupKind, _>((after, Bound::Unbounded)).take(PORTION);
        let next: Vec<_> = next.map(|(kind, _)| kind.clone()).collect();
        self.round = next.last().filter(|_| next.len() == PORTION).map(|last| Bound::Excluded(last.clone()));
        next
    }

    /// Starts the watches of the kinds that are served, and reports why the others are not watched.
    async fn look_at(&mut self, kinds: Vec<GroupKind>) {
        if kinds.is_empty() {
            return;
        }
        // A new kind may have been installed just now.
        let served = self.discovery.served(FRESH).await;
        let mut problems = BTreeMap::new();
        for kind in kinds {
            // A kind may be both new and one of the round.
            let Some(absent) = self.absent.get(&kind) else { continue };
            // Without an answer, the problem that was reported may still be true. Another one would rewrite all statuses.
            if served.is_err() && absent.problem.is_some() {
                continue;
            }
            match problem_of(&kind, served.as_deref(), self.running.len()) {
                None => self.start(kind),
                Some(problem) => {
                    if let Some(problem) = self.report(&kind, problem) {
                        problems.insert(kind, KindState::Unavailable(problem));
                    }
                }
            }
        }
        if !problems.is_empty() {
            self.index.set_kinds(problems);
        }
    }

    /// Returns the problem of a kind if it has to be reported now: the kind has had a problem for a `REFUSAL_PAUSE`,
    /// and this one was not reported yet.
    fn report(&mut self, kind: &GroupKind, problem: Unavailable) -> Option<Arc<Unavailable>> {
        let (absent, now) = (self.absent.get_mut(kind)?, Instant::now());
        let is_certain = absent.refusal.is_repeated(now);
        if !is_certain || absent.problem.as_deref() == Some(&problem) {
            return None;
        }
        if self.lines.admits(1, now) {
            warn!(%kind, reason = problem.reason, problem = problem.message, "kind cannot be watched");
        }
        absent.problem = Some(Arc::new(problem));
        absent.problem.clone()
    }

    fn start(&mut self, kind: GroupKind) {
        self.absent.remove(&kind);
        let watch = KindWatch {
            index: self.index.clone(),
            client: self.client.clone(),
            namespace: self.namespace.clone(),
            discovery: self.discovery.clone(),
            kind: kind.clone(),
        };
        self.running.insert(kind, self.tasks.spawn(watch.run()));
    }

    /// Removes a watch that has ended. If it was stopped, or its kind is not in use any more, the kind is forgotten, which
    /// has to wait until now: the watch may have written to the index until it ended.
    fn remove(&mut self, id: Id, is_stopped: bool) {
        let ended = self.running.iter().find(|(_, watch)| watch.id() == id).map(|(kind, _)| kind.clone());
        let Some(kind) = ended else { return };
        self.running.remove(&kind);
        let source = WatchSource::Targets(kind.clone());
        self.index.health.clear(&source);
        self.index.watches.end(&source);
        self.index.watches.forget(&source);
        let is_wanted = self.always.contains(&kind) || self.index.is_in_use(&kind);
        if is_stopped || !is_wanted {
            self.index.set_kind(&kind, KindState::Unlisted);
        }
        if is_wanted {
            self.want(kind);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use hyper::{Request, Response};
    use kube::client::Body;
    use serde_json::json;
    use tokio::time::advance;

    use super::*;
    use crate::resources::{TargetKey, api_errors::REFUSAL_PAUSE, fixtures::ReplicaCountBuilder};

    #[test]
    fn a_kind_is_watched_if_it_is_served_and_there_are_not_too_many() {
        let document = json!({"kind": "APIGroupDiscoveryList", "items": [{
            "metadata": {"name": "example.com"},
            "versions": [{"version": "v1", "resources": [{
                "resource": "widgets", "responseKind": {"kind": "Widget"}, "scope": "Namespaced",
                "subresources": [{"subresource": "scale"}],
            }]}],
        }]});
        let served = ServedKinds::read(document.to_string().as_bytes()).unwrap().unwrap();
        let error = Arc::new(kube::Error::LinesCodecMaxLineLengthExceeded);
        for (name, kind, served, running, expected) in [
            ("served", "Widget", Ok(&served), MAX_KINDS - 1, None),
            ("one too many", "Widget", Ok(&served), MAX_KINDS, Some("TooManyKinds")),
            ("not served", "Gadget", Ok(&served), MAX_KINDS, Some("KindNotServed")),
            ("no answer", "Widget", Err(&error), 0, Some("KindUnknown")),
        ] {
            let problem = problem_of(&GroupKind::new(kind, "example.com"), served, running);
            assert_eq!(problem.map(|problem| problem.reason), expected, "{name}");
        }
    }

    /// An API server that serves no kinds, or fails to say so.
    fn client(is_failing: &Arc<AtomicBool>) -> Client {
        let is_failing = is_failing.clone();
        let answer = tower::service_fn(move |_: Request<Body>| {
            let code = if is_failing.load(Ordering::Relaxed) { 500_u16 } else { 200 };
            async move {
                let document = json!({"kind": "APIGroupDiscoveryList", "items": []});
                let body = Body::from(document.to_string().into_bytes());
                Ok::<_, tower::BoxError>(Response::builder().status(code).body(body)?)
            }
        });
        Client::new(answer, "default")
    }

    #[tokio::test(start_paused = true)]
    async fn a_reported_problem_stands_while_the_api_server_does_not_answer() {
        let (index, is_failing) = (Arc::new(Index::default()), Arc::<AtomicBool>::default());
        let key = |kind: &str| TargetKey::new("shop", "example.com", kind, "web").unwrap();
        let reason = |kind: &str| match index.get(&key(kind)).kind {
            KindState::Unavailable(problem) => problem.reason,
            _ => "",
        };
        let mut watches = KindWatches::new(index.clone(), client(&is_failing), None);
        for (name, kind, fails, expected) in [
            ("the first answer", "Old", false, ("KindNotServed", "")),
            ("no answer", "New", true, ("KindNotServed", "KindUnknown")),
            ("another answer", "New", false, ("KindNotServed", "KindNotServed")),
        ] {
            is_failing.store(fails, Ordering::Relaxed);
            index.set_replica_count(key(kind), Some(ReplicaCountBuilder::new("web").state()), 0);
            watches.take_turn().await;
            advance(REFUSAL_PAUSE).await;
            watches.begin_round();
            watches.take_turn().await;
            assert_eq!((reason("Old"), reason("New")), expected, "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn missing_kinds_are_looked_at_in_portions() {
        let index = Arc::new(Index::default());
        let key = |number: usize| TargetKey::new("shop", "example.com", &format!("Missing{number}"), "web").unwrap();
        let count = || Some(ReplicaCountBuilder::new("web").state());
        let reported = |all: usize| {
            (0..all).filter(|number| matches!(index.get(&key(*number)).kind, KindState::Unavailable(_))).count()
        };
        let all = 3 * PORTION;
        (0..all).for_each(|number| index.set_replica_count(key(number), count(), 0));
        let mut watches = KindWatches::new(index.clone(), client(&Arc::default()), None);
        for expected in 1..=3 {
            assert!(watches.take_turn().await);
            assert_eq!(watches.absent.len(), expected * PORTION, "changes are taken in one portion after the other");
        }
        assert!(!watches.take_turn().await);
        assert_eq!(reported(all), 0, "an API server that starts refuses for a moment");

        advance(REFUSAL_PAUSE).await;
        assert!(!watches.take_turn().await, "nothing is due");
        watches.begin_round();
        for expected in 1..=3 {
            assert!(watches.take_turn().await);
            assert_eq!(reported(all), expected * PORTION);
        }
        assert!(!watches.take_turn().await, "the round is over");

        index.set_replica_count(key(all), count(), 0);
        index.set_replica_count(key(0), None, 0);
        assert!(!watches.take_turn().await, "one more and one less are looked at alone");
        assert_eq!(watches.absent.len(), all);
        assert_eq!(index.get(&key(0)).kind, KindState::Unlisted, "a kind that is not in use is forgotten");
    }
}
