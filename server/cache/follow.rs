//! Feeds the cache from watches that list, resume, and list again when the API server has forgotten where they were.

use std::{collections::BTreeSet, pin::pin, sync::Arc, time::Duration};

use backon::ExponentialBuilder;
use futures::{Stream, StreamExt};
use kube::{
    Api,
    api::ListParams,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, ExponentialBackoff},
    },
};
use tracing::{info, warn};

use super::{Cache, Source};
use crate::{
    api::{GroupKind, ReplicaCount, Target, TargetKey, TargetKind},
    telemetry,
};

/// The first pause after a failure: short, because drift goes uncorrected meanwhile.
const BACKOFF_MIN: Duration = Duration::from_millis(100);

/// The longest pause: an API server that comes back is used within this time.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// How long the question for the current resource version may take before a list goes ahead without it.
const VERSION_TIMEOUT: Duration = Duration::from_secs(5);

/// Keeps the targets of one kind in the cache for as long as it is polled.
pub async fn targets(cache: Arc<Cache>, api: Api<Target>, kind: TargetKind) {
    let kind = kind.group_kind;
    let source = Source::Targets(kind.clone());
    let mut listed = BTreeSet::new();
    let mut events = pin!(watch(api, &source));
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
pub async fn counts(cache: Arc<Cache>, api: Api<ReplicaCount>) {
    let source = Source::Counts;
    let (mut listed, mut listed_version) = (BTreeSet::new(), 0);
    let mut events = pin!(watch(api.clone(), &source));
    while let Some(event) = events.next().await {
        match event {
            Event::Init => {
                listed.clear();
                listed_version = current_version(&api).await;
            }
            Event::InitApply(count) => {
                listed.extend(key_of(&count));
                apply_count(&cache, count);
            }
            Event::Apply(count) => apply_count(&cache, count),
            Event::Delete(count) => {
                if let Some(key) = key_of(&count) {
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

fn apply_count(cache: &Cache, count: ReplicaCount) {
    if let Some(key) = key_of(&count) {
        let version = count.resource_version_number();
        cache.set_count(key, Some(slim(count)), version);
    }
}

/// The events of a watch that never ends; failures are logged and tried again.
fn watch<K>(api: Api<K>, source: &Source) -> impl Stream<Item = Event<K>>
where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let backoff = ExponentialBuilder::new()
        .with_min_delay(BACKOFF_MIN)
        .with_max_delay(BACKOFF_MAX)
        .with_jitter()
        .without_max_times();
    watcher::watcher(api, watcher::Config::default()).backoff(ExponentialBackoff::from(backoff)).filter_map(
        move |event| {
            std::future::ready(match event {
                Ok(event) => Some(event),
                Err(error) => {
                    warn!(%source, error = telemetry::chain(&error), "watch failed, trying again");
                    None
                }
            })
        },
    )
}

/// The API server's current resource version, or 0 if it cannot be had.
///
/// A list that starts after this answer holds everything up to it, also the deletions, which leave no object to tell.
async fn current_version(api: &Api<ReplicaCount>) -> u64 {
    let one = ListParams::default().limit(1);
    let list = tokio::time::timeout(VERSION_TIMEOUT, api.list_metadata(&one)).await;
    let Ok(Ok(list)) = list else { return 0 };
    crate::api::parse_resource_version(list.metadata.resource_version.as_deref().unwrap_or_default())
}

fn key_of(count: &ReplicaCount) -> Option<TargetKey> {
    count
        .target()
        .inspect_err(
            |error| warn!(name = count.metadata.name, %error, "ReplicaCount without a valid target left alone"),
        )
        .ok()
}

/// Leaves out the owners of other fields than the count, which are most of an object's size.
fn slim(mut count: ReplicaCount) -> ReplicaCount {
    if let Some(entries) = &mut count.metadata.managed_fields {
        entries.retain(|entry| {
            entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer("/f:spec/f:replicas").is_some())
        });
    }
    count
}
