//! Pieces of text that tables and descriptions share.

use contract::replicas::v1::{Condition, Drift, Override, ReplicaCount};
use jiff::Timestamp;

use crate::{
    terminal,
    time::{distance, from_proto, local_minute},
};

/// Stands in for an absent value, as in kubectl's tables.
pub(super) const NONE: &str = "-";

/// Stands in for a person if only the program is known.
const A_PROGRAM: &str = "a program";

/// The name of a program that Kubernetes does not record.
const UNKNOWN: &str = "unknown";

/// Makes text of others safe in a line. An empty text becomes a dash.
pub(crate) fn printable(text: &str) -> String {
    let text = terminal::one_line(text);
    if text.trim().is_empty() { NONE.to_owned() } else { text }
}

pub(super) fn count(count: Option<i32>) -> String {
    count.map_or_else(|| NONE.to_owned(), |count| count.to_string())
}

pub(super) fn ago(time: Option<&prost_types::Timestamp>, now: Timestamp) -> String {
    time.and_then(from_proto).map_or_else(|| NONE.to_owned(), |time| format!("{} ago", distance(time, now)))
}

/// A count in a sentence: `7`, or `none` if the target has none.
pub(crate) fn count_or_none(count: Option<i32>) -> String {
    count.map_or_else(|| "none".to_owned(), |count| count.to_string())
}

/// The counts before and after a write: `3->7`, or `3->none` if it removed the count.
pub(super) fn counts(from: Option<i32>, to: Option<i32>) -> String {
    format!("{}->{}", count_or_none(from), count_or_none(to))
}

/// A drift: `kubectl 3->7, 12s ago`.
pub(super) fn describe_drift(drift: &Drift, now: Timestamp) -> String {
    format!("{} {}, {}", printable(&drift.manager), counts(drift.from, drift.to), ago(drift.at.as_ref(), now))
}

/// The person who wrote a count, or `a program`.
pub(super) fn person(user: &str) -> String {
    if user.is_empty() { A_PROGRAM.to_owned() } else { printable(user) }
}

/// The person who wrote a count, and the program: `alice (kubectl, Update of scale)`, `a program (kubectl)`.
pub(super) fn writer(user: &str, manager: &str, how: &str) -> String {
    // A person is enough, and a request that does not name its program has an empty one.
    let is_shown = !manager.is_empty() && (manager != UNKNOWN || user.is_empty());
    let details: Vec<_> =
        is_shown.then(|| printable(manager)).into_iter().chain((!how.is_empty()).then(|| how.to_owned())).collect();
    match details.is_empty() {
        true => person(user),
        false => format!("{} ({})", person(user), details.join(", ")),
    }
}

/// Who caused a drift, in few words: `alice (kubectl)`, or the program if no person is known.
pub(crate) fn actor(drift: &Drift) -> String {
    if drift.user.is_empty() { printable(&drift.manager) } else { writer(&drift.user, &drift.manager, "") }
}

/// How a drift was written: `Update of scale`. It is empty if that is unknown.
pub(super) fn how(drift: &Drift) -> String {
    let words = [&drift.operation, &drift.subresource].into_iter().filter(|word| !word.is_empty());
    words.map(|word| printable(word)).collect::<Vec<_>>().join(" of ")
}

/// The person of the latest drift.
pub(super) fn last_person(shown: &ReplicaCount) -> String {
    shown.last_drift.as_ref().map_or_else(|| NONE.to_owned(), |drift| person(&drift.user))
}

pub(super) fn last_drift(shown: &ReplicaCount, now: Timestamp) -> String {
    shown.last_drift.as_ref().map_or_else(|| NONE.to_owned(), |drift| describe_drift(drift, now))
}

/// An override that holds now, and its end, for tables: `10 until 2026-11-23 18:00`.
pub(super) fn active_override(shown: &ReplicaCount, now: Timestamp) -> String {
    let Some((over, until)) = running_override(shown, now) else { return NONE.to_owned() };
    let then = if over.then_unset { ", then unset" } else { "" };
    format!("{} until {}{then}", over.replicas(), local_minute(until))
}

/// Why the desired count was set: the reason of the override while it holds.
pub(super) fn reason(shown: &ReplicaCount, now: Timestamp) -> String {
    printable(running_override(shown, now).map_or(&shown.reason, |(over, _)| &over.reason))
}

/// The override, if it has not ended.
fn running_override(shown: &ReplicaCount, now: Timestamp) -> Option<(&Override, Timestamp)> {
    let over = shown.r#override.as_ref()?;
    let until = over.until.as_ref().and_then(from_proto)?;
    (until > now).then_some((over, until))
}

/// An override and its end: `10 for 2h`, `10, ended 2h ago`.
pub(super) fn override_(over: &Override, now: Timestamp) -> String {
    let end = match over.until.as_ref().and_then(from_proto) {
        Some(until) if until > now => format!("{} for {}", over.replicas(), distance(now, until)),
        // It is over, and nothing follows from it any more.
        Some(until) => return format!("{}, ended {} ago", over.replicas(), distance(until, now)),
        None => over.replicas().to_string(),
    };
    if over.then_unset { format!("{end}, then unset") } else { end }
}

/// The server's reason for a target with another count than the desired one.
const CORRECTING: &str = "Correcting";

/// Whether the target is known to have another count than the desired one. The conditions may be older than the counts:
/// without a leader, they stay as they were.
pub(crate) fn has_other_count(shown: &ReplicaCount) -> bool {
    shown.desired.zip(shown.observed).is_some_and(|(desired, observed)| desired != observed)
}

/// The status of a count in one word: Contested, Ready, or the reason why it is not ready.
pub(crate) fn status(shown: &ReplicaCount) -> String {
    let is_contested = |condition: &&Condition| condition.r#type == "Contested" && condition.status == "True";
    if shown.conditions.iter().any(|condition| is_contested(&condition)) {
        return "Contested".to_owned();
    }
    match ready_condition(shown) {
        Some(ready) if ready.status == "True" && has_other_count(shown) => CORRECTING.to_owned(),
        Some(ready) if ready.status == "True" => "Ready".to_owned(),
        Some(ready) => printable(&ready.reason),
        None => NONE.to_owned(),
    }
}

/// Why a count is not ready, according to its condition: `CorrectionFailed: …`.
pub(crate) fn why_not_ready(shown: &ReplicaCount) -> Option<String> {
    let ready = ready_condition(shown).filter(|ready| ready.status != "True")?;
    let words = [&ready.reason, &ready.message].into_iter().filter(|words| !words.is_empty());
    Some(words.map(|words| printable(words)).collect::<Vec<_>>().join(": ")).filter(|why| !why.is_empty())
}

fn ready_condition(shown: &ReplicaCount) -> Option<&Condition> {
    shown.conditions.iter().find(|condition| condition.r#type == "Ready")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::to_proto;

    #[test]
    fn text_of_others_stays_in_its_line_and_is_never_empty() {
        assert_eq!(printable("a\u{1b}[31m\nb"), "a [31m b");
        assert_eq!(printable(""), NONE);
        assert_eq!(printable("\n"), NONE);
    }

    #[test]
    fn a_drift_has_the_counts_that_there_are() {
        for (name, from, to, expected) in [
            ("another count", Some(3), Some(7), "kubectl 3->7, -"),
            ("removed", Some(3), None, "kubectl 3->none, -"),
            ("written where there was none", None, Some(7), "kubectl none->7, -"),
        ] {
            let drift = Drift { manager: "kubectl".to_owned(), from, to, ..Drift::default() };
            assert_eq!(describe_drift(&drift, Timestamp::UNIX_EPOCH), expected, "{name}");
        }
    }

    #[test]
    fn a_writer_is_a_person_where_known() {
        for (name, user, manager, how, expected) in [
            ("all is known", "alice", "kubectl", "Update of scale", "alice (kubectl, Update of scale)"),
            ("no person", "", "helm", "Apply", "a program (helm, Apply)"),
            ("no program", "alice", "unknown", "", "alice"),
            ("neither", "", "unknown", "", "a program (unknown)"),
            ("a request that names no program", "bob", "", "", "bob"),
            ("nothing", "", "", "", "a program"),
            ("an older server", "", "kubectl", "", "a program (kubectl)"),
            ("text of others", "al\nice", "kub\u{1b}ectl", "", "al ice (kub ectl)"),
        ] {
            assert_eq!(writer(user, manager, how), expected, "{name}");
        }
    }

    #[test]
    fn an_override_says_how_long_it_lasts() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let until = |seconds: i64| Override {
            replicas: Some(10),
            until: Some(to_proto(Timestamp::from_second(1_000_000 + seconds).unwrap())),
            ..Override::default()
        };
        assert_eq!(override_(&until(7200), now), "10 for 120m");
        assert_eq!(override_(&until(-7200), now), "10, ended 120m ago");
        assert_eq!(override_(&Override { then_unset: true, ..until(60) }, now), "10 for 60s, then unset");
    }

    #[test]
    fn an_override_that_holds_has_its_end_and_its_reason_in_tables() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let shown = |seconds: i64, then_unset| {
            let until = Some(to_proto(Timestamp::from_second(1_000_000 + seconds).unwrap()));
            let over = Override { replicas: Some(10), until, then_unset, reason: "sale".to_owned() };
            ReplicaCount { reason: "usual".to_owned(), r#override: Some(over), ..ReplicaCount::default() }
        };
        let end = local_minute(Timestamp::from_second(1_007_200).unwrap());
        for (name, count, over, why) in [
            ("running", shown(7200, false), format!("10 until {end}"), "sale"),
            ("then unset", shown(7200, true), format!("10 until {end}, then unset"), "sale"),
            ("over", shown(-1, false), NONE.to_owned(), "usual"),
            ("none", ReplicaCount { reason: "usual".to_owned(), ..ReplicaCount::default() }, NONE.to_owned(), "usual"),
        ] {
            assert_eq!((active_override(&count, now), reason(&count, now).as_str()), (over, why), "{name}");
        }
    }

    #[test]
    fn a_contested_target_is_not_called_ready() {
        let condition = |r#type: &str, status: &str| Condition {
            r#type: r#type.to_owned(),
            status: status.to_owned(),
            ..Condition::default()
        };
        let shown = |contested: &str| ReplicaCount {
            conditions: vec![condition("Ready", "True"), condition("Contested", contested)],
            ..ReplicaCount::default()
        };
        assert_eq!((status(&shown("True")).as_str(), status(&shown("False")).as_str()), ("Contested", "Ready"));
    }

    #[test]
    fn a_target_with_another_count_is_not_called_ready() {
        let shown = |desired, observed, conditions: &[(&str, &str, &str)]| {
            let condition = |&(name, status, reason): &(&str, &str, &str)| {
                let [r#type, status, reason] = [name, status, reason].map(str::to_owned);
                Condition { r#type, status, reason, ..Condition::default() }
            };
            let conditions = conditions.iter().map(condition).collect();
            ReplicaCount { desired, observed, conditions, ..ReplicaCount::default() }
        };
        let ready = [("Ready", "True", "InPlace")];
        let failed = [("Ready", "False", "CorrectionFailed")];
        let contested = [("Ready", "True", "InPlace"), ("Contested", "True", "RepeatedDrift")];
        for (name, count, expected) in [
            ("its count", shown(Some(3), Some(3), &ready), ("Ready", false)),
            ("another count, and an old condition", shown(Some(3), Some(8), &ready), ("Correcting", true)),
            ("another count, with a reason", shown(Some(3), Some(8), &failed), ("CorrectionFailed", true)),
            ("another count, and contested", shown(Some(3), Some(8), &contested), ("Contested", true)),
            ("no condition yet", shown(Some(3), Some(8), &[]), (NONE, true)),
            ("an unknown count", shown(Some(3), None, &ready), ("Ready", false)),
            ("not managed", shown(None, Some(8), &[]), (NONE, false)),
        ] {
            assert_eq!((status(&count).as_str(), has_other_count(&count)), expected, "{name}");
        }
    }

    #[test]
    fn a_count_that_is_not_ready_says_why() {
        let shown = |status: &str, message: &str| {
            let [r#type, status, reason, message] = ["Ready", status, "TargetNotFound", message].map(str::to_owned);
            let conditions = vec![Condition { r#type, status, reason, message, ..Condition::default() }];
            ReplicaCount { conditions, ..ReplicaCount::default() }
        };
        let (ready, missing) = (shown("True", ""), shown("False", "no\ntarget"));
        assert_eq!((status(&ready), why_not_ready(&ready)), ("Ready".to_owned(), None));
        let why = Some("TargetNotFound: no target".to_owned());
        assert_eq!((status(&missing), why_not_ready(&missing)), ("TargetNotFound".to_owned(), why));
        assert_eq!(why_not_ready(&shown("False", "")).as_deref(), Some("TargetNotFound"));
        assert_eq!(
            (status(&ReplicaCount::default()), why_not_ready(&ReplicaCount::default())),
            (NONE.to_owned(), None)
        );
    }
}
