//! What completion asks the kubeconfig and the cluster. All of it is silent and ends after [`LIMIT`].

use std::time::Duration;

use contract::replicas::v1::{ListReplicaCountsRequest, ReplicaCount};
use tokio::{runtime::Builder, time};

use crate::{
    args::ConnectionArgs,
    commands::connect::connect_silently,
    error::Error,
    kubernetes::{self, Contexts},
};

/// How long a person waits for a completion before it is in the way.
const LIMIT: Duration = Duration::from_secs(1);

/// The most targets of a completion: one page, so that it takes one call.
const MAX_TARGETS: i32 = 1000;

/// The contexts of the kubeconfig.
pub(super) fn contexts(connection: ConnectionArgs) -> Option<Vec<String>> {
    Contexts::load(&connection.kube).map(|contexts| contexts.names()).ok()
}

/// The namespaces of the cluster, if the user may list them.
pub(super) fn namespaces(connection: ConnectionArgs) -> Option<Vec<String>> {
    within_limit(async { Ok(kubernetes::namespaces(&connection.kube, LIMIT).await?) })
}

/// The targets of the namespace, or only the managed ones.
pub(super) fn targets(connection: ConnectionArgs, with_unmanaged: bool) -> Option<Vec<ReplicaCount>> {
    let limit = connection.request_timeout.min(LIMIT);
    let connection = ConnectionArgs { request_timeout: limit, ..connection };
    within_limit(async {
        let session = connect_silently(&connection).await?;
        let request = ListReplicaCountsRequest {
            namespace: session.namespace.clone(),
            all_targets: with_unmanaged,
            page_size: MAX_TARGETS,
            ..ListReplicaCountsRequest::default()
        };
        Ok(session.answer(session.client.clone().list_replica_counts(request)).await?.replica_counts)
    })
}

fn within_limit<T>(work: impl Future<Output = Result<T, Error>>) -> Option<T> {
    let runtime = Builder::new_current_thread().enable_all().build().ok()?;
    let result = runtime.block_on(async { time::timeout(LIMIT, work).await });
    // Do not wait for a host name look-up that hangs in the system.
    runtime.shutdown_background();
    result.ok()?.ok()
}
