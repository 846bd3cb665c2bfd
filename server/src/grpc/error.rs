//! The errors of calls, and their form on the wire.

use std::collections::HashMap;

use contract::names::{GROUP, reasons};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::denial::Denial;
use crate::{
    index::discovery,
    resources::{InvalidTarget, TargetKey, Unreadable, api_errors},
    runtime::limiter::Exhausted,
    telemetry,
};

/// Why a call failed.
#[derive(Clone, Debug, thiserror::Error)]
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
    #[error("too many questions about rights are under way; make fewer calls at once, or try again in a moment")]
    TooManyReviews,
    #[error("too many lists are under way; make fewer at once, or try again in a moment")]
    TooManyLists,
    #[error("the answer has more than {0} bytes; name a namespace, or use ListReplicaCounts, which has pages")]
    TooLongList(usize),
    #[error("the server is stopping; watch again")]
    Stopping,
    /// Another write came first in every attempt. This is not the condition `Contested`, which is about corrections.
    #[error("{0} was changed by others during every attempt; try again")]
    Contended(TargetKey),
    #[error(
        "{0} is still managed: {1}; the server keeps trying to put its count from before back and to end the management"
    )]
    NotRestored(TargetKey, String),
    #[error("the API server refused: {0}")]
    Refused(String),
    #[error("the API server does not allow this to the server: {0}")]
    Forbidden(String),
    #[error("the namespace is being deleted: {0}")]
    NamespaceTerminating(String),
    #[error("the API server does not serve ReplicaCounts: the CRD replicacounts.replica-count-manager.io is missing")]
    NotServed,
    #[error("the API server failed: {0}")]
    Failed(String),
    #[error("failed to reach the API server: {0}; if this was a write, it may have taken place: try again")]
    Unreachable(String),
}

impl Error {
    pub(super) fn invalid(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid { field, problem: problem.into() }
    }

    /// The stable reason, as ErrorInfo carries it.
    fn reason(&self) -> &'static str {
        self.code_and_reason().1
    }

    /// An invalid namespace, in a field that is not a target's.
    pub(super) fn of_namespace(field: &'static str, error: InvalidTarget) -> Self {
        match Self::from(error) {
            Self::Invalid { problem, .. } => Self::Invalid { field, problem },
            other => other,
        }
    }

    /// Whether the API server cannot answer now. A refusal is an answer.
    pub(super) fn is_outage(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::TooManyReviews)
    }

    fn code_and_reason(&self) -> (Code, &'static str) {
        match self {
            Self::Invalid { .. } => (Code::InvalidArgument, reasons::INVALID_FIELD),
            Self::TargetNotFound(_) => (Code::NotFound, reasons::TARGET_NOT_FOUND),
            Self::NamespaceNotFound(_) => (Code::NotFound, reasons::NAMESPACE_NOT_FOUND),
            Self::NotManaged(_) => (Code::NotFound, reasons::NOT_MANAGED),
            Self::Precondition { reason, .. } => (Code::FailedPrecondition, reason),
            Self::Denied(_) => (Code::PermissionDenied, reasons::FORBIDDEN),
            Self::RightsChanged => (Code::Aborted, reasons::RIGHTS_CHANGED),
            Self::NotSynced => (Code::Unavailable, reasons::NOT_SYNCED),
            Self::Behind(_) => (Code::Unavailable, reasons::CACHE_BEHIND),
            Self::TooSlow => (Code::Aborted, reasons::WATCH_TOO_SLOW),
            Self::TooManyWatches(_) => (Code::ResourceExhausted, reasons::TOO_MANY_WATCHES),
            Self::TooManyReviews => (Code::ResourceExhausted, reasons::TOO_MANY_REVIEWS),
            Self::TooManyLists => (Code::ResourceExhausted, reasons::TOO_MANY_LISTS),
            Self::TooLongList(_) => (Code::ResourceExhausted, reasons::ANSWER_TOO_LARGE),
            Self::Stopping => (Code::Unavailable, reasons::STOPPING),
            Self::Contended(_) => (Code::Aborted, reasons::CONTENDED),
            Self::NotRestored(..) => (Code::Unavailable, reasons::NOT_RESTORED),
            Self::Refused(_) => (Code::InvalidArgument, reasons::REFUSED_BY_API_SERVER),
            Self::NamespaceTerminating(_) => (Code::FailedPrecondition, reasons::NAMESPACE_TERMINATING),
            Self::Forbidden(_) => (Code::Internal, reasons::FORBIDDEN_TO_SERVER),
            Self::NotServed => (Code::Internal, reasons::REPLICA_COUNTS_NOT_SERVED),
            Self::Failed(_) => (Code::Internal, reasons::API_SERVER_FAILED),
            Self::Unreachable(_) => (Code::Unavailable, reasons::API_SERVER_UNREACHABLE),
        }
    }

    /// The error with the field's name in `proto.DeploymentsService`.
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

/// The outcome of a write, as audit lines name it.
pub(super) fn outcome<T>(result: &Result<T, Error>) -> &'static str {
    result.as_ref().map_or_else(Error::reason, |_| "DONE")
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
            discovery::Error::Unreachable(_) | discovery::Error::NoAnswer(_) | discovery::Error::Unknown { .. } => {
                Self::Unreachable(telemetry::chain(&error))
            }
            error => Self::invalid("target.kind", format!("cannot be managed: {error}")),
        }
    }
}

impl From<Unreadable> for Error {
    fn from(object: Unreadable) -> Self {
        let (name, reason) = (object.metadata.name.as_deref().unwrap_or_default(), &object.reason);
        let message =
            format!("the server cannot read the object {name}: {reason}; correct it with kubectl edit, or delete it");
        Self::Precondition { reason: reasons::UNREADABLE, message }
    }
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        let kube::Error::Api(status) = &error else { return Self::Unreachable(telemetry::chain(&error)) };
        let message = status.message.clone();
        if api_errors::is_namespace_terminating(status) {
            Self::NamespaceTerminating(message)
        } else if status.is_forbidden() {
            Self::Forbidden(message)
        } else if api_errors::is_refused_object(status) {
            Self::Refused(message)
        } else if api_errors::is_retryable(status) {
            Self::Unreachable(message)
        } else {
            Self::Failed(message)
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let (code, reason) = error.code_and_reason();
        let mut metadata = HashMap::new();
        match &error {
            Error::Invalid { field, .. } => drop(metadata.insert("field".to_owned(), (*field).to_owned())),
            Error::Denied(denial) => metadata.extend(denial.metadata().map(|(key, value)| (key.to_owned(), value))),
            _ => {}
        }
        with_reason(code, &error.to_string(), reason, metadata)
    }
}

/// A status with an ErrorInfo.
pub(super) fn with_reason(code: Code, message: &str, reason: &str, metadata: HashMap<String, String>) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, GROUP, metadata);
    Status::with_error_details(code, message, details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_its_field_as_each_service_does() {
        let error = || Error::from(TargetKey::new("shop", "", "", "Web").unwrap_err());
        assert!(error().to_string().starts_with("target.name \"Web\" is not a DNS subdomain"), "{}", error());
        let error = error().for_deployments();
        assert!(error.to_string().starts_with("Name \"Web\" is not"), "{error}");
        let status = Status::from(error);
        assert_eq!(status.code(), Code::InvalidArgument);
        let info = status.get_details_error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("INVALID_FIELD", "replica-count-manager.io"));
    }

    #[test]
    fn an_empty_name_is_named() {
        let error = Error::from(TargetKey::new("shop", "", "", "").unwrap_err());
        assert_eq!(error.to_string(), "target.name must not be empty");
    }
}
