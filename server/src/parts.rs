//! The parts of the server, which run side by side, and the order in which they stop.

use std::{pin::pin, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow, bail};
use futures::future::BoxFuture;
use kube::Client;
use tokio::{runtime::Handle, sync::oneshot, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    index::{Index, kind_watches, watch_handlers},
    leader::Elector,
    tls::Credentials,
};

/// How long calls are still served after the server has turned unready: every client's list of endpoints drops it by
/// then.
const LAME_DUCK: Duration = Duration::from_secs(5);

/// The longest time for the last writes and the release of the Lease, which come before that.
const RESIGN: Duration = Duration::from_secs(5);

/// The longest time for open calls to end after that. All three together stay below the 30 s that Kubernetes gives a
/// pod to stop.
const DRAIN: Duration = Duration::from_secs(10);

/// The steps of a stop, in order.
#[derive(Default)]
pub(crate) struct Stages {
    /// Enforcement writes what is under way and then stops.
    pub(crate) resigning: CancellationToken,
    /// The Lease is free for another replica.
    pub(crate) resigned: CancellationToken,
    /// The server is not ready any more, but still serves.
    pub(crate) draining: CancellationToken,
    /// The server takes no new calls; watches end.
    pub(crate) closing: CancellationToken,
    /// All parts end at once.
    pub(crate) stopped: CancellationToken,
}

/// The parts of the server that run until it stops. Each returns its name when it ends.
pub(crate) struct Parts {
    tasks: JoinSet<&'static str>,
    stop: CancellationToken,
    enforcing: Handle,
}

impl Parts {
    /// No parts yet. `stop` ends all of them, and `enforcing` is the thread of enforcement.
    pub(crate) fn new(stop: CancellationToken, enforcing: Handle) -> Self {
        Self { tasks: JoinSet::new(), stop, enforcing }
    }

    /// Starts a part of serving.
    pub(crate) fn spawn(&mut self, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(named(name, self.stop.clone().run_until_cancelled_owned(part)));
    }

    /// Starts a part of enforcement, on its thread.
    pub(crate) fn enforce(&mut self, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
        self.spawn_on(&self.enforcing.clone(), name, part);
    }

    /// Starts a part on a thread of its own.
    pub(crate) fn spawn_on(
        &mut self,
        thread: &Handle,
        name: &'static str,
        part: impl Future<Output = ()> + Send + 'static,
    ) {
        self.tasks.spawn_on(named(name, self.stop.clone().run_until_cancelled_owned(part)), thread);
    }

    /// Starts the part that loads the certificate and then keeps it current. Cancels `certified` once it is loaded.
    pub(crate) fn load_certificate(
        &mut self,
        credentials: BoxFuture<'static, Credentials>,
        certified: CancellationToken,
    ) -> oneshot::Receiver<Arc<Credentials>> {
        let (sender, receiver) = oneshot::channel();
        self.spawn("watch of the certificate", async move {
            let credentials = Arc::new(credentials.await);
            certified.cancel();
            // The receiver is gone if the server stops.
            let _ = sender.send(credentials.clone());
            credentials.keep_current().await;
        });
        receiver
    }

    /// Starts the controller and the elector. The elector releases the Lease after the controller's last write.
    pub(crate) fn lead(
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

    /// Starts the watches that fill the index.
    pub(crate) fn watch_cluster(&mut self, client: &Client, namespace: Option<String>, index: &Arc<Index>) {
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

/// Runs until `shutdown`, then stops the parts in order.
///
/// # Errors
///
/// When a part ends early.
pub(crate) async fn supervise(
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
