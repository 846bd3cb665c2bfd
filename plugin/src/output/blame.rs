//! Who caused drifts: the programs of each namespace, with the person where known, as a table and as a document.

use std::collections::BTreeMap;

use contract::replicas::v1::{Drifter, ReplicaCount};
use jiff::Timestamp;
use serde::Serialize;

use super::{
    document::{self, Document},
    table::{cut, draw, remove},
    text::{NONE, ago, person, printable},
};
use crate::{
    program, target,
    time::{from_proto, to_proto},
};

/// The column of the person, which a terminal shows only if one is known.
const LAST_USER: &str = "LAST USER";

/// How HorizontalPodAutoscalers are named as a program.
const AUTOSCALER: &str = "kube-controller-manager";

/// The programs that caused drifts, those with the most drifts first.
#[derive(Debug, Serialize)]
pub(crate) struct Blame {
    items: Vec<Row>,
}

/// A program in a namespace.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    /// Absent for the drifts of programs that their targets do not list any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<String>,
    namespace: String,
    drifts: i64,
    /// Whether some of the drifts without a program may be of this one.
    at_least: bool,
    /// The number of targets.
    targets: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<Timestamp>,
    /// The target of the latest drift.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_target: Option<String>,
    /// The person of the latest drift. Other people may have run the program before.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Blame {
    /// Adds up the drifts of each program.
    ///
    /// A target lists five programs with the numbers of their drifts. If these are fewer than all its drifts, any program
    /// may have caused more than it is listed with.
    pub(crate) fn of(counts: &[ReplicaCount]) -> Self {
        let mut rows = BTreeMap::<(String, Option<String>), Row>::new();
        for count in counts {
            let mut listed = 0_i64;
            for drifter in &count.drifters {
                listed = listed.saturating_add(drifter.count);
                add(&mut rows, count, Some(drifter), drifter.count);
            }
            let others = count.drifts.saturating_sub(listed);
            if others > 0 {
                add(&mut rows, count, None, others);
            }
        }
        let unsure: Vec<_> =
            rows.values().filter(|row| row.program.is_none()).map(|row| row.namespace.clone()).collect();
        let mut items: Vec<_> = rows.into_values().collect();
        for row in items.iter_mut().filter(|row| row.program.is_some()) {
            row.at_least = unsure.contains(&row.namespace);
        }
        items.sort_by_key(|row| (row.program.is_none(), std::cmp::Reverse(row.drifts)));
        Self { items }
    }

    /// Whether there were no drifts.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Draws a table. Without the width of a terminal it is shown whole.
    pub(crate) fn table(&self, is_wide: bool, width: Option<usize>, now: Timestamp) -> String {
        let mut header = vec!["PROGRAM", "NAMESPACE", "DRIFTS", "TARGETS", "LAST", LAST_USER];
        header.extend(is_wide.then_some("LAST TARGET"));
        header.push("WHAT TO DO");
        let mut rows: Vec<_> = self.items.iter().map(|row| row.cells(is_wide, now)).collect();
        if let Some(width) = width {
            if self.items.iter().all(|row| row.last_user.is_none()) {
                remove(LAST_USER, &mut header, &mut rows);
            }
            cut(&header, &mut rows, width);
        }
        draw(&header, rows)
    }

    /// The document for programs.
    pub(crate) fn document(self) -> Document<Self> {
        document::of_kind("BlameView", self)
    }
}

/// Adds drifts of a target to the row of a program, or to that of all programs which are not listed any more.
fn add(
    rows: &mut BTreeMap<(String, Option<String>), Row>,
    count: &ReplicaCount,
    drifter: Option<&Drifter>,
    drifts: i64,
) {
    let target = count.target.clone().unwrap_or_default();
    let program = drifter.map(|drifter| drifter.manager.clone());
    let row = rows.entry((target.namespace.clone(), program.clone())).or_default();
    row.drifts = row.drifts.saturating_add(drifts);
    row.targets += 1;
    let last = drifter.and_then(|drifter| drifter.last.as_ref()).and_then(from_proto);
    if last > row.last {
        (row.last, row.last_target) = (last, Some(target::name(&target)));
        row.last_user = drifter.map(|drifter| drifter.user.clone()).filter(|user| !user.is_empty());
    }
    let remedy = program.as_ref().and_then(|program| remedy(count, program));
    row.remedy = row.remedy.take().or(remedy);
    (row.program, row.namespace) = (program, target.namespace);
}

/// What the server says should be done about a program, while it contests the target.
fn remedy(count: &ReplicaCount, program: &str) -> Option<String> {
    let contested = count.conditions.iter().find(|it| it.r#type == "Contested" && it.status == "True")?;
    let (who, remedy) = contested.message.split_once(": ")?;
    let is_about = match contested.reason.as_str() {
        "Autoscaled" => program == AUTOSCALER,
        _ => who.strip_prefix(program) == Some(" keeps changing the count"),
    };
    let remedy = remedy.strip_suffix("; or delete this ReplicaCount").unwrap_or(remedy);
    is_about.then(|| program::in_hint(remedy))
}

impl Row {
    fn cells(&self, is_wide: bool, now: Timestamp) -> Vec<String> {
        let or_none = |text: &Option<String>| text.as_ref().map_or_else(|| NONE.to_owned(), |text| printable(text));
        let program = if self.program.is_some() { or_none(&self.program) } else { "(not listed any more)".to_owned() };
        let drifts = if self.at_least { format!("at least {}", self.drifts) } else { self.drifts.to_string() };
        let last = ago(self.last.map(to_proto).as_ref(), now);
        let targets = self.targets.to_string();
        let last_user = self.program.as_ref().map(|_| person(self.last_user.as_deref().unwrap_or_default()));
        let mut cells = vec![program, printable(&self.namespace), drifts, targets, last, or_none(&last_user)];
        cells.extend(is_wide.then(|| or_none(&self.last_target)));
        cells.push(or_none(&self.remedy));
        cells
    }
}

#[cfg(test)]
mod tests {
    use contract::replicas::v1::{Condition, Target};
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_000_000).unwrap()
    }

    /// A target with drifters, each a name, its drifts, and how many seconds ago the last was.
    fn target(namespace: &str, name: &str, drifts: i64, drifters: &[(&str, i64, i64)]) -> ReplicaCount {
        let drifter = |(manager, count, ago): &(&str, i64, i64)| Drifter {
            manager: (*manager).to_owned(),
            count: *count,
            last: Some(to_proto(Timestamp::from_second(1_000_000 - ago).unwrap())),
            ..Drifter::default()
        };
        let target = Target { namespace: namespace.to_owned(), name: name.to_owned(), ..Target::default() };
        let drifters = drifters.iter().map(drifter).collect();
        ReplicaCount { target: Some(target), drifts, drifters, ..ReplicaCount::default() }
    }

    fn contested(count: ReplicaCount, reason: &str, message: &str) -> ReplicaCount {
        let [r#type, status, reason, message] = ["Contested", "True", reason, message].map(str::to_owned);
        let conditions = vec![Condition { r#type, status, reason, message, ..Condition::default() }];
        ReplicaCount { conditions, ..count }
    }

    #[test]
    fn drifts_are_added_up_by_program_and_namespace() {
        let row = |program: &str, namespace: &str, drifts: &str, targets: usize| {
            format!("{program} {namespace} {drifts} {targets}")
        };
        for (name, counts, expected) in [
            ("nothing", vec![], vec![]),
            ("no drifts", vec![target("shop", "web", 0, &[])], vec![]),
            (
                "two targets of one program",
                vec![
                    target("shop", "web", 5, &[("helm", 3, 1), ("kubectl", 2, 5)]),
                    target("shop", "api", 4, &[("helm", 4, 1)]),
                ],
                vec![row("helm", "shop", "7", 2), row("kubectl", "shop", "2", 1)],
            ),
            (
                "two namespaces",
                vec![target("a", "web", 1, &[("helm", 1, 1)]), target("b", "web", 2, &[("helm", 2, 1)])],
                vec![row("helm", "b", "2", 1), row("helm", "a", "1", 1)],
            ),
            (
                "a program is not listed any more, so any may have more drifts there",
                vec![
                    target("a", "web", 9, &[("helm", 1, 1)]),
                    target("a", "api", 2, &[("kubectl", 2, 1)]),
                    target("b", "web", 3, &[("helm", 3, 1)]),
                ],
                vec![
                    row("helm", "b", "3", 1),
                    row("kubectl", "a", "at least 2", 1),
                    row("helm", "a", "at least 1", 1),
                    row("(not listed any more)", "a", "8", 1),
                ],
            ),
            (
                "numbers of an odd server",
                vec![target("a", "web", -1, &[("helm", i64::MAX, 1), ("kubectl", i64::MAX, 1)])],
                vec![row("helm", "a", &i64::MAX.to_string(), 1), row("kubectl", "a", &i64::MAX.to_string(), 1)],
            ),
        ] {
            let rows: Vec<_> =
                Blame::of(&counts).items.iter().map(|row| row.cells(false, now())[..4].join(" ")).collect();
            assert_eq!(rows, expected, "{name}");
        }
    }

    #[test]
    fn a_program_that_contests_a_target_has_its_remedy() {
        let web = || target("shop", "web", 4, &[("helm", 3, 1), (AUTOSCALER, 1, 5)]);
        let helm = "helm keeps changing the count: use values: x; or delete this ReplicaCount";
        let hpa = "HorizontalPodAutoscaler web scales this target too: delete either";
        for (name, count, expected) in [
            ("uncontested", web(), [None, None]),
            ("by a program", contested(web(), "RepeatedDrift", helm), [Some("use values: x"), None]),
            ("by an autoscaler", contested(web(), "Autoscaled", hpa), [None, Some("delete either")]),
            ("by another program", contested(web(), "RepeatedDrift", &format!("my-{helm}")), [None, None]),
        ] {
            let remedies: Vec<_> = Blame::of(&[count]).items.iter().map(|row| row.remedy.clone()).collect();
            assert_eq!(remedies, expected.map(|remedy| remedy.map(str::to_owned)), "{name}");
        }
    }

    #[test]
    fn the_person_of_the_latest_drift_is_named() {
        let by = |name: &str, user: &str, ago| {
            let mut count = target("shop", name, 3, &[("kubectl", 3, ago)]);
            count.drifters[0].user = user.to_owned();
            count
        };
        for (name, counts, expected) in [
            ("the later one", [by("web", "alice", 9), by("api", "bob", 1)], Some("bob")),
            ("in any order", [by("api", "bob", 1), by("web", "alice", 9)], Some("bob")),
            ("the later one is not known", [by("web", "alice", 9), by("api", "", 1)], None),
        ] {
            let blame = Blame::of(&counts);
            assert_eq!(blame.items[0].last_user.as_deref(), expected, "{name}");
            // A terminal shows no empty column.
            let header = blame.table(false, Some(120), now());
            assert_eq!(header.contains(LAST_USER), expected.is_some(), "{name}: {header}");
        }
    }

    #[test]
    fn a_table_and_a_document_have_the_same_rows() {
        let counts = [
            contested(
                target("shop", "web", 3, &[("helm", 3, 12)]),
                "RepeatedDrift",
                "helm keeps changing the count: leave replicas out of the chart; or delete this ReplicaCount",
            ),
            target("shop", "api", 2, &[("helm", 1, 5)]),
        ];
        let table = "\
PROGRAM                 NAMESPACE   DRIFTS       TARGETS   LAST     LAST USER   LAST TARGET           WHAT TO DO
helm                    shop        at least 4   2         5s ago   a program   deployment.apps/api   leave replicas out of the chart
(not listed any more)   shop        1            1         -        -           -                     -
";
        assert_eq!(Blame::of(&counts).table(true, None, now()), table);
        let cut = Blame::of(&counts).table(false, Some(80), now());
        assert!(cut.lines().all(|line| console::measure_text_width(line) <= 80) && cut.contains('…'), "{cut}");
        let expected = json!({
            "apiVersion": "cli.replica-count-manager.io/v1",
            "kind": "BlameView",
            "items": [
                {
                    "program": "helm", "namespace": "shop", "drifts": 4, "atLeast": true, "targets": 2,
                    "last": "1970-01-12T13:46:35Z", "lastTarget": "deployment.apps/api",
                    "remedy": "leave replicas out of the chart",
                },
                {"namespace": "shop", "drifts": 1, "atLeast": false, "targets": 1},
            ],
        });
        assert_eq!(serde_json::to_value(Blame::of(&counts).document()).unwrap(), expected);
    }
}
