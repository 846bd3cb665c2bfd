//! All places that speak of a target, read at one moment.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use contract::replicas::v1;
use futures::future::try_join_all;
use hyper::{Request, header::ACCEPT};
use k8s_openapi::api::events::v1::Event;
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, ListParams},
};
use replica_count_manager::resources::ReplicaCount;
use serde_json::Value;

use super::{forms::Form, outages::Servers, steps::ExpectedNote};
use support::{Namespace, http, outcome};

/// The form in which kubectl asks for its tables.
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

/// Reads all places.
pub(super) struct Places<'a> {
    shop: &'a Namespace<'a>,
    client: Client,
    counts: Api<ReplicaCount>,
    kinds: [Api<DynamicObject>; 3],
    events: Api<Event>,
}

/// What one replica says.
pub(super) struct Said {
    /// The rows of List, by the target.
    pub(super) listed: BTreeMap<String, v1::ReplicaCount>,
    /// What Get says of each of them.
    pub(super) got: BTreeMap<String, v1::ReplicaCount>,
}

/// The objects in etcd, by the target.
pub(super) struct Objects {
    pub(super) counts: BTreeMap<String, ReplicaCount>,
    pub(super) targets: BTreeMap<String, DynamicObject>,
}

/// What all places say.
pub(super) struct Seen {
    pub(super) objects: Objects,
    /// What the leader and the other replica say.
    pub(super) said: [Said; 2],
    /// The rows of kubectl's table: each cell by its column, by the name of the ReplicaCount.
    pub(super) table: BTreeMap<String, BTreeMap<String, Value>>,
    /// The leader's metrics.
    pub(super) metrics: String,
    events: Vec<Event>,
}

impl Seen {
    /// Checks that there is an Event.
    pub(super) fn check_event(&self, expected: &ExpectedNote) -> Result<()> {
        let found = self.events.iter().any(|event| {
            let regarding = event.regarding.as_ref().and_then(|regarding| regarding.name.as_deref());
            let note = event.note.as_deref().unwrap_or_default();
            event.reason.as_deref() == Some(expected.reason)
                && regarding == Some(&*expected.target)
                && note.starts_with(&expected.begin)
                && note.ends_with(&expected.end)
        });
        ensure!(found, "no {expected:?} among {:?}", self.events.iter().map(|event| &event.note).collect::<Vec<_>>());
        Ok(())
    }
}

impl<'a> Places<'a> {
    pub(super) async fn new(shop: &'a Namespace<'a>) -> Result<Self> {
        let client = shop.cluster.control_plane.client().await?;
        Ok(Self {
            shop,
            counts: Api::namespaced(client.clone(), &shop.name),
            kinds: Form::KINDS.map(|form| Api::namespaced_with(client.clone(), &shop.name, &form.resource(&shop.name))),
            events: Api::namespaced(client.clone(), &shop.name),
            client,
        })
    }

    /// Reads the objects.
    pub(super) async fn objects(&self) -> Result<Objects> {
        let all = ListParams::default();
        let kinds = try_join_all(self.kinds.iter().map(|kind| kind.list(&all)));
        let (counts, kinds) = tokio::try_join!(self.counts.list(&all), kinds)?;
        let counts = counts.items.into_iter().map(|count| (count.spec.scale_target_ref.name.clone(), count));
        let targets = kinds.into_iter().flat_map(|kind| kind.items).map(|target| (target.name_any(), target));
        Ok(Objects { counts: counts.collect(), targets: targets.collect() })
    }

    /// Reads all other places but the plugin.
    pub(super) async fn read(&self, objects: Objects, servers: &Servers) -> Result<Seen> {
        let metrics = servers.leader.process.address("http")?.to_string();
        let all = ListParams::default();
        let (one, other, table, (_, metrics), events) = tokio::try_join!(
            self.ask(servers, 0),
            self.ask(servers, 1),
            self.table(),
            http(&metrics, "/metrics"),
            async { Ok::<_, anyhow::Error>(self.events.list(&all).await?) },
        )?;
        Ok(Seen { objects, said: [one, other], table, metrics, events: events.items })
    }

    async fn ask(&self, servers: &Servers, replica: usize) -> Result<Said> {
        let mut client = servers.clients[replica].clone();
        let list = v1::ListReplicaCountsRequest { namespace: self.shop.name.clone(), ..Default::default() };
        let listed = client.list_replica_counts(list).await?.into_inner().replica_counts;
        let mut said = Said { listed: BTreeMap::new(), got: BTreeMap::new() };
        for count in listed {
            let target = count.target.clone().context("no target")?;
            let get = v1::GetReplicaCountRequest { target: Some(target.clone()), ..Default::default() };
            let got = client.get_replica_count(get).await?.into_inner().replica_count.context("no answer")?;
            said.got.insert(target.name.clone(), got);
            said.listed.insert(target.name, count);
        }
        Ok(said)
    }

    /// The table that kubectl prints, as the API server makes it.
    async fn table(&self) -> Result<BTreeMap<String, BTreeMap<String, Value>>> {
        let path = format!("/apis/replica-count-manager.io/v1/namespaces/{}/replicacounts", self.shop.name);
        let request = Request::get(path).header(ACCEPT, TABLE).body(Vec::new())?;
        let table: Value = self.client.request(request).await?;
        let columns = table["columnDefinitions"].as_array().context("no columns")?;
        let names: Vec<_> = columns.iter().filter_map(|column| column["name"].as_str()).collect();
        let rows = table["rows"].as_array().into_iter().flatten().map(|row| -> Result<_> {
            let cells = row["cells"].as_array().context("no cells")?;
            let name = row["object"]["metadata"]["name"].as_str().context("no name")?;
            let cells = names.iter().zip(cells).map(|(name, cell)| ((*name).to_owned(), cell.clone()));
            Ok((name.to_owned(), cells.collect()))
        });
        rows.collect()
    }

    /// Checks that the table of `kubectl replicas list` says the same as List.
    pub(super) async fn check_plugin(&self, servers: &Servers) -> Result<()> {
        let listed = self.ask(servers, 0).await?.listed;
        let list = ["list", "--namespace", &self.shop.name];
        let shown = outcome(self.shop.cluster.plugin().args(list)).await?;
        let mut expected: Vec<_> = listed.values().map(plugin_row).collect();
        expected.sort();
        let rows = shown.stdout.lines().skip(1).map(|line| {
            let cells = line.split("   ").map(str::trim).filter(|cell| !cell.is_empty());
            let cells: Vec<_> = cells.collect();
            // The last drift ends with its age.
            cells.iter().map(|cell| cell.split(',').next().unwrap_or_default().to_owned()).take(7).collect::<Vec<_>>()
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort();
        ensure!(rows == expected, "the plugin shows {rows:?} and not {expected:?}");
        Ok(())
    }
}

/// The row of the plugin's table without the age of the last drift and without the override.
fn plugin_row(count: &v1::ReplicaCount) -> Vec<String> {
    let target = count.target.clone().unwrap_or_default();
    let number = |number: Option<i32>| number.map_or("-".to_owned(), |number| number.to_string());
    let drift = count.last_drift.as_ref();
    let drift = drift.map_or("-".to_owned(), |drift| format!("{} {}->{}", drift.manager, drift.from(), drift.to()));
    let condition = |type_: &str| count.conditions.iter().find(|condition| condition.r#type == type_);
    let is_true = |type_: &str| condition(type_).is_some_and(|condition| condition.status == "True");
    let status = match (is_true("Contested"), is_true("Ready")) {
        (true, _) => "Contested".to_owned(),
        (_, true) => "Ready".to_owned(),
        _ => condition("Ready").map(|ready| ready.reason.clone()).unwrap_or_default(),
    };
    vec![
        format!("{}.{}/{}", target.kind.to_lowercase(), target.group, target.name),
        number(count.desired),
        number(count.observed),
        number(count.ready),
        count.drifts.to_string(),
        drift,
        status,
    ]
}
