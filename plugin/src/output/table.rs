//! Tables in kubectl's style: upper-case headers, no lines, and columns that `awk` can split.

use comfy_table::{ContentArrangement, Table, presets::NOTHING};
use contract::replicas::v1::ReplicaCount;
use jiff::Timestamp;

use super::text::{NONE, count, last_drift, override_, printable, status};
use crate::target;

/// The optional columns of a table of replica counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Columns {
    /// The namespace, as the first column.
    pub(crate) namespace: bool,
    /// Status, user, override and reason, as the last columns.
    pub(crate) wide: bool,
}

/// Draws a table of replica counts.
pub(crate) fn replica_counts(counts: &[ReplicaCount], columns: Columns, now: Timestamp) -> String {
    let mut header = vec!["TARGET", "DESIRED", "CURRENT", "READY", "DRIFTS", "LAST DRIFT"];
    if columns.namespace {
        header.insert(0, "NAMESPACE");
    }
    if columns.wide {
        header.extend(["STATUS", "SET BY", "OVERRIDE", "REASON"]);
    }
    draw(&header, counts.iter().map(|count| row(count, columns, now)))
}

fn row(shown: &ReplicaCount, columns: Columns, now: Timestamp) -> Vec<String> {
    let target = shown.target.clone().unwrap_or_default();
    let is_managed = shown.desired.is_some();
    let drifts = if is_managed { shown.drifts.to_string() } else { NONE.to_owned() };
    let mut row = vec![
        printable(&target::name(&target)),
        count(shown.desired),
        count(shown.observed),
        count(shown.ready),
        drifts,
        last_drift(shown, now),
    ];
    if columns.namespace {
        row.insert(0, printable(&target.namespace));
    }
    if columns.wide {
        let over = shown.r#override.as_ref().map_or_else(|| NONE.to_owned(), |over| override_(over, now));
        row.extend([status(shown), printable(&shown.set_by), over, printable(&shown.reason)]);
    }
    row
}

/// Draws rows under a header. Three spaces separate the columns.
pub(super) fn draw(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use contract::replicas::v1::{Drift, Target};

    use super::*;
    use crate::time::to_proto;

    fn now() -> Timestamp {
        Timestamp::from_second(1_000_000).unwrap()
    }

    fn web() -> ReplicaCount {
        let target = Target { namespace: "shop".to_owned(), name: "web".to_owned(), ..Target::default() };
        let drift = Drift {
            manager: "kubectl".to_owned(),
            from: Some(3),
            to: Some(7),
            at: Some(to_proto(Timestamp::from_second(999_988).unwrap())),
            ..Drift::default()
        };
        ReplicaCount {
            target: Some(target),
            desired: Some(3),
            observed: Some(3),
            ready: Some(2),
            drifts: 12,
            last_drift: Some(drift),
            set_by: "alice".to_owned(),
            reason: "load\ntest".to_owned(),
            ..ReplicaCount::default()
        }
    }

    #[test]
    fn a_table_looks_as_kubectls_do() {
        let unmanaged = ReplicaCount {
            target: Some(Target { kind: "StatefulSet".to_owned(), name: "db".to_owned(), ..Target::default() }),
            observed: Some(1),
            ..ReplicaCount::default()
        };
        let expected = "\
TARGET                DESIRED   CURRENT   READY   DRIFTS   LAST DRIFT
deployment.apps/web   3         3         2       12       kubectl 3->7, 12s ago
statefulset.apps/db   -         1         -       -        -
";
        assert_eq!(replica_counts(&[web(), unmanaged], Columns::default(), now()), expected);
    }

    #[test]
    fn the_names_of_targets_cannot_control_the_terminal() {
        let target = Target { namespace: "\u{1b}[31m".to_owned(), name: "a\nb".to_owned(), ..Target::default() };
        let count = ReplicaCount { target: Some(target), ..ReplicaCount::default() };
        let columns = Columns { namespace: true, wide: true };
        for text in
            [replica_counts(std::slice::from_ref(&count), columns, now()), crate::output::describe(&count, now())]
        {
            assert!(text.contains(" [31m") && text.contains("a b") && !text.contains('\u{1b}'), "{text}");
        }
    }

    #[test]
    fn a_wide_table_of_all_namespaces_has_more_columns() {
        let columns = Columns { namespace: true, wide: true };
        let expected = "\
NAMESPACE   TARGET                DESIRED   CURRENT   READY   DRIFTS   LAST DRIFT              STATUS   SET BY   OVERRIDE   REASON
shop        deployment.apps/web   3         3         2       12       kubectl 3->7, 12s ago   -        alice    -          load test
";
        assert_eq!(replica_counts(&[web()], columns, now()), expected);
    }
}
