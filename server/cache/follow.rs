//! Watches that list, resume, and list again when the API server has forgotten where they were.
//!
//! What is watched, and what becomes of it in the cache, is in [`feeds`](super::feeds).

use std::{collections::BTreeSet, fmt, pin::pin, time::Duration};

use backon::ExponentialBuilder;
use futures::{Stream, StreamExt};
use kube::{
    Api,
    core::DeserializeGuard,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, ExponentialBackoff},
    },
};
use serde::de::DeserializeOwned;
use tracing::{info, warn};

use super::{Cache, Source, Unavailable};
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

    /// A list begins.
    async fn begin(&mut self) {}

    /// An object exists in this state. `listed` tells whether it comes from a list, whose objects are not in the order of
    /// their versions. Returns its key, or `None` if it cannot be used.
    fn apply(&mut self, object: K, listed: bool) -> Option<Self::Key>;

    /// An object was deleted.
    fn delete(&mut self, object: K);

    /// The watch fails, and is tried again.
    fn failed(&mut self, _error: &str) {}

    /// A list is complete, and held no others than these.
    fn complete(&mut self, listed: &BTreeSet<Self::Key>);
}

/// Feeds the cache until the API server refuses the watch, and returns why.
pub(super) async fn follow<K: Object>(
    cache: &Cache,
    source: &Source,
    api: Api<K>,
    mut feed: impl Feed<K>,
) -> Unavailable {
    let mut listed = BTreeSet::new();
    let mut events = pin!(watch(api));
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => {
                listed.clear();
                feed.begin().await;
            }
            Ok(Event::InitApply(object)) => listed.extend(feed.apply(object, true)),
            Ok(Event::Apply(object)) => drop(feed.apply(object, false)),
            Ok(Event::Delete(object)) => feed.delete(object),
            Ok(Event::InitDone) => {
                feed.complete(&std::mem::take(&mut listed));
                cache.progress.mark_synced(source);
                info!(%source, "listed");
            }
            Err(error) => {
                if let Some(refusal) = refusal(&error) {
                    return refusal;
                }
                cache.progress.note_failure(source);
                let error = telemetry::chain(&error);
                warn!(%source, error, "watch failed, trying again");
                feed.failed(&error);
            }
        }
    }
    Unavailable { reason: "WatchEnded", message: "the watch has ended".to_owned() }
}

/// The events of a watch that never ends.
fn watch<K: Object>(api: Api<K>) -> impl Stream<Item = watcher::Result<Event<K>>> {
    let backoff = ExponentialBuilder::new()
        .with_min_delay(BACKOFF_MIN)
        .with_max_delay(BACKOFF_MAX)
        .with_jitter()
        .without_max_times();
    watcher::watcher(api, watcher::Config::default().timeout(WATCH_SECONDS)).backoff(ExponentialBackoff::from(backoff))
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
