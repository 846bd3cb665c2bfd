//! A table of replica counts whose rows come one after the other, while a command watches.

use contract::replicas::v1::{ReplicaCount, Target};
use jiff::Timestamp;

use super::table::{
    Columns, OVERRIDE, STATUS, cut_cells, draw_with, fit, gone_row, natural_widths, remove, remove_if_empty,
    remove_until_fitting, room, row, shrink,
};

/// The width of the usual statuses, such as ReplicasNotReady. Later columns do not move with each status.
const STATUS_WIDTH: usize = 16;

/// A table that grows. Its columns keep the widths that they have, and become wider where later rows need it.
#[derive(Debug)]
pub(crate) struct GrowingTable {
    columns: Columns,
    /// The header that was drawn last. Empty before the first row.
    header: Vec<&'static str>,
    widths: Vec<usize>,
}

/// Rows to print, in a table with a header.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rows {
    /// The table.
    pub(crate) text: String,
    /// Whether the header must be printed: it is the first one, or has another column than before.
    pub(crate) has_new_header: bool,
}

impl GrowingTable {
    /// Builds a table without rows.
    pub(crate) const fn new(columns: Columns) -> Self {
        Self { columns, header: Vec::new(), widths: Vec::new() }
    }

    /// Draws the next rows.
    pub(crate) fn add<'a>(&mut self, counts: impl IntoIterator<Item = &'a ReplicaCount>, now: Timestamp) -> Rows {
        self.draw(counts.into_iter().map(|count| row(count, "", self.columns, now)).collect())
    }

    /// Draws the row of a target that the watch no longer covers.
    pub(crate) fn add_gone(&mut self, target: &Target, now: Timestamp) -> Rows {
        self.draw(vec![gone_row(target, self.columns, now)])
    }

    /// Whether two states of a target have different rows.
    pub(crate) fn is_different(&self, before: &ReplicaCount, after: &ReplicaCount, now: Timestamp) -> bool {
        row(before, "", self.columns, now) != row(after, "", self.columns, now)
    }

    fn draw(&mut self, mut rows: Vec<Vec<String>>) -> Rows {
        let has_new_header = self.choose_header(&mut rows);
        let mut widths = natural_widths(&self.header, &rows);
        match self.columns.width {
            Some(width) if has_new_header => widths = fit(&self.header, widths, width),
            Some(width) => {
                self.widen(&mut widths);
                shrink(&mut widths, &self.widths, room(&self.header, width));
            }
            None if has_new_header => {}
            None => self.widen(&mut widths),
        }
        if has_new_header {
            self.reserve(&mut widths);
        }
        if self.columns.width.is_some() {
            cut_cells(&self.header, &mut rows, &widths);
        }
        self.widths = widths;
        Rows { text: draw_with(&self.header, &rows, &self.widths), has_new_header }
    }

    fn widen(&self, widths: &mut [usize]) {
        widths.iter_mut().zip(&self.widths).for_each(|(width, before)| *width = (*width).max(*before));
    }

    /// Widens STATUS for statuses to come, as far as there is room.
    fn reserve(&self, widths: &mut [usize]) {
        let room = self.columns.width.map_or(usize::MAX, |width| room(&self.header, width));
        let left = room.saturating_sub(widths.iter().sum());
        if let Some(status) = self.header.iter().position(|title| *title == STATUS) {
            widths[status] += STATUS_WIDTH.saturating_sub(widths[status]).min(left);
        }
    }

    /// Chooses the columns. A terminal gets that of overrides only after there was one, and the others for which the first
    /// rows leave room. Returns whether they have changed.
    fn choose_header(&mut self, rows: &mut [Vec<String>]) -> bool {
        let mut header = self.columns.header();
        if let Some(width) = self.columns.width {
            if !self.header.contains(&OVERRIDE) {
                remove_if_empty(OVERRIDE, &mut header, rows);
            }
            if self.header.is_empty() {
                remove_until_fitting(&mut header, rows, width);
            } else {
                let is_removed = |title: &&str| *title != OVERRIDE && !self.header.contains(title);
                for title in self.columns.header().into_iter().filter(is_removed) {
                    remove(title, &mut header, rows);
                }
            }
        }
        let is_new = header != self.header;
        self.header = header;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use contract::replicas::v1::Override;

    use super::*;
    use crate::time::to_proto;

    fn now() -> Timestamp {
        Timestamp::from_second(1_000_000).unwrap()
    }

    fn count(name: &str, desired: i32) -> ReplicaCount {
        let target = Target { namespace: "shop".to_owned(), name: name.to_owned(), ..Target::default() };
        ReplicaCount { target: Some(target), desired: Some(desired), observed: Some(3), ..ReplicaCount::default() }
    }

    fn overridden(name: &str) -> ReplicaCount {
        let until = Some(to_proto(Timestamp::from_second(2_000_000).unwrap()));
        let over = Override { replicas: Some(10), until, ..Override::default() };
        ReplicaCount { r#override: Some(over), ..count(name, 10) }
    }

    #[test]
    fn later_rows_stay_in_the_columns_and_widen_them() {
        let mut table = GrowingTable::new(Columns::default());
        let first = table.add([&count("web", 3), &count("longer", 3)], now());
        let expected = "\
TARGET                   DESIRED   CURRENT   READY   DRIFTS   LAST DRIFT   STATUS             OVERRIDE
deployment.apps/web      3         3         -       0        -            -                  -
deployment.apps/longer   3         3         -       0        -            -                  -
";
        assert_eq!(first, Rows { text: expected.to_owned(), has_new_header: true });
        let last = |rows: Rows| {
            assert!(!rows.has_new_header, "{rows:?}");
            rows.text.lines().last().unwrap_or_default().to_owned()
        };
        for (name, target, line) in [
            ("shorter", "a", "deployment.apps/a        4         3"),
            ("longer", "the-longest", "deployment.apps/the-longest   4         3"),
            ("after it", "a", "deployment.apps/a             4         3"),
        ] {
            let shown = last(table.add([&count(target, 4)], now()));
            assert!(shown.starts_with(line), "{name}: {shown}");
        }
        let gone = last(table.add_gone(&count("a", 4).target.unwrap(), now()));
        let expected =
            "deployment.apps/a             -         -         -       -        -            Gone               -";
        assert_eq!(gone, expected);
    }

    #[test]
    fn a_terminal_that_is_too_narrow_for_a_column_never_gets_it() {
        let mut table = GrowingTable::new(Columns { namespace: true, width: Some(80), ..Columns::default() });
        let first = table.add([&count("web", 3)], now());
        let line = "\nshop        deployment.apps/web   3         3         -       0        -\n";
        assert!(first.text.starts_with("NAMESPACE   TARGET ") && first.text.contains(line), "{first:?}");
        assert!(!first.text.contains("LAST DRIFT") && first.text.contains("STATUS"), "{first:?}");
        let next = table.add([&count("web", 4)], now());
        assert!(!next.has_new_header && !next.text.contains("LAST DRIFT"), "{next:?}");
    }

    #[test]
    fn a_terminal_gets_the_column_of_overrides_with_the_first_one() {
        let mut table = GrowingTable::new(Columns { width: Some(120), ..Columns::default() });
        let row = |rows: Rows| (rows.has_new_header, rows.text.contains("OVERRIDE"));
        assert_eq!(row(table.add([&count("web", 3)], now())), (true, false));
        assert_eq!(row(table.add([&count("web", 4)], now())), (false, false));
        assert_eq!(row(table.add([&overridden("web")], now())), (true, true));
        assert_eq!(row(table.add([&count("web", 4)], now())), (false, true), "it stays");
    }

    #[test]
    fn later_rows_fit_a_terminal() {
        let width = 90;
        let mut table = GrowingTable::new(Columns { width: Some(width), ..Columns::default() });
        table.add([&count("web", 3)], now());
        let rows = table.add([&count(&"x".repeat(100), 3)], now());
        assert!(rows.text.lines().all(|line| console::measure_text_width(line) <= width), "{rows:?}");
        assert!(rows.text.contains("…xxx"), "{rows:?}");
        let again = table.add([&count("web", 4)], now());
        assert!(again.text.contains("\ndeployment.apps/web "), "no column is narrower than before: {again:?}");
    }

    #[test]
    fn states_with_equal_rows_are_not_different() {
        let table = GrowingTable::new(Columns::default());
        let noted = ReplicaCount { appliers: vec!["helm".to_owned()], ..count("web", 3) };
        assert!(!table.is_different(&count("web", 3), &noted, now()));
        assert!(table.is_different(&count("web", 3), &count("web", 4), now()));
    }
}
