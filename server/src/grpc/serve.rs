//! Serves all services on connections of verified clients, within limits on what a client can make the server hold.

use std::{sync::Arc, time::Duration};

use contract::{
    deployments::deployments_service_server::DeploymentsServiceServer,
    replicas::v1::replicas_service_server::ReplicasServiceServer,
};
use futures::Stream;
use kube::Client;
use tokio_util::sync::CancellationToken;
use tonic::{codec::CompressionEncoding, service::Routes, transport::Server};

use super::{
    authorizer::Authorizer,
    backend::Backend,
    call_limits::{CallLimits, MAX_MESSAGE},
    deployments::Deployments,
    lists::Lists,
    service::Replicas,
    validate::RequestValidator,
    writer::ReplicaCountWriter,
};
use crate::{
    index::{Index, discovery::Discovery},
    reviews::AdmissionMode,
    runtime::limiter::Limiter,
    telemetry::Metrics,
    tls::{Connection, MAX_AGE},
};

/// The most calls that a connection may have open at once.
const MAX_STREAMS: u32 = 128;

/// The most bytes of requests in flight for a call. A peer can make the server hold as much.
const STREAM_WINDOW: u32 = 64 * 1024;

/// The most bytes of requests in flight for a connection.
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// The most bytes of a call's metadata, as gRPC recommends. HTTP/2 (RFC 9113, 6.5.2) counts 32 more for each entry than
/// its text has.
const MAX_METADATA: u32 = 8 * 1024;

/// The most watches at once. Each has a task, and what waits for its client: a frame of 32 KiB, and 16 states of targets.
const MAX_WATCHES: usize = 512;

/// The most watches of one user, so that no user takes all of them.
const MAX_WATCHES_OF_USER: usize = 128;

/// How often the server pings an idle connection.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// The longest wait for the answer to a ping.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// What the services work with.
pub(crate) struct Context {
    /// The API server.
    pub(crate) client: Client,
    /// What the watches know.
    pub(crate) index: Arc<Index>,
    /// The only namespace that is served; `None` means all.
    pub(crate) namespace: Option<String>,
    /// The largest count that is accepted, in replicas.
    pub(crate) max_replicas: i32,
    /// Counts calls and watches.
    pub(crate) metrics: Arc<Metrics>,
    /// Ends open watches.
    pub(crate) stop: CancellationToken,
    /// What the server does at admission.
    pub(crate) admission_mode: AdmissionMode,
}

/// Serves until `shutdown`, then until the open calls and all writes have ended.
///
/// # Errors
///
/// When the server fails as a whole; a failing connection ends only itself.
pub(crate) async fn serve(
    context: Context,
    health: Routes,
    incoming: impl Stream<Item = std::io::Result<Connection>>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), anyhow::Error> {
    let Context { client, index, namespace, max_replicas, metrics, stop, admission_mode } = context;
    let backend = Backend {
        index,
        validator: Arc::new(RequestValidator { namespace: namespace.clone(), max_replicas }),
        discovery: Arc::new(Discovery::new(client.clone(), namespace.clone())),
        authorizer: Authorizer::new(client.clone(), namespace),
        writer: ReplicaCountWriter::new(client.clone()),
        client,
        watches: Limiter::new(MAX_WATCHES, MAX_WATCHES_OF_USER, metrics.open_watches.clone()),
        lists: Lists::default(),
        stop,
        admission_mode,
    };
    let (limits, mut written) = CallLimits::new(metrics.calls.clone());
    Server::builder()
        .layer(metrics.calls.clone())
        .layer(limits)
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_header_list_size(MAX_METADATA)
        .max_connection_age(MAX_AGE)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_routes(routes(backend, health)?)
        .serve_with_incoming_shutdown(incoming, shutdown)
        .await?;
    // A write whose caller has gone may still wait for its answer.
    written.recv().await;
    Ok(())
}

pub(super) fn routes(backend: Backend, health: Routes) -> Result<Routes, anyhow::Error> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(contract::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // So that generic clients can show the details of errors.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let deployments =
        DeploymentsServiceServer::new(Deployments(backend.clone())).max_decoding_message_size(MAX_MESSAGE);
    let replicas = ReplicasServiceServer::new(Replicas(backend))
        .max_decoding_message_size(MAX_MESSAGE)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip);
    Ok(health
        .add_service(deployments)
        .add_service(replicas)
        .add_service(reflection().build_v1()?.max_decoding_message_size(MAX_MESSAGE))
        .add_service(reflection().build_v1alpha()?.max_decoding_message_size(MAX_MESSAGE)))
}
