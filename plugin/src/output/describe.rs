//! The description of one replica count, in the style of `kubectl describe`.

use contract::replicas::v1::{Attempt, Change, Condition, Drift, Drifter, Override, ReplicaCount};
use jiff::Timestamp;

use super::{
    table::draw,
    text::{NONE, ago, count, counts, describe_drift, how, last_person, override_, person, printable, writer},
};
use crate::{
    target,
    time::{from_proto, local},
};

/// Describes a replica count, for people.
pub(crate) fn describe(shown: &ReplicaCount, now: Timestamp) -> String {
    let mut text = fields(shown, now);
    text += &section("Drifters", &["MANAGER", "COUNT", "LAST DRIFT", "USER"], &shown.drifters, |it| drifter(it, now));
    let header = ["WHEN", "FIELD", "FROM", "TO", "BY", "REASON"];
    text += &section("Changes", &header, &shown.changes, |it| change(it, now));
    let header = ["TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"];
    text += &section("Conditions", &header, &shown.conditions, |it| condition(it, now));
    text
}

fn fields(shown: &ReplicaCount, now: Timestamp) -> String {
    let target = shown.target.clone().unwrap_or_default();
    let or_none = |text: Option<String>| text.unwrap_or_else(|| NONE.to_owned());
    let appliers: Vec<_> = shown.appliers.iter().map(|applier| printable(applier)).collect();
    let fields = [
        ("Target", printable(&target::name(&target))),
        ("Namespace", printable(&target.namespace)),
        ("Desired", shown.desired.map_or_else(|| format!("{NONE} (not managed)"), |desired| desired.to_string())),
        ("Current", count(shown.observed)),
        ("Ready", count(shown.ready)),
    ];
    let managed = [
        ("Set by", printable(&shown.set_by)),
        ("Reason", printable(&shown.reason)),
        ("Lasting count", count(shown.replicas)),
        ("Original count", count(shown.original_replicas)),
        ("Override", or_none(shown.r#override.as_ref().map(|over| full_override(over, now)))),
        ("Applied by", or_none((!appliers.is_empty()).then(|| appliers.join(", ")))),
        ("Drifts", shown.drifts.to_string()),
        ("Last drift", or_none(shown.last_drift.as_ref().map(|drift| full_drift(drift, now)))),
        ("Drift user", last_person(shown)),
        ("Admission", printable(&shown.admission)),
    ];
    let attempts = [
        ("Attempts", shown.attempts.to_string()),
        ("Last attempt", or_none(shown.last_attempt.as_ref().map(|attempt| full_attempt(attempt, now)))),
    ];
    // Of a target that is not managed, only its count is known.
    let managed = managed.iter().filter(|_| shown.desired.is_some());
    let attempts = attempts.iter().filter(|_| shown.attempts > 0);
    fields
        .iter()
        .chain(managed)
        .chain(attempts)
        .map(|(name, value)| format!("{:<17}{value}\n", format!("{name}:")))
        .collect()
}

fn full_override(over: &Override, now: Timestamp) -> String {
    let until = over.until.as_ref().and_then(from_proto).map(|until| format!(" (until {})", local(until)));
    let reason = (!over.reason.is_empty()).then(|| format!(": {}", printable(&over.reason)));
    format!("{}{}{}", override_(over, now), until.unwrap_or_default(), reason.unwrap_or_default())
}

fn full_drift(drift: &Drift, now: Timestamp) -> String {
    let how = how(drift);
    let how = if how.is_empty() { how } else { format!(" ({how})") };
    let corrected = match &drift.corrected_at {
        Some(_) => format!("corrected {}", ago(drift.corrected_at.as_ref(), now)),
        None => "not corrected".to_owned(),
    };
    format!("{}{how}, {corrected}", describe_drift(drift, now))
}

/// A write that was kept from being stored: `bob (kubectl) 3->7, 12s ago, denied`.
fn full_attempt(attempt: &Attempt, now: Timestamp) -> String {
    let who = writer(&attempt.user, &attempt.manager, "");
    let write = format!("{who} {}, {}", counts(attempt.from, attempt.to), ago(attempt.at.as_ref(), now));
    format!("{write}, {}", printable(&attempt.verdict))
}

/// An indented table under a title. It is empty if there are no rows.
fn section<T>(title: &str, header: &[&str], items: &[T], row: impl Fn(&T) -> Vec<String>) -> String {
    if items.is_empty() {
        return String::new();
    }
    let table = draw(header, items.iter().map(row));
    let lines: String = table.lines().map(|line| format!("  {line}\n")).collect();
    format!("{title}:\n{lines}")
}

fn drifter(drifter: &Drifter, now: Timestamp) -> Vec<String> {
    let last = format!("{}, {}", counts(drifter.from, drifter.to), ago(drifter.last.as_ref(), now));
    vec![printable(&drifter.manager), drifter.count.to_string(), last, person(&drifter.user)]
}

fn change(change: &Change, now: Timestamp) -> Vec<String> {
    let Change { field, from, by, reason, at, .. } = change;
    let (when, to) = (ago(at.as_ref(), now), change.to().to_string());
    vec![when, printable(field), count(*from), to, printable(by), printable(reason)]
}

fn condition(condition: &Condition, now: Timestamp) -> Vec<String> {
    let since = ago(condition.last_transition_time.as_ref(), now);
    let words = [&condition.r#type, &condition.status, &condition.reason];
    words.map(|word| printable(word)).into_iter().chain([since, printable(&condition.message)]).collect()
}

#[cfg(test)]
mod tests {
    use contract::replicas::v1::Target;

    use super::*;
    use crate::time::to_proto;

    #[test]
    fn an_unmanaged_target_is_shown_with_its_count() {
        let target = Target { namespace: "shop".to_owned(), name: "web".to_owned(), ..Target::default() };
        let shown = ReplicaCount { target: Some(target), observed: Some(2), ready: Some(1), ..ReplicaCount::default() };
        let expected = "\
Target:          deployment.apps/web
Namespace:       shop
Desired:         - (not managed)
Current:         2
Ready:           1
";
        assert_eq!(describe(&shown, Timestamp::UNIX_EPOCH), expected);
    }

    #[test]
    fn a_description_leaves_out_empty_sections() {
        let at = |second| Some(to_proto(Timestamp::from_second(second).unwrap()));
        let now = Timestamp::from_second(1_000_000).unwrap();
        let drift = Drift {
            manager: "kubectl".to_owned(),
            operation: "Update".to_owned(),
            subresource: "scale".to_owned(),
            from: Some(3),
            to: Some(7),
            at: at(999_988),
            corrected_at: at(999_989),
            ..Drift::default()
        };
        let change = Change {
            field: "replicas".to_owned(),
            to: Some(3),
            by: "alice".to_owned(),
            at: at(999_940),
            ..Change::default()
        };
        let shown = ReplicaCount {
            target: Some(Target { namespace: "shop".to_owned(), name: "web".to_owned(), ..Target::default() }),
            desired: Some(3),
            observed: Some(3),
            replicas: Some(3),
            drifts: 1,
            last_drift: Some(drift),
            appliers: vec!["helm".to_owned()],
            changes: vec![change],
            ..ReplicaCount::default()
        };
        let expected = "\
Target:          deployment.apps/web
Namespace:       shop
Desired:         3
Current:         3
Ready:           -
Set by:          -
Reason:          -
Lasting count:   3
Original count:  -
Override:        -
Applied by:      helm
Drifts:          1
Last drift:      kubectl 3->7, 12s ago (Update of scale), corrected 11s ago
Drift user:      a program
Admission:       -
Changes:
  WHEN      FIELD      FROM   TO   BY      REASON
  60s ago   replicas   -      3    alice   -
";
        assert_eq!(describe(&shown, now), expected);
    }

    #[test]
    fn a_guarded_target_is_described_with_the_attempts_and_the_people() {
        let at = |second| Some(to_proto(Timestamp::from_second(second).unwrap()));
        let [kubectl, bob, alice] = ["kubectl", "bob", "alice"].map(str::to_owned);
        let (from, to) = (Some(3), Some(7));
        let drifter = |manager: &str, user: &str, count| Drifter {
            manager: manager.to_owned(),
            user: user.to_owned(),
            count,
            from,
            to,
            last: at(999_940),
        };
        let verdict = "denied".to_owned();
        let attempt = Attempt { manager: kubectl, verdict, user: bob, from, to, at: at(999_988) };
        let shown = ReplicaCount {
            desired: Some(3),
            drifts: 3,
            last_drift: Some(Drift { user: alice, at: at(999_940), ..Drift::default() }),
            drifters: vec![drifter("kubectl", "alice", 2), drifter("helm", "", 1)],
            admission: "guarded".to_owned(),
            attempts: 4,
            last_attempt: Some(attempt),
            ..ReplicaCount::default()
        };
        let text = describe(&shown, Timestamp::from_second(1_000_000).unwrap());
        let expected = "\
Drift user:      alice
Admission:       guarded
Attempts:        4
Last attempt:    bob (kubectl) 3->7, 12s ago, denied
Drifters:
  MANAGER   COUNT   LAST DRIFT      USER
  kubectl   2       3->7, 60s ago   alice
  helm      1       3->7, 60s ago   a program
";
        assert!(text.ends_with(expected), "{text}");
    }
}
