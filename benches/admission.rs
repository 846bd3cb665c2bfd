//! What the webhooks add to writes.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use cluster::{Options, run as command, wait};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    PATIENCE, bench_cluster,
    report::{Promise, Section, Table},
    stats::{Samples, format_duration, millis},
};
use support::{
    Namespace, TestCluster, admission,
    manifests::{ReplicaCountManifest, Workload},
    metric, metric_total, release,
};

/// The numbers of managed targets.
const SIZES: [usize; 3] = [0, 1_000, 10_000];

/// Namespaces of the managed targets.
const TEAMS: usize = 10;

/// Pairs of writes for each kind of write and each size. Single differences vary by milliseconds, and the promise is about
/// tenths of one.
const PAIRS: usize = 4_000;

/// Pairs before these, which are not counted.
const WARM_UP: usize = 200;

/// The server is at rest if it makes no more requests than these within this time. It renews its Lease all the time.
const FEW_REQUESTS: u64 = 10;
const REST: Duration = Duration::from_secs(2);

/// The label of namespaces without webhooks.
const LABEL: &str = "left-out";

/// A kind of write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Write {
    /// A patch that leaves the count alone.
    Other,
    /// A patch of the count, which the mutating and the validating webhook review.
    Count,
    /// A patch of the count through `/scale`, which the validating webhook reviews.
    Scale,
}

impl Write {
    const ALL: [Self; 3] = [Self::Other, Self::Count, Self::Scale];

    const fn name(self) -> &'static str {
        match self {
            Self::Other => "leaves the count alone",
            Self::Count => "changes the count",
            Self::Scale => "changes it through /scale",
        }
    }

    /// Writes for the given time, and returns how long it took. Each number means another write than the one before.
    async fn make(self, api: &Api<Deployment>, number: usize) -> Result<Duration> {
        let (name, parameters) = ("web", PatchParams::default());
        let replicas = json!({"spec": {"replicas": 1 + number % 2}});
        let start = Instant::now();
        match self {
            Self::Other => {
                let annotation = json!({"metadata": {"annotations": {"number": number.to_string()}}});
                api.patch(name, &parameters, &Patch::Merge(annotation)).await.map(drop)?;
            }
            Self::Count => api.patch(name, &parameters, &Patch::Merge(replicas)).await.map(drop)?,
            Self::Scale => api.patch_scale(name, &parameters, &Patch::Merge(replicas)).await.map(drop)?,
        }
        Ok(start.elapsed())
    }
}

/// Pairs of writes: without webhooks, and with them.
struct Pairs {
    size: usize,
    write: Write,
    without: Samples,
    with: Samples,
    /// The median of what the webhooks add to the other write of the pair, in milliseconds.
    added: f64,
}

pub(crate) async fn run() -> Result<Section> {
    let server = release::program("replica-count-manager")?;
    let selector = json!({"matchExpressions": [{"key": LABEL, "operator": "DoesNotExist"}]});
    let selector = format!("--set-json=admission.namespaceSelector={selector}");
    let cluster = TestCluster::start_with_admission(Options::default(), &server, "guard", &[&selector]).await?;
    admission::wait_until_in_force(&cluster).await?;
    let [without, with] = [Namespace::new(&cluster, "without").await?, Namespace::new(&cluster, "with").await?];
    without.kubectl(&["label", "namespace", &without.name, &format!("{LABEL}=yes")]).await?;
    let client = bench_cluster::client(&cluster.control_plane.kubeconfig()).await?;
    let mut apis = Vec::new();
    for namespace in [&without, &with] {
        namespace.create(&Workload::deployment("web").replicas(1).without_pods()).await?;
        apis.push(Api::<Deployment>::namespaced(Client::clone(&client), &namespace.name));
    }
    check_reviews(&cluster, &apis).await?;
    let mut managed = Managed::new(&cluster).await?;
    let mut all = Vec::new();
    for size in SIZES {
        managed.grow_to(size).await?;
        for write in Write::ALL {
            all.push(measure(&apis[0], &apis[1], size, write).await?);
        }
    }
    Ok(section(&all))
}

/// Checks that the webhooks review the writes of one namespace only.
async fn check_reviews(cluster: &TestCluster, apis: &[Api<Deployment>]) -> Result<()> {
    for (api, expected) in apis.iter().zip([0, 2]) {
        wait::until(&format!("{expected} reviews of a write"), PATIENCE, async || {
            let before = admission::reviews(cluster).await?;
            for number in [0, 1] {
                Write::Count.make(api, number).await?;
            }
            let reviews = admission::reviews(cluster).await? - before;
            ensure!(reviews >= expected && (expected > 0) == (reviews > 0), "there were {reviews}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// Makes pairs of writes. Each of the two is the first one in turn.
async fn measure(without: &Api<Deployment>, with: &Api<Deployment>, size: usize, write: Write) -> Result<Pairs> {
    let (mut off, mut on, mut added) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..WARM_UP + PAIRS {
        let (one, other) = if number % 2 == 0 {
            let one = write.make(without, number).await?;
            (one, write.make(with, number).await?)
        } else {
            let other = write.make(with, number).await?;
            (write.make(without, number).await?, other)
        };
        if number >= WARM_UP {
            off.push(one);
            on.push(other);
            added.push(millis(other) - millis(one));
        }
    }
    added.sort_unstable_by(f64::total_cmp);
    let added = added.get(PAIRS / 2).copied().unwrap_or_default();
    Ok(Pairs { size, write, without: Samples::new(off), with: Samples::new(on), added })
}

/// Targets that are managed, as copies of one that is at rest.
struct Managed<'a> {
    cluster: &'a TestCluster,
    deployment: Value,
    count: Value,
    /// How many there are, beside the original.
    size: usize,
}

impl<'a> Managed<'a> {
    async fn new(cluster: &'a TestCluster) -> Result<Self> {
        let shop = Namespace::new(cluster, "original").await?;
        shop.create(&Workload::deployment("original").replicas(1).without_pods()).await?;
        let count = ReplicaCountManifest::deployment("original");
        shop.kubectl_with(&["create", "--filename=-"], &count.manifest()).await?;
        let is_guarded = |count: &Value| count["status"]["admission"] == "guarded";
        shop.wait_for_replica_count("deployment.original", "a guarded count", is_guarded).await?;
        let count = shop.get("replicacount/deployment.original").await?;
        let deployment = wait::until("the original at rest", PATIENCE, async || {
            let deployment = shop.get("deployment/original").await?;
            ensure!(deployment["status"]["observedGeneration"] == deployment["metadata"]["generation"], "{deployment}");
            Ok(deployment)
        })
        .await?;
        for team in 0..TEAMS {
            command(cluster.kubectl().args(["create", "namespace", &format!("team-{team}")])).await?;
        }
        Ok(Self { cluster, deployment, count, size: 0 })
    }

    /// Stores more targets, and waits until the server knows them and has nothing more to do.
    async fn grow_to(&mut self, size: usize) -> Result<()> {
        let control_plane = &self.cluster.control_plane;
        let place = |copy: &mut Value, number: usize, name: String| {
            copy["metadata"]["namespace"] = format!("team-{}", number % TEAMS).into();
            copy["metadata"]["name"] = name.into();
        };
        let deployments = (self.size..size).map(|number| {
            let mut copy = self.deployment.clone();
            place(&mut copy, number, format!("application-{number}"));
            Ok(copy)
        });
        control_plane.populate("deployments", deployments).await?;
        let counts = (self.size..size).map(|number| {
            let mut copy = self.count.clone();
            place(&mut copy, number, format!("deployment.application-{number}"));
            copy["spec"]["scaleTargetRef"]["name"] = format!("application-{number}").into();
            Ok(copy)
        });
        control_plane.populate("replica-count-manager.io/replicacounts", counts).await?;
        self.size = size;
        wait::until("a server at rest", PATIENCE, async || {
            let metrics = async || Ok::<_, anyhow::Error>(self.cluster.http("/metrics").await?.1);
            let before = metrics().await?;
            let managed = metric(&before, "managed_targets")?;
            ensure!(managed == size as u64 + 1, "it manages {managed} targets");
            sleep(REST).await;
            let requests = |metrics: &str| metric_total(metrics, "apiserver_requests_total");
            let more = requests(&metrics().await?)? - requests(&before)?;
            ensure!(more <= FEW_REQUESTS, "it made {more} requests");
            Ok(())
        })
        .await
    }
}

fn section(all: &[Pairs]) -> Section {
    let row = |pairs: &Pairs| {
        let Pairs { size, write, without, with, added } = pairs;
        let [off, off_p99] = [50, 99].map(|percent| format_duration(without.percentile(percent)));
        let [on, on_p99] = [50, 99].map(|percent| format_duration(with.percentile(percent)));
        vec![size.to_string(), write.name().to_owned(), off, on, format!("{added:+.2} ms"), off_p99, on_p99]
    };
    let most = |is: &dyn Fn(Write) -> bool| {
        all.iter().filter(|pairs| is(pairs.write)).map(|pairs| pairs.added).fold(0.0, f64::max)
    };
    Section {
        title: "What admission adds to writes",
        about: format!(
            "The time of a write until the API server's answer, in the mode guard. Each write to a Deployment that is not \
             held has a partner in a namespace that the webhooks leave out, so that both meet the same machine: {PAIRS} \
             pairs, each of the two first in turn. The added time is the median of the pairs' differences; the p99 stands \
             beside it without a promise. The API server's calls pass through the proxy that stands in for kube-proxy in \
             the tests, which copies each byte twice."
        ),
        table: Table {
            head: vec!["managed", "the write", "off", "guard", "added", "p99 off", "p99 guard"],
            rows: all.iter().map(row).collect(),
        },
        promises: vec![
            Promise::at_most(
                "added to a write that leaves the count alone",
                0.2,
                " ms",
                most(&|write| write == Write::Other),
            ),
            Promise::at_most("added to a write that changes it", 3.0, " ms", most(&|write| write != Write::Other)),
        ],
        plots: Vec::new(),
    }
}
