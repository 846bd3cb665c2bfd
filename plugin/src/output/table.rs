//! Tables in kubectl's style: upper-case headers, no lines, and columns that `awk` can split.

use console::{measure_text_width, truncate_str};
use contract::replicas::v1::{ReplicaCount, Target};
use jiff::Timestamp;

use super::text::{NONE, active_override, count, last_drift, last_person, printable, reason, status};
use crate::target;

/// The optional columns of a table of replica counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Columns {
    /// The kubeconfig's context, as the first column.
    pub(crate) cluster: bool,
    /// The namespace, before the target.
    pub(crate) namespace: bool,
    /// The person of the latest drift, whether writes are reviewed, and who set the count and why.
    pub(crate) wide: bool,
    /// The width of the terminal. Without one, the table is shown whole, since programs read it.
    pub(crate) width: Option<usize>,
}

/// The column that says whether a count is in place.
pub(super) const STATUS: &str = "STATUS";

/// The status of a target that a watch no longer covers.
const GONE: &str = "Gone";

/// The column that a terminal shows only if it has a value.
pub(super) const OVERRIDE: &str = "OVERRIDE";

impl Columns {
    /// The titles of the columns.
    pub(super) fn header(self) -> Vec<&'static str> {
        let mut header = vec!["TARGET", "DESIRED", "CURRENT", "READY", "DRIFTS", "LAST DRIFT"];
        header.extend(self.wide.then_some("USER"));
        header.extend([STATUS, OVERRIDE]);
        if self.namespace {
            header.insert(0, "NAMESPACE");
        }
        if self.cluster {
            header.insert(0, "CLUSTER");
        }
        if self.wide {
            header.extend(["ADMISSION", "SET BY", "REASON"]);
        }
        header
    }
}

/// Draws a table of replica counts.
pub(crate) fn replica_counts(counts: &[ReplicaCount], columns: Columns, now: Timestamp) -> String {
    whole(counts.iter().map(|count| row(count, "", columns, now)).collect(), columns)
}

/// Draws a table of the replica counts of several contexts, each with its context.
pub(crate) fn of_contexts(counts: &[(String, ReplicaCount)], columns: Columns, now: Timestamp) -> String {
    whole(counts.iter().map(|(context, count)| row(count, context, columns, now)).collect(), columns)
}

fn whole(mut rows: Vec<Vec<String>>, columns: Columns) -> String {
    let mut header = columns.header();
    if let Some(width) = columns.width {
        remove_if_empty(OVERRIDE, &mut header, &mut rows);
        remove_until_fitting(&mut header, &mut rows, width);
        cut(&header, &mut rows, width);
    }
    draw(&header, rows)
}

/// The columns that a narrow terminal does without, the least important one first.
const DISPENSABLE: [&str; 7] = ["ADMISSION", "REASON", "SET BY", "USER", "LAST DRIFT", "DRIFTS", "READY"];

/// Removes columns as long as names and statuses would have to be cut, those without any value first. Programs, which
/// count columns, never get such a table.
pub(super) fn remove_until_fitting(header: &mut Vec<&str>, rows: &mut [Vec<String>], width: usize) {
    let empty: Vec<_> = DISPENSABLE.into_iter().filter(|title| is_empty(title, header, rows)).collect();
    for title in empty.into_iter().chain(DISPENSABLE) {
        let (widths, least) = (natural_widths(header, rows), least_widths(header));
        let needed: usize = widths.iter().zip(&least).map(|(width, least)| width.min(least)).sum();
        if needed <= room(header, width) {
            break;
        }
        remove(title, header, rows);
    }
}

/// Removes a column without any value.
pub(super) fn remove_if_empty(title: &str, header: &mut Vec<&str>, rows: &mut [Vec<String>]) {
    if is_empty(title, header, rows) {
        remove(title, header, rows);
    }
}

fn is_empty(title: &str, header: &[&str], rows: &[Vec<String>]) -> bool {
    let index = header.iter().position(|known| *known == title);
    index.is_some_and(|index| rows.iter().all(|row| row[index] == NONE))
}

/// Removes a column, if it is there.
pub(super) fn remove(title: &str, header: &mut Vec<&str>, rows: &mut [Vec<String>]) {
    if let Some(index) = header.iter().position(|known| *known == title) {
        header.remove(index);
        rows.iter_mut().for_each(|row| drop(row.remove(index)));
    }
}

/// The spaces between two columns.
const GAP: usize = 3;

/// The columns that are cut only if all others are as short as they can be: a name that is cut cannot be copied.
const KEPT: [&str; 4] = ["CLUSTER", "NAMESPACE", "TARGET", STATUS];

/// The width of such a column that is kept, in columns of the terminal: most names fit.
const KEPT_WIDTH: usize = 40;

/// The width of each column if nothing is cut.
pub(super) fn natural_widths(header: &[&str], rows: &[Vec<String>]) -> Vec<usize> {
    let mut widths: Vec<_> = header.iter().map(|title| measure_text_width(title)).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = measure_text_width(cell).max(*width);
        }
    }
    widths
}

/// Reduces the widths of the longest columns until the table fits, or until no column is longer than its header.
pub(super) fn fit(header: &[&str], mut widths: Vec<usize>, width: usize) -> Vec<usize> {
    let room = room(header, width);
    shrink(&mut widths, &least_widths(header), room);
    shrink(&mut widths, &natural_widths(header, &[]), room);
    widths
}

/// The widths to which columns are reduced first. Without a TARGET, the first column is kept as one.
fn least_widths(header: &[&str]) -> Vec<usize> {
    let mut least = natural_widths(header, &[]);
    let target = target_column(header);
    for (index, width) in least.iter_mut().enumerate() {
        if index == target || KEPT.contains(&header[index]) {
            *width = KEPT_WIDTH.max(*width);
        }
    }
    least
}

/// What the spaces between the columns leave of a width.
pub(super) fn room(header: &[&str], width: usize) -> usize {
    width.saturating_sub(GAP * header.len().saturating_sub(1))
}

fn target_column(header: &[&str]) -> usize {
    header.iter().position(|title| *title == "TARGET").unwrap_or_default()
}

/// Cuts the longest columns until the table fits the width, or until no column is longer than its header.
pub(super) fn cut(header: &[&str], rows: &mut [Vec<String>], width: usize) {
    let widths = fit(header, natural_widths(header, rows), width);
    cut_cells(header, rows, &widths);
}

/// Cuts cells to the widths of their columns. A target keeps its end, since its kind is the same in many rows.
pub(super) fn cut_cells(header: &[&str], rows: &mut [Vec<String>], widths: &[usize]) {
    let target = target_column(header);
    for row in rows {
        for (index, (cell, width)) in row.iter_mut().zip(widths).enumerate() {
            *cell =
                if index == target { keep_end(cell, *width) } else { truncate_str(cell, *width, "…").into_owned() };
        }
    }
}

/// Makes the longest columns shorter until all of them fit the room.
pub(super) fn shrink(widths: &mut [usize], least: &[usize], room: usize) {
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

/// The row of a replica count. The context is empty unless there is a column for it.
pub(super) fn row(shown: &ReplicaCount, context: &str, columns: Columns, now: Timestamp) -> Vec<String> {
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
    row.extend(columns.wide.then(|| last_person(shown)));
    row.extend([status(shown), active_override(shown, now)]);
    if columns.namespace {
        row.insert(0, printable(&target.namespace));
    }
    if columns.cluster {
        row.insert(0, printable(context));
    }
    if columns.wide {
        row.extend([printable(&shown.admission), printable(&shown.set_by), reason(shown, now)]);
    }
    row
}

/// The row of a target that a watch no longer covers.
pub(super) fn gone_row(target: &Target, columns: Columns, now: Timestamp) -> Vec<String> {
    let nothing = ReplicaCount { target: Some(target.clone()), ..ReplicaCount::default() };
    let mut row = row(&nothing, "", columns, now);
    if let Some(index) = columns.header().iter().position(|title| *title == STATUS) {
        row[index] = GONE.to_owned();
    }
    row
}

/// Draws rows under a header. Three spaces separate the columns.
pub(super) fn draw(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let rows: Vec<_> = rows.into_iter().collect();
    let widths = natural_widths(header, &rows);
    draw_with(header, &rows, &widths)
}

/// Draws rows under a header, in columns that have at least these widths.
pub(super) fn draw_with(header: &[&str], rows: &[Vec<String>], widths: &[usize]) -> String {
    let header: Vec<_> = header.iter().map(|title| (*title).to_owned()).collect();
    let draw_line = |cells: &Vec<String>| {
        let pad = |(cell, width): (&String, &usize)| {
            let missing = (width + GAP).saturating_sub(measure_text_width(cell));
            format!("{cell}{}", " ".repeat(missing))
        };
        cells.iter().zip(widths).map(pad).collect::<String>().trim_end().to_owned() + "\n"
    };
    std::iter::once(&header).chain(rows).map(draw_line).collect()
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
        let narrow = Columns { namespace: true, width: Some(80), ..Columns::default() };
        let expected = "\
NAMESPACE   TARGET                DESIRED   CURRENT   READY   DRIFTS   STATUS
shop        deployment.apps/web   3         3         2       12       -
";
        assert_eq!(replica_counts(&counts[1..], narrow, now()), expected, "LAST DRIFT makes room for the names");
        let wide = Columns { namespace: true, wide: true, width: Some(120), ..Columns::default() };
        let table = replica_counts(&counts[1..], wide, now());
        assert!(!table.contains("ADMISSION") && table.contains("REASON"), "an empty column goes first: {table}");
        assert!(table.contains("shop        deployment.apps/web   "), "{table}");
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
        let columns = Columns { namespace: true, wide: true, ..Columns::default() };
        for text in
            [replica_counts(std::slice::from_ref(&count), columns, now()), crate::output::describe(&count, now())]
        {
            assert!(text.contains(" [31m") && text.contains("a b") && !text.contains('\u{1b}'), "{text}");
        }
    }

    #[test]
    fn a_wide_table_of_all_namespaces_has_more_columns() {
        let columns = Columns { namespace: true, wide: true, ..Columns::default() };
        let mut guarded = web();
        guarded.admission = "guarded".to_owned();
        guarded.last_drift.as_mut().unwrap().user = "bob".to_owned();
        let mut calm = web();
        (calm.drifts, calm.last_drift) = (0, None);
        let expected = "\
NAMESPACE   TARGET                DESIRED   CURRENT   READY   DRIFTS   LAST DRIFT              USER        STATUS   OVERRIDE   ADMISSION   SET BY   REASON
shop        deployment.apps/web   3         3         2       12       kubectl 3->7, 12s ago   a program   -        -          -           alice    load test
shop        deployment.apps/web   3         3         2       12       kubectl 3->7, 12s ago   bob         -        -          guarded     alice    load test
shop        deployment.apps/web   3         3         2       0        -                       -           -        -          -           alice    load test
";
        assert_eq!(replica_counts(&[web(), guarded, calm], columns, now()), expected);
    }
}
