//! Predicates over the API server's errors, beside those that kube has (`is_not_found`, `is_conflict`,
//! `is_already_exists`, `is_forbidden`).

use std::time::Duration;

use kube::core::Status;
use tokio::time::Instant;

/// The pause before a refusal is believed. An API server that is starting refuses requests for a moment, because it does
/// not know its roles, CRDs and aggregated API servers yet.
pub(crate) const REFUSAL_PAUSE: Duration = Duration::from_secs(5);

/// Decides whether a refusal (403, 404) counts: only if the same request was refused a [`REFUSAL_PAUSE`] earlier, and
/// has not succeeded in between.
#[derive(Debug, Default)]
pub(crate) struct RepeatedRefusal {
    first: Option<Instant>,
}

impl RepeatedRefusal {
    /// Records a refusal. Returns whether it counts. If not, ask again after a [`REFUSAL_PAUSE`].
    pub(crate) fn is_repeated(&mut self, now: Instant) -> bool {
        now.saturating_duration_since(*self.first.get_or_insert(now)) >= REFUSAL_PAUSE
    }

    /// Records a success.
    pub(crate) fn clear(&mut self) {
        self.first = None;
    }
}

/// Whether a `test` operation of a JSON patch failed. It is a 422 without causes; a refusal by the schema has causes.
pub(crate) fn is_failed_test(status: &Status) -> bool {
    status.code == 422 && status.details.as_ref().is_none_or(|details| details.causes.is_empty())
}

/// Whether somebody else wrote or created the object between our read and our write.
pub(crate) fn is_lost_race(status: &Status) -> bool {
    status.is_conflict() || status.is_already_exists()
}

/// Whether the object itself was refused: by its schema, an admission policy or a webhook.
pub(crate) fn is_refused_object(status: &Status) -> bool {
    matches!(status.code, 400 | 422)
}

/// Whether the API server is busy or failing. Such a request can be repeated; its write may have taken place.
pub(crate) fn is_retryable(status: &Status) -> bool {
    status.code == 429 || status.code >= 500
}

/// Whether the namespace takes no new objects because it is being deleted. The API server answers 403, as for a missing
/// right.
pub(crate) fn is_namespace_terminating(status: &Status) -> bool {
    let causes = status.details.as_ref().map(|details| &details.causes);
    causes.is_some_and(|causes| causes.iter().any(|cause| cause.reason == "NamespaceTerminating"))
}

/// Whether the object that does not exist is the namespace.
pub(crate) fn is_namespace_missing(status: &Status) -> bool {
    status.is_not_found() && status.details.as_ref().is_some_and(|details| details.kind == "namespaces")
}

/// Whether the API server does not serve the resource at all, as without its CRD. It then answers with plain text, and
/// kube takes that for a missing object.
pub(crate) fn is_resource_missing(status: &Status) -> bool {
    status.code == 404 && status.reason != "NotFound"
}

/// Whether RBAC lacks the right to get or patch an object. An admission policy or webhook answers 403 as well, but may
/// refuse this one object only.
pub(crate) fn is_missing_right(status: &Status) -> bool {
    let is_rbac = ["cannot patch resource", "cannot get resource"].iter().any(|words| status.message.contains(words));
    status.code == 403 && is_rbac
}

/// Whether a webhook denied the request, or could not be called. A webhook chooses the code of its denial, and the API
/// server answers 500 for one that it cannot call.
pub(crate) fn is_webhook_failure(status: &Status) -> bool {
    status.message.starts_with("admission webhook ") || status.message.contains("failed calling webhook")
}

#[cfg(test)]
mod tests {
    use kube::core::response::{StatusCause, StatusDetails};

    use super::*;

    fn status(code: u16, reason: &str, message: &str) -> Status {
        Status::failure(message, reason).with_code(code)
    }

    fn details(kind: &str, causes: &[&str]) -> StatusDetails {
        let cause =
            |reason: &&str| StatusCause { reason: (*reason).to_owned(), message: String::new(), field: String::new() };
        let (kind, causes) = (kind.to_owned(), causes.iter().map(cause).collect());
        StatusDetails {
            name: String::new(),
            group: String::new(),
            kind,
            uid: String::new(),
            causes,
            retry_after_seconds: 0,
        }
    }

    #[test]
    fn a_refusal_counts_when_it_is_repeated_after_a_pause() {
        let (mut refusal, start) = (RepeatedRefusal::default(), Instant::now());
        assert!(!refusal.is_repeated(start));
        assert!(!refusal.is_repeated(start + REFUSAL_PAUSE / 2));
        assert!(refusal.is_repeated(start + REFUSAL_PAUSE));
        refusal.clear();
        assert!(!refusal.is_repeated(start + 2 * REFUSAL_PAUSE), "it has succeeded since");
    }

    /// The names of the predicates that hold for an error.
    fn predicates_of(status: &Status) -> Vec<&'static str> {
        [
            ("failed test", is_failed_test(status)),
            ("lost race", is_lost_race(status)),
            ("refused object", is_refused_object(status)),
            ("retryable", is_retryable(status)),
            ("namespace terminating", is_namespace_terminating(status)),
            ("namespace missing", is_namespace_missing(status)),
            ("resource missing", is_resource_missing(status)),
            ("missing right", is_missing_right(status)),
            ("webhook failure", is_webhook_failure(status)),
        ]
        .iter()
        .filter_map(|(predicate, holds)| holds.then_some(*predicate))
        .collect()
    }

    #[test]
    fn every_error_falls_under_its_predicate_alone() {
        struct Row {
            name: &'static str,
            status: Status,
            expected: &'static [&'static str],
        }
        let rows = [
            Row {
                name: "failed test",
                status: status(422, "Invalid", "x"),
                expected: &["failed test", "refused object"],
            },
            Row {
                name: "schema",
                status: status(422, "Invalid", "x").with_details(details("replicacounts", &["FieldValueInvalid"])),
                expected: &["refused object"],
            },
            Row { name: "conflict", status: status(409, "Conflict", "x"), expected: &["lost race"] },
            Row { name: "exists already", status: status(409, "AlreadyExists", "x"), expected: &["lost race"] },
            Row { name: "too many requests", status: status(429, "TooManyRequests", "x"), expected: &["retryable"] },
            Row { name: "unavailable", status: status(503, "ServiceUnavailable", "x"), expected: &["retryable"] },
            Row {
                name: "terminating namespace",
                status: status(403, "Forbidden", "x").with_details(details("", &["NamespaceTerminating"])),
                expected: &["namespace terminating"],
            },
            Row {
                name: "missing namespace",
                status: status(404, "NotFound", "x").with_details(details("namespaces", &[])),
                expected: &["namespace missing"],
            },
            Row { name: "missing object", status: status(404, "NotFound", "x"), expected: &[] },
            Row {
                name: "missing resource",
                status: status(404, "Failed to parse error data", "404 page not found"),
                expected: &["resource missing"],
            },
            Row {
                name: "RBAC",
                status: status(403, "Forbidden", "user \"a\" cannot patch resource \"deployments\""),
                expected: &["missing right"],
            },
            Row { name: "admission", status: status(403, "Forbidden", "denied request: no"), expected: &[] },
            Row {
                name: "a webhook's denial",
                status: status(403, "Forbidden", "admission webhook \"x\" denied the request: no"),
                expected: &["webhook failure"],
            },
            Row {
                name: "a webhook that cannot be called",
                status: status(500, "InternalError", "Internal error occurred: failed calling webhook \"x\""),
                expected: &["retryable", "webhook failure"],
            },
        ];
        for Row { name, status, expected } in rows {
            assert_eq!(predicates_of(&status), expected, "{name}");
        }
    }
}
