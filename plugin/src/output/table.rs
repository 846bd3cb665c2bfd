//! Tables in kubectl's style: upper-case headers, no lines, and columns that `awk` can split.

use comfy_table::{ContentArrangement, Table, presets::NOTHING};
use console::{measure_text_width, truncate_str};
use contract::replicas::v1::ReplicaCount;
use jiff::Timestamp;

use super::text::{NONE, active_override, count, last_drift, printable, reason, status};
use crate::target;

/// The optional columns of a table of replica counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Columns {
    /// The namespace, as the first column.
    pub(crate) namespace: bool,
    /// User and reason, as the last columns.
    pub(crate) wide: bool,
    /// The width of the terminal. Without one, the table is shown whole, since programs read it.
    pub(crate) width: Option<usize>,
}

/// Draws a table of replica counts.
pub(crate) fn replica_counts(counts: &[ReplicaCount], columns: Columns, now: Timestamp) -> String {
    let mut header = vec!["TARGET", "DESIRED", "CURRENT", "READY", "DRIFTS", "LAST DRIFT", "STATUS", "OVERRIDE"];
    if columns.namespace {
        header.insert(0, "NAMESPACE");
    }
    if columns.wide {
        header.extend(["SET BY", "REASON"]);
    }
    let mut rows: Vec<_> = counts.iter().map(|count| row(count, columns, now)).collect();
    if let Some(width) = columns.width {
        remove_if_empty("OVERRIDE", &mut header, &mut rows);
        cut(&header, &mut rows, width);
    }
    draw(&header, rows)
}

/// Removes a column without any value. Programs, which count columns, never get such a table.
fn remove_if_empty(title: &str, header: &mut Vec<&str>, rows: &mut [Vec<String>]) {
    let Some(index) = header.iter().position(|known| *known == title) else { return };
    if rows.iter().all(|row| row[index] == NONE) {
        header.remove(index);
        rows.iter_mut().for_each(|row| drop(row.remove(index)));
    }
}

/// The spaces between two columns.
const GAP: u16 = 3;

/// The width of TARGET, in columns, that is kept while other columns can be cut: most names fit, and a name that is cut
/// cannot be copied.
const TARGET_WIDTH: usize = 40;

/// Cuts the longest columns until the table fits the width, or until no column is longer than its header. A target keeps
/// its end, since its kind is the same in many rows.
pub(super) fn cut(header: &[&str], rows: &mut [Vec<String>], width: usize) {
    let mut least: Vec<_> = header.iter().map(|title| measure_text_width(title)).collect();
    let mut widths = least.clone();
    for row in rows.iter() {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = measure_text_width(cell).max(*width);
        }
    }
    let room = width.saturating_sub(usize::from(GAP) * header.len().saturating_sub(1));
    let target = header.iter().position(|title| *title == "TARGET").unwrap_or_default();
    let shortest = std::mem::replace(&mut least[target], TARGET_WIDTH);
    shrink(&mut widths, &least, room);
    least[target] = shortest;
    shrink(&mut widths, &least, room);
    for row in rows {
        for (index, (cell, width)) in row.iter_mut().zip(&widths).enumerate() {
            *cell =
                if index == target { keep_end(cell, *width) } else { truncate_str(cell, *width, "…").into_owned() };
        }
    }
}

/// Makes the longest columns shorter until all of them fit the room.
fn shrink(widths: &mut [usize], least: &[usize], room: usize) {
    while widths.iter().sum::<usize>() > room {
        let longest = widths.iter_mut().zip(least).filter(|(width, least)| **width > **least);
        let Some((longest, _)) = longest.max_by_key(|(width, _)| **width) else { break };
        *longest -= 1;
    }
}

fn keep_end(text: &str, width: usize) -> String {
    let excess = measure_text_width(text).saturating_sub(width);
    if excess == 0 {
        return text.to_owned();
    }
    // Names consist of characters that take one column each.
    std::iter::once('…').chain(text.chars().skip(excess + 1)).collect()
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
        status(shown),
        active_override(shown, now),
    ];
    if columns.namespace {
        row.insert(0, printable(&target.namespace));
    }
    if columns.wide {
        row.extend([printable(&shown.set_by), reason(shown, now)]);
    }
    row
}

/// Draws rows under a header. Three spaces separate the columns.
pub(super) fn draw(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP));
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
TARGET                DESIRED   CURRENT   READY   DRIFTS   LAST DRIFT              STATUS   OVERRIDE
deployment.apps/web   3         3         2       12       kubectl 3->7, 12s ago   -        -
statefulset.apps/db   -         1         -       -        -                       -        -
";
        assert_eq!(replica_counts(&[web(), unmanaged], Columns::default(), now()), expected);
    }

    #[test]
    fn a_table_is_cut_to_the_width_of_a_terminal() {
        let mut long = web();
        long.target.as_mut().unwrap().name = "n".repeat(250);
        let counts = [long, web()];
        let cut = |counts: &[ReplicaCount], width| {
            let table = replica_counts(counts, Columns { width: Some(width), ..Columns::default() }, now());
            assert!(table.lines().all(|line| measure_text_width(line) <= width), "{width}: {table}");
            table
        };
        for width in [100, 120, 200] {
            let table = cut(&counts, width);
            assert!(table.contains("…nn") && table.contains("deployment.apps/web"), "{width}: {table}");
        }
        assert_eq!(
            cut(&counts[1..], 80),
            "TARGET                DESIRED   CURRENT   READY   DRIFTS   LAST DRIFT     STATUS\n\
             deployment.apps/web   3         3         2       12       kubectl 3->…   -\n"
        );
        let whole = replica_counts(&counts, Columns::default(), now());
        assert!(whole.contains(&"n".repeat(250)) && !whole.contains('…'), "{whole}");
        // No column is shorter than its header.
        let narrow = replica_counts(&counts[1..], Columns { width: Some(1), ..Columns::default() }, now());
        assert!(narrow.contains("\n…s/web   3 "), "{narrow}");
    }

    #[test]
    fn the_names_of_targets_cannot_control_the_terminal() {
        let target = Target { namespace: "\u{1b}[31m".to_owned(), name: "a\nb".to_owned(), ..Target::default() };
        let count = ReplicaCount { target: Some(target), ..ReplicaCount::default() };
        let columns = Columns { namespace: true, wide: true, width: None };
        for text in
            [replica_counts(std::slice::from_ref(&count), columns, now()), crate::output::describe(&count, now())]
        {
            assert!(text.contains(" [31m") && text.contains("a b") && !text.contains('\u{1b}'), "{text}");
        }
    }

    #[test]
    fn a_wide_table_of_all_namespaces_has_more_columns() {
        let columns = Columns { namespace: true, wide: true, width: None };
        let expected = "\
NAMESPACE   TARGET                DESIRED   CURRENT   READY   DRIFTS   LAST DRIFT              STATUS   OVERRIDE   SET BY   REASON
shop        deployment.apps/web   3         3         2       12       kubectl 3->7, 12s ago   -        -          alice    load test
";
        assert_eq!(replica_counts(&[web()], columns, now()), expected);
    }
}
