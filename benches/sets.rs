//! Sets by many callers.

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
    calls::Calls,
    fleet::{self, REPLICAS},
    observer::Observer,
    plot::{Curve, Plot},
    report::{Promise, Section, Table},
    stage::{Clients, Stage},
};

/// Deployments, each with its ReplicaCount.
const MEMBERS: usize = 640;

/// Rounds of Sets and of plain calls, alternating.
const CREATIONS: usize = 6;
const UPDATES: usize = 4;

pub(crate) async fn run() -> Result<Section> {
    let stage = Stage::start().await?;
    stage.fleet().await?.grow(0..MEMBERS).await?;
    let server = stage.server().await?;
    let clients = stage.clients(&server, CALLERS).await?;
    let observer = Observer::start(stage.client.clone(), MEMBERS).await?;
    let bench = Bench { stage: &stage, clients, observer };
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

/// The callers, who begin when all before is done.
struct Bench<'a> {
    stage: &'a Stage,
    clients: Clients,
    observer: Observer,
}

impl Bench<'_> {
    fn counts(&self, member: usize) -> Api<ReplicaCount> {
        Api::namespaced(self.stage.client.clone(), &fleet::namespace(member))
    }

    async fn set(&self, replicas: i32) -> Result<Calls> {
        Calls::make(0..MEMBERS, CALLERS, async |member| {
            let target = Some(fleet::target(member));
            let request = v1::SetReplicaCountRequest { target, replicas: Some(replicas), ..Default::default() };
            self.clients.next().set_replica_count(request).await?;
            Ok(())
        })
        .await
    }

    async fn create(&self) -> Result<Calls> {
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        Calls::make(0..MEMBERS, CALLERS, async |member| {
            self.counts(member).create(&parameters, &fleet::replica_count(&fleet::name(member))).await?;
            Ok(())
        })
        .await
    }

    async fn patch(&self, replicas: i32) -> Result<Calls> {
        let (parameters, patch) =
            (PatchParams::apply(FIELD_MANAGER), Patch::Merge(json!({"spec": {"replicas": replicas}})));
        Calls::make(0..MEMBERS, CALLERS, async |member| {
            let name = fleet::count_name(&fleet::name(member));
            self.counts(member).patch(&name, &parameters, &patch).await?;
            Ok(())
        })
        .await
    }

    async fn delete(&self) -> Result<()> {
        Calls::make(0..MEMBERS, CALLERS, async |member| {
            let name = fleet::count_name(&fleet::name(member));
            self.counts(member).delete(&name, &DeleteParams::default()).await?;
            Ok(())
        })
        .await
        .map(drop)
    }

    /// Waits until the server has put every count in place, told of it and given it back.
    async fn settle(&self, replicas: i32) -> Result<()> {
        self.stage.counts_are(MEMBERS, is_in_place).await?;
        self.observer.settled(MEMBERS, replicas).await
    }
}

fn is_in_place(count: &ReplicaCount) -> bool {
    count.status.as_ref().is_some_and(|status| {
        status.observed_generation == count.metadata.generation && status.observed == Some(count.spec.replicas)
    })
}

fn section([set_new, create, set_old, patch]: [Calls; 4]) -> Section {
    let pairs = [("Set, new", &set_new, "create", &create), ("Set, known", &set_old, "merge patch", &patch)];
    let percent = |ours: &Calls, plain: &Calls| 100.0 * ours.rate() / plain.rate();
    let rows = pairs.map(|(name, ours, plain_name, plain)| {
        let row =
            |name: &str, calls: &Calls, share| [vec![name.to_owned()], calls.cells().into(), vec![share]].concat();
        [row(name, ours, format!("{:.0} %", percent(ours, plain))), row(plain_name, plain, String::new())]
    });
    let curve = |name: &str, calls: &Calls| Curve { name: name.to_owned(), points: calls.samples().distribution() };
    Section {
        title: "Set",
        about: format!(
            "{CALLERS} callers, each with a connection of its own, set the counts of {MEMBERS} Deployments, once as new \
             ReplicaCounts ({CREATIONS} rounds) and once as known ones to another count ({UPDATES} rounds). A Set \
             answers once the API server has stored it; it asks the API server whether the caller may. Compared with a \
             plain client that creates and patches the same objects as an administrator, in turns. The server puts \
             every count in place meanwhile, in both cases."
        ),
        table: Table { head: vec!["", "rate", "median", "p99", "of the plain rate"], rows: rows.concat() },
        promises: pairs
            .map(|(name, ours, plain_name, plain)| {
                let what = format!("rate of {name}");
                Promise::at_least(&what, 80.0, &format!(" % of {plain_name}"), percent(ours, plain))
            })
            .into(),
        plots: vec![Plot::latencies(
            "sets",
            "Sets by 64 callers",
            pairs
                .iter()
                .flat_map(|(name, ours, plain_name, plain)| [curve(name, ours), curve(plain_name, plain)])
                .collect(),
        )],
    }
}
