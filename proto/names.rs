//! Names in the cluster that both programs use.

/// The API group of our custom resource, the prefix of our labels and annotations, and the domain of our reasons in
/// `google.rpc.ErrorInfo`.
pub const GROUP: &str = "replica-count-manager.io";

/// The name of the API group of ReplicationControllers and Pods, whose name in Kubernetes is empty: in our API, an empty
/// group means `apps`. Kubernetes has no group of this name.
pub const CORE_GROUP: &str = "core";

/// The name of a target's ReplicaCount. The CRD's schema has the same rule.
#[must_use]
pub fn replica_count_name(kind: &str, group: &str, name: &str) -> String {
    let kind = kind.to_ascii_lowercase();
    match group {
        "apps" => format!("{kind}.{name}"),
        group => format!("{kind}.{group}.{name}"),
    }
}

/// The signer of CertificateSigningRequests that issues client certificates.
pub const CLIENT_SIGNER: &str = "replica-count-manager.io/client";

/// The group whose members may do everything, by the chart's `access.admins`.
pub const ADMINS: &str = "replica-count-manager:admins";

/// The label, with its value, of the Service that the plugin looks for.
pub const SERVICE_SELECTOR: &str = "replica-count-manager.io/service=grpc";

/// The label, with its value, of the Deployment of the server. Commands of the plugin that choose targets leave it out.
pub const SERVER_SELECTOR: &str = "replica-count-manager.io/deployment=server";

/// The annotation of that Service which names the ConfigMap with the CA certificate.
pub const CA_CONFIG_MAP: &str = "replica-count-manager.io/ca-configmap";

/// The stable reasons of errors, as `google.rpc.ErrorInfo` carries them. Their meaning never changes.
pub mod reasons {
    /// A field is missing or out of range; the metadata's `field` names it.
    pub const INVALID_FIELD: &str = "INVALID_FIELD";
    /// There is no such target.
    pub const TARGET_NOT_FOUND: &str = "TARGET_NOT_FOUND";
    /// There is no such namespace.
    pub const NAMESPACE_NOT_FOUND: &str = "NAMESPACE_NOT_FOUND";
    /// The target has no ReplicaCount.
    pub const NOT_MANAGED: &str = "NOT_MANAGED";
    /// The target has another count than the caller expected.
    pub const UNEXPECTED_COUNT: &str = "UNEXPECTED_COUNT";
    /// The replica count has another resource version than the caller expected.
    pub const UNEXPECTED_VERSION: &str = "UNEXPECTED_VERSION";
    /// A HorizontalPodAutoscaler scales the target.
    pub const AUTOSCALED: &str = "AUTOSCALED";
    /// Another object controls the target's count, as a Deployment does for its ReplicaSets.
    pub const CONTROLLED: &str = "CONTROLLED";
    /// Another tool manages the ReplicaCount.
    pub const OWNED_BY_OTHER: &str = "OWNED_BY_OTHER";
    /// The ReplicaCount is being deleted, and waits for a finalizer.
    pub const REPLICA_COUNT_TERMINATING: &str = "REPLICA_COUNT_TERMINATING";
    /// The ReplicaCount of that name belongs to another target.
    pub const NAME_TAKEN: &str = "NAME_TAKEN";
    /// The count from before the target was managed is unknown.
    pub const NO_ORIGINAL_COUNT: &str = "NO_ORIGINAL_COUNT";
    /// The server cannot read the object that the API server stores.
    pub const UNREADABLE: &str = "UNREADABLE";
    /// RBAC does not allow the caller to make the call.
    pub const FORBIDDEN: &str = "FORBIDDEN";
    /// The caller of a watch may no longer list all kinds that it could list when the watch began.
    pub const RIGHTS_CHANGED: &str = "RIGHTS_CHANGED";
    /// The server has not read the cluster's state yet.
    pub const NOT_SYNCED: &str = "NOT_SYNCED";
    /// The server has not seen the resource version that the caller asked for.
    pub const CACHE_BEHIND: &str = "CACHE_BEHIND";
    /// The watch was read too slowly and missed events.
    pub const WATCH_TOO_SLOW: &str = "WATCH_TOO_SLOW";
    /// There are too many watches.
    pub const TOO_MANY_WATCHES: &str = "TOO_MANY_WATCHES";
    /// There are too many questions about rights under way.
    pub const TOO_MANY_REVIEWS: &str = "TOO_MANY_REVIEWS";
    /// There are too many lists under way.
    pub const TOO_MANY_LISTS: &str = "TOO_MANY_LISTS";
    /// The answer is too large for clients of gRPC.
    pub const ANSWER_TOO_LARGE: &str = "ANSWER_TOO_LARGE";
    /// There are too many calls.
    pub const TOO_MANY_CALLS: &str = "TOO_MANY_CALLS";
    /// There are too many bytes of requests under way, or of answers that were not read.
    pub const TOO_MANY_BYTES: &str = "TOO_MANY_BYTES";
    /// The request is too large.
    pub const REQUEST_TOO_LARGE: &str = "REQUEST_TOO_LARGE";
    /// The request did not arrive in time.
    pub const REQUEST_TOO_SLOW: &str = "REQUEST_TOO_SLOW";
    /// The server is stopping.
    pub const STOPPING: &str = "STOPPING";
    /// Others changed the object at the same time, at every attempt.
    pub const CONTENDED: &str = "CONTENDED";
    /// The count from before is not put back yet. The server keeps trying, and then ends the management.
    pub const NOT_RESTORED: &str = "NOT_RESTORED";
    /// The API server refused the object.
    pub const REFUSED_BY_API_SERVER: &str = "REFUSED_BY_API_SERVER";
    /// The namespace is being deleted.
    pub const NAMESPACE_TERMINATING: &str = "NAMESPACE_TERMINATING";
    /// The API server does not allow the server's account to do this.
    pub const FORBIDDEN_TO_SERVER: &str = "FORBIDDEN_TO_SERVER";
    /// The API server does not serve ReplicaCounts: their CRD is missing.
    pub const REPLICA_COUNTS_NOT_SERVED: &str = "REPLICA_COUNTS_NOT_SERVED";
    /// The API server failed.
    pub const API_SERVER_FAILED: &str = "API_SERVER_FAILED";
    /// The API server is out of reach, or busy.
    pub const API_SERVER_UNREACHABLE: &str = "API_SERVER_UNREACHABLE";
}
