//! The list under the chart: everything that happened, in words.

use contract::replicas::v1::Drift;
use jiff::{Timestamp, tz::TimeZone};

use super::xml::{Anchor, Elements, shorten};
use crate::output::{
    history::{
        cells::{counts, end, reason, time_between, what, who, with_dropped},
        timeline::{Dropped, Entry},
    },
    text::{NONE, count},
};

/// The height of a line, in pixels.
const LINE: f64 = 19.0;

/// The columns: where they begin, in pixels, and how many letters they have room for.
const COLUMNS: [(&str, f64, usize); 5] =
    [("Time", 24.0, 19), ("What", 168.0, 20), ("Count", 318.0, 24), ("Who", 400.0, 40), ("Reason, or end", 670.0, 46)];

/// A line of the list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    class: &'static str,
    cells: [String; 5],
}

/// The lines of a list. Drifts that repeat each other share a line.
pub(super) fn lines(entries: &[Entry], dropped: Dropped, zone: &TimeZone) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut rest = with_dropped(entries, dropped).peekable();
    while let Some((dropped, entry)) = rest.next() {
        lines.extend(dropped.map(|dropped| {
            let cells = [NONE.to_owned(), dropped, String::new(), String::new(), "no longer kept".to_owned()];
            Line { class: "muted", cells }
        }));
        let mut group = vec![entry];
        while let Some((_, next)) = rest.next_if(|(_, next)| repeats(entry, next)) {
            group.push(next);
        }
        lines.push(line(&group, zone));
    }
    lines
}

/// Whether a drift is like the one before it.
fn repeats(entry: &Entry, next: &Entry) -> bool {
    let (Entry::Drift(one), Entry::Drift(other)) = (entry, next) else { return false };
    let parts = |drift: &Drift| {
        let Drift { user, manager, operation, subresource, from, to, .. } = drift.clone();
        (user, manager, operation, subresource, from, to, drift.corrected_at.is_some())
    };
    parts(one) == parts(other)
}

/// The line of an entry, or of drifts that repeat each other.
fn line(group: &[&Entry], zone: &TimeZone) -> Line {
    let [entry, .., last] = group else {
        return group.first().map_or_else(
            || Line { class: "muted", cells: Default::default() },
            |entry| cells(entry, what(entry), reason(entry), zone),
        );
    };
    let number = |entry: &Entry| if let Entry::Drift(drift) = entry { drift.number } else { 0 };
    let what = match (number(entry), number(last)) {
        (0, _) | (_, 0) => format!("{} drifts", group.len()),
        (first, last) => format!("drifts {first}–{last}"),
    };
    let ends = group.iter().filter_map(|entry| if let Entry::Drift(drift) = entry { end(drift) } else { None });
    let longest = ends.max_by_key(|(from, to)| to.duration_since(*from));
    let end = match longest {
        Some((from, to)) => format!("each corrected within {}", time_between(from, to)),
        None => "not corrected".to_owned(),
    };
    let until = last.at().map(|at| format!("until {}, ", clock(at, zone))).unwrap_or_default();
    cells(entry, what, format!("{until}{end}"), zone)
}

fn cells(entry: &Entry, what: String, reason: String, zone: &TimeZone) -> Line {
    let (class, counts) = match (entry, counts(entry)) {
        (Entry::Unmanaged(_), _) => ("muted", String::new()),
        (Entry::Change(_), (from, to)) if from == to => ("change-text", count(to)),
        (Entry::Change(_), (None, to)) => ("change-text", count(to)),
        (Entry::Change(_), (from, to)) => ("change-text", format!("{} → {}", count(from), count(to))),
        (Entry::Attempt(..), (from, to)) => ("muted", format!("{} → {}", count(from), count(to))),
        (Entry::Drift(_), (from, to)) => ("drift-text", format!("{} → {}", count(from), count(to))),
    };
    let at = entry.at().map_or_else(|| NONE.to_owned(), |at| date_and_clock(at, zone));
    Line { class, cells: [at, what, counts, who(entry), reason] }
}

pub(super) fn date_and_clock(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn clock(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%H:%M:%S").to_string()
}

/// Draws the lines under a header, and returns where they end.
pub(super) fn draw(elements: &mut Elements, lines: &[Line], top: f64) -> f64 {
    for (title, x, _) in COLUMNS {
        elements.text((x, top), Anchor::Start, "header", title);
    }
    let mut y = top;
    for line in lines {
        y += LINE;
        for ((index, cell), (_, x, most)) in line.cells.iter().enumerate().zip(COLUMNS) {
            // The colour shows what the line is about, and is easier to see in few words.
            let class = if index == 1 { line.class } else { "text" };
            elements.text((x, y), Anchor::Start, class, &shorten(cell, most));
        }
    }
    y
}

#[cfg(test)]
mod tests {
    use contract::replicas::v1::Change;

    use super::*;
    use crate::time::to_proto;

    fn drift(number: i64, second: i64, to: i32, milliseconds: i64) -> Entry {
        let at = |millisecond| Some(to_proto(Timestamp::from_millisecond(millisecond).unwrap()));
        Entry::Drift(Drift {
            number,
            manager: "helm".to_owned(),
            from: Some(3),
            to: Some(to),
            at: at(second * 1000),
            corrected_at: at(second * 1000 + milliseconds),
            ..Drift::default()
        })
    }

    #[test]
    fn drifts_that_repeat_each_other_share_a_line() {
        let change = Entry::Change(Change {
            number: 1,
            to: Some(3),
            by: "alice".to_owned(),
            at: Some(to_proto(Timestamp::from_second(1).unwrap())),
            ..Change::default()
        });
        let mut of_bob = drift(44, 40, 1, 8);
        if let Entry::Drift(drift) = &mut of_bob {
            drift.user = "bob".to_owned();
        }
        let entries = [change, drift(41, 10, 7, 5), drift(42, 20, 7, 12), drift(43, 30, 7, 8), of_bob];
        let lines = lines(&entries, Dropped { changes: 0, drifts: 40 }, &TimeZone::UTC);
        let text: Vec<_> = lines.iter().map(|line| line.cells.join(" | ")).collect();
        let expected = [
            "1970-01-01 00:00:01 | change 1 | 3 | alice | -",
            "- | drifts 1-40 |  |  | no longer kept",
            "1970-01-01 00:00:10 | drifts 41–43 | 3 → 7 | a program (helm) | until 00:00:30, each corrected within 12ms",
            "1970-01-01 00:00:40 | drift 44 | 3 → 1 | bob (helm) | corrected after 8ms",
        ];
        assert_eq!(text, expected);
    }
}
