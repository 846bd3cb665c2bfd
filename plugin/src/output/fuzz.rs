//! Answers of a server, as the output shows them.

use contract::replicas::v1::{
    Attempt, Change, Condition, Drift, Drifter, ListReplicaCountsResponse, Override, ReplicaCount, Target,
};
use jiff::{Timestamp, tz::TimeZone};
use prost::Message;

use super::{
    Blame, DocumentFormat, describe, document,
    history::{self, Timeline},
    serialize,
    table::{Columns, replica_counts},
    why_not_ready,
};
use crate::terminal::is_unsafe;

fn seed() -> Vec<u8> {
    let at = Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 999_999_999 });
    let [namespace, group, kind, name] = ["shop", "apps", "Deployment", "web"].map(str::to_owned);
    let [type_, status, reason, message] = ["Ready", "False", "Correcting", "3 of 5"].map(str::to_owned);
    let manager = || "kubectl".to_owned();
    let (from, to) = (Some(3), Some(7));
    let count = ReplicaCount {
        target: Some(Target { namespace, group, kind, name }),
        desired: Some(3),
        observed: Some(7),
        ready: Some(2),
        reason: "sale".into(),
        set_by: "alice".into(),
        r#override: Some(Override { replicas: Some(10), until: at, reason: "load".into(), then_unset: true }),
        drifts: 1,
        last_drift: Some(Drift {
            manager: manager(),
            operation: "Update".into(),
            subresource: "scale".into(),
            from,
            to,
            at,
            corrected_at: at,
            ..Drift::default()
        }),
        appliers: vec!["helm".into()],
        drifters: vec![Drifter { manager: manager(), user: "bob".into(), count: 1, from, to, last: at }],
        recent_drifts: vec![Drift {
            manager: manager(),
            number: 1,
            from,
            to,
            at,
            corrected_at: at,
            ..Drift::default()
        }],
        changes: vec![Change {
            field: "override".into(),
            number: 1,
            from,
            to,
            by: "alice".into(),
            reason: "sale".into(),
            at,
        }],
        admission: "guarded".into(),
        attempts: 2,
        last_attempt: Some(Attempt { user: "bob".into(), manager: manager(), from, to, at, verdict: "denied".into() }),
        conditions: vec![Condition { r#type: type_, status, reason, message, last_transition_time: at }],
        ..ReplicaCount::default()
    };
    ListReplicaCountsResponse { replica_counts: vec![count], ..Default::default() }.encode_to_vec()
}

fn show_history(count: &ReplicaCount, now: Timestamp) {
    let timeline = Timeline::new(count.clone(), Vec::new());
    let table = history::table(&timeline, Some(80));
    let svg = history::picture(&timeline, now, &TimeZone::UTC);
    for text in [&table, &svg] {
        assert!(text.chars().all(|c| c == '\n' || !is_unsafe(c)), "{text:?}");
    }
    assert!(svg.len() < 250_000 && !svg.contains("NaN"), "{}", svg.len());
}

#[test]
fn every_answer_of_a_server_can_be_shown() {
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let words = ["\u{1b}[31m", "\t", "\u{200d}", "\u{202e}", "\u{9b}", "kubectl", "Ready", "True"];
    fuzz::target("answers to be shown").seeds([seed()]).words(words).bytes(|input| {
        let Ok(answer) = ListReplicaCountsResponse::decode(input) else { return false };
        let counts = answer.replica_counts;
        for count in &counts {
            let text = describe(count, now);
            // Text of others stays in its line and does not move the cursor.
            assert!(text.chars().all(|c| c == '\n' || !is_unsafe(c)), "{text:?}");
            let _ = why_not_ready(count);
            show_history(count, now);
        }
        let table = replica_counts(
            &counts,
            Columns { namespace: true, wide: true, width: Some(80), ..Columns::default() },
            now,
        );
        assert!(table.chars().all(|c| c == '\n' || !is_unsafe(c)), "{table:?}");
        let blame = Blame::of(&counts).table(true, Some(80), now);
        assert!(blame.chars().all(|c| c == '\n' || !is_unsafe(c)), "{blame:?}");
        let json = serialize(&document::list(counts.clone()), DocumentFormat::Json).unwrap();
        let yaml = serialize(&document::list(counts), DocumentFormat::Yaml).unwrap();
        assert!(
            [&json, &yaml].iter().all(|text| text.chars().all(|c| c == '\n' || !is_unsafe(c))),
            "{json:?} {yaml:?}"
        );
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_yaml::from_str::<serde_json::Value>(&yaml).unwrap(), json, "{yaml}");
        true
    });
}
