use contract::replicas::v1::{Change, Drift, Override, ReplicaCount, Target};

use super::*;
use crate::{output::history::Unmanaged, time::to_proto};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

fn drift(number: i64, manager: &str, second: i64, (from, to): (i32, i32), milliseconds: Option<i64>) -> Drift {
    let after = |milliseconds| to_proto(at(second) + jiff::SignedDuration::from_millis(milliseconds));
    Drift {
        number,
        user: String::new(),
        manager: manager.to_owned(),
        operation: "Update".to_owned(),
        subresource: "scale".to_owned(),
        from: Some(from),
        to: Some(to),
        at: Some(to_proto(at(second))),
        corrected_at: milliseconds.map(after),
    }
}

fn change(number: i64, field: &str, second: i64, (from, to): (Option<i32>, i32), by: &str, reason: &str) -> Change {
    Change {
        number,
        field: field.to_owned(),
        from,
        to: Some(to),
        by: by.to_owned(),
        reason: reason.to_owned(),
        at: Some(to_proto(at(second))),
    }
}

/// A week: a launch, an override, a quarrel with Helm, and a typing error.
fn week() -> Timeline {
    const DAY: i64 = 86_400;
    let mut changes = vec![
        change(1, "replicas", 0, (None, 3), "alice@example.com", "launch"),
        change(2, "override", 5 * DAY, (Some(3), 10), "bob@example.com", "sale"),
        change(3, "override", 5 * DAY + 7200, (Some(10), 3), "", "the override ended"),
        change(4, "replicas", 5 * DAY + 9000, (Some(3), 5), "alice@example.com", "more traffic than before the sale"),
    ];
    let mut drifts: Vec<_> =
        (0..6).map(|index| drift(index + 1, "helm", 5 * DAY + 600 + index * 60, (10, 3), Some(8 + index))).collect();
    drifts.push(drift(7, "kubectl", 5 * DAY + 8000, (3, 12), Some(900_000)));
    drifts.push(drift(8, "kube-controller-manager", 5 * DAY + 10_000, (5, 2), None));
    changes.reverse();
    drifts.reverse();
    let target = Target { namespace: "shop".to_owned(), name: "web".to_owned(), ..Target::default() };
    let count = ReplicaCount {
        target: Some(target),
        desired: Some(5),
        changes,
        recent_drifts: drifts,
        drifts: 8,
        ..ReplicaCount::default()
    };
    Timeline::new(count, Vec::new())
}

fn week_as_svg() -> String {
    picture(&week(), at(5 * 86_400 + 10_800), &TimeZone::fixed(jiff::tz::offset(2)))
}

/// Checks that each element is closed, and that no text leaves its element.
fn check_xml(svg: &str) {
    let mut open = Vec::new();
    for tag in svg.split('<').skip(1) {
        let (tag, text) = tag.split_once('>').unwrap_or_else(|| panic!("<{tag} has no end"));
        assert!(!text.contains('>'), "{text}");
        let name = tag.split([' ', '/']).find(|part| !part.is_empty()).unwrap();
        match (tag.starts_with('/'), tag.ends_with('/')) {
            (true, _) => assert_eq!(open.pop(), Some(name), "</{name}>"),
            (false, true) => {}
            (false, false) => open.push(name),
        }
        let known = ["svg", "title", "style", "rect", "text", "polyline", "circle"];
        assert!(known.contains(&name), "<{name}>");
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
    }
    assert!(open.is_empty(), "{open:?}");
    let is_allowed = |c: char| c == '\n' || (!c.is_control() && c != '\u{fffe}' && c != '\u{ffff}');
    assert!(svg.chars().all(is_allowed));
}

#[test]
fn a_picture_says_what_happened_when_and_who_did_it() {
    let svg = week_as_svg();
    check_xml(&svg);
    for part in [
        "<title>Replica count of deployment.apps/web, namespace shop</title>",
        "2026-09-21 16:13:20 to ",
        "UTC+02:00",
        "4 changes, 8 drifts by helm (6), kube-controller-manager (1), kubectl (1)",
        ">alice@example.com → 3<",
        ">end of the override → 3<",
        ">helm ×6<",
        ">drifts 1–6<",
        "each corrected within 13ms",
        ">not corrected<",
        ">corrected after 15m<",
        "prefers-color-scheme: dark",
        "class=\"override\"",
    ] {
        assert!(svg.contains(part), "{part:?} is missing in {svg}");
    }
    assert_eq!(svg.matches("class=\"break-label\"").count(), 1, "the quiet days are a break");
}

#[test]
fn text_of_others_can_neither_break_the_picture_nor_make_it_large() {
    let name = format!("</text><script>alert(1)</script>\u{0}\u{fffe}\u{202e}{}", "\u{1f4a3}&<>\"'".repeat(1000));
    let mut timeline = week();
    for (number, second) in (1..=2000).zip(1..) {
        let (mut drift, mut change) = (
            drift(number, &name, second, (i32::MAX, i32::MIN), Some(-5)),
            change(number, &name, second, (Some(-1), i32::MAX), &name, &name),
        );
        if number % 7 == 0 {
            drift.at = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: -1 });
            change.at = None;
        }
        timeline.entries.push(Entry::Drift(drift));
        timeline.entries.push(Entry::Change(change));
    }
    timeline.count.target.as_mut().unwrap().name = name.clone();
    timeline.count.r#override = Some(Override { until: Some(to_proto(Timestamp::MAX)), ..Override::default() });
    let svg = picture(&timeline, at(0), &TimeZone::UTC);
    check_xml(&svg);
    assert!(!svg.contains("<script") && svg.len() < 250_000, "{}", svg.len());
}

#[test]
fn a_history_without_a_beginning_or_an_end_has_a_picture() {
    let nothing = Timeline::new(ReplicaCount { desired: Some(3), ..ReplicaCount::default() }, Vec::new());
    let end = Unmanaged { at: at(0), note: "no longer held".to_owned() };
    let unmanaged = Timeline::new(ReplicaCount::default(), vec![end]);
    for (name, timeline, part) in
        [("nothing", nothing, "0 changes, 0 drifts<"), ("only its end", unmanaged, "no longer held")]
    {
        for now in [at(0), at(100), Timestamp::MIN, Timestamp::MAX] {
            let svg = picture(&timeline, now, &TimeZone::UTC);
            check_xml(&svg);
            assert!(svg.contains(part) && !svg.contains("NaN") && !svg.contains("inf\""), "{name}: {svg}");
        }
    }
}
