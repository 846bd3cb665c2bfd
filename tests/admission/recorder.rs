//! Records every state of a namespace's workloads, and every pod that comes and goes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use anyhow::{Result, ensure};
use cluster::wait;
use futures::{StreamExt, TryStreamExt};
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, ListParams, WatchEvent, WatchParams},
    core::{ApiResource, GroupVersionKind},
};
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::ways::count;
use support::{Namespace, PATIENCE};

/// The kinds of workloads, as kubectl names them.
const WORKLOADS: [(&str, &str); 3] =
    [("Deployment", "deployments"), ("StatefulSet", "statefulsets"), ("ReplicaSet", "replicasets")];

/// The label and the pod that end a recording.
const END: &str = "recorded";

/// What a recording has seen.
#[derive(Default)]
struct Seen {
    /// The counts and the specs of each workload, by its kind and name. A spec says more than a generation, which also rises
    /// when the annotations of a Deployment change, as at each `kubectl apply`.
    states: BTreeMap<String, BTreeSet<(i64, String)>>,
    pods: Vec<String>,
    ended: BTreeSet<String>,
}

/// A recording. It ends with this value.
pub(super) struct Recorder<'a> {
    shop: &'a Namespace<'a>,
    seen: Arc<Mutex<Seen>>,
    watches: JoinSet<Result<()>>,
}

impl<'a> Recorder<'a> {
    /// Records from now on.
    pub(super) async fn start(shop: &'a Namespace<'a>) -> Result<Self> {
        let client = shop.cluster.control_plane.client().await?;
        let seen = Arc::<Mutex<Seen>>::default();
        let mut watches = JoinSet::new();
        for (kind, _) in WORKLOADS {
            let api = api(&client, shop, &GroupVersionKind::gvk("apps", "v1", kind));
            let listed = api.list(&ListParams::default()).await?;
            for object in &listed.items {
                seen.lock().observe(kind, object);
            }
            watches.spawn(watch(api, version(listed.metadata.resource_version), kind, seen.clone()));
        }
        let pods = api(&client, shop, &GroupVersionKind::gvk("", "v1", "Pod"));
        let listed = pods.list(&ListParams::default()).await?;
        watches.spawn(watch(pods, version(listed.metadata.resource_version), "Pod", seen.clone()));
        Ok(Self { shop, seen, watches })
    }

    /// Waits until everything up to now is recorded, and returns the counts of each workload, by its kind and name. Fails
    /// if a spec has changed while the count did not, or if a pod came or went although all counts stayed.
    pub(super) async fn end(mut self) -> Result<BTreeMap<String, BTreeSet<i64>>> {
        for (_, resource) in WORKLOADS {
            // It fails if there are none.
            // An annotation would change the generation of a Deployment.
            let label = ["label", resource, "--all", &format!("{END}=yes")];
            let _ = self.shop.kubectl(&label).await;
        }
        self.shop.kubectl(&["run", END, "--image=example"]).await?;
        wait::until("the end of the recording", PATIENCE, async || {
            let seen = self.seen.lock();
            let open: Vec<_> = seen.states.keys().filter(|name| !seen.ended.contains(*name)).collect();
            ensure!(open.is_empty() && seen.ended.contains(END), "not seen: {open:?}");
            Ok(())
        })
        .await?;
        while let Some(ended) = self.watches.try_join_next() {
            ended??;
        }
        let seen = self.seen.lock();
        let mut counts = BTreeMap::new();
        for (name, states) in &seen.states {
            let of_each: BTreeSet<_> = states.iter().map(|(count, _)| *count).collect();
            ensure!(of_each.len() > 1 || states.len() == 1, "{name} kept its count, and changed: {states:?}");
            counts.insert(name.clone(), of_each);
        }
        let is_changed = counts.values().any(|counts| counts.len() > 1);
        ensure!(is_changed || seen.pods.is_empty(), "pods came or went: {:?}", seen.pods);
        Ok(counts)
    }
}

impl Seen {
    fn observe(&mut self, kind: &str, object: &DynamicObject) {
        let name = format!("{kind} {}", object.name_any());
        if object.labels().contains_key(END) {
            self.ended.insert(name.clone());
        }
        self.states.entry(name).or_default().insert((count(object), object.data["spec"].to_string()));
    }

    fn observe_pod(&mut self, what: &str, pod: &DynamicObject) {
        if pod.name_any() == END {
            self.ended.insert(END.to_owned());
        } else {
            self.pods.push(format!("{what} {}", pod.name_any()));
        }
    }
}

fn api(client: &Client, shop: &Namespace<'_>, kind: &GroupVersionKind) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), &shop.name, &ApiResource::from_gvk(kind))
}

fn version(of_list: Option<String>) -> String {
    of_list.unwrap_or_default()
}

/// Watches from a version on, and takes in each event.
async fn watch(api: Api<DynamicObject>, mut version: String, kind: &str, seen: Arc<Mutex<Seen>>) -> Result<()> {
    loop {
        let mut events = api.watch(&WatchParams::default(), &version).await?.boxed();
        while let Some(event) = events.try_next().await? {
            let mut seen = seen.lock();
            let object = match &event {
                WatchEvent::Added(pod) if kind == "Pod" => {
                    seen.observe_pod("created", pod);
                    pod
                }
                WatchEvent::Deleted(pod) if kind == "Pod" => {
                    seen.observe_pod("deleted", pod);
                    pod
                }
                WatchEvent::Modified(pod) if kind == "Pod" => pod,
                WatchEvent::Added(object) | WatchEvent::Modified(object) | WatchEvent::Deleted(object) => {
                    seen.observe(kind, object);
                    object
                }
                WatchEvent::Bookmark(bookmark) => {
                    version.clone_from(&bookmark.metadata.resource_version);
                    continue;
                }
                WatchEvent::Error(status) => anyhow::bail!("the watch of {kind}: {}", status.message),
            };
            version = object.resource_version().unwrap_or_default();
        }
    }
}
