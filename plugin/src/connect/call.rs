//! One call to the server: with a deadline, and with errors for people.

use std::{error::Error as StdError, sync::Arc, time::Duration};

use tokio::time;
use tonic::{Code, Response, Status};
use tonic_types::StatusExt;

use super::{
    chain::find,
    dial,
    handshake::{self, meaning},
};
use crate::time::limit as words;

/// Why a call failed after the connection was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// In TLS 1.3 the server looks at the client certificate after the client's handshake is over.
    #[error("the server does not accept the connection: {}", meaning(*alert))]
    Certificate { alert: rustls::AlertDescription },
    #[error("the connection to the server broke")]
    Lost { source: Broken },
    #[error("the server gave no answer within {}", words(*limit))]
    TimedOut { limit: Duration },
}

impl Error {
    /// What to do about it.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Certificate { .. } => Some(handshake::REFUSED_HINT.to_owned()),
            Self::Lost { .. } => {
                Some("try again; if it stays, check the client certificate and the server's log".to_owned())
            }
            Self::TimedOut { .. } => Some("try again, or give it more time with --request-timeout".to_owned()),
        }
    }
}

/// What broke a connection: the innermost cause, since the outer ones only say that it broke.
#[derive(Debug, thiserror::Error)]
#[error("{}", innermost(.0.as_ref()))]
pub(crate) struct Broken(Box<Status>);

fn innermost(error: &dyn StdError) -> String {
    error.source().map_or_else(|| error.to_string(), innermost)
}

/// What the server says instead of doing what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{}", text(.0))]
pub(crate) struct Refusal(pub(crate) Box<Status>);

impl Refusal {
    /// What to do about it, where the server's message does not say.
    pub(crate) fn hint(&self) -> Option<String> {
        let info = self.0.get_details_error_info();
        let reason = info.as_ref().map_or("", |info| info.reason.as_str());
        let hint = match (self.0.code(), reason) {
            (_, "NOT_MANAGED") => "kubectl replicas set TARGET N starts to manage it",
            (_, "TARGET_NOT_FOUND") => "check the name, the kind and the namespace",
            (_, "AUTOSCALED" | "OWNED_BY_OTHER") => {
                "--force does it nevertheless; the two will then undo each other's counts"
            }
            (Code::PermissionDenied, _) => {
                "the user is the common name of the client certificate; whoever may grant rights can run that command"
            }
            (Code::Internal | Code::Unknown, "") if self.0.message().starts_with("protocol error") => {
                "check the address: what answers there is no gRPC server"
            }
            (Code::Unimplemented, _) => "check that this is a replica-count-manager, and as new as this plugin",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

fn text(status: &Status) -> String {
    match status.message() {
        "" => format!("the server answers with {:?}: {}", status.code(), status.code().description()),
        // It may quote what others wrote, which must not move the cursor. API servers answer in several lines.
        message => message.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect(),
    }
}

/// Makes a call and gives up after the limit.
pub(super) async fn call<T>(
    limit: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, crate::error::Error> {
    match time::timeout(limit, call).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(explain(status)),
        Err(_) => Err(super::Error::from(Error::TimedOut { limit }).into()),
    }
}

/// Whether to ask again may help: the server stops, or the connection broke, and TLS has not refused it.
///
/// A connection that breaks comes with a source and almost any code, what the server says comes without a source.
pub(crate) fn may_pass(status: &Status) -> bool {
    let refused = match find::<Arc<dial::Error>>(status) {
        Some(error) => error.is_refusal(),
        None => matches!(find(status), Some(rustls::Error::AlertReceived(_))),
    };
    let broken = status.source().is_some() || matches!(status.code(), Code::Aborted | Code::Unavailable);
    broken && !refused
}

/// Tells what the server says from what the connection does.
pub(crate) fn explain(status: Status) -> crate::error::Error {
    let status = Box::new(status);
    let error = if let Some(error) = find::<Arc<dial::Error>>(status.as_ref()) {
        super::Error::Dial(error.clone())
    } else if let Some(rustls::Error::AlertReceived(alert)) = find(status.as_ref()) {
        Error::Certificate { alert: *alert }.into()
    } else if status.source().is_some() {
        Error::Lost { source: Broken(status) }.into()
    } else {
        return Refusal(status).into();
    };
    error.into()
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
    fn what_the_server_says_is_shown_as_it_is() {
        let error = explain(Status::invalid_argument("replicas must not be negative"));
        assert_eq!(error.to_string(), "replicas must not be negative");
        let error = explain(Status::invalid_argument("belongs to \u{1b}[31mhelm"));
        assert_eq!(error.to_string(), "belongs to  [31mhelm");
        let error = explain(Status::new(Code::Unknown, ""));
        assert!(error.to_string().starts_with("the server answers with Unknown: "), "{error}");
    }

    #[test]
    fn a_reason_brings_a_hint() {
        let mut details = ErrorDetails::new();
        details.set_error_info("NOT_MANAGED", "replica-count-manager.io", HashMap::new());
        let status = Status::with_error_details(Code::NotFound, "web is not managed", details);
        assert!(Refusal(Box::new(status)).hint().unwrap().contains("set TARGET N"));
        assert_eq!(Refusal(Box::new(Status::internal("broken"))).hint(), None);
    }

    #[test]
    fn what_breaks_may_pass_and_what_is_refused_does_not() {
        let broken = |cause: io::Error| Status::from_error(Box::new(cause));
        assert!(may_pass(&broken(io::ErrorKind::ConnectionReset.into())));
        assert!(may_pass(&Status::aborted("too slow")) && may_pass(&Status::unavailable("stopping")));
        assert!(!may_pass(&Status::permission_denied("no")) && !may_pass(&Status::internal("broken")));
        let alert = || rustls::Error::AlertReceived(AlertDescription::UnknownCA);
        assert!(!may_pass(&broken(io::Error::other(alert()))));
        let shaken = |error| broken(io::Error::other(Arc::new(dial::Error::Handshake(error))));
        let peer = || "the server".to_owned();
        let alert = handshake::Error::Alert { peer: peer(), alert: AlertDescription::UnknownCA };
        assert!(!may_pass(&shaken(alert)));
        let source = io::ErrorKind::UnexpectedEof.into();
        assert!(may_pass(&shaken(handshake::Error::Other { peer: peer(), source })));
    }

    #[test]
    fn a_refused_client_certificate_is_told_from_a_broken_connection() {
        let broken = |cause: io::Error| explain(Status::from_error(Box::new(cause))).to_string();
        let alert = rustls::Error::AlertReceived(AlertDescription::UnknownCA);
        assert!(
            broken(io::Error::other(alert)).ends_with("the client certificate is from a CA that it does not trust")
        );
        assert_eq!(broken(io::ErrorKind::ConnectionReset.into()), "the connection to the server broke");
    }
}
