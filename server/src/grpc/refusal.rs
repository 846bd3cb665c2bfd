//! Why a call is refused before a service sees it, and the ErrorInfo of errors that gRPC itself makes.

use std::{collections::HashMap, time::Duration};

use contract::names::reasons;
use hyper::header::HeaderMap;
use tonic::{Code, Status};

use super::error::with_reason;
use crate::runtime::limiter::Exhausted;

/// Why a call is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("too many calls: {0}; end one, or try again in a moment")]
    TooManyCalls(Exhausted),
    #[error("too many bytes of requests are under way: {0}; send fewer requests at once, or try again in a moment")]
    TooManyRequestBytes(Exhausted),
    #[error("too many bytes of answers are unread: a user may have {0}; read them, or ask for smaller pages")]
    TooManyAnswerBytes(usize),
    #[error("the request has more than {0} bytes, which is the limit")]
    TooLarge(usize),
    #[error("the request has more than {0} frames, which is the limit: send it in larger ones")]
    TooManyFrames(usize),
    #[error("the request did not arrive within {} s", .0.as_secs())]
    TooSlow(Duration),
    #[error("the request ended early")]
    Broken,
    #[error("the call did not end within the caller's deadline, which grpc-timeout sets")]
    Deadline,
    #[error("{}", .0.message())]
    Unbuilt(Status),
    #[error("the connection has no identity")]
    NoIdentity,
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let (code, reason) = match &refusal {
            Refusal::TooManyCalls(_) => (Code::ResourceExhausted, reasons::TOO_MANY_CALLS),
            Refusal::TooManyRequestBytes(_) | Refusal::TooManyAnswerBytes(_) => {
                (Code::ResourceExhausted, reasons::TOO_MANY_BYTES)
            }
            // The code that tonic gives to a message that says itself that it is too large.
            Refusal::TooLarge(_) | Refusal::TooManyFrames(_) => (Code::OutOfRange, reasons::REQUEST_TOO_LARGE),
            Refusal::TooSlow(_) => (Code::DeadlineExceeded, reasons::REQUEST_TOO_SLOW),
            Refusal::Broken => (Code::Cancelled, reason(Code::Cancelled)),
            Refusal::Deadline => (Code::DeadlineExceeded, reason(Code::DeadlineExceeded)),
            Refusal::Unbuilt(status) => (status.code(), reason(status.code())),
            Refusal::NoIdentity => (Code::Internal, reason(Code::Internal)),
        };
        with_reason(code, &refusal.to_string(), reason, HashMap::new())
    }
}

/// Adds an ErrorInfo to the status in a header or trailers, if it is an error without details.
pub(super) fn add_error_info(headers: &mut HeaderMap) {
    let Some(status) = Status::from_header_map(headers) else { return };
    if status.code() != Code::Ok && status.details().is_empty() {
        let status = with_reason(status.code(), status.message(), reason(status.code()), HashMap::new());
        // Fails only for texts that no header can carry, and these came from one.
        let _ = status.add_header(headers);
    }
}

/// The reason of an error of gRPC itself: the name of its code, as gRPC's documentation spells it.
fn reason(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt;

    use super::*;

    fn headers(status: &Status) -> HeaderMap {
        let mut headers = HeaderMap::new();
        status.add_header(&mut headers).unwrap();
        headers
    }

    #[test]
    fn only_an_error_without_details_gets_the_name_of_its_code() {
        let own = with_reason(Code::Aborted, "contended", "CONTENDED", HashMap::new());
        for (name, status, reason) in [
            ("success", Status::new(Code::Ok, ""), None),
            ("an unknown method", Status::unimplemented(""), Some("UNIMPLEMENTED")),
            ("text beyond ASCII", Status::internal("50 % zuviel: ä\n"), Some("INTERNAL")),
            ("an error with details", own, Some("CONTENDED")),
        ] {
            let mut headers = headers(&status);
            add_error_info(&mut headers);
            let explained = Status::from_header_map(&headers).unwrap();
            assert_eq!((explained.code(), explained.message()), (status.code(), status.message()), "{name}");
            assert_eq!(explained.get_details_error_info().map(|info| info.reason).as_deref(), reason, "{name}");
        }
        let mut none = HeaderMap::new();
        add_error_info(&mut none);
        assert!(none.is_empty(), "headers without a status stay as they are");
    }
}
