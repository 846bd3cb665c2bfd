//! What others notice of the attack.

use std::{path::PathBuf, thread, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use contract::replicas::v1::{self, replicas_service_client::ReplicasServiceClient};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams, WatchEvent, WatchParams},
};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    runtime::Builder,
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout},
};

use support::{
    Memory, Namespace, PATIENCE, admission, callers, dial, http,
    manifests::{Workload, names},
};

use super::scene::{MEASURED, Scene, application, client, team};

/// The longest wait of a kubelet for a probe, by default.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// The pause between two probes, calls or drifts.
const PAUSE: Duration = Duration::from_millis(100);

/// The longest time of another user's call, on a new connection too.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// The part of a hundred that is not slower than the result.
pub(super) fn percentile(latencies: &[Duration], part: usize) -> Duration {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    let place = (sorted.len() * part).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or_default()
}

/// Watches the memory, and ends the process at the chart's limit, as the kernel would. Returns the highest, in MiB.
pub(super) async fn memory(scene: &Scene, lasting: Duration) -> Result<u64> {
    let (begun, pid) = (Instant::now(), scene.pid().await?);
    let mut highest = 0;
    while begun.elapsed() < lasting {
        highest = Memory::of(pid)?.peak / 1024;
        if highest >= scene.limit {
            scene.cluster.server().await?.process.kill()?;
            bail!("{highest} MiB of memory, and the limit is {} MiB", scene.limit);
        }
        sleep(PAUSE).await;
    }
    Ok(highest)
}

/// Probes again and again, and returns how often.
pub(super) async fn probes(address: &str, lasting: Duration) -> Result<u32> {
    let (begun, mut probes) = (Instant::now(), 0);
    while begun.elapsed() < lasting {
        for path in ["/livez", "/readyz"] {
            let (status, text) =
                timeout(PROBE_TIMEOUT, http(address, path)).await.with_context(|| path.to_owned())??;
            ensure!(status == 200, "{path}: {status} {text}");
            probes += 1;
        }
        sleep(PAUSE).await;
    }
    Ok(probes)
}

/// Makes calls of another user, with a kept connection and with new ones, and opens connections without TLS. Returns how
/// long each took.
pub(super) async fn calls_of_others(scene: &Scene, lasting: Duration) -> Result<[Vec<Duration>; 3]> {
    let (begun, mut latencies, mut opened) = (Instant::now(), [Vec::new(), Vec::new()], Vec::new());
    let dial = || ReplicasServiceClient::new(dial(scene.grpc.clone(), scene.alice.clone()));
    let kept = dial();
    let list = v1::ListReplicaCountsRequest { namespace: scene.healthy.name.clone(), ..Default::default() };
    while begun.elapsed() < lasting {
        let opening = Instant::now();
        timeout(CALL_TIMEOUT, TcpStream::connect(&scene.grpc)).await.context("the queue of connections is full")??;
        opened.push(opening.elapsed());
        let clients = [("kept", kept.clone()), ("new", dial())];
        for ((name, mut client), latencies) in clients.into_iter().zip(&mut latencies) {
            let called = Instant::now();
            let listed = timeout(CALL_TIMEOUT, client.list_replica_counts(list.clone())).await;
            let listed = listed.with_context(|| format!("a call hangs on a {name} connection"))?;
            let listed = listed.with_context(|| format!("a call fails on a {name} connection"))?;
            ensure!(listed.into_inner().replica_counts.len() == MEASURED, "a list is not complete");
            latencies.push(called.elapsed());
        }
        sleep(PAUSE).await;
    }
    let [kept, new] = latencies;
    Ok([kept, new, opened])
}

/// Writes of another user that change a count, and reviews meanwhile.
#[derive(Default)]
pub(super) struct Writes {
    pub(super) latencies: Vec<Duration>,
    /// The answers to reviews of a count that nobody holds, each over a connection of its own. They are posted directly,
    /// because the attack slows the API server.
    pub(super) free_reviews: Vec<Duration>,
    /// The answers to reviews of a held count.
    pub(super) held_reviews: Vec<Duration>,
    /// The API server's calls of the webhooks that took at most a tenth of a second, and all.
    pub(super) quick: u64,
    pub(super) calls: u64,
}

/// Changes a count that nobody holds again and again, as a user who is not exempt from the webhooks.
pub(super) async fn writes_of_others(scene: &Scene, lasting: Duration) -> Result<Writes> {
    let Some(address) = &scene.admission else { return Ok(Writes::default()) };
    callers::create_editors(scene.cluster).await?;
    let free = Namespace::new(scene.cluster, "free").await?;
    free.create(&Workload::deployment("web").replicas(1).without_pods()).await?;
    let web: Api<Deployment> = Api::namespaced(callers::editor(scene.cluster, "bob").await?, &free.name);
    let path = admission::secret_path(scene.cluster).await?;
    let review = |deployment: &Value| admission::review(deployment, 2, "bob").to_string().into_bytes();
    let free_review = review(&free.get("deployment/web").await?);
    // Nobody changes this one.
    let others: Api<Deployment> = Api::namespaced(scene.client.clone(), &team(0));
    let held_review = review(&serde_json::to_value(others.get(&application(0)).await?)?);
    let post = async |review: &[u8]| {
        let asked = Instant::now();
        let (status, answer) = admission::post(scene.cluster, address, &path, review.to_vec()).await?;
        ensure!(status == 200, "{status}: {answer}");
        anyhow::Ok((asked.elapsed(), answer))
    };
    let (quick, calls) = admission::quick_calls(scene.cluster).await?;
    let (begun, mut writes) = (Instant::now(), Writes::default());
    for count in (2..4).cycle() {
        if begun.elapsed() >= lasting {
            break;
        }
        let written = Instant::now();
        let change = Patch::Merge(json!({"spec": {"replicas": count}}));
        web.patch("web", &PatchParams::default(), &change).await.context("a write of others fails")?;
        writes.latencies.push(written.elapsed());
        let (took, answer) = post(&free_review).await?;
        ensure!(answer["response"]["allowed"] == true, "{answer}");
        writes.free_reviews.push(took);
        // A refusal, or a patch with the held count.
        writes.held_reviews.push(post(&held_review).await?.0);
        sleep(PAUSE).await;
    }
    let (quick_now, calls_now) = admission::quick_calls(scene.cluster).await?;
    ensure!(calls_now > calls, "the webhooks were not called");
    Ok(Writes { quick: quick_now - quick, calls: calls_now - calls, ..writes })
}

/// The latencies of corrections.
#[derive(Default)]
pub(super) struct Latencies {
    /// Of the server.
    pub(super) ours: Vec<Duration>,
    /// Of a client that only watches and patches.
    pub(super) bare: Vec<Duration>,
}

/// The measurement of corrections.
pub(super) struct Corrections {
    ours: Measured,
    bare: Measured,
}

impl Corrections {
    /// Starts the bare client.
    pub(super) async fn start(scene: &Scene) -> Result<Self> {
        start_bare(scene).await?;
        Ok(Self {
            ours: Measured { client: scene.client.clone(), namespace: scene.healthy.name.clone() },
            bare: Measured { client: scene.client.clone(), namespace: scene.bare.name.clone() },
        })
    }

    /// Causes drifts for both in turn.
    pub(super) async fn measure(&self, lasting: Duration) -> Result<Latencies> {
        let (begun, mut latencies) = (Instant::now(), Latencies::default());
        let (mut ours, mut bare) = (self.ours.watch().await?, self.bare.watch().await?);
        for name in names("web", MEASURED).iter().cycle() {
            if begun.elapsed() >= lasting {
                break;
            }
            latencies.ours.push(self.ours.correction(&mut ours, name).await.context("of the server")?);
            latencies.bare.push(self.bare.correction(&mut bare, name).await.context("of the bare client")?);
            sleep(PAUSE / 2).await;
        }
        Ok(latencies)
    }
}

/// The states of Deployments, as a watch delivers them.
type States = mpsc::UnboundedReceiver<(String, Option<i32>, Instant)>;

/// A namespace whose drifts are corrected.
struct Measured {
    client: Client,
    namespace: String,
}

impl Measured {
    fn api(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Watches the counts. The task ends when the receiver does.
    async fn watch(&self) -> Result<States> {
        let (sender, states) = mpsc::unbounded_channel();
        let api = self.api();
        let mut version = api.list(&ListParams::default()).await?.metadata.resource_version.unwrap_or_default();
        tokio::spawn(async move {
            loop {
                let mut events = api.watch(&WatchParams::default(), &version).await?.boxed();
                while let Some(event) = events.try_next().await? {
                    let WatchEvent::Modified(one) = event else { continue };
                    version = one.resource_version().unwrap_or_default();
                    let replicas = one.spec.as_ref().and_then(|spec| spec.replicas);
                    if sender.send((one.name_any(), replicas, Instant::now())).is_err() {
                        return Ok::<_, anyhow::Error>(());
                    }
                }
            }
        });
        Ok(states)
    }

    /// Causes a drift, and returns how long after it the correction was seen.
    async fn correction(&self, states: &mut States, name: &str) -> Result<Duration> {
        let drift = Patch::Merge(json!({"spec": {"replicas": 2}}));
        self.api().patch_scale(name, &PatchParams::default(), &drift).await?;
        let corrected = async {
            let mut drifted = None;
            while let Some((of, replicas, at)) = states.recv().await {
                match (replicas, drifted) {
                    _ if of != name => {}
                    (Some(2), None) => drifted = Some(at),
                    (Some(1), Some(drifted)) => return Ok(at - drifted),
                    _ => {}
                }
            }
            bail!("the watch has ended")
        };
        timeout(PATIENCE, corrected).await.context("no correction")?
    }
}

/// Runs a client that restores the counts of its namespace, in a thread of its own.
async fn start_bare(scene: &Scene) -> Result<()> {
    let (kubeconfig, namespace) = (scene.cluster.control_plane.kubeconfig(), scene.bare.name.clone());
    let (ready, is_ready) = oneshot::channel();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    thread::spawn(move || runtime.block_on(restore(kubeconfig, namespace, ready)));
    is_ready.await.context("the bare client has failed")
}

async fn restore(kubeconfig: PathBuf, namespace: String, ready: oneshot::Sender<()>) -> Result<()> {
    let api: Api<Deployment> = Api::namespaced(client(&kubeconfig).await?, &namespace);
    let mut version = api.list(&ListParams::default()).await?.metadata.resource_version.unwrap_or_default();
    let mut ready = Some(ready);
    loop {
        let mut events = api.watch(&WatchParams::default(), &version).await?.boxed();
        ready.take().map(|ready| ready.send(()));
        while let Some(event) = events.try_next().await? {
            let WatchEvent::Modified(one) = event else { continue };
            version = one.resource_version().unwrap_or_default();
            if one.spec.as_ref().and_then(|spec| spec.replicas) == Some(1) {
                continue;
            }
            let (api, name) = (api.clone(), one.name_any());
            tokio::spawn(async move {
                let patch = Patch::Merge(json!({"spec": {"replicas": 1}}));
                api.patch_scale(&name, &PatchParams::default(), &patch).await.map(drop)
            });
        }
    }
}
