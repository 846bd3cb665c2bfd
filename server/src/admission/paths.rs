//! The secret paths of the webhooks: `/SECRET/validate` and `/SECRET/mutate`.
//!
//! The API server shows no certificate, so the secret shows that a review is from it. The leader writes the secret into
//! the configurations of the webhooks, which only administrators may read, and changes it each term and each hour.

use std::{fmt::Write as _, time::Duration};

use parking_lot::Mutex;
use rustls::crypto::ring;
use tokio::time::Instant;

use super::review::Endpoint;

/// How long a secret is accepted after the next one was written. API servers notice the change of a configuration within
/// a second; the slowest one has a minute.
const ACCEPTED: Duration = Duration::from_secs(60);

/// The age at which a secret is replaced, from when it was written.
const AGE: Duration = Duration::from_secs(60 * 60);

/// The part of a path that is secret.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(String);

impl Secret {
    /// A new one: 32 random bytes, as 64 hexadecimal digits.
    ///
    /// # Errors
    ///
    /// When the operating system has no random bytes.
    pub(super) fn random() -> Result<Self, rustls::Error> {
        let mut bytes = [0; 32];
        ring::default_provider().secure_random.fill(&mut bytes)?;
        Ok(Self(bytes.iter().fold(String::new(), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })))
    }

    /// The path of a webhook.
    pub(super) fn path(&self, endpoint: Endpoint) -> String {
        format!("/{}/{}", self.0, name(endpoint))
    }

    /// Whether a text is this secret. The time that it takes says nothing about how much of it is right.
    fn is(&self, text: &str) -> bool {
        self.0.len() == text.len() && self.0.bytes().zip(text.bytes()).fold(0, |odd, (a, b)| odd | (a ^ b)) == 0
    }
}

/// The last segment of a webhook's path.
fn name(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Validate => "validate",
        Endpoint::Mutate => "mutate",
    }
}

/// The paths that are accepted.
#[derive(Default)]
pub(crate) struct Paths(Mutex<Accepted>);

#[derive(Default)]
struct Accepted {
    /// The current one, and when it was written, if it was.
    current: Option<(Secret, Option<Instant>)>,
    /// The one before, and until when it is accepted, which is open until the current one was written.
    previous: Option<(Secret, Option<Instant>)>,
}

impl Paths {
    /// Accepts one secret alone.
    pub(super) fn begin(&self, secret: Secret) {
        *self.0.lock() = Accepted { current: Some((secret, None)), previous: None };
    }

    /// Accepts another secret, and the one before for a while.
    pub(super) fn replace(&self, secret: Secret) {
        let mut accepted = self.0.lock();
        accepted.previous = accepted.current.replace((secret, None)).map(|(before, _)| (before, None));
    }

    /// Whether it is time for another secret. It is not before the current one was written: until then, the API server
    /// uses the one before, which another one would displace.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let written = self.0.lock().current.as_ref().and_then(|(_, written)| *written);
        written.is_some_and(|written| now.saturating_duration_since(written) >= AGE)
    }

    /// The current secret was written for the API server.
    pub(super) fn written(&self, now: Instant) {
        let mut accepted = self.0.lock();
        if let Some((_, written)) = &mut accepted.current {
            written.get_or_insert(now);
        }
        if let Some((_, until)) = &mut accepted.previous {
            until.get_or_insert(now + ACCEPTED);
        }
    }

    /// The webhook that a path leads to; `None` if it has no accepted secret.
    pub(super) fn endpoint(&self, path: &str, now: Instant) -> Option<Endpoint> {
        let (secret, last) = path.strip_prefix('/')?.split_once('/')?;
        let endpoint = [Endpoint::Validate, Endpoint::Mutate].into_iter().find(|endpoint| name(*endpoint) == last)?;
        let accepted = self.0.lock();
        let previous = accepted.previous.iter().filter(|(_, until)| until.is_none_or(|until| now < until));
        let current = accepted.current.iter().map(|(secret, _)| secret);
        let mut secrets = current.chain(previous.map(|(secret, _)| secret));
        secrets.any(|known| known.is(secret)).then_some(endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(byte: char) -> Secret {
        Secret(byte.to_string().repeat(64))
    }

    #[test]
    fn a_secret_is_new_each_time_and_a_valid_path() {
        let [one, other] = [(), ()].map(|()| Secret::random().unwrap());
        assert!(one != other && one.0.len() == 64 && one.0.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(one.path(Endpoint::Mutate), format!("/{}/mutate", one.0));
    }

    #[test]
    fn a_secret_is_replaced_an_hour_after_it_was_written_and_never_before_that() {
        let (paths, began) = (Paths::default(), Instant::now());
        let is_accepted = |byte, now| paths.endpoint(&secret(byte).path(Endpoint::Mutate), now).is_some();
        assert!(!paths.is_due(began), "there is none");
        paths.begin(secret('a'));
        let written = began + 2 * AGE;
        assert!(!paths.is_due(written), "it was never written");
        paths.written(written);
        // It is written again and again.
        paths.written(written + AGE / 2);
        assert_eq!((paths.is_due(written + AGE / 2), paths.is_due(written + AGE)), (false, true));
        paths.replace(secret('b'));
        let later = written + 10 * AGE;
        assert!(!paths.is_due(later), "the API server uses the one before");
        assert!(is_accepted('a', later) && is_accepted('b', later));
        paths.written(later);
        assert!(!is_accepted('a', later + ACCEPTED) && paths.is_due(later + AGE));
    }

    #[test]
    fn only_the_current_secret_and_the_one_before_lead_to_a_webhook() {
        let (paths, now) = (Paths::default(), Instant::now());
        let path = |byte| secret(byte).path(Endpoint::Validate);
        assert_eq!(paths.endpoint(&path('a'), now), None, "none yet");
        paths.begin(secret('a'));
        paths.written(now);
        paths.replace(secret('b'));
        let later = now + 10 * ACCEPTED;
        assert_eq!(paths.endpoint(&path('a'), later), Some(Endpoint::Validate), "the new one is not written yet");
        paths.written(later);
        paths.written(later + ACCEPTED / 2);
        let ended = later + ACCEPTED;
        let a = "a".repeat(64);
        let b = "b".repeat(64);
        for (name, path, now, expected) in [
            ("the current one", path('b'), ended, Some(Endpoint::Validate)),
            ("the other webhook", format!("/{b}/mutate"), ended, Some(Endpoint::Mutate)),
            ("the one before", path('a'), later + ACCEPTED / 2, Some(Endpoint::Validate)),
            ("the one before, later", path('a'), ended, None),
            ("another one", path('c'), now, None),
            ("a part of one", format!("/{}/validate", &b[1..]), now, None),
            ("too much", format!("/{b}b/validate"), now, None),
            ("half of each", format!("/{}{}/validate", &a[..32], &b[..32]), now, None),
            ("no webhook", format!("/{b}/"), now, None),
            ("more segments", format!("/{b}/validate/x"), now, None),
            ("no secret", "/validate".into(), now, None),
            ("nothing", String::new(), now, None),
            ("other letters", format!("/{}/validate", b.to_uppercase()), now, None),
        ] {
            assert_eq!(paths.endpoint(&path, now), expected, "{name}");
        }
        paths.begin(secret('c'));
        assert_eq!(paths.endpoint(&path('b'), ended), None, "a new term");
        assert_eq!(paths.endpoint(&path('c'), ended), Some(Endpoint::Validate));
    }
}
