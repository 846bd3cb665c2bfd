//! Writes that failed in a row: whose fault it is, and the growing pause before the next attempt.

use std::time::Duration;

use tokio::time::Instant;

use crate::resources::{api_errors::is_webhook_failure, beginning};

/// The longest error that is kept, in bytes. A webhook, a policy or another API server can answer with megabytes, and
/// both the memory of each target and its status hold the error.
const MAX_ERROR: usize = 1024;

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The API server is away or busy. Other targets fail for the same reason.
    ApiServer,
    /// Nothing was answered in time. Most likely a webhook for this object hangs.
    NoAnswer,
    /// This object was refused: by RBAC, a schema, an admission policy, a quota or a webhook.
    Refused,
    /// The write was stored otherwise than it was sent: an admission policy or a webhook changed it.
    Changed,
}

impl Cause {
    /// The cause of an error of kube's client.
    pub fn of(error: &kube::Error) -> Self {
        let kube::Error::Api(status) = error else { return Self::ApiServer };
        match status.code {
            _ if is_webhook_failure(status) => Self::Refused,
            // 401 means that the API server did not accept our credentials, and 409 that another write came first.
            401 | 409 | 429 | 500.. => Self::ApiServer,
            _ => Self::Refused,
        }
    }

    /// Whether the failure is about this target, and says nothing of others.
    pub fn is_of_target(self) -> bool {
        self != Self::ApiServer
    }
}

/// The pauses after failed writes of one sort. They double with each failure.
#[derive(Debug)]
pub struct Pauses {
    first: Duration,
    /// The longest pause if the API server is away or busy.
    api_server: Duration,
    /// The longest pause after no answer.
    no_answer: Duration,
    /// The longest pause after a refusal.
    refused: Duration,
    /// Whether each pause is lengthened at random, by up to its own length, so that many targets do not come back at
    /// once.
    has_jitter: bool,
}

/// After a failed correction. All of them get jitter.
///
/// Once the API server is back, the next attempt follows within 5 s, or within a minute if requests hung. A refusal
/// usually lasts, and each attempt costs the API server and its webhooks a request, so the pause grows. After the cause
/// is removed, the next attempt follows within 5 minutes. A new spec of the `ReplicaCount` does not wait.
pub const CORRECTION_PAUSES: Pauses = Pauses {
    first: Duration::from_millis(25),
    api_server: Duration::from_millis(2500),
    no_answer: Duration::from_secs(30),
    refused: Duration::from_secs(150),
    has_jitter: true,
};

/// After a failed status write: a status may be late, and must not be in the way.
pub const STATUS_PAUSES: Pauses = Pauses {
    first: Duration::from_secs(5),
    api_server: Duration::from_secs(5),
    no_answer: Duration::from_secs(60),
    refused: Duration::from_secs(5 * 60),
    has_jitter: false,
};

/// After the second and each further status write that meets a newer object. A program may be writing the
/// `ReplicaCount` without end, and each attempt costs two requests.
pub const CONFLICT_PAUSES: Pauses = Pauses {
    first: Duration::from_millis(500),
    api_server: Duration::from_secs(60),
    no_answer: Duration::from_secs(60),
    refused: Duration::from_secs(60),
    has_jitter: false,
};

/// After a failed patch of ownership. Nothing but the next server-side apply suffers from it.
pub const OWNERSHIP_PAUSES: Pauses = Pauses {
    first: Duration::from_secs(2),
    api_server: Duration::from_secs(5 * 60),
    no_answer: Duration::from_secs(5 * 60),
    refused: Duration::from_secs(5 * 60),
    has_jitter: false,
};

impl Pauses {
    /// The pause after a number of failures in a row.
    fn after(&self, cause: Cause, failures: u32) -> Duration {
        let max = match cause {
            Cause::ApiServer => self.api_server,
            Cause::NoAnswer => self.no_answer,
            Cause::Refused | Cause::Changed => self.refused,
        };
        let doubled = self.first.saturating_mul(2u32.saturating_pow(failures.saturating_sub(1)));
        let pause = doubled.min(max);
        if self.has_jitter { pause.mul_f64(1.0 + fastrand::f64()) } else { pause }
    }
}

/// Writes that failed in a row.
#[derive(Debug)]
pub struct Failure {
    /// How many there were.
    pub attempts: u32,
    /// How many of them were about this target. The pause after such a failure counts only these, so an outage of the
    /// API server does not lengthen it.
    of_target: u32,
    /// Why the last one failed, as far as it is kept.
    pub error: String,
    /// Whose fault that was.
    pub cause: Cause,
    /// When to try again. A new state of the target makes a correction sooner only if admission changed the last one.
    pub retry_at: Instant,
}

impl Failure {
    /// The failures after one more, and when to try again.
    pub fn next(before: Option<&Self>, cause: Cause, error: &str, pauses: &Pauses, now: Instant) -> Box<Self> {
        let (attempts, of_target) = before.map_or((0, 0), |before| (before.attempts, before.of_target));
        let attempts = attempts.saturating_add(1);
        let of_target = of_target.saturating_add(cause.is_of_target().into());
        let failures = if cause.is_of_target() { of_target } else { attempts };
        let retry_at = now + pauses.after(cause, failures);
        let error = beginning(error, MAX_ERROR).to_owned();
        Box::new(Self { attempts, of_target, error, cause, retry_at })
    }

    /// The time until the next attempt.
    pub fn pause(&self, now: Instant) -> Duration {
        self.retry_at.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn pauses_after_failures_double_up_to_their_bound() {
        let pauses: Vec<_> = (1..=40).map(|failures| CORRECTION_PAUSES.after(Cause::ApiServer, failures)).collect();
        let (min, max) = (CORRECTION_PAUSES.first, CORRECTION_PAUSES.api_server);
        assert!(pauses[0] >= min && pauses[0] <= 2 * min, "{:?}", pauses[0]);
        assert!(pauses[3] >= 8 * min && pauses[3] <= 16 * min, "{:?}", pauses[3]);
        assert!(pauses[10..].iter().all(|pause| *pause >= max && *pause <= 2 * max), "{pauses:?}");
        let pauses: Vec<_> =
            (1..=10).map(|failures| OWNERSHIP_PAUSES.after(Cause::ApiServer, failures).as_secs()).collect();
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    }

    #[test]
    fn a_lasting_refusal_is_tried_every_few_minutes() {
        struct Row {
            name: &'static str,
            causes: Vec<Cause>,
            attempts: u32,
            at_least: u64,
            at_most: u64,
        }
        let start = Instant::now();
        for Row { name, causes, attempts, at_least, at_most } in [
            Row { name: "refused", causes: vec![Cause::Refused; 20], attempts: 20, at_least: 150, at_most: 300 },
            Row { name: "no answer", causes: vec![Cause::NoAnswer; 20], attempts: 20, at_least: 30, at_most: 60 },
            Row {
                name: "one kind and the other",
                causes: [Cause::NoAnswer, Cause::Refused].repeat(10),
                attempts: 20,
                at_least: 150,
                at_most: 300,
            },
            Row {
                name: "the first refusal after an outage of the API server",
                causes: [vec![Cause::ApiServer; 1000], vec![Cause::Refused]].concat(),
                attempts: 1001,
                at_least: 0,
                at_most: 1,
            },
            Row {
                name: "the API server is away after refusals",
                causes: [vec![Cause::Refused; 20], vec![Cause::ApiServer]].concat(),
                attempts: 21,
                at_least: 2,
                at_most: 5,
            },
        ] {
            let next = |before: Option<Box<Failure>>, cause: &Cause| {
                Some(Failure::next(before.as_deref(), *cause, "no", &CORRECTION_PAUSES, start))
            };
            let failure = causes.iter().fold(None, next).unwrap();
            let pause = failure.pause(start);
            assert_eq!((failure.attempts, failure.cause), (attempts, *causes.last().unwrap()), "{name}");
            assert!(pause.as_secs() >= at_least && pause <= Duration::from_secs(at_most), "{name}: {pause:?}");
        }
    }

    #[test]
    fn an_error_is_kept_up_to_its_bound() {
        for (name, error, expected) in [
            ("usual", "no".to_owned(), "no".to_owned()),
            ("a policy quotes a huge annotation", "é".repeat(100_000), "é".repeat(MAX_ERROR / 2)),
        ] {
            let failure = Failure::next(None, Cause::Refused, &error, &CORRECTION_PAUSES, Instant::now());
            assert_eq!(failure.error, expected, "{name}");
        }
    }

    #[test]
    fn every_answer_has_a_cause() {
        let denied = "admission webhook \"x.example.com\" denied the request: no";
        let uncalled = "Internal error occurred: failed calling webhook \"x.example.com\": context deadline exceeded";
        for (name, code, message, expected) in [
            ("missing right", 403, "deployments.apps \"web\" is forbidden: User cannot patch", Cause::Refused),
            ("not found", 404, "deployments.apps \"web\" not found", Cause::Refused),
            ("invalid", 422, "Deployment.apps \"web\" is invalid", Cause::Refused),
            ("a webhook's denial", 403, denied, Cause::Refused),
            ("a webhook's denial as an overload", 429, denied, Cause::Refused),
            ("a webhook that cannot be called", 500, uncalled, Cause::Refused),
            ("credentials", 401, "Unauthorized", Cause::ApiServer),
            ("conflict", 409, "the object has been modified", Cause::ApiServer),
            ("too many requests", 429, "try again later", Cause::ApiServer),
            ("etcd", 500, "etcdserver: leader changed", Cause::ApiServer),
            ("unavailable", 503, "the server is currently unable to handle the request", Cause::ApiServer),
        ] {
            let status = Status::failure(message, "").with_code(code);
            assert_eq!(Cause::of(&kube::Error::Api(status.boxed())), expected, "{name}");
        }
        assert_eq!(Cause::of(&kube::Error::LinesCodecMaxLineLengthExceeded), Cause::ApiServer, "no answer at all");
    }
}
