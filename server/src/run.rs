//! Binds the listeners and starts all parts of the server. `parts` stops them in order.

use std::{future::ready, sync::Arc, time::Duration};

use anyhow::Context as _;
use futures::{FutureExt, future::BoxFuture};
use kube::{Client, Config};
use tokio::{net::TcpListener, runtime::Handle, sync::mpsc};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    args::Args,
    certificates, enforcement, grpc,
    index::{Index, silence},
    leader::{
        Elector, Leadership,
        others::{MANAGES, OtherServers},
    },
    monitoring::MonitoringListeners,
    parts::{Parts, Stages, supervise},
    pki::signer::Signer,
    reviews::ATTEMPTS,
    runtime::{
        client,
        listen::{Buffers, listen},
        pod::{PodArgs, PodEvents},
        readiness::Readiness,
        thread,
    },
    telemetry::Metrics,
    tls::{self, Credentials, PemSource},
    webhooks::{WebhookListener, publish_beside, reviewer},
};

/// The longest time that the API server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A server that listens but does not serve yet.
pub struct Server {
    args: Args,
    grpc: TcpListener,
    /// The probes and the metrics.
    monitoring: MonitoringListeners,
    /// Loads the server's certificate.
    credentials: BoxFuture<'static, Credentials>,
    /// Signs the certificates of clients, if the settings ask for it.
    signer: Option<Signer>,
    metrics: Arc<Metrics>,
    index: Arc<Index>,
    /// The API server's client for serving.
    client: Client,
    enforcing: Enforcing,
    /// What makes this replica the leader, unless it is the only one, and whether it is.
    election: (Option<Elector>, Leadership),
    /// `None` if the settings ask for no webhooks.
    webhooks: Option<WebhookListener>,
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
        let credentials = match source {
            // Files are there from the start, or there is a mistake in the settings.
            PemSource::Files(_) => {
                let loaded = Credentials::load(source, rules, events, metrics.clone()).await;
                ready(loaded.context("failed to load the server's certificate")?).boxed()
            }
            PemSource::Managed(_) | PemSource::ManagedClients(..) => {
                Credentials::wait_until_loaded(source, rules, events, metrics.clone()).boxed()
            }
        };
        let index = Arc::new(Index::new(metrics.watches.clone()));
        let election = election(&args, &enforcing.client, &metrics, &index)?;
        let grpc = listen(args.grpc_address, Buffers::SMALL_REQUESTS).context("failed to listen on GRPC_ADDRESS")?;
        let monitoring = MonitoringListeners::bind(&args)?;
        let webhooks = WebhookListener::bind(&args)?;
        let (address, http) = (grpc.local_addr()?, monitoring.plain_address()?);
        info!(grpc = %address, %http, version = env!("CARGO_PKG_VERSION"), "listening");
        Ok(Self { args, grpc, monitoring, credentials, signer, metrics, index, client, enforcing, election, webhooks })
    }

    /// Runs until `shutdown`, then stops in order: it gives up leading, turns unready, serves on for a while, closes to
    /// new calls, and ends. Everything waits for an API server that is not there yet; only `/livez` does not.
    ///
    /// # Errors
    ///
    /// When a part ends early. Restarting the process repairs that.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), anyhow::Error> {
        let Self { args, grpc, monitoring, credentials, signer, metrics, index, client, enforcing, election, webhooks } =
            self;
        let (elector, leadership) = election;
        let stages = Stages::default();
        let certified = CancellationToken::new();
        let readiness = Readiness::new(index.clone(), certified.clone(), stages.draining.clone());
        let (reporter, health) = grpc::health::service().await;

        let mut parts = Parts::new(stages.stopped.clone(), enforcing.thread);
        parts.watch_cluster(&enforcing.client, args.namespace(), &index);
        parts.enforce("measurement of silence", silence::measure(index.clone()));
        let certificate = parts.load_certificate(credentials, certified.clone()).shared();
        if let Some(signer) = signer {
            // The CA is read together with the certificate.
            parts.spawn("signer", async move { certified.cancelled_owned().then(|()| signer.run()).await });
        }
        let (watching, watch_client) = (readiness.clone(), enforcing.client.clone());
        let report = move |ready| {
            let reporter = reporter.clone();
            async move { grpc::health::report(&reporter, ready).await }
        };
        // On the thread of enforcement: if that thread is stuck, this replica turns unready.
        parts.enforce("readiness", async move { watching.watch(watch_client, report).await });
        monitoring.serve(&mut parts, readiness, &metrics, &client, certificate.clone());
        if elector.is_some() && args.namespace.is_empty() {
            let (client, leadership) = (client.clone(), leadership.clone());
            let others = OtherServers::new(client, &args.lease, &args.pod, leadership, metrics.clone());
            parts.spawn("search for other servers", others.run());
        }
        let (sender, attempts) = mpsc::channel(ATTEMPTS);
        let context = enforcing_context(enforcing.client, &args, &metrics);
        let publisher = webhooks.map(|webhooks| {
            let reviewer = reviewer(&args, &client, &index, &context, sender);
            webhooks.serve(&mut parts, &args, &context.client, reviewer, leadership.clone(), certificate.clone())
        });
        let resigning = stages.resigning.clone();
        let enforcing = enforcement::run(context, index.clone(), leadership.clone(), attempts, resigning.clone());
        parts.lead(publish_beside(enforcing, publisher, leadership, resigning), elector, stages.resigned.clone());

        let closing = stages.closing.clone();
        let (stop, namespace, max_replicas) = (closing.clone(), args.namespace(), args.max_replicas);
        let admission_mode = args.admission.admission_mode;
        let context =
            grpc::Context { client, index, namespace, max_replicas, metrics: metrics.clone(), stop, admission_mode };
        let serving = async move {
            // A connection waits for its handshake until there is a certificate.
            let Some(Ok(credentials)) = closing.run_until_cancelled(certificate).await else { return Ok(()) };
            let incoming = tls::incoming(grpc, credentials, metrics);
            grpc::serve(context, health, incoming, closing.clone().cancelled_owned()).await
        };
        supervise(parts, stages, serving, shutdown).await
    }
}

fn enforcing_context(client: Client, args: &Args, metrics: &Arc<Metrics>) -> enforcement::Context {
    enforcement::Context {
        client,
        ownership: args.ownership,
        max_replicas: args.max_replicas,
        metrics: metrics.clone(),
        admission_mode: args.admission.admission_mode,
        admission_users: args.admission.admission_users,
        reviews: Arc::default(),
    }
}

/// The elector, and the leadership that it decides. Without a Lease, this replica is the only one and leads.
fn election(
    args: &Args,
    client: &Client,
    metrics: &Arc<Metrics>,
    index: &Index,
) -> Result<(Option<Elector>, Leadership), anyhow::Error> {
    if args.lease.lease.is_empty() {
        metrics.leader.set(1);
        return Ok((None, Leadership::sole()));
    }
    let object_labels = args.pod.object_labels.clone().with(MANAGES, &args.namespace);
    let pod = PodArgs { object_labels, ..args.pod.clone() };
    let (elector, leadership) = Elector::new(client.clone(), &args.lease, &pod, metrics.clone(), index.is_blind())?;
    Ok((Some(elector), leadership))
}
