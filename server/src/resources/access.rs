//! The API server's answers to questions about rights.

use k8s_openapi::api::authorization::v1::SubjectAccessReviewStatus;
use kube::core::Status;

use super::text::beginning;

/// The most bytes of the message of an authorizer that fails. A webhook chooses what it says.
const MAX_MESSAGE: usize = 1024;

/// Whether a review found that the user is allowed.
///
/// # Errors
///
/// When nothing was decided: no authorizer allows or denies, and one of them fails. The API server answers a request
/// itself with 500 then (its filter `WithAuthorization`), and so does this error: the next answer may be another one.
pub(crate) fn is_allowed(status: Option<SubjectAccessReviewStatus>) -> Result<bool, kube::Error> {
    let status = status.ok_or_else(|| undecided("the answer has no status"))?;
    let is_decided = status.allowed || status.denied == Some(true);
    match status.evaluation_error.filter(|error| !is_decided && !error.is_empty()) {
        Some(error) => Err(undecided(beginning(&error, MAX_MESSAGE))),
        None => Ok(status.allowed),
    }
}

fn undecided(message: &str) -> kube::Error {
    let message = format!("the API server could not decide about the right: {message}");
    kube::Error::Api(Status::failure(&message, "InternalError").with_code(500).boxed())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn only_a_decision_says_that_a_right_is_missing() {
        for (name, status, expected) in [
            ("allowed", json!({"allowed": true}), Ok(true)),
            ("not allowed", json!({"allowed": false, "reason": "RBAC: no role"}), Ok(false)),
            ("an authorizer fails, another allows", json!({"allowed": true, "evaluationError": "down"}), Ok(true)),
            ("denied", json!({"allowed": false, "denied": true, "evaluationError": "down"}), Ok(false)),
            ("an empty error", json!({"allowed": false, "evaluationError": ""}), Ok(false)),
            ("an authorizer fails", json!({"allowed": false, "evaluationError": "down"}), Err("down")),
            ("no status", Value::Null, Err("no status")),
        ] {
            let answer = is_allowed(serde_json::from_value(status).unwrap());
            let answer = answer.map_err(|error| error.to_string());
            match (&answer, expected) {
                (Err(error), Err(expected)) => assert!(error.contains(expected), "{name}: {error}"),
                _ => assert_eq!(answer, expected.map_err(str::to_owned), "{name}"),
            }
        }
    }

    #[test]
    fn an_undecided_right_is_an_outage_with_a_short_message() {
        let status = json!({"allowed": false, "evaluationError": "x".repeat(100_000)});
        let Err(kube::Error::Api(status)) = is_allowed(serde_json::from_value(status).unwrap()) else { panic!() };
        assert!(super::super::api_errors::is_retryable(&status) && status.message.len() < 2 * MAX_MESSAGE);
    }
}
