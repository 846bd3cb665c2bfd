//! The history of a target's count as a table.

use super::{
    cells::{counts, reason, what, who, with_dropped},
    timeline::{Entry, Timeline},
};
use crate::{
    output::{
        table::{cut, draw},
        text::{NONE, count},
    },
    time::local,
};

const HEADER: [&str; 6] = ["TIME", "WHAT", "FROM", "TO", "WHO", "REASON"];

/// Draws a timeline, the oldest entry first. Without the width of a terminal it is shown whole.
pub(crate) fn table(timeline: &Timeline, width: Option<usize>) -> String {
    let mut rows = Vec::with_capacity(timeline.entries.len() + 2);
    for (dropped, entry) in with_dropped(&timeline.entries, timeline.dropped) {
        rows.extend(
            dropped.map(|dropped| [NONE, &dropped, NONE, NONE, NONE, "no longer kept"].map(str::to_owned).to_vec()),
        );
        rows.push(row(entry));
    }
    if let Some(width) = width {
        cut(&HEADER, &mut rows, width);
    }
    draw(&HEADER, rows)
}

fn row(entry: &Entry) -> Vec<String> {
    let (from, to) = counts(entry);
    let at = entry.at().map_or_else(|| NONE.to_owned(), local);
    vec![at, what(entry), count(from), count(to), who(entry), reason(entry)]
}

#[cfg(test)]
mod tests {
    use contract::replicas::v1::{Change, Drift, ReplicaCount};
    use jiff::Timestamp;

    use super::*;
    use crate::{output::history::Unmanaged, time::to_proto};

    fn timeline() -> Timeline {
        let at = |second| Timestamp::from_second(second).unwrap();
        let change = Change {
            number: 2,
            field: "override".to_owned(),
            from: Some(3),
            to: Some(10),
            by: "alice".to_owned(),
            reason: "sale\nof the year".to_owned(),
            at: Some(to_proto(at(30))),
        };
        let drift = Drift {
            number: 1,
            manager: "kubectl".to_owned(),
            user: "bob".to_owned(),
            operation: "Update".to_owned(),
            subresource: "scale".to_owned(),
            from: Some(3),
            to: Some(7),
            at: Some(to_proto(at(20))),
            corrected_at: Some(to_proto(at(21))),
        };
        let count = ReplicaCount { changes: vec![change], recent_drifts: vec![drift], ..ReplicaCount::default() };
        Timeline::new(count, vec![Unmanaged { at: at(10), note: "no longer held at 2".to_owned() }])
    }

    #[test]
    fn the_newest_entry_is_at_the_bottom() {
        let [ten, twenty, thirty] = [10, 20, 30].map(|second| local(Timestamp::from_second(second).unwrap()));
        let gap = " ".repeat(ten.len() - 4);
        let line = " ".repeat(ten.len() - 1);
        let expected = format!(
            "\
TIME{gap}   WHAT                 FROM   TO   WHO                              REASON
{ten}   unmanaged            -      -    -                                no longer held at 2
{twenty}   drift 1              3      7    bob (kubectl, Update of scale)   corrected after 1000ms
-{line}   change 1             -      -    -                                no longer kept
{thirty}   change 2: override   3      10   alice                            sale of the year
"
        );
        assert_eq!(table(&timeline(), None), expected);
    }

    #[test]
    fn a_table_is_cut_to_the_width_of_a_terminal() {
        let cut = table(&timeline(), Some(80));
        assert!(cut.lines().all(|line| console::measure_text_width(line) <= 80) && cut.contains('…'), "{cut}");
    }
}
