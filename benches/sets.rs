//! Sets by concurrent callers, compared with plain writes.

use anyhow::Result;
use contract::replicas::v1;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use replica_count_manager::resources::{FIELD_MANAGER, ReplicaCount};
use serde_json::json;

use crate::{
    CALLERS,
    bench_cluster::{BenchCluster, Clients},
    calls::Calls,
    deployments::{self, REPLICAS},
    observer::Observer,
    plot::{Curve, Plot},
    report::{Promise, Section, Table},
};

/// Deployments, each with its ReplicaCount.
const DEPLOYMENTS: usize = 640;

/// Rounds of Sets and of plain writes. Each kind is first in every other round, because later writes take longer: the
/// histories in the objects grow.
const CREATIONS: usize = 12;
const UPDATES: usize = 20;

pub(crate) async fn run() -> Result<Section> {
    let cluster = BenchCluster::start().await?;
    cluster.deployments().await?.create(0..DEPLOYMENTS).await?;
    let server = cluster.server().await?;
    let clients = cluster.clients(&server, CALLERS).await?;
    let observer = Observer::start(cluster.client.clone(), DEPLOYMENTS).await?;
    let bench = Bench { cluster: &cluster, clients, observer };
    let mut new = Comparison::of("Set, new", "create");
    let mut known = Comparison::of("Set, known", "merge patch");
    let settled = async |calls: Calls, replicas| bench.settle(replicas).await.map(|()| calls);
    let deleted = async |calls: Calls| bench.delete().await.map(|()| calls);
    for round in 0..CREATIONS {
        let set = async |_| deleted(settled(bench.set(REPLICAS).await?, REPLICAS).await?).await;
        let create = async |_| deleted(settled(bench.create().await?, REPLICAS).await?).await;
        new.add(in_turns(round, set, create).await?);
    }
    bench.create().await?;
    bench.settle(REPLICAS).await?;
    for round in 0..UPDATES {
        let set = async |replicas| settled(bench.set(replicas).await?, replicas).await;
        let patch = async |replicas| settled(bench.patch(replicas).await?, replicas).await;
        known.add(in_turns(round, set, patch).await?);
    }
    Ok(section([new, known]))
}

/// Makes the Sets and the plain writes of a round, each with another count.
async fn in_turns(
    round: usize,
    set: impl AsyncFn(i32) -> Result<Calls>,
    plain: impl AsyncFn(i32) -> Result<Calls>,
) -> Result<[Calls; 2]> {
    let first = REPLICAS + 1 + 2 * round as i32;
    if round.is_multiple_of(2) {
        let plain = plain(first).await?;
        return Ok([set(first + 1).await?, plain]);
    }
    Ok([set(first).await?, plain(first + 1).await?])
}

/// The callers of the server and of the API server.
struct Bench<'a> {
    cluster: &'a BenchCluster,
    clients: Clients,
    observer: Observer,
}

impl Bench<'_> {
    fn counts(&self, index: usize) -> Api<ReplicaCount> {
        Api::namespaced(self.cluster.client.clone(), &deployments::namespace(index))
    }

    async fn set(&self, replicas: i32) -> Result<Calls> {
        Calls::make(0..DEPLOYMENTS, CALLERS, async |index| {
            let target = Some(deployments::target(index));
            let request = v1::SetReplicaCountRequest { target, replicas: Some(replicas), ..Default::default() };
            self.clients.next().set_replica_count(request).await?;
            Ok(())
        })
        .await
    }

    async fn create(&self) -> Result<Calls> {
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        Calls::make(0..DEPLOYMENTS, CALLERS, async |index| {
            self.counts(index).create(&parameters, &deployments::replica_count(&deployments::name(index))).await?;
            Ok(())
        })
        .await
    }

    async fn patch(&self, replicas: i32) -> Result<Calls> {
        let (parameters, patch) =
            (PatchParams::apply(FIELD_MANAGER), Patch::Merge(json!({"spec": {"replicas": replicas}})));
        Calls::make(0..DEPLOYMENTS, CALLERS, async |index| {
            let name = deployments::replica_count_name(&deployments::name(index));
            self.counts(index).patch(&name, &parameters, &patch).await?;
            Ok(())
        })
        .await
    }

    async fn delete(&self) -> Result<()> {
        Calls::make(0..DEPLOYMENTS, CALLERS, async |index| {
            let name = deployments::replica_count_name(&deployments::name(index));
            self.counts(index).delete(&name, &DeleteParams::default()).await?;
            Ok(())
        })
        .await
        .map(drop)
    }

    /// Waits until the server has corrected every count, written its status and given the ownership back.
    async fn settle(&self, replicas: i32) -> Result<()> {
        self.cluster.wait_for_replica_counts(DEPLOYMENTS, is_in_place).await?;
        self.observer.wait_until_settled(DEPLOYMENTS, replicas).await
    }
}

fn is_in_place(count: &ReplicaCount) -> bool {
    count.status.as_ref().is_some_and(|status| {
        status.observed_generation == count.metadata.generation && status.observed == Some(count.spec.replicas)
    })
}

/// A kind of Set, and the plain write that does the same.
struct Comparison {
    name: &'static str,
    ours: Calls,
    plain_name: &'static str,
    plain: Calls,
    /// The rate of the Sets of each round, in percent of that of its plain writes.
    percents: Vec<f64>,
}

impl Comparison {
    fn of(name: &'static str, plain_name: &'static str) -> Self {
        Self { name, ours: Calls::default(), plain_name, plain: Calls::default(), percents: Vec::new() }
    }

    /// Adds the Sets and the plain writes of a round.
    fn add(&mut self, [ours, plain]: [Calls; 2]) {
        self.percents.push(100.0 * ours.rate() / plain.rate());
        self.ours.add(ours);
        self.plain.add(plain);
    }

    /// The median of the rounds. A pause of the machine or of the API server slows only one side of a round, and so
    /// would distort a sum.
    fn percent(&self) -> f64 {
        let mut percents = self.percents.clone();
        percents.sort_unstable_by(f64::total_cmp);
        let middle = percents.len() / 2;
        (percents[middle] + percents[(percents.len() - 1) / 2]) / 2.0
    }
}

fn section(comparisons: [Comparison; 2]) -> Section {
    let rows = comparisons.each_ref().map(|comparison| {
        let row =
            |name: &str, calls: &Calls, share| [vec![name.to_owned()], calls.cells().into(), vec![share]].concat();
        let share = format!("{:.0} %", comparison.percent());
        [row(comparison.name, &comparison.ours, share), row(comparison.plain_name, &comparison.plain, String::new())]
    });
    let curve = |name: &str, calls: &Calls| Curve { name: name.to_owned(), points: calls.samples().distribution() };
    Section {
        title: "Set",
        about: format!(
            "{CALLERS} callers, each with a connection of its own, set the counts of {DEPLOYMENTS} Deployments, once as new \
             ReplicaCounts ({CREATIONS} rounds) and once as known ones to another count ({UPDATES} rounds). A Set \
             answers once the API server has stored it; it asks the API server whether the caller may. Compared with a \
             plain client that creates and patches the same objects as an administrator, each first in every \
             other round; the share is the median of the rounds. The server puts every count in place meanwhile, in both cases."
        ),
        table: Table { head: vec!["", "rate", "median", "p99", "of the plain rate"], rows: rows.concat() },
        promises: comparisons
            .each_ref()
            .map(|comparison| {
                let (what, unit) = (format!("rate of {}", comparison.name), format!(" % of {}", comparison.plain_name));
                Promise::at_least(&what, 80.0, &unit, comparison.percent())
            })
            .into(),
        plots: vec![Plot::latencies(
            "sets",
            "Sets by 64 callers",
            comparisons
                .iter()
                .flat_map(|Comparison { name, ours, plain_name, plain, .. }| {
                    [curve(name, ours), curve(plain_name, plain)]
                })
                .collect(),
        )],
    }
}
