//! Binds the listeners, runs all parts until one ends or the process is to stop, and stops them in order.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use kube::{Client, Config};
use tokio::{net::TcpListener, runtime::Handle, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    args::Args,
    certificates, enforcement, grpc,
    index::{Index, kind_watches, watch_handlers},
    leader::{Elector, Leadership},
    pki::signer::Signer,
    runtime::{admin, client, pod::PodEvents, readiness::Readiness, thread},
    telemetry::Metrics,
    tls::{self, Credentials},
};

/// How long calls are still served after the server has turned unready: every client's list of endpoints drops it by
/// then.
const LAME_DUCK: Duration = Duration::from_secs(5);

/// The longest time for the last writes and the release of the Lease, which come before that.
const RESIGN: Duration = Duration::from_secs(5);

/// The longest time for open calls to end after that. All three together stay below the 30 s that Kubernetes gives a
/// pod to stop.
const DRAIN: Duration = Duration::from_secs(10);

/// The longest time that the API server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A server that listens but does not serve yet.
pub struct Server {
    args: Args,
    grpc: TcpListener,
    http: TcpListener,
    credentials: Arc<Credentials>,
    /// Signs the certificates of clients, if the settings ask for it.
    signer: Option<Signer>,
    metrics: Arc<Metrics>,
    /// The API server's client for serving.
    client: Client,
    enforcing: Enforcing,
    /// Makes this replica the leader, unless it is the only one.
    elector: Option<Elector>,
    leadership: Leadership,
}

/// The thread and the client of enforcement. It shares neither with serving, so that calls do not delay corrections.
struct Enforcing {
    thread: Handle,
    client: Client,
}

impl Server {
    /// Checks the settings, the certificate and the API server's configuration, and listens.
    ///
    /// # Errors
    ///
    /// Names the setting that cannot be used, and why.
    pub async fn bind(args: Args) -> Result<Self, anyhow::Error> {
        let metrics = Arc::new(Metrics::default());
        let mut config = Config::infer()
            .await
            .context("failed to find the API server: there is neither a usable KUBECONFIG nor a service account")?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        let connect = || {
            let builder = client::builder(&config).context("failed to use the API server's configuration")?;
            Ok::<_, anyhow::Error>(builder.with_layer(&metrics.requests).with_layer(&client::retries()?).build())
        };
        let client = connect()?;
        let thread = thread::start("enforcing").context("failed to start a thread")?;
        let enforcing = {
            // A client spawns a task, on the thread that builds it.
            let _enter = thread.enter();
            Enforcing { client: connect()?, thread: thread.clone() }
        };
        let (source, rules, signer) = certificates::from_settings(&args, &client)?;
        let events = PodEvents::new(client.clone(), &args.pod);
        let credentials = Credentials::load(source, rules, events, metrics.clone())
            .await
            .context("failed to load the server's certificate")?;
        let (elector, leadership) = election(&args, &enforcing.client, &metrics)?;
        let grpc = listen(args.grpc_address).await.context("failed to listen on GRPC_ADDRESS")?;
        let http = listen(args.http_address).await.context("failed to listen on HTTP_ADDRESS")?;
        info!(grpc = %grpc.local_addr()?, http = %http.local_addr()?, version = env!("CARGO_PKG_VERSION"), "listening");
        let credentials = Arc::new(credentials);
        Ok(Self { args, grpc, http, credentials, signer, metrics, client, enforcing, elector, leadership })
    }

    /// Runs until `shutdown`, then stops in order: it gives up leading, turns unready, serves on for a while, closes to
    /// new calls, and ends.
    ///
    /// # Errors
    ///
    /// When a part ends early. Restarting the process repairs that.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), anyhow::Error> {
        let Self { args, grpc, http, credentials, signer, metrics, client, enforcing, elector, leadership } = self;
        let index = Arc::new(Index::new(metrics.watches.clone()));
        let stages = Stages::default();
        let readiness = Readiness::new(index.clone(), stages.draining.clone());
        let (reporter, health) = grpc::health::service().await;

        let mut parts = Parts { tasks: JoinSet::new(), stop: stages.stopped.clone(), enforcing: enforcing.thread };
        parts.watch_cluster(&enforcing.client, args.namespace(), &index);
        let reloading = credentials.clone();
        parts.spawn("watch of the certificate", async move { reloading.keep_current().await });
        if let Some(signer) = signer {
            parts.spawn("signer", signer.run());
        }
        let (watching, watch_client) = (readiness.clone(), enforcing.client.clone());
        let report = move |ready| {
            let reporter = reporter.clone();
            async move { grpc::health::report(&reporter, ready).await }
        };
        // On the thread of enforcement: if that thread is stuck, this replica turns unready.
        parts.enforce("readiness", async move { watching.watch(watch_client, report).await });
        parts.spawn("http", admin::serve(http, readiness, metrics.clone()));
        let (ownership, max_replicas) = (args.ownership, args.max_replicas);
        let context =
            enforcement::Context { client: enforcing.client, ownership, max_replicas, metrics: metrics.clone() };
        let writing = enforcement::run(context, index.clone(), leadership, stages.resigning.clone());
        parts.lead(writing, elector, stages.resigned.clone());

        let incoming = tls::incoming(grpc, credentials, metrics.clone());
        let stop = stages.closing.clone();
        let context = grpc::Context { client, index, namespace: args.namespace(), max_replicas, metrics, stop };
        let closing = stages.closing.clone().cancelled_owned();
        let serving = grpc::serve(context, health, incoming, closing);
        supervise(parts, stages, serving, shutdown).await
    }
}

/// The elector, and the leadership that it decides. Without a Lease, this replica is the only one and leads.
fn election(
    args: &Args,
    client: &Client,
    metrics: &Arc<Metrics>,
) -> Result<(Option<Elector>, Leadership), anyhow::Error> {
    if args.lease.lease.is_empty() {
        metrics.leader.set(1);
        return Ok((None, Leadership::sole()));
    }
    let (elector, leadership) = Elector::new(client.clone(), &args.lease, &args.pod, metrics.clone())?;
    Ok((Some(elector), leadership))
}

/// The steps of a stop, in order.
#[derive(Default)]
struct Stages {
    /// Enforcement writes what is under way and then stops.
    resigning: CancellationToken,
    /// The Lease is free for another replica.
    resigned: CancellationToken,
    /// The server is not ready any more, but still serves.
    draining: CancellationToken,
    /// The server takes no new calls; watches end.
    closing: CancellationToken,
    /// All parts end at once.
    stopped: CancellationToken,
}

/// The parts of the server that run until it stops. Each returns its name when it ends.
struct Parts {
    tasks: JoinSet<&'static str>,
    stop: CancellationToken,
    enforcing: Handle,
}

impl Parts {
    /// Starts a part of serving.
    fn spawn(&mut self, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(named(name, self.stop.clone().run_until_cancelled_owned(part)));
    }

    /// Starts a part of enforcement, on its thread.
    fn enforce(&mut self, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
        let part = self.stop.clone().run_until_cancelled_owned(part);
        self.tasks.spawn_on(named(name, part), &self.enforcing);
    }

    /// Starts the controller and the elector. The elector releases the Lease after the controller's last write.
    fn lead(
        &mut self,
        writing: impl Future<Output = ()> + Send + 'static,
        elector: Option<Elector>,
        resigned: CancellationToken,
    ) {
        let written = elector.as_ref().map_or(resigned.clone(), |_| CancellationToken::new());
        if let Some(elector) = elector {
            let written = written.clone();
            let elector = named("elector", async move {
                elector.run(written).await;
                resigned.cancel();
            });
            self.tasks.spawn_on(elector, &self.enforcing);
        }
        let controller = named("controller", async move {
            writing.await;
            written.cancel();
        });
        self.tasks.spawn_on(controller, &self.enforcing);
    }

    fn watch_cluster(&mut self, client: &Client, namespace: Option<String>, index: &Arc<Index>) {
        let counts = watch_handlers::watch_replica_counts(index.clone(), client.clone(), namespace.clone());
        self.enforce("watch of ReplicaCounts", counts);
        let autoscalers = watch_handlers::watch_autoscalers(index.clone(), client.clone(), namespace.clone());
        self.enforce("watch of HorizontalPodAutoscalers", autoscalers);
        self.enforce("watch of targets", kind_watches::run(index.clone(), client.clone(), namespace));
    }
}

async fn named<T>(name: &'static str, part: impl Future<Output = T>) -> &'static str {
    part.await;
    name
}

fn ended_early(served: Result<(), anyhow::Error>) -> anyhow::Error {
    served.err().unwrap_or_else(|| anyhow!("it ended by itself")).context("failed to serve gRPC")
}

async fn supervise(
    mut parts: Parts,
    stages: Stages,
    serving: impl Future<Output = Result<(), anyhow::Error>>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), anyhow::Error> {
    let mut serving = pin!(serving);
    tokio::select! {
        () = shutdown => {}
        Some(ended) = parts.tasks.join_next() => bail!("the {} ended", ended.context("a part of the server panicked")?),
        served = &mut serving => return Err(ended_early(served)),
    }
    info!("stopping");
    stages.resigning.cancel();
    tokio::select! {
        _ = timeout(RESIGN, stages.resigned.cancelled()) => {}
        served = &mut serving => return Err(ended_early(served)),
    }
    stages.draining.cancel();
    // Clients that do not know yet that this replica is not ready still get answers.
    if let Ok(served) = timeout(LAME_DUCK, &mut serving).await {
        return Err(ended_early(served));
    }
    stages.closing.cancel();
    if timeout(DRAIN, serving).await.is_err() {
        warn!("calls that were still open are cut off");
    }
    stages.stopped.cancel();
    while parts.tasks.join_next().await.is_some() {}
    info!("stopped");
    Ok(())
}

/// Listens. If the address is `[::]` and the machine has no IPv6, it listens on IPv4 alone.
async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(_) if address.is_ipv6() && address.ip().is_unspecified() => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    }
}
