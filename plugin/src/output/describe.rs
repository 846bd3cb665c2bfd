//! The description of one replica count, in the style of `kubectl describe`.

use contract::replicas::v1::{Change, Condition, Drift, Drifter, Override, ReplicaCount};
use jiff::Timestamp;

use super::{
    table::draw,
    text::{NONE, ago, count, describe_write, override_, printable},
};
use crate::{
    target,
    time::{from_proto, local},
};

/// Describes a replica count, for people.
pub(crate) fn describe(shown: &ReplicaCount, now: Timestamp) -> String {
    let mut text = fields(shown, now);
    text += &section("Drifters", &["MANAGER", "COUNT", "LAST DRIFT"], &shown.drifters, |it| drifter(it, now));
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
    ];
    // Of a target that is not managed, only its count is known.
    let managed = managed.iter().filter(|_| shown.desired.is_some());
    fields.iter().chain(managed).map(|(name, value)| format!("{:<17}{value}\n", format!("{name}:"))).collect()
}

fn full_override(over: &Override, now: Timestamp) -> String {
    let until = over.until.as_ref().and_then(from_proto).map(|until| format!(" (until {})", local(until)));
    let reason = (!over.reason.is_empty()).then(|| format!(": {}", printable(&over.reason)));
    format!("{}{}{}", override_(over, now), until.unwrap_or_default(), reason.unwrap_or_default())
}

fn full_drift(drift: &Drift, now: Timestamp) -> String {
    let how: Vec<_> = [&drift.operation, &drift.subresource].into_iter().filter(|text| !text.is_empty()).collect();
    let how = if how.is_empty() {
        String::new()
    } else {
        format!(" ({})", how.iter().map(|it| printable(it)).collect::<Vec<_>>().join(" of "))
    };
    let corrected = match &drift.corrected_at {
        Some(_) => format!("corrected {}", ago(drift.corrected_at.as_ref(), now)),
        None => "not corrected yet".to_owned(),
    };
    format!("{}{how}, {corrected}", describe_write(&drift.manager, drift.from(), drift.to(), drift.at.as_ref(), now))
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
    let last = format!("{}->{}, {}", drifter.from(), drifter.to(), ago(drifter.last.as_ref(), now));
    vec![printable(&drifter.manager), drifter.count.to_string(), last]
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
Changes:
  WHEN      FIELD      FROM   TO   BY      REASON
  60s ago   replicas   -      3    alice   -
";
        assert_eq!(describe(&shown, now), expected);
    }
}
