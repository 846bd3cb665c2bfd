//! The webhooks as a part of the server: their thread, what they review with, and what publishes them.

use std::{future::pending, sync::Arc, time::Duration};

use anyhow::Context as _;
use kube::Client;
use tokio::{
    net::TcpListener,
    runtime::Handle,
    sync::mpsc,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    admission::{self, Address, Certificate, Paths, Publisher, Reviewer, Webhooks},
    args::Args,
    enforcement, grpc,
    index::Index,
    leader::Leadership,
    parts::Parts,
    reviews::{Reviews, TargetAttempt},
    runtime::{listen::listen, thread},
};

/// The most answers that are kept about who may know who holds a count. Each has the name and the groups of a user, of
/// up to 4 KiB.
const MAX_ANSWERS: usize = 256;

/// How often old reviews and answers are dropped.
const FORGETTING: Duration = Duration::from_secs(10);

/// The thread and the listener of the webhooks. Neither calls nor corrections delay them.
pub(crate) struct WebhookListener {
    thread: Handle,
    listener: TcpListener,
    address: Address,
}

impl WebhookListener {
    /// Listens for webhooks, if the settings ask for them.
    ///
    /// # Errors
    ///
    /// Names the setting that cannot be used, and why.
    pub(crate) fn bind(args: &Args) -> Result<Option<Self>, anyhow::Error> {
        let Some(ip) = args.admission.check(&args.pod)? else { return Ok(None) };
        let thread = thread::start("admission").context("failed to start a thread")?;
        let listener = {
            // A listener belongs to the thread that makes it.
            let _enter = thread.enter();
            listen(args.admission.admission_address, admission::BUFFERS)
                .context("failed to listen on ADMISSION_ADDRESS")?
        };
        let address = Address { ip, port: listener.local_addr()?.port() };
        let mode = args.admission.admission_mode.label();
        info!(address = %listener.local_addr()?, mode, "listening for webhooks");
        Ok(Some(Self { thread, listener, address }))
    }

    /// Starts the part that answers, and returns what publishes the webhooks.
    pub(crate) fn serve(
        self,
        parts: &mut Parts,
        args: &Args,
        client: &Client,
        reviewer: Reviewer,
        leadership: Leadership,
        certificate: Certificate,
    ) -> Publisher {
        let Self { thread, listener, address } = self;
        let (paths, loaded) = (Arc::<Paths>::default(), certificate.clone());
        let publisher =
            Publisher::new(client, &args.admission, &args.pod, address, certificate, paths.clone(), &reviewer);
        parts.spawn_on(&thread, "forgetting of users", forget(reviewer.reviews.clone(), reviewer.authorizer.clone()));
        let webhooks = Webhooks::new(reviewer, paths);
        parts.spawn_on(&thread, "webhooks", async move {
            // Without a certificate, the server is about to stop.
            let Ok(credentials) = loaded.await else { return pending().await };
            webhooks.serve(listener, credentials, leadership).await;
        });
        publisher
    }
}

/// Drops old reviews and answers for as long as it is polled. So names are forgotten in time, however quiet the cluster
/// is, and also when another replica leads.
async fn forget(reviews: Arc<Reviews>, authorizer: grpc::Authorizer) {
    loop {
        sleep(FORGETTING).await;
        reviews.forget_old(Instant::now());
        authorizer.forget_old();
    }
}

/// What the webhooks review with: the same as enforcement.
pub(crate) fn reviewer(
    args: &Args,
    client: &Client,
    index: &Arc<Index>,
    context: &enforcement::Context,
    attempts: mpsc::Sender<TargetAttempt>,
) -> Reviewer {
    Reviewer {
        mode: args.admission.admission_mode,
        users: args.admission.admission_users,
        max_replicas: args.max_replicas,
        index: index.clone(),
        reviews: context.reviews.clone(),
        attempts,
        authorizer: grpc::Authorizer::new(client.clone(), args.namespace()).keeping(MAX_ANSWERS),
        client: client.clone(),
        account: args.admission.admission_account.clone(),
        exempt_groups: args.admission.admission_exempt_groups.clone(),
        metrics: context.metrics.clone(),
    }
}

/// Enforces, and publishes the webhooks meanwhile. When it returns, neither writes any more.
pub(crate) async fn publish_beside(
    enforcing: impl Future<Output = ()>,
    publisher: Option<Publisher>,
    leadership: Leadership,
    stop: CancellationToken,
) {
    let Some(publisher) = publisher else { return enforcing.await };
    let stop = stop.child_token();
    let enforcing = async {
        enforcing.await;
        stop.cancel();
    };
    tokio::join!(enforcing, publisher.run(leadership, stop.clone()));
}
