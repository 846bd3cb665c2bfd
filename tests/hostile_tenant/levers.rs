//! What the two users do, all at once, for as long as the attack lasts.

mod idle;
mod writes;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, thread, time::Duration};

use anyhow::{Context, Result};
use contract::replicas::v1::{self, replicas_service_client::ReplicasServiceClient};
use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, join_all},
    stream,
};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use parking_lot::Mutex;
use prost::Message;
use rustls::ClientConfig;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
    runtime::Builder,
    sync::oneshot,
    task::JoinSet,
    time::sleep,
};
use tonic::transport::Endpoint;

use support::{dial, dial_with_endpoint};

use super::scene::Scene;
use crate::{
    limits::HALF,
    transport_limits::{call, connection, message, send_halves},
};

/// The pause before a lever is pulled again. Without one, the attackers alone would take this machine's processors.
const PAUSE: Duration = Duration::from_millis(20);

/// How long answers stay unread.
const HOLD: Duration = Duration::from_secs(10);

const HALF_SENT: &str = "half-sent requests of up to 4 MiB";
const UNREAD: &str = "lists that are not read";
const HELD: &str = "connections to the plain port that are kept";
const FLOOD: &str = "connections to both ports that are closed at once";
const HALF_OPEN: &str = "half-open handshakes";
const SELECTORS: &str = "lists with 32 requirements, and with 8,000, over huge labels";
const WATCHES: &str = "watches that are not read";
const NAMESPACES: &str = "lists of namespaces with names of 63 bytes, and of 60,000";
const DRIFTS: &str = "drifts whose corrections hang";
const CORRECTED: &str = "drifts that are corrected";
pub(super) const IDLE: &str = "idle connections to the webhooks";
const ANNOTATIONS: &str = "ReplicaCounts written with 200 KiB of annotations";
const CHURNED: &str = "ReplicaCounts of one more missing kind that are created and deleted";
const SCALED: &str = "ReplicaCounts scaled through /scale";

/// The least number of each in an attack. Numbers like these broke commit 7be2d34. Those of missing kinds and of `/scale`
/// are low: their writes wait for an API server that is under attack as well.
pub(super) const LEAST: [(&str, u64); 14] = [
    (HALF_SENT, 60),
    (UNREAD, 240),
    (HELD, 64),
    (FLOOD, 10_000),
    (HALF_OPEN, 1000),
    (SELECTORS, 60),
    (WATCHES, 128),
    (NAMESPACES, 4096),
    (DRIFTS, 700),
    (CORRECTED, 1000),
    (ANNOTATIONS, 50),
    (CHURNED, 200),
    (SCALED, 200),
    (IDLE, idle::CONNECTIONS as u64),
];

/// How often each lever was pulled.
type Counts = BTreeMap<&'static str, u64>;

/// A running attack. Its clients have threads of their own, so that they do not delay those who measure.
pub(super) struct Attack(oneshot::Receiver<Counts>);

impl Attack {
    pub(super) fn start(scene: &Scene, lasting: Duration) -> Result<Self> {
        let attacker = Attacker {
            grpc: scene.grpc.clone(),
            http: scene.http.clone(),
            admission: scene.admission.clone(),
            mallory: scene.mallory.clone(),
            stranger: scene.stranger.clone(),
            kubeconfig: scene.kubeconfig.clone(),
            tenant: scene.tenant.name.clone(),
            hanging: scene.hanging.clone(),
            corrected: scene.corrected.clone(),
            counts: Arc::default(),
        };
        let (sender, counts) = oneshot::channel();
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        thread::spawn(move || {
            // Fails only if the test has failed.
            let _ = sender.send(runtime.block_on(attacker.run(lasting)));
        });
        Ok(Self(counts))
    }

    /// Waits for the end.
    pub(super) async fn end(self) -> Result<Counts> {
        self.0.await.context("the attack has failed")
    }
}

/// The two users.
#[derive(Clone)]
struct Attacker {
    grpc: String,
    http: String,
    admission: Option<String>,
    /// The editor of the namespace, and its kubeconfig.
    mallory: Arc<ClientConfig>,
    kubeconfig: PathBuf,
    /// The user without a right.
    stranger: Arc<ClientConfig>,
    tenant: String,
    hanging: Vec<String>,
    corrected: Vec<String>,
    counts: Arc<Mutex<Counts>>,
}

/// Pulls a lever once. A failure is the answer that an attacker gets.
type Lever = fn(Attacker) -> BoxFuture<'static, Result<()>>;

const LEVERS: [Lever; 14] = [
    |attacker| attacker.half_sent().boxed(),
    |attacker| attacker.unread().boxed(),
    |attacker| attacker.held().boxed(),
    |attacker| attacker.flood().boxed(),
    |attacker| attacker.half_open().boxed(),
    |attacker| attacker.selectors().boxed(),
    |attacker| attacker.watches().boxed(),
    |attacker| attacker.namespaces().boxed(),
    |attacker| attacker.drifts().boxed(),
    |attacker| attacker.corrected_drifts().boxed(),
    |attacker| attacker.annotations().boxed(),
    |attacker| attacker.churned_kinds().boxed(),
    |attacker| attacker.scaled().boxed(),
    |attacker| attacker.idle().boxed(),
];

impl Attacker {
    async fn run(self, lasting: Duration) -> Counts {
        let mut levers = JoinSet::new();
        for lever in LEVERS {
            let attacker = self.clone();
            levers.spawn(async move {
                loop {
                    let _ = lever(attacker.clone()).await;
                    sleep(PAUSE).await;
                }
            });
        }
        sleep(lasting).await;
        levers.shutdown().await;
        let counts = self.counts.lock();
        counts.clone()
    }

    fn count(&self, lever: &'static str, times: u64) {
        *self.counts.lock().entry(lever).or_default() += times;
    }

    async fn half_sent(self) -> Result<()> {
        let (check, reflect) =
            ("/grpc.health.v1.Health/Check", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo");
        for (path, calls, length) in [(check, (1, 60), 4 << 20), (reflect, (4, 60), 64 << 10)] {
            self.count(HALF_SENT, (calls.0 * calls.1) as u64);
            send_halves(&self.grpc, &self.stranger, path, calls, (length, 16 << 10)).await?;
        }
        Ok(())
    }

    async fn unread(self) -> Result<()> {
        let list =
            v1::ListReplicaCountsRequest { namespace: self.tenant.clone(), page_size: 5000, ..Default::default() };
        let request = Bytes::from(message(&list.encode_to_vec())?);
        let (mut open, mut answers) = (Vec::new(), Vec::new());
        for _ in 0..4 {
            let mut connection = connection(&self.grpc, &self.mallory, 0).await?;
            for _ in 0..60 {
                connection.ready().await?;
                let body = StreamBody::new(stream::iter([Ok(Frame::data(request.clone()))])).boxed_unsync();
                let path = "/replicas.v1.ReplicasService/ListReplicaCounts";
                answers.push(connection.send_request(call(&self.grpc, path, body)?));
                self.count(UNREAD, 1);
            }
            open.push(connection);
        }
        sleep(HOLD).await;
        Ok(())
    }

    async fn held(self) -> Result<()> {
        let mut open = Vec::new();
        for number in 0..80 {
            let mut socket = TcpStream::connect(&self.http).await?;
            if number % 2 == 0 {
                socket.write_all(b"GET /metrics HTTP/1.1\r\nx-slow: ").await?;
            }
            open.push(socket);
            self.count(HELD, 1);
        }
        sleep(Duration::from_secs(1)).await;
        Ok(())
    }

    async fn flood(self) -> Result<()> {
        for address in [&self.http, &self.http, &self.grpc].repeat(10) {
            let socket = TcpSocket::new_v4()?;
            // Closes by a reset, which frees the port at once.
            socket.set_zero_linger()?;
            drop(socket.connect(address.parse()?).await?);
            self.count(FLOOD, 1);
        }
        Ok(())
    }

    async fn half_open(self) -> Result<()> {
        let mut open = Vec::new();
        for _ in 0..150 {
            let mut socket = TcpStream::connect(&self.grpc).await?;
            socket.write_all(&HALF).await?;
            open.push(socket);
            self.count(HALF_OPEN, 1);
        }
        sleep(Duration::from_secs(1)).await;
        Ok(())
    }

    async fn selectors(self) -> Result<()> {
        let client = ReplicasServiceClient::new(dial(self.grpc.clone(), self.mallory.clone()));
        let lists = (0..8).map(|number| {
            let (mut client, attacker) = (client.clone(), self.clone());
            let label_selector = vec!["!absent"; if number % 2 == 0 { 32 } else { 8000 }].join(",");
            let namespace = attacker.tenant.clone();
            let list =
                v1::ListReplicaCountsRequest { namespace, label_selector, all_targets: true, ..Default::default() };
            async move {
                attacker.count(SELECTORS, 1);
                client.list_replica_counts(list).await.map(drop)
            }
        });
        join_all(lists).await;
        Ok(())
    }

    async fn watches(self) -> Result<()> {
        let small = Endpoint::from_static("https://localhost").initial_stream_window_size(65_535);
        let channels = [0, 1].map(|_| dial_with_endpoint(small.clone(), self.grpc.clone(), self.mallory.clone()));
        let mut open = Vec::new();
        for number in 0..128 {
            let request = v1::WatchReplicaCountsRequest { namespace: self.tenant.clone(), ..Default::default() };
            let mut client = ReplicasServiceClient::new(channels[number % 2].clone());
            open.push(client.watch_replica_counts(request).await?);
            self.count(WATCHES, 1);
        }
        sleep(2 * HOLD).await;
        Ok(())
    }

    async fn namespaces(self) -> Result<()> {
        let client = ReplicasServiceClient::new(dial(self.grpc.clone(), self.stranger.clone()));
        let lists = (0..4096).map(|number| {
            let (mut client, attacker) = (client.clone(), self.clone());
            let namespace = if number % 2 == 0 { format!("n{number:062}") } else { format!("n{number:059999}") };
            let list = v1::ListReplicaCountsRequest { namespace, ..Default::default() };
            async move {
                attacker.count(NAMESPACES, 1);
                client.list_replica_counts(list).await.map(drop)
            }
        });
        stream::iter(lists).buffer_unordered(16).collect::<Vec<_>>().await;
        Ok(())
    }
}
