//! A steady load of every call, and of drifts.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use cluster::wait;
use contract::replicas::v1::{
    self, replicas_service_client::ReplicasServiceClient, watch_replica_counts_response::Event,
};
use futures::future::try_join_all;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::time::{Instant, interval, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Response, Status, transport::Channel};
use tonic_types::StatusExt;

use support::{Certificate, Namespace, PATIENCE, connect, manifests::names, two_replicas};

/// The interval for reading the ready endpoints.
const REFRESH: Duration = Duration::from_millis(200);

/// The number of callers, and the interval of each caller's rounds. The API server can store this many Sets.
const CALLERS: (usize, Duration) = (8, Duration::from_millis(200));

/// The Gets and Lists for each Set and Watch.
const READS: usize = 3;

/// The watches that stay open until their server ends them.
const WATCHERS: usize = 4;

/// The number of drifting targets, and the interval of drifts. It is too long for a target to become contested.
const DRIFTING: (usize, Duration) = (24, Duration::from_millis(500));

/// Upper bound on the time of a correction.
const CORRECTED: Duration = Duration::from_secs(5);

/// The timeout of a call.
const DEADLINE: Duration = Duration::from_secs(10);

/// The load on one namespace.
pub(super) struct Load<'a> {
    shop: &'a Namespace<'a>,
    kube: Client,
    certificate: Certificate,
    /// One connection for each ready endpoint, by its pod.
    channels: RefCell<BTreeMap<String, Channel>>,
    turn: Cell<usize>,
    calls: RefCell<BTreeMap<&'static str, Calls>>,
    drifts: RefCell<BTreeMap<String, i64>>,
    set: RefCell<BTreeMap<String, i32>>,
    done: CancellationToken,
}

/// The calls of one method.
#[derive(Debug, Default)]
struct Calls {
    made: usize,
    failures: Vec<String>,
}

impl<'a> Load<'a> {
    /// Creates the targets.
    pub(super) async fn new(shop: &'a Namespace<'a>) -> Result<Self> {
        two_replicas::create_managed(shop, &[names("set", CALLERS.0), names("drifting", DRIFTING.0)].concat()).await?;
        let load = Self {
            shop,
            kube: shop.cluster.control_plane.client().await?,
            certificate: Certificate::load(shop.cluster.certificates())?,
            channels: RefCell::default(),
            turn: Cell::default(),
            calls: RefCell::default(),
            drifts: RefCell::default(),
            set: RefCell::default(),
            done: CancellationToken::new(),
        };
        load.refresh().await?;
        Ok(load)
    }

    /// Makes calls and drifts until it is stopped, and returns the time of the slowest correction.
    pub(super) async fn run(&self) -> Result<Duration> {
        let callers = try_join_all(names("set", CALLERS.0).into_iter().map(|name| self.call_in_rounds(name)));
        let watchers = try_join_all((0..WATCHERS).map(|_| self.watch()));
        let (_, _, (), slowest) = tokio::try_join!(callers, watchers, self.follow_endpoints(), self.drift())?;
        Ok(slowest)
    }

    /// Stops the load.
    pub(super) fn stop(&self) {
        self.done.cancel();
    }

    /// The number of calls so far.
    pub(super) fn calls(&self) -> usize {
        self.calls.borrow().values().map(|calls| calls.made).sum()
    }

    /// The number of calls and failures of each method.
    pub(super) fn tally(&self) -> impl fmt::Debug + use<> {
        let calls = self.calls.borrow();
        calls.iter().map(|(method, calls)| (*method, calls.made, calls.failures.len())).collect::<Vec<_>>()
    }

    /// Checks that no call failed.
    pub(super) fn assert_no_failures(&self) -> Result<()> {
        let calls = self.calls.borrow();
        let failures: Vec<_> = calls.values().flat_map(|calls| &calls.failures).collect();
        ensure!(failures.is_empty(), "{} calls failed: {:#?}", failures.len(), &failures[..failures.len().min(20)]);
        Ok(())
    }

    /// Waits until every target has its last count, and every drift is reported and corrected.
    pub(super) async fn verify_counts(&self) -> Result<()> {
        let (set, drifts) = (self.set.borrow().clone(), self.drifts.borrow().clone());
        for (name, replicas) in set {
            self.shop.wait_for_replicas(&format!("deployment/{name}"), replicas.into()).await?;
        }
        for (name, drifts) in drifts {
            self.shop.wait_for_drifts(&format!("deployment.{name}"), drifts).await?;
        }
        Ok(())
    }

    /// Keeps the ready endpoints up to date.
    async fn follow_endpoints(&self) -> Result<()> {
        let mut ticks = interval(REFRESH);
        while !self.done.is_cancelled() {
            ticks.tick().await;
            self.refresh().await?;
        }
        Ok(())
    }

    async fn refresh(&self) -> Result<()> {
        let ready = self.shop.cluster.endpoints(&self.kube).await?;
        let mut channels = self.channels.borrow_mut();
        channels.retain(|pod, _| ready.iter().any(|server| server.pod == *pod));
        for server in ready {
            let address = server.process.address("grpc")?.to_string();
            if let Entry::Vacant(place) = channels.entry(server.pod) {
                place.insert(connect(address, &self.certificate)?);
            }
        }
        Ok(())
    }

    /// The next ready endpoint, in turn.
    fn next(&self) -> Result<(String, ReplicasServiceClient<Channel>)> {
        let channels = self.channels.borrow();
        let turn = self.turn.replace(self.turn.get() + 1) % channels.len().max(1);
        let (pod, channel) = channels.iter().nth(turn).context("no endpoint is ready")?;
        Ok((pod.clone(), ReplicasServiceClient::new(channel.clone())))
    }

    /// Makes one call, and records its result.
    async fn make_call<T, F: Future<Output = Result<Response<T>, Status>>>(
        &self,
        method: &'static str,
        call: impl FnOnce(ReplicasServiceClient<Channel>) -> F,
    ) -> Result<Option<T>> {
        let (pod, client) = self.next()?;
        let answer = timeout(DEADLINE, call(client)).await.unwrap_or_else(|_| Err(Status::cancelled("it hangs")));
        let answer = answer.map_err(|status| format!("{method} at {pod}: {status:?}"));
        Ok(self.record(method, answer.map(Response::into_inner)))
    }

    fn record<T>(&self, method: &'static str, answer: Result<T, String>) -> Option<T> {
        let mut calls = self.calls.borrow_mut();
        let calls = calls.entry(method).or_default();
        calls.made += 1;
        answer.map_err(|failure| calls.failures.push(failure)).ok()
    }

    /// Sets rising counts of one target, and reads them through the next endpoints.
    async fn call_in_rounds(&self, name: String) -> Result<()> {
        let target = two_replicas::target(self.shop, &name);
        let mut rounds = interval(CALLERS.1);
        let mut version = String::new();
        for replicas in (2..=50).cycle() {
            rounds.tick().await;
            if self.done.is_cancelled() {
                break;
            }
            let set =
                v1::SetReplicaCountRequest { target: target.clone(), replicas: Some(replicas), ..Default::default() };
            if let Some(set) = self.make_call("Set", async |mut client| client.set_replica_count(set).await).await? {
                version = set.replica_count.context("no count")?.resource_version;
                self.set.borrow_mut().insert(name.clone(), replicas);
            }
            for _ in 0..READS {
                let get = v1::GetReplicaCountRequest { target: target.clone(), min_resource_version: version.clone() };
                if let Some(got) = self.make_call("Get", async |mut client| client.get_replica_count(get).await).await?
                {
                    let (got, set) = (got.replica_count.context("no count")?.replicas, self.set.borrow());
                    ensure!(got == set.get(&name).copied(), "{name}: {got:?} was read after {set:?} was set");
                }
                let list = v1::ListReplicaCountsRequest { namespace: self.shop.name.clone(), ..Default::default() };
                if let Some(list) =
                    self.make_call("List", async |mut client| client.list_replica_counts(list).await).await?
                {
                    ensure!(list.replica_counts.len() == CALLERS.0 + DRIFTING.0, "{list:?}");
                }
            }
            let (pod, client) = self.next()?;
            let synced =
                timeout(DEADLINE, self.synced(client)).await.unwrap_or_else(|_| Err(Status::cancelled("it hangs")));
            self.record("Watch", synced.map_err(|status| format!("Watch at {pod}: {status:?}")));
        }
        Ok(())
    }

    /// Watches until the snapshot is complete.
    async fn synced(
        &self,
        mut client: ReplicasServiceClient<Channel>,
    ) -> Result<tonic::Streaming<v1::WatchReplicaCountsResponse>, Status> {
        let watch = v1::WatchReplicaCountsRequest { namespace: self.shop.name.clone(), ..Default::default() };
        let mut events = client.watch_replica_counts(watch).await?.into_inner();
        loop {
            let event = events.message().await?.ok_or_else(|| Status::unknown("it ended before the mark"))?;
            if let Some(Event::Synced(_)) = event.event {
                return Ok(events);
            }
        }
    }

    /// Keeps a watch open. When its server stops, it opens the watch at another endpoint. Any other end of the stream
    /// is a failure.
    async fn watch(&self) -> Result<()> {
        while !self.done.is_cancelled() {
            let (pod, client) = self.next()?;
            let watch = async {
                let mut events = self.synced(client).await?;
                while events.message().await?.is_some() {}
                Err(Status::unknown("it ended without a word"))
            };
            let ended: Option<Result<(), Status>> = self.done.run_until_cancelled(watch).await;
            let answer = match ended {
                Some(Err(status)) if !is_stopping(&status) => Err(format!("Watch at {pod}: {status:?}")),
                _ => Ok(()),
            };
            self.record("Watch to the server's end", answer);
        }
        Ok(())
    }

    /// Causes a drift of one target after another, and returns the time of the slowest correction.
    async fn drift(&self) -> Result<Duration> {
        let deployments: Api<Deployment> = Api::namespaced(self.kube.clone(), &self.shop.name);
        let mut rounds = interval(DRIFTING.1);
        let mut slowest = Duration::ZERO;
        for name in names("drifting", DRIFTING.0).into_iter().cycle() {
            rounds.tick().await;
            if self.done.is_cancelled() {
                break;
            }
            let drift = Patch::Merge(json!({"spec": {"replicas": 7}}));
            deployments.patch_scale(&name, &PatchParams::apply("drifter"), &drift).await?;
            let drifted = Instant::now();
            *self.drifts.borrow_mut().entry(name.clone()).or_default() += 1;
            wait::until(&format!("{name} put back"), PATIENCE, async || {
                let now = deployments.get_scale(&name).await?.spec.and_then(|spec| spec.replicas);
                ensure!(now == Some(1), "it has {now:?}");
                Ok(())
            })
            .await?;
            slowest = slowest.max(drifted.elapsed());
            ensure!(drifted.elapsed() < CORRECTED, "{name} was put back after {:?}", drifted.elapsed());
        }
        Ok(slowest)
    }
}

/// Whether the status says that the server is stopping.
fn is_stopping(status: &Status) -> bool {
    status.code() == Code::Unavailable
        && status.get_error_details().error_info().is_some_and(|info| info.reason == "STOPPING")
}
