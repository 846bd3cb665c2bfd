//! The server's refusals, in the words of the command line.

use contract::names::reasons;
use tonic::Status;
use tonic_types::StatusExt;

use crate::{session::CallError, terminal};

/// How to bring the objects of the chart back as they were installed.
pub(crate) const RESTORE: &str = "helm upgrade replica-count-manager CHART --namespace \
                                  replica-count-manager --reset-then-reuse-values --wait";

/// The fields of requests, and the flags or arguments that fill them.
const FIELDS: [(&str, &str); 11] = [
    ("namespace", "--namespace"),
    ("target.namespace", "--namespace"),
    ("target.name", "the name of the target"),
    ("target.kind", "the kind of the target"),
    ("target.group", "the group of the target"),
    ("label_selector", "--selector"),
    ("replicas", "the count"),
    ("expected_replicas", "--current-replicas"),
    ("until", "the end (--for or --until)"),
    ("then_unset", "--then-unset"),
    ("reason", "--reason"),
];

/// What the server calls the bound of counts.
const BOUND: &str = "MAX_REPLICAS";

/// The hint for a count above the bound.
pub(crate) const RAISE_BOUND: &str = "an administrator can raise the chart's maxReplicas";

/// The server's status, if the server refused the call.
fn status(error: &CallError) -> Option<&Status> {
    match error {
        CallError::Refused(refusal) => Some(&refusal.0),
        _ => None,
    }
}

/// Whether the server refused a call for this reason, one of [`reasons`].
pub(crate) fn is_for(error: &CallError, reason: &str) -> bool {
    status(error).and_then(StatusExt::get_details_error_info).is_some_and(|info| info.reason == reason)
}

/// What the user can do about a refusal.
pub(crate) fn hint(error: &CallError) -> Option<String> {
    let status = status(error)?;
    let info = status.get_details_error_info()?;
    match info.reason.as_str() {
        reasons::NOT_MANAGED => Some("`kubectl replicas list` shows the managed targets".to_owned()),
        reasons::FORBIDDEN_TO_SERVER => Some(format!(
            "`{RESTORE}` restores the rights of the server's account; a further kind belongs among the chart's targets"
        )),
        reasons::REPLICA_COUNTS_NOT_SERVED => Some(format!("`{RESTORE}` restores the CRD")),
        reasons::INVALID_FIELD if status.message().contains(BOUND) => Some(RAISE_BOUND.to_owned()),
        _ => None,
    }
}

/// The message of a refusal that names a field, with the name of its flag instead.
pub(crate) fn in_flags(error: &CallError) -> Option<String> {
    let status = status(error)?;
    if !is_for(error, reasons::INVALID_FIELD) {
        return None;
    }
    let (field, problem) = status.message().split_once(' ')?;
    let (_, flag) = FIELDS.iter().find(|(known, _)| *known == field)?;
    Some(terminal::lines(&format!("{flag} {problem}")))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic::Code;
    use tonic_types::ErrorDetails;

    use super::*;
    use crate::session;

    fn refusal(reason: &str, message: &str) -> CallError {
        let mut details = ErrorDetails::new();
        details.set_error_info(reason, contract::names::GROUP, HashMap::new());
        session::explain(Status::with_error_details(Code::InvalidArgument, message, details))
    }

    #[test]
    fn a_field_of_the_wire_has_the_name_of_its_flag() {
        for (message, shown) in [
            ("label_selector has more than 32 requirements", Some("--selector has more than 32 requirements")),
            ("until must be in the future", Some("the end (--for or --until) must be in the future")),
            ("expected_replicas must not be negative", Some("--current-replicas must not be negative")),
            ("replicas must be at most 100", Some("the count must be at most 100")),
            ("target.name is 250 characters long", Some("the name of the target is 250 characters long")),
            ("page_token was not issued by this server", None),
        ] {
            assert_eq!(in_flags(&refusal(reasons::INVALID_FIELD, message)).as_deref(), shown, "{message}");
        }
        assert_eq!(in_flags(&refusal(reasons::FORBIDDEN, "namespace x")), None, "only of refused fields");
        assert!(is_for(&refusal(reasons::NOT_MANAGED, ""), reasons::NOT_MANAGED));
    }

    #[test]
    fn a_refusal_that_the_user_can_do_something_about_has_a_hint() {
        let bound = "replicas must be at most 50, the server's MAX_REPLICAS, and is 60";
        let list = "`kubectl replicas list` shows the managed targets";
        for (name, reason, message, expected) in [
            ("not managed", reasons::NOT_MANAGED, "web is not managed", Some(list)),
            ("above the bound", reasons::INVALID_FIELD, bound, Some(RAISE_BOUND)),
            (
                "no rights",
                reasons::FORBIDDEN_TO_SERVER,
                "no",
                Some(
                    "`helm upgrade replica-count-manager CHART --namespace \
                     replica-count-manager --reset-then-reuse-values --wait` restores the rights of the server's \
                     account; a further kind belongs among the chart's targets",
                ),
            ),
            (
                "no CRD",
                reasons::REPLICA_COUNTS_NOT_SERVED,
                "no",
                Some(
                    "`helm upgrade replica-count-manager CHART --namespace \
                     replica-count-manager --reset-then-reuse-values --wait` restores the CRD",
                ),
            ),
            ("another field", reasons::INVALID_FIELD, "replicas must not be negative", None),
            ("another reason", reasons::FORBIDDEN, bound, None),
        ] {
            assert_eq!(hint(&refusal(reason, message)).as_deref(), expected, "{name}");
        }
    }
}
