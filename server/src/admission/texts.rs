//! What users read: denials and warnings.

use std::fmt::Write as _;

use super::{held::Held, request::CountWrite, review::Verdict};
use crate::resources::TargetKey;

/// The most characters of a reason or a name that are shown. The API server cuts a warning after 256.
const MAX_SHOWN: usize = 64;

/// What the user reads. `None` if there is nothing to say.
///
/// `is_holder_shown` is whether the user may know who holds the count, and why.
pub(super) fn text(verdict: Verdict, write: &CountWrite, held: &Held, is_holder_shown: bool) -> Option<String> {
    let outcome = match verdict {
        Verdict::Allowed => return None,
        Verdict::Denied => String::new(),
        Verdict::Kept => format!(": the count stays {}", held.desired),
        Verdict::Warned => match write.to {
            Some(to) => format!(": {to} will be put back"),
            None => ": the count will be put back".to_owned(),
        },
    };
    let (key, holder) = (&write.key, holder(held, is_holder_shown));
    Some(format!("{} is held at {}{holder}{outcome}; change it with: {}", resource(key), held.desired, command(key)))
}

/// Who holds the count, why, and until when.
fn holder(held: &Held, is_shown: bool) -> String {
    let mut text = String::new();
    if is_shown && !held.set_by.is_empty() {
        let _ = write!(text, " by {}", shown(&held.set_by));
    }
    if is_shown && !held.reason.is_empty() {
        let _ = write!(text, " ({})", shown(&held.reason));
    }
    if let Some(until) = held.until {
        let _ = write!(text, " until {until}");
    }
    text
}

/// A target as kubectl names it.
fn resource(key: &TargetKey) -> String {
    format!("{}.{}/{}", key.kind.kind.to_ascii_lowercase(), key.kind.group, key.name)
}

/// The command that changes the count.
fn command(key: &TargetKey) -> String {
    // A name alone is a Deployment.
    let target = if key.kind.is_deployment() { key.name.to_string() } else { resource(key) };
    format!("kubectl replicas set {target} COUNT")
}

/// The beginning of a text of others, in one line: the header of a warning holds no other.
fn shown(text: &str) -> String {
    let is_longer = text.chars().nth(MAX_SHOWN).is_some();
    let line = text.chars().take(MAX_SHOWN).map(|c| if c.is_control() { ' ' } else { c });
    line.chain(is_longer.then_some('…')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::fixtures::deployment_key;

    fn write(key: TargetKey) -> CountWrite {
        CountWrite {
            key,
            uid: "u".into(),
            before: 10,
            from: Some(3),
            to: Some(7),
            is_created: false,
            is_scale: true,
            is_controlled: false,
            pointer: None,
        }
    }

    fn held(set_by: &str, reason: &str, until: Option<&str>) -> Held {
        let until = until.map(|until| until.parse().unwrap());
        Held { desired: 3, set_by: set_by.to_owned(), reason: reason.to_owned(), until, is_refused: false }
    }

    #[test]
    fn each_verdict_says_what_happens_and_what_to_do() {
        let held = held("alice", "load test", None);
        for (verdict, expected) in [
            (Verdict::Allowed, None),
            (Verdict::Denied, Some("by alice (load test); change it with: kubectl replicas set web COUNT")),
            (
                Verdict::Kept,
                Some("by alice (load test): the count stays 3; change it with: kubectl replicas set web COUNT"),
            ),
            (
                Verdict::Warned,
                Some("by alice (load test): 7 will be put back; change it with: kubectl replicas set web COUNT"),
            ),
        ] {
            let said = text(verdict, &write(deployment_key("web")), &held, true);
            let expected = expected.map(|rest| format!("deployment.apps/web is held at 3 {rest}"));
            assert_eq!(said, expected);
        }
    }

    #[test]
    fn the_holder_is_shown_as_far_as_it_is_known_and_may_be() {
        let (until, long) = (Some("2026-12-01T12:00:00Z"), "x".repeat(1000));
        for (name, held, is_shown, expected) in [
            ("all", held("alice", "load test", until), true, " by alice (load test) until 2026-12-01T12:00:00Z"),
            ("not to this user", held("alice", "load test", until), false, " until 2026-12-01T12:00:00Z"),
            ("without a reason", held("alice", "", None), true, " by alice"),
            ("without a name", held("", "load test", None), true, " (load test)"),
            ("nothing", held("", "", None), true, ""),
            ("several lines", held("alice", "a\nb\u{7}c", None), true, " by alice (a b c)"),
            ("a long reason", held("alice", &long, None), true, &format!(" by alice ({}…)", "x".repeat(MAX_SHOWN))),
        ] {
            assert_eq!(holder(&held, is_shown), expected, "{name}");
        }
    }

    #[test]
    fn other_kinds_are_named_in_the_command() {
        let key = TargetKey::new("shop", "argoproj.io", "Rollout", "web").unwrap();
        let said = text(Verdict::Denied, &write(key), &held("", "", None), true).unwrap();
        assert_eq!(
            said,
            "rollout.argoproj.io/web is held at 3; change it with: kubectl replicas set rollout.argoproj.io/web COUNT"
        );
    }
}
