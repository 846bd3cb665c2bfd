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

/// Rounds of Sets and of plain writes, alternating.
const CREATIONS: usize = 6;
const UPDATES: usize = 10;

pub(crate) async fn run() -> Result<Section> {
    let cluster = BenchCluster::start().await?;
    cluster.deployments().await?.create(0..DEPLOYMENTS).await?;
    let server = cluster.server().await?;
    let clients = cluster.clients(&server, CALLERS).await?;
    let observer = Observer::start(cluster.client.clone(), DEPLOYMENTS).await?;
    let bench = Bench { cluster: &cluster, clients, observer };
    let [mut set_new, mut create, mut set_old, mut patch] = std::array::from_fn(|_| Calls::default());
    for round in 0..CREATIONS {
        create.add(bench.create().await?);
        bench.settle(REPLICAS).await?;
        bench.delete().await?;
        set_new.add(bench.set(REPLICAS).await?);
        bench.settle(REPLICAS).await?;
        if round + 1 < CREATIONS {
            bench.delete().await?;
        }
    }
    for round in 0..UPDATES {
        let replicas = REPLICAS + 1 + 2 * round as i32;
        patch.add(bench.patch(replicas).await?);
        bench.settle(replicas).await?;
        set_old.add(bench.set(replicas + 1).await?);
        bench.settle(replicas + 1).await?;
    }
    Ok(section([set_new, create, set_old, patch]))
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
#[derive(Clone, Copy)]
struct Comparison<'a> {
    name: &'static str,
    ours: &'a Calls,
    plain_name: &'static str,
    plain: &'a Calls,
}

fn section([set_new, create, set_old, patch]: [Calls; 4]) -> Section {
    let comparisons = [
        Comparison { name: "Set, new", ours: &set_new, plain_name: "create", plain: &create },
        Comparison { name: "Set, known", ours: &set_old, plain_name: "merge patch", plain: &patch },
    ];
    let percent = |ours: &Calls, plain: &Calls| 100.0 * ours.rate() / plain.rate();
    let rows = comparisons.map(|Comparison { name, ours, plain_name, plain }| {
        let row =
            |name: &str, calls: &Calls, share| [vec![name.to_owned()], calls.cells().into(), vec![share]].concat();
        [row(name, ours, format!("{:.0} %", percent(ours, plain))), row(plain_name, plain, String::new())]
    });
    let curve = |name: &str, calls: &Calls| Curve { name: name.to_owned(), points: calls.samples().distribution() };
    Section {
        title: "Set",
        about: format!(
            "{CALLERS} callers, each with a connection of its own, set the counts of {DEPLOYMENTS} Deployments, once as new \
             ReplicaCounts ({CREATIONS} rounds) and once as known ones to another count ({UPDATES} rounds). A Set \
             answers once the API server has stored it; it asks the API server whether the caller may. Compared with a \
             plain client that creates and patches the same objects as an administrator, in turns. The server puts \
             every count in place meanwhile, in both cases."
        ),
        table: Table { head: vec!["", "rate", "median", "p99", "of the plain rate"], rows: rows.concat() },
        promises: comparisons
            .map(|Comparison { name, ours, plain_name, plain }| {
                let what = format!("rate of {name}");
                Promise::at_least(&what, 80.0, &format!(" % of {plain_name}"), percent(ours, plain))
            })
            .into(),
        plots: vec![Plot::latencies(
            "sets",
            "Sets by 64 callers",
            comparisons
                .iter()
                .flat_map(|Comparison { name, ours, plain_name, plain }| [curve(name, ours), curve(plain_name, plain)])
                .collect(),
        )],
    }
}
