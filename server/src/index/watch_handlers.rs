//! The watch handlers, which write what they receive into the index: targets, `ReplicaCount` objects and autoscalers.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use kube::{
    Api, Client, Resource,
    core::{DynamicObject, DynamicResourceScope, NamespaceResourceScope},
};
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::{
    autoscalers::{Autoscaler, AutoscalerKey, autoscaler_key},
    protobuf,
    replica_count_handler::ReplicaCountHandler,
    replica_sets,
    snapshot::{KindState, Unavailable},
    store::Index,
    unreadable::{UnreadableEvents, UnreadableObjects},
    watch_client,
    watch_deadlines::with_deadlines,
    watch_loop::{self, WatchHandler},
    watch_source::WatchSource,
};
use crate::resources::{
    Lenient, ReplicaCount, Target, TargetKey, TargetKind, TargetState, Unreadable, api_errors::RepeatedRefusal, key_of,
    reasons,
};

/// The pause after a refusal. A missing right or definition can be added at any time.
pub(super) const RETRY: Duration = Duration::from_secs(5);

/// Watches the targets of one kind until the API server refuses it, and returns why.
pub(super) async fn watch_targets(
    index: &Index,
    client: &Client,
    namespace: Option<&str>,
    kind: &Arc<TargetKind>,
) -> Unavailable {
    let source = WatchSource::Targets(kind.group_kind.clone());
    let client = &client_of(index, client.clone(), &source);
    let unreadable = UnreadableObjects::new(source.clone(), index.watches.unreadable.clone());
    if kind.is_in_apps() {
        let read = |target: Target, _: &TargetKind| Ok(target.state);
        let api = api_of_kind(&protobuf::client(client.clone()), namespace, &**kind);
        let watch = watch_loop::run(index, &source, api, TargetHandler { index, kind, unreadable, read });
        if !kind.group_kind.is_replica_set() {
            return watch.await;
        }
        tokio::select! {
            refusal = watch => refusal,
            never = replica_sets::read_managed(index, client, kind) => match never {},
        }
    } else {
        let read = |object: Lenient<DynamicObject>, kind: &TargetKind| Ok(TargetState::of(&object.read()?, kind));
        let api = api_of_kind(client, namespace, &kind.resource());
        watch_loop::run(index, &source, api, TargetHandler { index, kind, unreadable, read }).await
    }
}

/// Watches the `ReplicaCount` objects for as long as it is polled. The server cannot work without them, so a refusal
/// counts as a failure.
pub(crate) async fn watch_replica_counts(index: Arc<Index>, client: Client, namespace: Option<String>) {
    let (events, write_events) = UnreadableEvents::new(client.clone());
    let client = client_of(&index, client, &WatchSource::ReplicaCounts);
    let api: Api<Lenient<ReplicaCount>> = api_of_type(&client, namespace.as_deref());
    let mut unreadable = UnreadableObjects::new(WatchSource::ReplicaCounts, index.watches.unreadable.clone());
    let watch = async {
        loop {
            let handler = ReplicaCountHandler {
                index: &index,
                api: api.clone(),
                version: 0,
                unreadable: &mut unreadable,
                events: &events,
            };
            let refusal = watch_loop::run(&index, &WatchSource::ReplicaCounts, api.clone(), handler).await;
            warn!(problem = refusal.message, "ReplicaCounts cannot be watched, trying again");
            index.sync_state.record_failure(&WatchSource::ReplicaCounts);
            sleep(RETRY).await;
        }
    };
    tokio::join!(watch, write_events);
}

/// Watches the autoscalers for as long as it is polled. While the API server refuses it, the index knows none. While
/// the watch fails in another way, the index keeps those that it knows.
pub(crate) async fn watch_autoscalers(index: Arc<Index>, client: Client, namespace: Option<String>) {
    let client = client_of(&index, client, &WatchSource::Autoscalers);
    let api = api_of_type(&client, namespace.as_deref());
    let mut unreadable = UnreadableObjects::new(WatchSource::Autoscalers, index.watches.unreadable.clone());
    let mut refusals = RepeatedRefusal::default();
    let mut is_logged = false;
    loop {
        let handler = AutoscalerHandler { index: &index, unreadable: &mut unreadable };
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
            forget_autoscalers(&index, index.autoscalers());
            index.health.clear(&WatchSource::Autoscalers);
            index.sync_state.record_refusal(&WatchSource::Autoscalers);
        }
        sleep(RETRY).await;
    }
}

/// Wraps a client for one watch: with deadlines, and with pages of bounded size.
fn client_of(index: &Index, client: Client, source: &WatchSource) -> Client {
    let client = with_deadlines(client, &index.watches, source);
    watch_client::client(client, index.health.clone(), source.clone())
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
    unreadable: UnreadableObjects,
    read: R,
}

impl<K: Resource, R> WatchHandler<K> for TargetHandler<'_, R>
where
    R: Fn(K, &TargetKind) -> Result<TargetState, Unreadable>,
{
    type Key = TargetKey;

    async fn begin_list(&mut self) -> BTreeSet<TargetKey> {
        self.unreadable.begin_list();
        self.index.targets_of(&self.kind.group_kind)
    }

    /// A target that cannot be read is as if it did not exist, because its count is not known.
    fn apply(&mut self, object: K, is_listed: bool) -> Option<TargetKey> {
        let key = key_of(object.meta(), &self.kind.group_kind)?;
        match (self.read)(object, self.kind) {
            Ok(target) => {
                let was_unreadable = self.unreadable.forget(&key.namespace, &key.name);
                if is_listed || was_unreadable {
                    self.index.set_listed_target(key.clone(), target);
                } else {
                    self.index.set_target(key.clone(), Some(target));
                }
                Some(key)
            }
            Err(unreadable) => {
                self.unreadable.record(&unreadable);
                self.index.set_target(key, None);
                None
            }
        }
    }

    fn delete(&mut self, object: K) {
        if let Some(key) = key_of(object.meta(), &self.kind.group_kind) {
            self.unreadable.forget(&key.namespace, &key.name);
            self.index.set_target(key, None);
        }
    }

    fn fail(&mut self, error: &str) {
        // The index keeps the targets that it knows: a watch that works again resumes, and sends only what has changed.
        if self.index.kind(&self.kind.group_kind).is_none() {
            let unavailable = Unavailable { reason: reasons::KIND_UNKNOWN, message: error.to_owned() };
            self.index.set_kind(&self.kind.group_kind, KindState::Unavailable(Arc::new(unavailable)));
        }
    }

    fn complete_list(&mut self, missing: BTreeSet<TargetKey>) {
        self.unreadable.complete_list();
        missing.into_iter().for_each(|key| self.index.set_target(key, None));
        self.index.set_kind(&self.kind.group_kind, KindState::Watched(self.kind.clone()));
        self.index.missing_replica_sets.notify_one();
    }

    fn unreadable(&self) -> &UnreadableObjects {
        &self.unreadable
    }
}

/// Takes in the autoscalers.
struct AutoscalerHandler<'a> {
    index: &'a Index,
    unreadable: &'a mut UnreadableObjects,
}

fn forget_autoscalers(index: &Index, autoscalers: BTreeSet<AutoscalerKey>) {
    autoscalers.into_iter().for_each(|key| index.set_autoscaler(key, None));
}

impl WatchHandler<Lenient<Autoscaler>> for AutoscalerHandler<'_> {
    type Key = AutoscalerKey;

    async fn begin_list(&mut self) -> BTreeSet<AutoscalerKey> {
        self.unreadable.begin_list();
        self.index.autoscalers()
    }

    fn apply(&mut self, autoscaler: Lenient<Autoscaler>, _is_listed: bool) -> Option<AutoscalerKey> {
        let key = autoscaler_key(autoscaler.meta())?;
        match autoscaler.read() {
            Ok(autoscaler) => {
                self.unreadable.forget(&key.0, &key.1);
                self.index.set_autoscaler(key.clone(), autoscaler.target());
                Some(key)
            }
            Err(unreadable) => {
                self.unreadable.record(&unreadable);
                self.index.set_autoscaler(key, None);
                None
            }
        }
    }

    fn delete(&mut self, autoscaler: Lenient<Autoscaler>) {
        if let Some(key) = autoscaler_key(autoscaler.meta()) {
            self.unreadable.forget(&key.0, &key.1);
            self.index.set_autoscaler(key, None);
        }
    }

    fn complete_list(&mut self, missing: BTreeSet<AutoscalerKey>) {
        self.unreadable.complete_list();
        forget_autoscalers(self.index, missing);
    }

    fn unreadable(&self) -> &UnreadableObjects {
        self.unreadable
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        index::ReplacedVersion,
        resources::fixtures::{ReplicaCountBuilder, TargetBuilder, deployment_key},
    };

    /// A count that is a text makes the object unreadable.
    fn read(object: DynamicObject, kind: &TargetKind) -> Result<TargetState, Unreadable> {
        if object.data["spec"]["replicas"].is_string() {
            let reason = "odd".to_owned();
            return Err(Unreadable { metadata: object.metadata.into(), scale_target_ref: Value::Null, reason });
        }
        Ok(TargetState::of(&object, kind))
    }

    #[test]
    fn the_state_before_a_target_that_can_be_read_again_is_unknown() {
        enum Step {
            Read,
            Odd,
            Deleted,
        }
        struct Row {
            name: &'static str,
            step: Step,
            expected: Option<ReplacedVersion>,
        }
        let (index, kind) = (Index::default(), Arc::new(TargetKind::apps()[0].clone()));
        let source = WatchSource::Targets(kind.group_kind.clone());
        let unreadable = UnreadableObjects::new(source, index.watches.unreadable.clone());
        let mut handler = TargetHandler { index: &index, kind: &kind, unreadable, read };
        index.set_replica_count(deployment_key("web"), Some(ReplicaCountBuilder::new("web").state()), 1);
        let (_, mut events) = index.attach_enforcement();
        let created = Some(ReplacedVersion::Target(0));
        for (version, row) in (7..).zip([
            Row { name: "created", step: Step::Read, expected: created },
            Row { name: "updated", step: Step::Read, expected: Some(ReplacedVersion::Target(7)) },
            Row { name: "unreadable", step: Step::Odd, expected: created },
            Row { name: "readable again", step: Step::Read, expected: None },
            Row { name: "updated then", step: Step::Read, expected: Some(ReplacedVersion::Target(10)) },
            Row { name: "unreadable again", step: Step::Odd, expected: created },
            Row { name: "deleted", step: Step::Deleted, expected: created },
            Row { name: "created anew", step: Step::Read, expected: created },
        ]) {
            let version = json!({"resourceVersion": version.to_string()});
            let mut object = TargetBuilder::new("web").metadata(version).object();
            if matches!(row.step, Step::Odd) {
                object["spec"]["replicas"] = json!("3");
            }
            let object: DynamicObject = serde_json::from_value(object).unwrap();
            match row.step {
                Step::Deleted => handler.delete(object),
                Step::Read | Step::Odd => drop(handler.apply(object, false)),
            }
            assert_eq!(events.try_recv().unwrap().replaced, row.expected, "{}", row.name);
        }
    }
}
