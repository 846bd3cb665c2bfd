//! Why a call is refused, and what it looks like on the wire.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::authz::Denial;
use crate::{
    index::discovery,
    resources::{InvalidTarget, TargetKey},
    runtime::limiter::Exhausted,
    telemetry,
};

/// The domain of our reasons in `google.rpc.ErrorInfo`.
const DOMAIN: &str = "replica-count-manager.io";

/// Why a call is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{field} {problem}")]
    Invalid { field: &'static str, problem: String },
    #[error("{0} does not exist")]
    TargetNotFound(TargetKey),
    #[error("namespace {0} does not exist")]
    NamespaceNotFound(String),
    #[error("{0} is not managed: it has no ReplicaCount")]
    NotManaged(TargetKey),
    #[error("{message}")]
    Precondition { reason: &'static str, message: String },
    #[error("{0}")]
    Denied(Box<Denial>),
    #[error("the caller's rights to list targets have changed; watch again")]
    RightsChanged,
    #[error("the server has not read the cluster's state yet; try again in a moment")]
    NotSynced,
    #[error("the server has not seen resource version {0} yet; try again in a moment")]
    Behind(u64),
    #[error("the watch was read too slowly and missed events; watch again")]
    TooSlow,
    #[error("too many watches: {0}; end one")]
    TooManyWatches(Exhausted),
    #[error("the server is stopping; watch again")]
    Stopping,
    #[error("{0} was changed by others at the same time, again and again; try again")]
    Contended(TargetKey),
    #[error("the API server refused: {0}")]
    Refused(String),
    #[error("the API server forbids it to the server: {0}")]
    Forbidden(String),
    #[error("the namespace is being deleted: {0}")]
    NamespaceTerminating(String),
    #[error("the API server failed: {0}")]
    Failed(String),
    #[error("failed to reach the API server: {0}; whether the write took place is not known, try again")]
    Unreachable(String),
}

impl Error {
    pub(super) fn invalid(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid { field, problem: problem.into() }
    }

    /// The reason, which never changes its meaning.
    pub(super) fn reason(&self) -> &'static str {
        self.kind().1
    }

    /// The status code and the stable reason.
    fn kind(&self) -> (Code, &'static str) {
        match self {
            Self::Invalid { .. } => (Code::InvalidArgument, "INVALID_FIELD"),
            Self::TargetNotFound(_) => (Code::NotFound, "TARGET_NOT_FOUND"),
            Self::NamespaceNotFound(_) => (Code::NotFound, "NAMESPACE_NOT_FOUND"),
            Self::NotManaged(_) => (Code::NotFound, "NOT_MANAGED"),
            Self::Precondition { reason, .. } => (Code::FailedPrecondition, reason),
            Self::Denied(_) => (Code::PermissionDenied, "FORBIDDEN"),
            Self::RightsChanged => (Code::Aborted, "RIGHTS_CHANGED"),
            Self::NotSynced => (Code::Unavailable, "NOT_SYNCED"),
            Self::Behind(_) => (Code::Unavailable, "CACHE_BEHIND"),
            Self::TooSlow => (Code::Aborted, "WATCH_TOO_SLOW"),
            Self::TooManyWatches(_) => (Code::ResourceExhausted, "TOO_MANY_WATCHES"),
            Self::Stopping => (Code::Unavailable, "STOPPING"),
            Self::Contended(_) => (Code::Aborted, "CONTENDED"),
            Self::Refused(_) => (Code::InvalidArgument, "REFUSED_BY_API_SERVER"),
            Self::NamespaceTerminating(_) => (Code::FailedPrecondition, "NAMESPACE_TERMINATING"),
            Self::Forbidden(_) => (Code::Internal, "FORBIDDEN_TO_SERVER"),
            Self::Failed(_) => (Code::Internal, "API_SERVER_FAILED"),
            Self::Unreachable(_) => (Code::Unavailable, "API_SERVER_UNREACHABLE"),
        }
    }

    /// The error with its field in the words of `proto.DeploymentsService`.
    pub(super) fn for_deployments(self) -> Self {
        match self {
            Self::Invalid { field, problem } => {
                let field = match field {
                    "target.namespace" | "namespace" => "Namespace",
                    "target.name" => "Name",
                    "replicas" => "Replicas",
                    other => other,
                };
                Self::Invalid { field, problem }
            }
            other => other,
        }
    }
}

impl From<InvalidTarget> for Error {
    fn from(error: InvalidTarget) -> Self {
        let field = match error.field() {
            "namespace" => "target.namespace",
            "group" => "target.group",
            "kind" => "target.kind",
            _ => "target.name",
        };
        // The message already starts with the last word of the field's name.
        let text = error.to_string();
        let problem = text.split_once(' ').map_or(text.as_str(), |(_, problem)| problem).to_owned();
        Self::Invalid { field, problem }
    }
}

impl From<discovery::Error> for Error {
    fn from(error: discovery::Error) -> Self {
        match error {
            discovery::Error::NoAnswer(_) | discovery::Error::Unknown { .. } => {
                Self::Unreachable(telemetry::chain(&error))
            }
            error => Self::invalid("target.kind", format!("cannot be managed: {error}")),
        }
    }
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if is_terminating(&status) => Self::NamespaceTerminating(status.message.clone()),
            kube::Error::Api(status) if status.is_forbidden() => Self::Forbidden(status.message.clone()),
            kube::Error::Api(status) if status.code == 422 || status.code == 400 => {
                Self::Refused(status.message.clone())
            }
            // Busy or failing: whether it wrote is not known.
            kube::Error::Api(status) if status.code == 429 || status.code >= 500 => {
                Self::Unreachable(status.message.clone())
            }
            kube::Error::Api(status) => Self::Failed(status.message.clone()),
            error => Self::Unreachable(telemetry::chain(&error)),
        }
    }
}

/// Whether a namespace takes no new objects because it is being deleted, which the API server calls forbidden.
fn is_terminating(status: &kube::core::Status) -> bool {
    let causes = status.details.as_ref().map(|details| &details.causes);
    causes.is_some_and(|causes| causes.iter().any(|cause| cause.reason == "NamespaceTerminating"))
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let (code, reason) = error.kind();
        let mut metadata = HashMap::new();
        let mut details = ErrorDetails::new();
        match &error {
            Error::Invalid { field, .. } => drop(metadata.insert("field".to_owned(), (*field).to_owned())),
            Error::Denied(denial) => metadata.extend(denial.metadata().map(|(key, value)| (key.to_owned(), value))),
            _ => {}
        }
        details.set_error_info(reason, DOMAIN, metadata);
        Self::with_error_details(code, error.to_string(), details)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_its_field_in_the_words_of_each_service() {
        let error = || Error::from(TargetKey::new("shop", "", "", "Web").unwrap_err());
        assert!(error().to_string().starts_with("target.name \"Web\" is not a DNS subdomain"), "{}", error());
        let error = error().for_deployments();
        assert!(error.to_string().starts_with("Name \"Web\" is not"), "{error}");
        let status = Status::from(error);
        assert_eq!(status.code(), Code::InvalidArgument);
        let info = status.get_details_error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("INVALID_FIELD", DOMAIN));
    }

    #[test]
    fn an_empty_name_is_named() {
        let error = Error::from(TargetKey::new("shop", "", "", "").unwrap_err());
        assert_eq!(error.to_string(), "target.name must not be empty");
    }
}
