//! One gRPC call, with a deadline.

use std::{error::Error as StdError, sync::Arc, time::Duration};

use contract::names::reasons;
use tokio::time;
use tonic::{Code, Response, Status};
use tonic_types::StatusExt;

use super::{
    dial,
    error_chain::find_cause,
    handshake::{self, describe_alert},
};
use crate::{terminal, time::describe_limit};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Refused(Refusal),
    /// The connection broke, and could not be opened again.
    #[error(transparent)]
    Dial(#[from] Arc<dial::Error>),
    /// In TLS 1.3 the server checks the client certificate after the client's handshake has ended.
    #[error("the server does not accept the connection: {}", describe_alert(*alert))]
    Certificate { alert: rustls::AlertDescription },
    #[error("the connection to the server broke")]
    Lost { source: Broken },
    #[error("the server gave no answer within {}", describe_limit(*limit))]
    TimedOut { limit: Duration },
}

impl Error {
    /// Whether the connection is lost, so that the next call would fail too.
    pub(crate) fn is_of_connection(&self) -> bool {
        matches!(self, Self::Dial(_) | Self::Certificate { .. })
    }

    /// Whether the answer to a write is missing, or says that the server does not know the result. The server may have
    /// done what the call asked for.
    pub(crate) fn is_missing_answer(&self) -> bool {
        match self {
            Self::TimedOut { .. } | Self::Lost { .. } => true,
            Self::Refused(refusal) => refusal.is_inconclusive(),
            Self::Dial(_) | Self::Certificate { .. } => false,
        }
    }

    /// Whether the call may succeed with newer credentials: a command that lasts outlives some certificates and tokens.
    pub(crate) fn is_of_credentials(&self) -> bool {
        match self {
            Self::Certificate { .. } => true,
            Self::Dial(error) => error.is_of_credentials(),
            Self::Refused(_) | Self::Lost { .. } | Self::TimedOut { .. } => false,
        }
    }

    /// What the user can do.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Refused(refusal) => refusal.hint(),
            Self::Dial(error) => error.hint(),
            Self::Certificate { alert } => Some(handshake::refused_hint(*alert).to_owned()),
            Self::Lost { .. } => {
                Some("try again; if it fails again, check the client certificate and the server's log".to_owned())
            }
            Self::TimedOut { .. } => Some("try again, or give it more time with --request-timeout".to_owned()),
        }
    }
}

/// The innermost cause of a broken connection. The outer ones only repeat that it broke.
#[derive(Debug, thiserror::Error)]
#[error("{}", innermost(.0.as_ref()))]
pub(crate) struct Broken(Box<Status>);

fn innermost(error: &dyn StdError) -> String {
    error.source().map_or_else(|| error.to_string(), innermost)
}

/// The server's refusal of a call.
#[derive(Debug, thiserror::Error)]
#[error("{}", describe_status(.0))]
pub(crate) struct Refusal(pub(crate) Box<Status>);

impl Refusal {
    /// One of [`reasons`], or empty.
    fn reason(&self) -> String {
        self.0.get_details_error_info().map(|info| info.reason).unwrap_or_default()
    }

    /// Whether the server may have made the write all the same: the answer of the API server was lost, or the count from
    /// before is yet to be put back.
    fn is_inconclusive(&self) -> bool {
        let is_reason = matches!(self.reason().as_str(), reasons::API_SERVER_UNREACHABLE | reasons::NOT_RESTORED);
        self.0.code() == Code::Unavailable && is_reason
    }

    /// What the user can do, if the server's message does not say it.
    fn hint(&self) -> Option<String> {
        let hint = match (self.0.code(), self.reason().as_str()) {
            (_, reasons::NOT_MANAGED) => "to manage it: kubectl replicas set TARGET N",
            (_, reasons::NO_ORIGINAL_COUNT) => {
                "leave out --restore to stop managing it, and to keep the count that it has"
            }
            (_, reasons::TARGET_NOT_FOUND) => "check the name, the kind and the namespace",
            (_, reasons::AUTOSCALED | reasons::OWNED_BY_OTHER) => {
                "--force does it nevertheless; the two will then undo each other's counts"
            }
            (Code::PermissionDenied, _) => {
                "the user is the common name of the client certificate; ask an administrator to run that command"
            }
            (Code::Internal | Code::Unknown, "") if self.0.message().starts_with("protocol error") => {
                "check the address: no gRPC server answers there"
            }
            (Code::Unimplemented, _) => "check that this is a replica-count-manager server, and as new as this plugin",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

fn describe_status(status: &Status) -> String {
    match status.message() {
        "" => format!("the server answers with {:?}: {}", status.code(), status.code().description()),
        message => terminal::lines(message),
    }
}

/// Waits for the answer to a call, and gives up after the limit.
pub(super) async fn wait_for_answer<T>(
    limit: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Error> {
    match time::timeout(limit, call).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(explain(status)),
        Err(_) => Err(Error::TimedOut { limit }),
    }
}

/// Whether another try may succeed: the server is stopping or has too many calls, or the connection broke and TLS did not
/// refuse it.
///
/// The status of a broken connection has a source and almost any code. A status from the server has no source.
pub(crate) fn is_temporary(status: &Status) -> bool {
    let is_refused = match find_cause::<Arc<dial::Error>>(status) {
        Some(error) => error.is_refusal(),
        None => matches!(find_cause(status), Some(rustls::Error::AlertReceived(_))),
    };
    let is_for_now = matches!(status.code(), Code::Aborted | Code::ResourceExhausted | Code::Unavailable);
    (status.source().is_some() || is_for_now) && !is_refused
}

/// Distinguishes refusals of the server from failures of the connection.
pub(crate) fn explain(status: Status) -> Error {
    let status = Box::new(status);
    if let Some(error) = find_cause::<Arc<dial::Error>>(status.as_ref()) {
        Error::Dial(error.clone())
    } else if let Some(rustls::Error::AlertReceived(alert)) = find_cause(status.as_ref()) {
        Error::Certificate { alert: *alert }
    } else if status.source().is_some() {
        Error::Lost { source: Broken(status) }
    } else {
        Error::Refused(Refusal(status))
    }
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, io};

    use rustls::AlertDescription;
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn the_message_of_the_server_is_shown_as_it_is() {
        let error = explain(Status::invalid_argument("replicas must not be negative"));
        assert_eq!(error.to_string(), "replicas must not be negative");
        let error = explain(Status::invalid_argument("belongs to \u{1b}[31mhelm"));
        assert_eq!(error.to_string(), "belongs to  [31mhelm");
        let error = explain(Status::new(Code::Unknown, ""));
        assert!(error.to_string().starts_with("the server answers with Unknown: "), "{error}");
    }

    #[test]
    fn a_reason_brings_a_hint() {
        for (reason, part) in [
            (reasons::NOT_MANAGED, "set TARGET N"),
            (reasons::NO_ORIGINAL_COUNT, "leave out --restore"),
            (reasons::TARGET_NOT_FOUND, "check the name"),
        ] {
            let mut details = ErrorDetails::new();
            details.set_error_info(reason, contract::names::GROUP, HashMap::new());
            let hint = Refusal(Box::new(Status::with_error_details(Code::NotFound, "no", details))).hint();
            assert!(hint.as_ref().is_some_and(|hint| hint.contains(part)), "{reason}: {hint:?}");
        }
        assert_eq!(Refusal(Box::new(Status::internal("broken"))).hint(), None);
    }

    #[test]
    fn an_answer_may_leave_open_what_became_of_a_write() {
        let refused = |code, reason: &str| {
            let mut details = ErrorDetails::new();
            details.set_error_info(reason, contract::names::GROUP, HashMap::new());
            explain(Status::with_error_details(code, "no", details))
        };
        for (name, error, expected) in [
            ("no answer", Error::TimedOut { limit: Duration::ZERO }, true),
            ("no API server", refused(Code::Unavailable, reasons::API_SERVER_UNREACHABLE), true),
            ("not restored", refused(Code::Unavailable, reasons::NOT_RESTORED), true),
            ("stopping", refused(Code::Unavailable, reasons::STOPPING), false),
            ("no reason", explain(Status::unavailable("no")), false),
            ("a refusal", refused(Code::InvalidArgument, reasons::REFUSED_BY_API_SERVER), false),
            ("a certificate", Error::Certificate { alert: AlertDescription::UnknownCA }, false),
        ] {
            assert_eq!(error.is_missing_answer(), expected, "{name}");
        }
    }

    #[test]
    fn a_broken_connection_is_temporary_and_a_refusal_is_not() {
        let broken = |cause: io::Error| Status::from_error(Box::new(cause));
        assert!(is_temporary(&broken(io::ErrorKind::ConnectionReset.into())));
        assert!(is_temporary(&Status::aborted("too slow")) && is_temporary(&Status::unavailable("stopping")));
        assert!(is_temporary(&Status::resource_exhausted("64 watches")));
        assert!(!is_temporary(&Status::permission_denied("no")) && !is_temporary(&Status::internal("broken")));
        let alert = || rustls::Error::AlertReceived(AlertDescription::UnknownCA);
        assert!(!is_temporary(&broken(io::Error::other(alert()))));
        let shaken = |error| broken(io::Error::other(Arc::new(dial::Error::Handshake(error))));
        let peer = || "the server".to_owned();
        let alert = handshake::Error::Alert { peer: peer(), alert: AlertDescription::UnknownCA };
        assert!(!is_temporary(&shaken(alert)));
        let source = io::ErrorKind::UnexpectedEof.into();
        assert!(is_temporary(&shaken(handshake::Error::Other { peer: peer(), source })));
    }

    #[test]
    fn newer_credentials_may_help_against_a_refused_certificate() {
        let of_dial = |error| Error::from(Arc::new(dial::Error::Handshake(error)));
        let peer = || "the server".to_owned();
        let alert = AlertDescription::CertificateExpired;
        for (name, error, expected) in [
            ("refused in a call", Error::Certificate { alert }, true),
            ("refused in the handshake", of_dial(handshake::Error::Alert { peer: peer(), alert }), true),
            ("no TLS", of_dial(handshake::Error::NotGrpc { peer: peer() }), false),
            ("no answer", Error::TimedOut { limit: Duration::ZERO }, false),
        ] {
            assert_eq!(error.is_of_credentials(), expected, "{name}");
        }
    }

    #[test]
    fn a_refused_client_certificate_and_a_broken_connection_have_their_errors() {
        let broken = |cause: io::Error| explain(Status::from_error(Box::new(cause))).to_string();
        let alert = rustls::Error::AlertReceived(AlertDescription::UnknownCA);
        assert!(
            broken(io::Error::other(alert)).ends_with("the client certificate is from a CA that it does not trust")
        );
        assert_eq!(broken(io::ErrorKind::ConnectionReset.into()), "the connection to the server broke");
    }
}
