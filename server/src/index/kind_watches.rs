//! The watches of targets: permanent ones of some kinds, and one for each further kind that a `ReplicaCount` names and
//! the API server serves. One shared answer of discovery decides which those are.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use kube::Client;
use tokio::{
    task::{AbortHandle, Id, JoinError, JoinSet},
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
use crate::resources::{GroupKind, TargetKind, api_errors::RepeatedRefusal, reasons};

/// How many kinds are watched at most. Each costs a task, a watch and the memory of its targets. The largest clusters
/// serve a few dozen kinds with a scale subresource.
const MAX_KINDS: usize = 256;

/// How often the health of the watches is reviewed, and the kinds without a watch.
const TICK: Duration = Duration::from_secs(2);

/// How old the answer of discovery can be for kinds that were not served before. One request serves all of them, and
/// most answers are "not modified".
const POLL: Duration = Duration::from_secs(5);

/// Watches the kinds in use for as long as it is polled. Returns only if a watch panicked.
pub(crate) async fn run(index: Arc<Index>, client: Client, namespace: Option<String>) {
    let always: BTreeSet<_> = kinds_always_watched().collect();
    let mut in_use = index.kinds_in_use();
    let discovery = Arc::new(Discovery::new(client.clone(), namespace.clone()));
    let mut watches = KindWatches {
        index,
        client,
        namespace,
        discovery,
        running: HashMap::new(),
        absent: BTreeMap::new(),
        tasks: JoinSet::new(),
    };
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let wanted: BTreeSet<_> = in_use.borrow_and_update().union(&always).cloned().collect();
        watches.stop_unused(&wanted);
        watches.start_missing(&wanted).await;
        tokio::select! {
            // The channel cannot close, because the index owns the sender.
            _ = in_use.changed() => {}
            _ = ticks.tick() => kind_health::review(&watches.index),
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
    running: HashMap<GroupKind, AbortHandle>,
    absent: BTreeMap<GroupKind, Absent>,
    tasks: JoinSet<()>,
}

/// A kind that cannot be watched now.
#[derive(Default)]
struct Absent {
    refusal: RepeatedRefusal,
    problem: Option<Unavailable>,
}

impl KindWatches {
    /// Stops the watches of kinds that no `ReplicaCount` names any more, and forgets those kinds.
    fn stop_unused(&mut self, wanted: &BTreeSet<GroupKind>) {
        self.running.iter().filter(|(kind, _)| !wanted.contains(*kind)).for_each(|(_, watch)| watch.abort());
        let mut unused = BTreeMap::new();
        self.absent.retain(|kind, _| {
            let is_wanted = wanted.contains(kind);
            if !is_wanted {
                unused.insert(kind.clone(), KindState::Unlisted);
            }
            is_wanted
        });
        if !unused.is_empty() {
            self.index.set_kinds(unused);
        }
    }

    /// Starts the watches of the kinds that are served, and reports why the others are not watched.
    async fn start_missing(&mut self, wanted: &BTreeSet<GroupKind>) {
        let (built_in, missing): (Vec<_>, Vec<_>) = wanted
            .iter()
            .filter(|kind| !self.running.contains_key(*kind))
            .cloned()
            .partition(|kind| TargetKind::built_in().any(|known| known.group_kind == *kind));
        built_in.into_iter().for_each(|kind| self.start(kind));
        if missing.is_empty() {
            return;
        }
        // A kind that was not asked about before may have been installed just now.
        let has_new = missing.iter().any(|kind| !self.absent.contains_key(kind));
        let served = self.discovery.served(if has_new { FRESH } else { POLL }).await;
        let mut problems = BTreeMap::new();
        for kind in missing {
            match problem_of(&kind, served.as_deref(), self.running.len()) {
                None => self.start(kind),
                Some(problem) => {
                    if let Some(problem) = self.report(&kind, problem) {
                        problems.insert(kind, KindState::Unavailable(Arc::new(problem)));
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
    fn report(&mut self, kind: &GroupKind, problem: Unavailable) -> Option<Unavailable> {
        let absent = self.absent.entry(kind.clone()).or_default();
        let is_certain = absent.refusal.is_repeated(Instant::now());
        if !is_certain || absent.problem.as_ref() == Some(&problem) {
            return None;
        }
        warn!(%kind, reason = problem.reason, problem = problem.message, "kind cannot be watched");
        absent.problem = Some(problem.clone());
        Some(problem)
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

    /// Removes a watch that has ended. If it was stopped, its kind is forgotten, which has to wait until now: the watch
    /// may have written to the index until it ended.
    fn remove(&mut self, id: Id, is_stopped: bool) {
        let index = &self.index;
        self.running.retain(|kind, watch| {
            let has_ended = watch.id() == id;
            if has_ended {
                let source = WatchSource::Targets(kind.clone());
                index.health.clear(&source);
                index.watches.end(&source);
                index.watches.forget(&source);
                if is_stopped {
                    index.set_kind(kind, KindState::Unlisted);
                }
            }
            !has_ended
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
}
