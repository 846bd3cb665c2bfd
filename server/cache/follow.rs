//! Feeds the cache from watches that list, resume, and list again when the API server has forgotten where they were.

use std::{collections::BTreeSet, pin::pin, sync::Arc, time::Duration};

use backon::ExponentialBuilder;
use futures::{Stream, StreamExt};
use kube::{
    Api,
    api::ListParams,
    core::DeserializeGuard,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, ExponentialBackoff},
    },
};
use tracing::{info, warn};

use super::{Cache, Source};
use crate::{
    api::{GroupKind, ReplicaCount, Target, TargetKey, TargetKind, Writer},
    telemetry,
};

/// The first pause after a failure: short, because drift goes uncorrected meanwhile.
const BACKOFF_MIN: Duration = Duration::from_millis(100);

/// The longest pause: an API server that comes back is used within this time.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// How long a watch lasts, in seconds. One that hears nothing for 5 s longer is given up.
const WATCH_SECONDS: u32 = 60;

/// How long the question for the current resource version may take before a list goes ahead without it.
const VERSION_TIMEOUT: Duration = Duration::from_secs(5);

/// Keeps the targets of one kind in the cache for as long as it is polled.
pub async fn targets(cache: Arc<Cache>, api: Api<Target>, kind: TargetKind) {
    let kind = kind.group_kind;
    let source = Source::Targets(kind.clone());
    let mut listed = BTreeSet::new();
    let mut events = pin!(watch(api, &cache, &source));
    while let Some(event) = events.next().await {
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(target) => {
                listed.extend(target.key(&kind));
                apply_target(&cache, &kind, target);
            }
            Event::Apply(target) => apply_target(&cache, &kind, target),
            Event::Delete(target) => {
                if let Some(key) = target.key(&kind) {
                    cache.set_target(key, None);
                }
            }
            Event::InitDone => {
                cache.retain_targets(&kind, &std::mem::take(&mut listed));
                cache.mark_synced(&source);
                info!(%source, "listed");
            }
        }
    }
}

/// Keeps the `ReplicaCount` objects in the cache for as long as it is polled.
///
/// Guarded, since one object that cannot be read must not keep all others from being read.
pub async fn counts(cache: Arc<Cache>, api: Api<DeserializeGuard<ReplicaCount>>) {
    let source = Source::Counts;
    let (mut listed, mut listed_version) = (BTreeSet::new(), 0);
    let mut events = pin!(watch(api.clone(), &cache, &source));
    while let Some(event) = events.next().await {
        match event {
            Event::Init => {
                listed.clear();
                listed_version = current_version(&api).await;
            }
            Event::InitApply(count) => {
                if let Some((key, count)) = readable(count) {
                    listed.insert(key.clone());
                    listed_version = listed_version.max(count.resource_version_number());
                    cache.set_count(key, Some(count), 0);
                }
            }
            Event::Apply(count) => {
                if let Some((key, count)) = readable(count) {
                    let version = count.resource_version_number();
                    cache.set_count(key, Some(count), version);
                }
            }
            Event::Delete(count) => {
                if let Some((key, count)) = readable(count) {
                    cache.set_count(key, None, count.resource_version_number());
                }
            }
            Event::InitDone => {
                cache.retain_counts(&std::mem::take(&mut listed), listed_version);
                cache.mark_synced(&source);
                info!(%source, "listed");
            }
        }
    }
}

fn apply_target(cache: &Cache, kind: &GroupKind, target: Target) {
    if let Some(key) = target.key(kind) {
        cache.set_target(key, Some(target.state));
    }
}

/// The events of a watch that never ends; failures are logged and tried again.
fn watch<K>(api: Api<K>, cache: &Cache, source: &Source) -> impl Stream<Item = Event<K>>
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let backoff = ExponentialBuilder::new()
        .with_min_delay(BACKOFF_MIN)
        .with_max_delay(BACKOFF_MAX)
        .with_jitter()
        .without_max_times();
    watcher::watcher(api, watcher::Config::default().timeout(WATCH_SECONDS))
        .backoff(ExponentialBackoff::from(backoff))
        .filter_map(move |event| {
            std::future::ready(match event {
                Ok(event) => Some(event),
                Err(error) => {
                    cache.note_failure(source);
                    warn!(%source, error = telemetry::chain(&error), "watch failed, trying again");
                    None
                }
            })
        })
}

/// The API server's current resource version, or 0 if it cannot be had.
///
/// A list that starts after this answer holds everything up to it, also the deletions, which leave no object to tell.
async fn current_version(api: &Api<DeserializeGuard<ReplicaCount>>) -> u64 {
    let one = ListParams::default().limit(1);
    let list = tokio::time::timeout(VERSION_TIMEOUT, api.list_metadata(&one)).await;
    let Ok(Ok(list)) = list else { return 0 };
    crate::api::parse_resource_version(list.metadata.resource_version.as_deref().unwrap_or_default())
}

/// The key of an object and what is kept of it; `None` if it cannot be used.
fn readable(guarded: DeserializeGuard<ReplicaCount>) -> Option<(TargetKey, ReplicaCount)> {
    let leave_alone = |name: Option<&str>, namespace: Option<&str>, error: &dyn std::error::Error| {
        warn!(name, namespace, error = telemetry::chain(error), "ReplicaCount cannot be used and is not enforced");
    };
    let count = match guarded.0 {
        Ok(count) => count,
        Err(invalid) => {
            leave_alone(invalid.metadata.name.as_deref(), invalid.metadata.namespace.as_deref(), &invalid);
            return None;
        }
    };
    match count.target() {
        Ok(key) => Some((key, slim(count))),
        Err(error) => {
            leave_alone(count.metadata.name.as_deref(), count.metadata.namespace.as_deref(), &error);
            None
        }
    }
}

/// Leaves out the owners of other fields than the count, which are most of an object's size.
fn slim(mut count: ReplicaCount) -> ReplicaCount {
    if let Some(entries) = &mut count.metadata.managed_fields {
        entries.retain(Writer::owns_replicas);
    }
    count
}
