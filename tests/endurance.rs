//! Endless drifts do not increase the server's memory, the entries of managedFields or the number of Events.

use std::{env, fmt};

use anyhow::{Context, Result, ensure};
use cluster::{Options, wait};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::{apps::v1::Deployment, events::v1::Event};
use kube::{
    Api, Client,
    api::{ListParams, Patch, PatchParams},
};
use replica_count_manager::resources::{ReplicaCount, ReplicaCountStatus};
use serde_json::json;
use tokio::time::Instant;

use support::{
    Memory, Namespace, PATIENCE, TestCluster,
    manifests::{ReplicaCountManifest, Workload, all, names},
};

/// The number of drifts, unless the environment variable `DRIFTS` sets another.
const DRIFTS: usize = 100_000;

/// The number of targets that drift, one after another.
const TARGETS: usize = 200;

/// Concurrent writes of drifts.
const WRITERS: usize = 16;

/// The number of field managers that cause drifts, in turn.
const MANAGERS: usize = 2;

/// How many drifts of a target one field manager causes in a row. They take longer than the 5 s between two corrections
/// of a contested target. Otherwise one manager could always write between the corrections; a manager that was not
/// named for 6 minutes gets another Event.
const IN_A_ROW: usize = 5;

/// The number of counts that are written, in turn. All differ from the desired count.
const COUNTS: usize = 5;

/// The figures that could grow, measured while all targets have their counts.
struct Figures {
    memory: Memory,
    /// The server's open files. Most are connections, which need memory too.
    files: usize,
    /// The number of Events in the namespace.
    events: usize,
    /// The most entries of managedFields of a target.
    entries: usize,
    /// The number of targets whose status has a drift.
    drifted: usize,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { memory: Memory { resident, peak }, files, events, entries, drifted } = self;
        write!(f, "{resident} KiB of memory, {peak} at most; {files} open files; {events} Events; ")?;
        write!(f, "up to {entries} entries of managedFields; {drifted} targets have drifts")
    }
}

struct Targets<'a> {
    shop: &'a Namespace<'a>,
    client: Client,
    deployments: Api<Deployment>,
    names: Vec<String>,
}

impl<'a> Targets<'a> {
    /// Creates the targets. Half of them have an applier, which gets the ownership back after each correction.
    async fn new(shop: &'a Namespace<'a>) -> Result<Self> {
        let names = names("web", TARGETS);
        let (applied, created) = names.split_at(TARGETS / 2);
        let deployment = |name: &str| Workload::deployment(name).replicas(1).without_pods().manifest();
        let apply = ["apply", "--server-side", "--field-manager=deployer", "--filename=-"];
        shop.kubectl_with(&apply, &all(applied, deployment)).await?;
        shop.create_all(created, deployment).await?;
        shop.create_all(&names, |name| ReplicaCountManifest::deployment(name).replicas(1).manifest()).await?;
        let client = shop.cluster.control_plane.client().await?;
        let deployments = Api::namespaced(client.clone(), &shop.name);
        let targets = Self { shop, client, deployments, names };
        wait::until("all targets in place", PATIENCE, async || {
            let placed = targets.statuses().await?.iter().filter(|status| status.observed == Some(1)).count();
            ensure!(placed == TARGETS, "{placed} are");
            Ok(())
        })
        .await?;
        Ok(targets)
    }

    /// Writes drifts by their numbers: one target after another, each time with another count.
    async fn drift(&self, numbers: std::ops::Range<usize>) -> Result<()> {
        let writes = stream::iter(numbers).map(|number| async move {
            let (round, target) = (number / TARGETS, number % TARGETS);
            let manager = PatchParams::apply(&format!("drifter-{}", round / IN_A_ROW % MANAGERS));
            let drift = Patch::Merge(json!({"spec": {"replicas": 2 + round % COUNTS}}));
            self.deployments.patch_scale(&self.names[target], &manager, &drift).await.map(drop)
        });
        Ok(writes.buffer_unordered(WRITERS).try_collect().await?)
    }

    /// Waits until all drifts are corrected, and measures.
    async fn measure(&self, pid: u32) -> Result<Figures> {
        let deployments = wait::until("all targets put back", PATIENCE, async || {
            let all = self.deployments.list(&ListParams::default()).await?.items;
            let away = all.iter().filter(|one| one.spec.as_ref().and_then(|spec| spec.replicas) != Some(1)).count();
            ensure!(away == 0, "{away} are not");
            Ok(all)
        })
        .await?;
        let entries = deployments.iter().map(|one| one.metadata.managed_fields.iter().flatten().count());
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.shop.name);
        Ok(Figures {
            memory: Memory::of(pid)?,
            files: std::fs::read_dir(format!("/proc/{pid}/fd"))?.count(),
            events: events.list_metadata(&ListParams::default()).await?.items.len(),
            entries: entries.max().context("no Deployment")?,
            drifted: self.statuses().await?.iter().filter(|status| status.drifts > 0).count(),
        })
    }

    /// The statuses of all ReplicaCounts.
    async fn statuses(&self) -> Result<Vec<ReplicaCountStatus>> {
        let counts: Api<ReplicaCount> = Api::namespaced(self.client.clone(), &self.shop.name);
        let counts = counts.list(&ListParams::default()).await?;
        Ok(counts.items.into_iter().filter_map(|count| count.status).collect())
    }
}

#[tokio::test]
#[ignore = "its 100,000 drifts take 20 minutes: make stress"]
async fn endless_drifts_grow_neither_memory_nor_events_nor_managed_fields() -> Result<()> {
    let drifts = env::var("DRIFTS").ok().map_or(Ok(DRIFTS), |number| number.parse()).context("DRIFTS is no number")?;
    let cluster = TestCluster::start(Options::default()).await?;
    let shop = Namespace::new(&cluster, "endurance").await?;
    let targets = Targets::new(&shop).await?;
    let server = cluster.server().await?.process;
    let (pid, begun) = (server.pid()?, Instant::now());
    let mut tenths = Vec::new();
    for tenth in 0..10 {
        targets.drift(drifts * tenth / 10..drifts * (tenth + 1) / 10).await?;
        let figures = targets.measure(pid).await?;
        println!("{} drifts after {:?}: {figures}", drifts * (tenth + 1) / 10, begun.elapsed());
        tenths.push(figures);
    }
    let (first, last) = (tenths.first().context("no first")?, tenths.last().context("no last")?);
    ensure!(first.drifted == TARGETS, "the server has never reported some targets");
    ensure!(last.memory.resident * 10 <= first.memory.resident * 11, "the memory grows");
    // One Event for each target and actor, and one for each contested target. In the first tenth, not all of them may
    // exist yet.
    ensure!(last.events <= TARGETS * (MANAGERS + 1), "the Events grow");
    ensure!(last.entries <= first.entries, "managedFields grow");
    wait::until("all drifts in the statuses", PATIENCE, async || {
        let drifted: i64 = targets.statuses().await?.iter().map(|status| status.drifts).sum();
        ensure!(drifted == i64::try_from(drifts)?, "{drifted} are");
        Ok(())
    })
    .await?;
    ensure!(cluster.server().await?.process.pid()? == pid, "the server was restarted");
    Ok(())
}
