//! What must not notice that a server's certificate is replaced: a steady load, an open connection, a Watch on it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use cluster::wait;
use contract::replicas::v1::{
    self, replicas_service_client::ReplicasServiceClient, watch_replica_counts_response::Event,
};
use tokio::{sync::watch, task::JoinSet, time::timeout};
use tonic::{Streaming, transport::Channel};

use crate::{
    channel::{Certificate, connect, served_certificate},
    constants::PATIENCE,
    namespace::Namespace,
};

/// Upper bound until a new certificate is in use. The server reads its source every 5 s, and the kubelet needs a moment
/// to deliver it.
const SOON: Duration = Duration::from_secs(10 + 5);

/// Concurrent callers. Each opens a new connection for every call.
const CALLERS: usize = 4;

/// The load is steady only with more calls than these.
const FEW_CALLS: usize = 100;

/// Checks that clients do not notice a replaced certificate. It keeps callers running, and a connection with a Watch
/// that was opened before the replacement.
pub struct CertificateRotation<'a> {
    shop: &'a Namespace<'a>,
    address: String,
    certificate: Arc<Certificate>,
    /// The certificate that the server presented at first.
    before: Vec<u8>,
    open: ReplicasServiceClient<Channel>,
    events: Streaming<v1::WatchReplicaCountsResponse>,
    stop: watch::Sender<bool>,
    /// The number of calls that were answered.
    calls: Arc<AtomicUsize>,
    load: JoinSet<Result<()>>,
}

impl<'a> CertificateRotation<'a> {
    /// Starts the callers and the Watch.
    pub async fn begin(shop: &'a Namespace<'_>, address: &str, certificate: Arc<Certificate>) -> Result<Self> {
        let before = served_certificate(address, &certificate).await?;
        let mut open = ReplicasServiceClient::new(connect(address.to_owned(), &certificate)?);
        let request = v1::WatchReplicaCountsRequest { namespace: shop.name.clone(), ..Default::default() };
        let events = open.watch_replica_counts(request).await?.into_inner();
        let stop = watch::Sender::new(false);
        let calls = Arc::<AtomicUsize>::default();
        let mut load = JoinSet::new();
        for _ in 0..CALLERS {
            load.spawn(call_until_stopped(address.to_owned(), certificate.clone(), stop.subscribe(), calls.clone()));
        }
        Ok(Self { shop, address: address.to_owned(), certificate, before, open, events, stop, calls, load })
    }

    /// Waits until the server presents another certificate to new connections.
    pub async fn wait_until_in_force(&self) -> Result<()> {
        wait::until("the new certificate", SOON, async || {
            ensure!(
                served_certificate(&self.address, &self.certificate).await? != self.before,
                "it is still the old one"
            );
            Ok(())
        })
        .await
    }

    /// Stops the callers, and checks that no call failed and that the old connection and its Watch still work.
    pub async fn assert_unnoticed(mut self) -> Result<()> {
        // A slow machine needs longer for as many calls. A caller that fails ends the wait by its deadline.
        let counted = wait::until("a steady load", PATIENCE, async || {
            let calls = self.calls.load(Ordering::Relaxed);
            ensure!(calls > FEW_CALLS, "only {calls} calls were made");
            Ok(calls)
        })
        .await;
        self.stop.send_replace(true);
        self.load.join_all().await.into_iter().collect::<Result<()>>()?;
        println!("a new server certificate: 0 of {} calls failed", counted?);
        self.shop.deployment("web", 1).await?;
        let target = Some(v1::Target { namespace: self.shop.name.clone(), name: "web".into(), ..Default::default() });
        let request = v1::SetReplicaCountRequest { target, replicas: Some(2), ..Default::default() };
        self.open.set_replica_count(request).await?;
        let changed = async {
            loop {
                if let Some(Event::Changed(count)) = self.events.message().await?.context("the watch ended")?.event {
                    return Ok::<_, anyhow::Error>(count);
                }
            }
        };
        assert_eq!(timeout(PATIENCE, changed).await??.desired, Some(2));
        Ok(())
    }
}

/// Makes calls until `stop` is set, each on a new connection, and counts them.
async fn call_until_stopped(
    address: String,
    certificate: Arc<Certificate>,
    stop: watch::Receiver<bool>,
    calls: Arc<AtomicUsize>,
) -> Result<()> {
    while !*stop.borrow() {
        let mut client = ReplicasServiceClient::new(connect(address.clone(), &certificate)?);
        client.list_replica_counts(v1::ListReplicaCountsRequest::default()).await?;
        calls.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
