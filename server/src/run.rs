//! Binds everything, then runs everything until one part ends or the process is told to stop.

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
    args::{Args, CertificateSource},
    enforcement, grpc,
    index::{Index, kind_watches, watch_handlers},
    leader::{Elector, Leadership},
    pki::{managed::Managed, signer::Signer},
    runtime::admin,
    runtime::client,
    runtime::pod::Pod,
    runtime::readiness::Readiness,
    runtime::thread,
    telemetry::Metrics,
    tls::{self, Credentials},
};

/// How long calls are still served after the signal to stop: until every client's list of endpoints has left us out.
const LAME_DUCK: Duration = Duration::from_secs(5);

/// How long the last writes and the release of the Lease may take, which come before that.
const RESIGN: Duration = Duration::from_secs(5);

/// How long open calls may take to end after the lame duck. Together with the others, within a pod's 30 seconds.
const DRAIN: Duration = Duration::from_secs(10);

/// How long the API server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A server that listens and does not serve yet.
pub struct Server {
    args: Args,
    grpc: TcpListener,
    http: TcpListener,
    credentials: Arc<Credentials>,
    /// What signs the certificates of clients, if the server does.
    signer: Option<Signer>,
    metrics: Arc<Metrics>,
    /// The API server, for what serves.
    client: Client,
    enforcing: Enforcing,
    /// What makes this replica the leader, unless it is the only one.
    elector: Option<Elector>,
    leadership: Leadership,
}

/// What enforces shares no thread with what serves, and no connection to the API server.
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
            // A client has a task of its own, on the thread that it is built on.
            let _enter = thread.enter();
            Enforcing { client: connect()?, thread: thread.clone() }
        };
        let (source, signer) = certificates(&args, &client)?;
        let pod = Pod::new(client.clone(), &args.pod);
        let credentials =
            Credentials::load(source, pod, metrics.clone()).await.context("failed to load the server's certificate")?;
        let (elector, leadership) = election(&args, &enforcing.client, &metrics)?;
        let grpc = listen(args.grpc_address).await.context("failed to listen on GRPC_ADDRESS")?;
        let http = listen(args.http_address).await.context("failed to listen on HTTP_ADDRESS")?;
        info!(grpc = %grpc.local_addr()?, http = %http.local_addr()?, version = env!("CARGO_PKG_VERSION"), "listening");
        let credentials = Arc::new(credentials);
        Ok(Self { args, grpc, http, credentials, signer, metrics, client, enforcing, elector, leadership })
    }

    /// Runs until `shutdown`, then stops in order: no longer the leader, unready, closed to new calls after a while, and
    /// done.
    ///
    /// # Errors
    ///
    /// When a part ended that should not have: the process is better restarted.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), anyhow::Error> {
        let Self { args, grpc, http, credentials, signer, metrics, client, enforcing, elector, leadership } = self;
        let index = Arc::new(Index::new(metrics.watches.clone()));
        let stages = Stages::default();
        let readiness = Readiness::new(index.clone(), stages.draining.clone());
        let (reporter, health) = grpc::health().await;

        let mut parts = Parts { tasks: JoinSet::new(), stop: stages.stopped.clone(), enforcing: enforcing.thread };
        parts.follow(&enforcing.client, args.namespace(), &index);
        let reloading = credentials.clone();
        parts.spawn("watch of the certificate", async move { reloading.follow().await });
        if let Some(signer) = signer {
            parts.spawn("signer", signer.run());
        }
        let (watching, watch_client) = (readiness.clone(), enforcing.client.clone());
        // On the thread that it tells of: with that one stuck, this replica is not ready.
        parts.enforce("readiness", async move { watching.watch(watch_client, reporter).await });
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

/// Where the certificates come from, and what signs those of clients.
fn certificates(args: &Args, client: &Client) -> Result<(tls::Source, Option<Signer>), anyhow::Error> {
    match args.certificates {
        CertificateSource::Files if args.signer.sign_clients => {
            bail!("SIGN_CLIENTS needs CERTIFICATES=managed: there is no CA to sign with")
        }
        CertificateSource::Files => Ok((tls::Source::Files(args.files.clone()), None)),
        CertificateSource::Managed => {
            let managed = Arc::new(Managed::new(client, args.managed.clone(), &args.pod.pod_namespace)?);
            let signer =
                args.signer.sign_clients.then(|| Signer::new(client.clone(), managed.clone(), args.signer.clone()));
            Ok((tls::Source::Managed(managed), signer))
        }
    }
}

/// What makes this replica the leader, and how to know; without a Lease it is the only one.
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
    /// Writes nothing any more of its own accord.
    resigning: CancellationToken,
    /// Has left that to another replica.
    resigned: CancellationToken,
    /// Not ready any more, and still serving.
    draining: CancellationToken,
    /// Closed to new calls; watches end.
    closing: CancellationToken,
    /// All parts end.
    stopped: CancellationToken,
}

/// The parts of the server that run until it stops.
struct Parts {
    tasks: JoinSet<&'static str>,
    stop: CancellationToken,
    enforcing: Handle,
}

impl Parts {
    /// Starts a part of what serves.
    fn spawn(&mut self, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(named(name, self.stop.clone().run_until_cancelled_owned(part)));
    }

    /// Starts a part of what enforces.
    fn enforce(&mut self, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
        let part = self.stop.clone().run_until_cancelled_owned(part);
        self.tasks.spawn_on(named(name, part), &self.enforcing);
    }

    /// Writes while this replica leads. The Lease is given up once the last write has ended.
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

    fn follow(&mut self, client: &Client, namespace: Option<String>, index: &Arc<Index>) {
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
    // Serving goes on while clients learn that this replica is not ready.
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

/// Listens; on IPv4 alone where `[::]` is asked for and the machine has no IPv6.
async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(_) if address.is_ipv6() && address.ip().is_unspecified() => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    }
}
