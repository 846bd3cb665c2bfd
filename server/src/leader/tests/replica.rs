//! One replica with its own way to the API server.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::coordination::v1::LeaseSpec;
use tokio::{sync::watch, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::fake::{FakeApiServer, Network};
use crate::{
    leader::{Elector, Leadership, LeaseArgs, Term},
    runtime::pod::PodArgs,
    telemetry::Metrics,
};

/// More time than an event, a read and a write take.
pub const AT_ONCE: Duration = Duration::from_millis(100);

/// The longest pause between two attempts to acquire the Lease.
pub const LONGEST_RETRY: Duration = Duration::from_millis(4_400);

pub struct Replica {
    pub network: watch::Sender<Network>,
    pub leadership: Leadership,
    pub stop: CancellationToken,
    pub blind: watch::Sender<bool>,
    pub metrics: Arc<Metrics>,
    pub elector: JoinHandle<()>,
}

impl Replica {
    pub fn start(api_server: &FakeApiServer, name: &str) -> Self {
        let network = watch::Sender::new(Network::GOOD);
        let args = LeaseArgs { lease: "leader".to_owned() };
        let (pod_name, pod_namespace) = (name.to_owned(), "here".to_owned());
        let pod = PodArgs { pod_name, pod_namespace, ..PodArgs::default() };
        let metrics = Arc::<Metrics>::default();
        let client = api_server.client(network.subscribe());
        let blind = watch::Sender::new(false);
        let (elector, leadership) = Elector::new(client, &args, &pod, metrics.clone(), blind.subscribe()).unwrap();
        let stop = CancellationToken::new();
        let elector = tokio::spawn(elector.run(stop.clone()));
        Self { network, leadership, stop, blind, metrics, elector }
    }

    pub async fn leads(&self, within: Duration) -> Option<Term> {
        timeout(within, self.leadership.clone().begins()).await.ok()
    }

    pub fn is_leading(&self) -> bool {
        self.leadership.holding.borrow().is_some_and(|holding| holding.is_valid())
    }
}

/// The first leader among replicas that all take part.
pub async fn leader(replicas: &[Replica], within: Duration) -> Option<(usize, Term)> {
    let all = replicas.iter().enumerate().map(|(place, replica)| {
        let mut leadership = replica.leadership.clone();
        Box::pin(async move { (place, leadership.begins().await) })
    });
    timeout(within, futures::future::select_all(all)).await.ok().map(|(first, _, _)| first)
}

/// The stored Lease's spec.
pub fn spec(api_server: &FakeApiServer) -> LeaseSpec {
    api_server.lease().and_then(|lease| lease.spec).unwrap()
}
