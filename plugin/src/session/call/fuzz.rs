//! Refusals of a server.

use std::{collections::HashMap, error::Error as _};

use contract::names::reasons;
use tonic::{
    Code, Status,
    codegen::http::{HeaderMap, HeaderValue},
};
use tonic_types::{ErrorDetails, StatusExt};

use super::{explain, is_temporary};
use crate::{session::checked, terminal::is_unsafe};

#[test]
fn no_refusal_makes_the_plugin_panic() {
    let seeds = [reasons::NOT_MANAGED, reasons::FORBIDDEN, reasons::INVALID_FIELD].map(|reason| {
        let mut details = ErrorDetails::new();
        let metadata = HashMap::from([("field".to_owned(), "replicas".to_owned())]);
        details.set_error_info(reason, contract::names::GROUP, metadata).set_retry_info(None);
        Status::with_error_details(Code::NotFound, "web is not managed", details).details().to_vec()
    });
    fuzz::target("details of refusals").seeds(seeds).words([reasons::AUTOSCALED, "type.googleapis.com/"]).bytes(
        |details| {
            let code = Code::from(i32::from(details.len() as u8 % 18));
            let status = Status::with_details(code, String::from_utf8_lossy(details), details.to_vec().into());
            let _ = (status.get_error_details(), is_temporary(&status));
            let is_readable = status.check_error_details().is_ok();
            let error = explain(status);
            assert!(!error.to_string().is_empty() && error.source().is_none());
            let _ = crate::error::explain("error", &error.into());
            is_readable
        },
    );
}

#[test]
fn no_status_makes_the_plugin_panic() {
    // The code, the message and the details, each in a line.
    let seeds = ["5\nweb%20is%20not%20managed\nCAUSA3dlYg", "14\nstopping\n", "3\n%E2%82%AC\n"];
    fuzz::target("status of answers").seeds(seeds).words(["%", "%00", "%ff", "=", "16"]).bytes(|input| {
        let mut lines = input.splitn(3, |byte| *byte == b'\n');
        let names = ["grpc-status", "grpc-message", "grpc-status-details-bin"];
        let headers = names.map(|name| Some((name, HeaderValue::from_bytes(lines.next()?).ok()?)));
        let mut headers: HeaderMap =
            headers.into_iter().flatten().map(|(name, value)| (name.parse().unwrap(), value)).collect();
        checked::remove_malformed(&mut headers);
        let Some(status) = Status::from_header_map(&headers) else { return false };
        let is_known = status.code() != Code::Unknown;
        let text = crate::error::explain("error", &explain(status).into());
        assert!(text.chars().all(|c| c == '\n' || !is_unsafe(c)), "{text:?}");
        is_known
    });
}
