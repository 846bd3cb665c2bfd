//! Takes in the `ReplicaCount` objects.

use std::{collections::BTreeSet, time::Duration};

use kube::{Api, Resource, ResourceExt, api::ListParams, runtime::watcher::InitialListStrategy};
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use super::{
    store::Index,
    unreadable::{UnreadableEvents, UnreadableObjects},
    watch_loop::WatchHandler,
};
use crate::resources::{
    Lenient, ReplicaCount, ReplicaCountState, ScaleTargetRef, TargetKey, Unreadable, parse_resource_version,
    resource_version,
};

/// How long the request for the current resource version can take. After this time the list begins without it.
const VERSION_TIMEOUT: Duration = Duration::from_secs(5);

/// Takes in the `ReplicaCount` objects.
pub(super) struct ReplicaCountHandler<'a> {
    pub(super) index: &'a Index,
    pub(super) api: Api<Lenient<ReplicaCount>>,
    /// The version up to which the current list is complete.
    pub(super) version: u64,
    pub(super) unreadable: &'a mut UnreadableObjects,
    pub(super) events: &'a UnreadableEvents,
}

impl WatchHandler<Lenient<ReplicaCount>> for ReplicaCountHandler<'_> {
    type Key = TargetKey;

    /// A list in pages is consistent at one version, which is at least the version that was current before the list
    /// began. A streamed list may be older.
    const LISTS: InitialListStrategy = InitialListStrategy::ListWatch;

    async fn begin_list(&mut self) -> BTreeSet<TargetKey> {
        self.unreadable.begin_list();
        self.version = current_version(&self.api).await;
        self.index.managed()
    }

    fn apply(&mut self, count: Lenient<ReplicaCount>, is_listed: bool) -> Option<TargetKey> {
        let (namespace, name) = (count.namespace().unwrap_or_default(), count.name_any());
        let version = resource_version(count.meta());
        self.version = self.version.max(version);
        // A listed object does not advance the version of the index, so its version counts as 0: see `complete_list`.
        let version = if is_listed { 0 } else { version };
        match read_replica_count(count) {
            Ok((key, count)) => {
                if self.unreadable.forget(&namespace, &name) {
                    // The state before it is unknown, as that before a listed one is.
                    self.index.set_replica_count(key.clone(), Some(count), 0);
                    self.index.sync_state.advance(version);
                } else {
                    self.index.set_replica_count(key.clone(), Some(count), version);
                }
                Some(key)
            }
            Err(unreadable) => {
                if let Some(versions) = self.unreadable.record(&unreadable) {
                    self.events.announce(&unreadable, versions);
                }
                remove_unreadable(self.index, &unreadable, version);
                None
            }
        }
    }

    fn delete(&mut self, count: Lenient<ReplicaCount>) {
        self.unreadable.forget(&count.namespace().unwrap_or_default(), &count.name_any());
        let version = resource_version(count.meta());
        match read_replica_count(count) {
            Ok((key, _)) => self.index.set_replica_count(key, None, version),
            Err(unreadable) => remove_unreadable(self.index, &unreadable, version),
        }
    }

    /// Advances the version of the index only now, because a list is in the order of names, not of versions.
    fn complete_list(&mut self, missing: BTreeSet<TargetKey>) {
        self.unreadable.complete_list();
        missing.into_iter().for_each(|key| self.index.set_replica_count(key, None, 0));
        self.index.sync_state.advance(self.version);
    }

    fn unreadable(&self) -> &UnreadableObjects {
        self.unreadable
    }
}

/// The API server's current resource version, or 0 if it cannot be read.
///
/// A list that begins after this answer is complete up to this version. That includes deletions, which leave no object
/// with a version behind.
async fn current_version(api: &Api<Lenient<ReplicaCount>>) -> u64 {
    let first = ListParams::default().limit(1);
    let list = timeout(VERSION_TIMEOUT, api.list(&first)).await;
    let Ok(Ok(list)) = list else { return 0 };
    parse_resource_version(list.metadata.resource_version.as_deref().unwrap_or_default())
}

/// The key of a `ReplicaCount`, and what the index stores of it.
fn read_replica_count(count: Lenient<ReplicaCount>) -> Result<(TargetKey, ReplicaCountState), Unreadable> {
    let count = count.read()?;
    match count.target() {
        Ok(key) => Ok((key, count.into())),
        Err(error) => Err(Unreadable {
            metadata: Box::new(count.metadata),
            scale_target_ref: json!(count.spec.scale_target_ref),
            reason: error.to_string(),
        }),
    }
}

/// Removes a `ReplicaCount` that cannot be read, so that its target is no longer managed. What it held before may be
/// outdated, and a server that starts now would not know it.
fn remove_unreadable(index: &Index, count: &Unreadable, version: u64) {
    let namespace = count.metadata.namespace.as_deref().unwrap_or_default();
    let target = ScaleTargetRef::deserialize(&count.scale_target_ref).ok();
    let named = target.and_then(|target| target.key(namespace).ok());
    // The CRD allows no ReplicaCount without a target, so this search of all is not needed in practice.
    let key = named.or_else(|| {
        let is_it =
            |key: &TargetKey| &*key.namespace == namespace && Some(key.replica_count_name()) == count.metadata.name;
        index.managed().into_iter().find(is_it)
    });
    match key {
        Some(key) => index.set_replica_count(key, None, version),
        None => index.sync_state.advance(version),
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::pending};

    use hyper::{Request, Response};
    use kube::{Client, client::Body};
    use serde_json::Value;

    use super::*;
    use crate::{
        index::{ReplacedVersion, WatchSource},
        resources::fixtures::ReplicaCountBuilder,
    };

    #[tokio::test]
    async fn the_state_before_a_replica_count_that_can_be_read_again_is_unknown() {
        struct Row {
            name: &'static str,
            replicas: Value,
            expected: Option<ReplacedVersion>,
        }
        let silent = tower::service_fn(|_: Request<Body>| pending::<Result<Response<Body>, Infallible>>());
        let (client, index) = (Client::new(silent, "default"), Index::default());
        let mut unreadable = UnreadableObjects::new(WatchSource::ReplicaCounts, index.watches.unreadable.clone());
        let (events, _write) = UnreadableEvents::new(client.clone());
        let (_, mut changes) = index.attach_enforcement();
        let mut handler = ReplicaCountHandler {
            index: &index,
            api: Api::all(client),
            version: 0,
            unreadable: &mut unreadable,
            events: &events,
        };
        let created = Some(ReplacedVersion::Count(0));
        for (version, row) in (7..).zip([
            Row { name: "created", replicas: json!(3), expected: created },
            Row { name: "updated", replicas: json!(4), expected: Some(ReplacedVersion::Count(7)) },
            Row { name: "unreadable", replicas: json!("4"), expected: created },
            Row { name: "readable again", replicas: json!(4), expected: None },
            Row { name: "updated then", replicas: json!(5), expected: Some(ReplacedVersion::Count(10)) },
        ]) {
            let mut count = serde_json::to_value(ReplicaCountBuilder::new("web").version(version).build()).unwrap();
            count["spec"]["replicas"] = row.replicas;
            let _ = handler.apply(serde_json::from_value(count).unwrap(), false);
            assert_eq!(changes.try_recv().unwrap().replaced, row.expected, "{}", row.name);
            assert_eq!(index.version(), version, "{}", row.name);
        }
    }
}
