//! The gRPC services: `replicas.v1.ReplicasService`, its translation `proto.DeploymentsService`, health and reflection.

mod authz;
mod conflicts;
mod convert;
mod deployments;
mod error;
#[cfg(test)]
mod fuzz;
mod replicas;
mod request;
mod selector;
mod watch;
mod write;

use std::{sync::Arc, time::Duration};

use futures::Stream;
use kube::Client;
use tokio_util::sync::CancellationToken;
use tonic::{codec::CompressionEncoding, service::Routes, transport::Server};
use tonic_health::server::HealthReporter;

use self::{
    authz::Authorizer, deployments::Deployments, replicas::Replicas, request::RequestValidator,
    write::ReplicaCountWriter,
};
use crate::{
    index::Index,
    runtime::limiter::Limiter,
    telemetry::Metrics,
    tls::{Connection, MAX_AGE},
};
use contract::{
    self, deployments::deployments_service_server as deployments_server, replicas::v1::replicas_service_server,
};

/// The server of the first contract.
type DeploymentsServer = deployments_server::DeploymentsServiceServer<Deployments>;
/// The server of the second contract.
type ReplicasServer = replicas_service_server::ReplicasServiceServer<Replicas>;

/// How many calls a connection may have open at once.
const MAX_STREAMS: u32 = 128;

/// How many bytes of requests a call, and a connection, may have on its way: that is what a peer can make us hold.
const WINDOWS: (u32, u32) = (64 * 1024, 256 * 1024);

/// The most bytes of a call's metadata, as the other end counts them: each entry is 32 more than its text.
const MAX_METADATA: u32 = 16 * 1024;

/// How many watches there may be at once, in all and for one user: each remembers what it has shown.
const MAX_WATCHES: (usize, usize) = (1024, 128);

/// How often an idle connection is asked whether it is still there, and how long it has to answer.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));

/// The largest message that is read, in bytes: far above any request of these services.
const MAX_REQUEST: usize = 64 * 1024;

/// What the services work with.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What the watches know.
    pub index: Arc<Index>,
    /// The only namespace that is served; `None` means all.
    pub namespace: Option<String>,
    /// The largest count that is accepted, in replicas.
    pub max_replicas: i32,
    /// Where calls are counted.
    pub metrics: Arc<Metrics>,
    /// Ends open watches.
    pub stop: CancellationToken,
}

/// Serves until `shutdown`, then until the calls that are open have ended.
///
/// # Errors
///
/// When the server fails as a whole; a failing connection ends only itself.
pub async fn serve(
    context: Context,
    health: Routes,
    incoming: impl Stream<Item = std::io::Result<Connection>>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), anyhow::Error> {
    let authorizer = Authorizer::new(context.client.clone(), context.namespace.clone());
    let rules = RequestValidator { namespace: context.namespace, max_replicas: context.max_replicas };
    let replicas = Replicas {
        index: context.index,
        rules: Arc::new(rules),
        writes: ReplicaCountWriter::new(context.client, authorizer.clone()),
        authorizer,
        watches: Limiter::new(MAX_WATCHES.0, MAX_WATCHES.1, context.metrics.open_watches.clone()),
        stop: context.stop,
    };
    Server::builder()
        .layer(context.metrics.calls.clone())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .http2_max_header_list_size(MAX_METADATA)
        .max_connection_age(MAX_AGE)
        .http2_keepalive_interval(Some(KEEPALIVE.0))
        .http2_keepalive_timeout(Some(KEEPALIVE.1))
        .add_routes(routes(replicas, health)?)
        .serve_with_incoming_shutdown(incoming, shutdown)
        .await?;
    Ok(())
}

/// `grpc.health.v1`, which answers NOT_SERVING until told otherwise, and the means to tell it.
pub async fn health() -> (HealthReporter, Routes) {
    let (reporter, service) = tonic_health::server::health_reporter();
    report(&reporter, false).await;
    (reporter, Routes::new(service))
}

/// Says whether both services serve.
pub async fn report(reporter: &HealthReporter, serving: bool) {
    use tonic_health::ServingStatus::{NotServing, Serving};
    let status = if serving { Serving } else { NotServing };
    for service in [
        "",
        <DeploymentsServer as tonic::server::NamedService>::NAME,
        <ReplicasServer as tonic::server::NamedService>::NAME,
    ] {
        reporter.set_service_status(service, status).await;
    }
}

fn routes(replicas: Replicas, health: Routes) -> Result<Routes, anyhow::Error> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(contract::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // So that generic clients can show the details of errors.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let deployments = DeploymentsServer::new(Deployments(replicas.clone())).max_decoding_message_size(MAX_REQUEST);
    let replicas = ReplicasServer::new(replicas)
        .max_decoding_message_size(MAX_REQUEST)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip);
    Ok(health
        .add_service(deployments)
        .add_service(replicas)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?))
}
