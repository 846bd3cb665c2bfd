//! The watch handlers, which write what they receive into the index: targets, `ReplicaCount` objects and autoscalers.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use kube::{
    Api, Client, Resource,
    api::ListParams,
    core::{DeserializeGuard, DynamicObject, DynamicResourceScope, NamespaceResourceScope},
    runtime::watcher::InitialListStrategy,
};
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use super::{
    autoscalers::{Autoscaler, AutoscalerKey},
    protobuf, replica_sets,
    snapshot::{KindState, Unavailable},
    store::Index,
    watch_client,
    watch_deadlines::with_deadlines,
    watch_loop::{self, WatchHandler, log_unusable, read_guarded},
    watch_source::WatchSource,
};
use crate::resources::{
    ReplicaCount, ReplicaCountState, Target, TargetKey, TargetKind, TargetState, api_errors::RepeatedRefusal, key_of,
    parse_resource_version, reasons,
};

/// The pause after a refusal. A missing right or definition can be added at any time.
pub(super) const RETRY: Duration = Duration::from_secs(5);

/// How long the request for the current resource version can take. After this time the list begins without it.
const VERSION_TIMEOUT: Duration = Duration::from_secs(5);

/// Watches the targets of one kind until the API server refuses it, and returns why.
pub(super) async fn watch_targets(
    index: &Index,
    client: &Client,
    namespace: Option<&str>,
    kind: &Arc<TargetKind>,
) -> Unavailable {
    let source = WatchSource::Targets(kind.group_kind.clone());
    let client = with_deadlines(client.clone(), &index.watches, &source);
    let client = &watch_client::client(client, index.health.clone(), source.clone());
    if kind.is_in_apps() {
        let read =
            |target: Target, kind: &TargetKind| Some((key_of(&target.metadata, &kind.group_kind)?, target.state));
        let api = api_of_kind(&protobuf::client(client.clone()), namespace, &**kind);
        let watch = watch_loop::run(index, &source, api, TargetHandler { index, kind, read });
        if !kind.group_kind.is_replica_set() {
            return watch.await;
        }
        tokio::select! {
            refusal = watch => refusal,
            never = replica_sets::read_managed(index, client, kind) => match never {},
        }
    } else {
        let read = |object: DeserializeGuard<DynamicObject>, kind: &TargetKind| {
            let object = read_guarded(&WatchSource::Targets(kind.group_kind.clone()), object)?;
            Some((key_of(&object.metadata, &kind.group_kind)?, TargetState::of(&object, kind)))
        };
        let api = api_of_kind(client, namespace, &kind.resource());
        watch_loop::run(index, &source, api, TargetHandler { index, kind, read }).await
    }
}

/// Watches the `ReplicaCount` objects for as long as it is polled. The server cannot work without them, so a refusal
/// counts as a failure.
pub(crate) async fn watch_replica_counts(index: Arc<Index>, client: Client, namespace: Option<String>) {
    let client = with_deadlines(client, &index.watches, &WatchSource::ReplicaCounts);
    let client = watch_client::client(client, index.health.clone(), WatchSource::ReplicaCounts);
    let api = api_of_type(&client, namespace.as_deref());
    loop {
        let handler = ReplicaCountHandler { index: &index, api: api.clone(), version: 0 };
        let refusal = watch_loop::run(&index, &WatchSource::ReplicaCounts, api.clone(), handler).await;
        warn!(problem = refusal.message, "ReplicaCounts cannot be watched, trying again");
        index.sync_state.record_failure(&WatchSource::ReplicaCounts);
        sleep(RETRY).await;
    }
}

/// Watches the autoscalers for as long as it is polled. While the API server refuses it, the index knows none. While the
/// watch fails in another way, the index keeps those that it knows.
pub(crate) async fn watch_autoscalers(index: Arc<Index>, client: Client, namespace: Option<String>) {
    let client = with_deadlines(client, &index.watches, &WatchSource::Autoscalers);
    let client = watch_client::client(client, index.health.clone(), WatchSource::Autoscalers);
    let api = api_of_type(&client, namespace.as_deref());
    let handler = AutoscalerHandler { index: &index };
    let mut refusals = RepeatedRefusal::default();
    let mut is_logged = false;
    loop {
        let began = Instant::now();
        let refusal = watch_loop::run(&index, &WatchSource::Autoscalers, api.clone(), handler).await;
        if began.elapsed() > RETRY {
            // It worked until now.
            refusals.clear();
        }
        if refusals.is_repeated(Instant::now()) {
            if !std::mem::replace(&mut is_logged, true) {
                let problem = refusal.message;
                warn!(problem, "HorizontalPodAutoscalers cannot be watched: Sets are not checked for them");
            }
            handler.forget(index.autoscalers());
            index.health.clear(&WatchSource::Autoscalers);
            index.sync_state.record_refusal(&WatchSource::Autoscalers);
        }
        sleep(RETRY).await;
    }
}

/// The objects of a kind that is known only at run time, in one namespace or in all.
fn api_of_kind<K: Resource<Scope = DynamicResourceScope>>(
    client: &Client,
    namespace: Option<&str>,
    kind: &K::DynamicType,
) -> Api<K> {
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, kind),
        None => Api::all_with(client.clone(), kind),
    }
}

/// The objects of a type, in one namespace or in all.
fn api_of_type<K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>>(
    client: &Client,
    namespace: Option<&str>,
) -> Api<K> {
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Takes in the targets of one kind. `read` extracts from an object what the index stores.
struct TargetHandler<'a, R> {
    index: &'a Index,
    kind: &'a Arc<TargetKind>,
    read: R,
}

impl<K, R> WatchHandler<K> for TargetHandler<'_, R>
where
    R: Fn(K, &TargetKind) -> Option<(TargetKey, TargetState)>,
{
    type Key = TargetKey;

    async fn begin_list(&mut self) -> BTreeSet<TargetKey> {
        self.index.targets_of(&self.kind.group_kind)
    }

    fn apply(&mut self, object: K, _is_listed: bool) -> Option<TargetKey> {
        let (key, target) = (self.read)(object, self.kind)?;
        self.index.set_target(key.clone(), Some(target));
        Some(key)
    }

    fn delete(&mut self, object: K) {
        if let Some((key, _)) = (self.read)(object, self.kind) {
            self.index.set_target(key, None);
        }
    }

    fn fail(&mut self, error: &str) {
        // The index keeps the targets that it knows, because a watch that works again resumes from them.
        if self.index.kind(&self.kind.group_kind).is_none() {
            let unavailable = Unavailable { reason: reasons::KIND_UNKNOWN, message: error.to_owned() };
            self.index.set_kind(&self.kind.group_kind, KindState::Unavailable(Arc::new(unavailable)));
        }
    }

    fn complete_list(&mut self, missing: BTreeSet<TargetKey>) {
        missing.into_iter().for_each(|key| self.index.set_target(key, None));
        self.index.set_kind(&self.kind.group_kind, KindState::Watched(self.kind.clone()));
        self.index.missing_replica_sets.notify_one();
    }
}

/// Takes in the `ReplicaCount` objects. They are guarded, because one unreadable object must not make the others
/// unreadable.
struct ReplicaCountHandler<'a> {
    index: &'a Index,
    api: Api<DeserializeGuard<ReplicaCount>>,
    /// The version up to which the current list is complete.
    version: u64,
}

impl WatchHandler<DeserializeGuard<ReplicaCount>> for ReplicaCountHandler<'_> {
    type Key = TargetKey;

    /// A list in pages is consistent at one version, which is at least the version that was current before the list
    /// began. A streamed list may be older.
    const LISTS: InitialListStrategy = InitialListStrategy::ListWatch;

    async fn begin_list(&mut self) -> BTreeSet<TargetKey> {
        self.version = current_version(&self.api).await;
        self.index.managed()
    }

    fn apply(&mut self, count: DeserializeGuard<ReplicaCount>, is_listed: bool) -> Option<TargetKey> {
        let (key, count) = read_replica_count(count)?;
        let version = count.resource_version;
        self.version = self.version.max(version);
        // A listed object does not advance the version of the index, so its version counts as 0: see `complete_list`.
        self.index.set_replica_count(key.clone(), Some(count), if is_listed { 0 } else { version });
        Some(key)
    }

    fn delete(&mut self, count: DeserializeGuard<ReplicaCount>) {
        if let Some((key, count)) = read_replica_count(count) {
            self.index.set_replica_count(key, None, count.resource_version);
        }
    }

    /// Advances the version of the index only now, because a list is in the order of names, not of versions.
    fn complete_list(&mut self, missing: BTreeSet<TargetKey>) {
        missing.into_iter().for_each(|key| self.index.set_replica_count(key, None, 0));
        self.index.sync_state.advance(self.version);
    }
}

/// Takes in the autoscalers.
#[derive(Clone, Copy)]
struct AutoscalerHandler<'a> {
    index: &'a Index,
}

impl AutoscalerHandler<'_> {
    fn forget(&self, autoscalers: BTreeSet<AutoscalerKey>) {
        autoscalers.into_iter().for_each(|key| self.index.set_autoscaler(key, None));
    }
}

impl WatchHandler<DeserializeGuard<Autoscaler>> for AutoscalerHandler<'_> {
    type Key = AutoscalerKey;

    async fn begin_list(&mut self) -> BTreeSet<AutoscalerKey> {
        self.index.autoscalers()
    }

    fn apply(&mut self, autoscaler: DeserializeGuard<Autoscaler>, _is_listed: bool) -> Option<AutoscalerKey> {
        let autoscaler = read_guarded(&WatchSource::Autoscalers, autoscaler)?;
        let key = autoscaler.key()?;
        self.index.set_autoscaler(key.clone(), autoscaler.target());
        Some(key)
    }

    fn delete(&mut self, autoscaler: DeserializeGuard<Autoscaler>) {
        if let Some(key) = read_guarded(&WatchSource::Autoscalers, autoscaler).and_then(|autoscaler| autoscaler.key()) {
            self.index.set_autoscaler(key, None);
        }
    }

    fn complete_list(&mut self, missing: BTreeSet<AutoscalerKey>) {
        self.forget(missing);
    }
}

/// The API server's current resource version, or 0 if it cannot be read.
///
/// A list that begins after this answer is complete up to this version. That includes deletions, which leave no object
/// with a version behind.
async fn current_version(api: &Api<DeserializeGuard<ReplicaCount>>) -> u64 {
    let first = ListParams::default().limit(1);
    let list = timeout(VERSION_TIMEOUT, api.list_metadata(&first)).await;
    let Ok(Ok(list)) = list else { return 0 };
    parse_resource_version(list.metadata.resource_version.as_deref().unwrap_or_default())
}

/// The key of a `ReplicaCount`, and what the index stores of it. `None` if it cannot be used.
fn read_replica_count(guarded: DeserializeGuard<ReplicaCount>) -> Option<(TargetKey, ReplicaCountState)> {
    let count = read_guarded(&WatchSource::ReplicaCounts, guarded)?;
    match count.target() {
        Ok(key) => Some((key, count.into())),
        Err(error) => {
            log_unusable(&WatchSource::ReplicaCounts, &count.metadata, &error);
            None
        }
    }
}
