//! What is watched, and what becomes of it in the cache: targets, `ReplicaCount` objects, autoscalers.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use kube::{
    Api, Client, Resource,
    api::ListParams,
    core::{DeserializeGuard, DynamicObject, DynamicResourceScope, NamespaceResourceScope},
    runtime::watcher::InitialListStrategy,
};
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::{
    Autoscaler, Index, KindState, Source, Unavailable,
    autoscalers::AutoscalerKey,
    protobuf,
    watch_loop::{Feed, follow, leave_alone, readable},
};
use crate::resources::{
    ReplicaCount, ReplicaCountState, Target, TargetKey, TargetKind, TargetState, key_of, parse_resource_version,
};

/// How long to wait after a refusal: the right or the definition that is missing may come at any time.
pub(super) const RETRY: Duration = Duration::from_secs(5);

/// How long the question for the current resource version may take before a list goes ahead without it.
const VERSION_TIMEOUT: Duration = Duration::from_secs(5);

/// Keeps the targets of one kind in the cache until the API server refuses to list them, and returns why.
pub(super) async fn targets(
    index: &Index,
    client: &Client,
    namespace: Option<&str>,
    kind: &Arc<TargetKind>,
) -> Unavailable {
    let source = Source::Targets(kind.group_kind.clone());
    if kind.is_in_apps() {
        let read =
            |target: Target, kind: &TargetKind| Some((key_of(&target.metadata, &kind.group_kind)?, target.state));
        let client = protobuf::client(client.clone());
        follow(index, &source, of_kind(&client, namespace, &**kind), Targets { index, kind, read }).await
    } else {
        let read = |object: DeserializeGuard<DynamicObject>, kind: &TargetKind| {
            let object = readable(&Source::Targets(kind.group_kind.clone()), object)?;
            Some((key_of(&object.metadata, &kind.group_kind)?, TargetState::of(&object, kind)))
        };
        follow(index, &source, of_kind(client, namespace, &kind.resource()), Targets { index, kind, read }).await
    }
}

/// Keeps the `ReplicaCount` objects in the cache for as long as it is polled. Without them nothing works, so a refusal
/// counts as a failure.
pub async fn counts(index: Arc<Index>, client: Client, namespace: Option<String>) {
    let api = of_type(&client, namespace.as_deref());
    loop {
        let feed = Counts { index: &index, api: api.clone(), version: 0 };
        let refusal = follow(&index, &Source::Counts, api.clone(), feed).await;
        warn!(problem = refusal.message, "ReplicaCounts cannot be watched, trying again");
        index.sync_state.note_failure(&Source::Counts);
        sleep(RETRY).await;
    }
}

/// Keeps the autoscalers in the cache for as long as it is polled. Where they may not be listed, none are known.
pub async fn autoscalers(index: Arc<Index>, client: Client, namespace: Option<String>) {
    let api = of_type(&client, namespace.as_deref());
    let mut told = false;
    loop {
        let refusal = follow(&index, &Source::Autoscalers, api.clone(), Autoscalers { index: &index }).await;
        if !told {
            warn!(
                problem = refusal.message,
                "HorizontalPodAutoscalers cannot be watched: Sets are not checked for them"
            );
            told = true;
        }
        Autoscalers { index: &index }.complete(index.autoscalers());
        index.sync_state.mark_synced(&Source::Autoscalers);
        sleep(RETRY).await;
    }
}

/// The objects of a kind that only discovery knows, in one namespace or all.
fn of_kind<K: Resource<Scope = DynamicResourceScope>>(
    client: &Client,
    namespace: Option<&str>,
    kind: &K::DynamicType,
) -> Api<K> {
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, kind),
        None => Api::all_with(client.clone(), kind),
    }
}

/// The objects of a type, in one namespace or all.
fn of_type<K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>>(
    client: &Client,
    namespace: Option<&str>,
) -> Api<K> {
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Targets of one kind; `read` takes out of an object what is kept.
struct Targets<'a, R> {
    index: &'a Index,
    kind: &'a Arc<TargetKind>,
    read: R,
}

impl<K, R> Feed<K> for Targets<'_, R>
where
    R: Fn(K, &TargetKind) -> Option<(TargetKey, TargetState)>,
{
    type Key = TargetKey;

    async fn begin(&mut self) -> BTreeSet<TargetKey> {
        self.index.targets_of(&self.kind.group_kind)
    }

    fn apply(&mut self, object: K, _listed: bool) -> Option<TargetKey> {
        let (key, target) = (self.read)(object, self.kind)?;
        self.index.set_target(key.clone(), Some(target));
        Some(key)
    }

    fn delete(&mut self, object: K) {
        if let Some((key, _)) = (self.read)(object, self.kind) {
            self.index.set_target(key, None);
        }
    }

    fn failed(&mut self, error: &str) {
        // What was known stays known: a watch that works again goes on from there.
        if self.index.kind(&self.kind.group_kind).is_none() {
            let unavailable = Unavailable { reason: "KindUnknown", message: error.to_owned() };
            self.index.set_kind(&self.kind.group_kind, KindState::Unavailable(Arc::new(unavailable)));
        }
    }

    fn complete(&mut self, gone: BTreeSet<TargetKey>) {
        gone.into_iter().for_each(|key| self.index.set_target(key, None));
        self.index.set_kind(&self.kind.group_kind, KindState::Watched(self.kind.clone()));
    }
}

/// Guarded, since one object that cannot be read must not keep all others from being read.
struct Counts<'a> {
    index: &'a Index,
    api: Api<DeserializeGuard<ReplicaCount>>,
    /// The version up to which a list holds everything.
    version: u64,
}

impl Feed<DeserializeGuard<ReplicaCount>> for Counts<'_> {
    type Key = TargetKey;

    /// Nothing but such a list holds everything up to a version that was current before.
    const LISTS: InitialListStrategy = InitialListStrategy::ListWatch;

    async fn begin(&mut self) -> BTreeSet<TargetKey> {
        self.version = current_version(&self.api).await;
        self.index.managed()
    }

    fn apply(&mut self, count: DeserializeGuard<ReplicaCount>, listed: bool) -> Option<TargetKey> {
        let (key, count) = usable(count)?;
        let version = count.resource_version;
        self.version = self.version.max(version);
        self.index.set_count(key.clone(), Some(count), if listed { 0 } else { version });
        Some(key)
    }

    fn delete(&mut self, count: DeserializeGuard<ReplicaCount>) {
        if let Some((key, count)) = usable(count) {
            self.index.set_count(key, None, count.resource_version);
        }
    }

    /// Only now does the cache hold all up to the list's version: a list comes in the order of names.
    fn complete(&mut self, gone: BTreeSet<TargetKey>) {
        gone.into_iter().for_each(|key| self.index.set_count(key, None, 0));
        self.index.sync_state.advance(self.version);
    }
}

struct Autoscalers<'a> {
    index: &'a Index,
}

impl Feed<DeserializeGuard<Autoscaler>> for Autoscalers<'_> {
    type Key = AutoscalerKey;

    async fn begin(&mut self) -> BTreeSet<AutoscalerKey> {
        self.index.autoscalers()
    }

    fn apply(&mut self, autoscaler: DeserializeGuard<Autoscaler>, _listed: bool) -> Option<AutoscalerKey> {
        let autoscaler = readable(&Source::Autoscalers, autoscaler)?;
        let key = autoscaler.key()?;
        self.index.set_autoscaler(key.clone(), autoscaler.target());
        Some(key)
    }

    fn delete(&mut self, autoscaler: DeserializeGuard<Autoscaler>) {
        if let Some(key) = readable(&Source::Autoscalers, autoscaler).and_then(|autoscaler| autoscaler.key()) {
            self.index.set_autoscaler(key, None);
        }
    }

    fn complete(&mut self, gone: BTreeSet<AutoscalerKey>) {
        gone.into_iter().for_each(|key| self.index.set_autoscaler(key, None));
    }
}

/// The API server's current resource version, or 0 if it cannot be had.
///
/// A list that starts after this answer holds everything up to it, also the deletions, which leave no object to tell.
async fn current_version(api: &Api<DeserializeGuard<ReplicaCount>>) -> u64 {
    let one = ListParams::default().limit(1);
    let list = timeout(VERSION_TIMEOUT, api.list_metadata(&one)).await;
    let Ok(Ok(list)) = list else { return 0 };
    parse_resource_version(list.metadata.resource_version.as_deref().unwrap_or_default())
}

/// The key of a `ReplicaCount` and what is kept of it; `None` if it cannot be used.
fn usable(guarded: DeserializeGuard<ReplicaCount>) -> Option<(TargetKey, ReplicaCountState)> {
    let count = readable(&Source::Counts, guarded)?;
    match count.target() {
        Ok(key) => Some((key, count.into())),
        Err(error) => {
            leave_alone(&Source::Counts, &count.metadata, &error);
            None
        }
    }
}
