//! `grpc.health.v1`: whether the services serve.

use contract::{deployments::deployments_service_server as deployments_server, replicas::v1::replicas_service_server};
use tonic::{server::NamedService, service::Routes};
use tonic_health::{
    ServingStatus::{NotServing, Serving},
    server::HealthReporter,
};

use super::{call_limits::MAX_MESSAGE, deployments::Deployments, service::Replicas};

/// The health service, which answers NOT_SERVING until the reporter says otherwise.
pub(crate) async fn service() -> (HealthReporter, Routes) {
    let (reporter, service) = tonic_health::server::health_reporter();
    report(&reporter, false).await;
    (reporter, Routes::new(service.max_decoding_message_size(MAX_MESSAGE)))
}

/// Reports whether both services serve.
pub(crate) async fn report(reporter: &HealthReporter, serving: bool) {
    let status = if serving { Serving } else { NotServing };
    for service in [
        "",
        deployments_server::DeploymentsServiceServer::<Deployments>::NAME,
        replicas_service_server::ReplicasServiceServer::<Replicas>::NAME,
    ] {
        reporter.set_service_status(service, status).await;
    }
}
