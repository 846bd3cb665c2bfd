//! Watches that list, resume, and list again when the API server has forgotten where they were.
//!
//! What is watched, and what becomes of it in the cache, is in [`feeds`](super::feeds).

use std::{collections::BTreeSet, fmt, time::Duration};

use backon::ExponentialBuilder;
use futures::{StreamExt, stream::BoxStream};
use kube::{
    Api,
    core::DeserializeGuard,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, ExponentialBackoff, InitialListStrategy},
    },
};
use serde::de::DeserializeOwned;
use tracing::{debug, info, warn};

use super::{Index, Source, Unavailable};
use crate::telemetry;

/// The first pause after a failure: short, because drift goes uncorrected meanwhile.
const BACKOFF_MIN: Duration = Duration::from_millis(100);

/// The longest pause: an API server that comes back is used within this time.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// How long a watch lasts, in seconds. One that hears nothing for 5 s longer is given up.
const WATCH_SECONDS: u32 = 60;

/// An object that can be watched.
pub(super) trait Object: kube::Resource + Clone + DeserializeOwned + fmt::Debug + Send + 'static {}

impl<K: kube::Resource + Clone + DeserializeOwned + fmt::Debug + Send + 'static> Object for K {}

/// What becomes of the objects of one watch.
pub(super) trait Feed<K> {
    /// What an object is known by.
    type Key: Ord;

    /// How lists are asked for, unless the API server cannot do it: object by object, which takes the least memory and
    /// time (Kubernetes enhancement 3157; on by default since 1.34). Such a list may be a moment old.
    const LISTS: InitialListStrategy = InitialListStrategy::StreamingList;

    /// A list begins. Returns all that is known.
    async fn begin(&mut self) -> BTreeSet<Self::Key>;

    /// An object exists in this state. `listed` tells whether it comes from a list, whose objects are not in the order of
    /// their versions. Returns its key, or `None` if it cannot be used.
    fn apply(&mut self, object: K, listed: bool) -> Option<Self::Key>;

    /// An object was deleted.
    fn delete(&mut self, object: K);

    /// The watch fails, and is tried again.
    fn failed(&mut self, _error: &str) {}

    /// A list is complete. What was known and is not in it is gone.
    fn complete(&mut self, gone: BTreeSet<Self::Key>);
}

/// Feeds the cache until the API server refuses the watch, and returns why.
pub(super) async fn follow<K: Object, F: Feed<K>>(
    index: &Index,
    source: &Source,
    api: Api<K>,
    mut feed: F,
) -> Unavailable {
    let mut unlisted = BTreeSet::new();
    let mut lists = F::LISTS;
    let mut events = watch(&api, lists.clone());
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => unlisted = feed.begin().await,
            Ok(Event::InitApply(object)) => {
                if let Some(key) = feed.apply(object, true) {
                    unlisted.remove(&key);
                }
            }
            Ok(Event::Apply(object)) => drop(feed.apply(object, false)),
            Ok(Event::Delete(object)) => feed.delete(object),
            Ok(Event::InitDone) => {
                feed.complete(std::mem::take(&mut unlisted));
                index.sync_state.mark_synced(source);
                index.watches.listed(source);
                info!(%source, "listed");
            }
            Err(error) if lists == InitialListStrategy::StreamingList && is_invalid(&error) => {
                debug!(%source, error = telemetry::chain(&error), "lists are not streamed, reading them in pages");
                lists = InitialListStrategy::ListWatch;
                events = watch(&api, lists.clone());
            }
            Err(error) => {
                index.watches.failed(source);
                if let Some(refusal) = refusal(&error) {
                    return refusal;
                }
                index.sync_state.note_failure(source);
                let error = telemetry::chain(&error);
                warn!(%source, error, "watch failed, trying again");
                feed.failed(&error);
            }
        }
    }
    Unavailable { reason: "WatchEnded", message: "the watch has ended".to_owned() }
}

/// The events of a watch that never ends.
fn watch<K: Object>(api: &Api<K>, lists: InitialListStrategy) -> BoxStream<'static, watcher::Result<Event<K>>> {
    let backoff = ExponentialBuilder::new()
        .with_min_delay(BACKOFF_MIN)
        .with_max_delay(BACKOFF_MAX)
        .with_jitter()
        .without_max_times();
    let config = watcher::Config { initial_list_strategy: lists, ..watcher::Config::default().timeout(WATCH_SECONDS) };
    watcher::watcher(api.clone(), config).backoff(ExponentialBackoff::from(backoff)).boxed()
}

/// Whether the API server does not know what it was asked for, as one that does not stream lists.
fn is_invalid(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if matches!(status.code, 400 | 422))
}

/// Whether the API server will not serve this watch until somebody changes a right or a definition.
fn refusal(error: &watcher::Error) -> Option<Unavailable> {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => status,
        _ => return None,
    };
    let reason = match status.code {
        403 => "Forbidden",
        404 => "KindNotServed",
        _ => return None,
    };
    Some(Unavailable { reason, message: status.message.clone() })
}

/// An object that could be read; one that could not is logged, and left alone.
pub(super) fn readable<K: kube::Resource>(source: &Source, guarded: DeserializeGuard<K>) -> Option<K> {
    guarded.0.inspect_err(|invalid| leave_alone(source, &invalid.metadata, invalid)).ok()
}

/// Logs that an object cannot be used.
pub(super) fn leave_alone(source: &Source, metadata: &kube::core::ObjectMeta, error: &dyn std::error::Error) {
    let (name, namespace) = (metadata.name.as_deref(), metadata.namespace.as_deref());
    warn!(%source, name, namespace, error = telemetry::chain(error), "object cannot be used and is left alone");
}
