//! Where a moment is in the chart.
//!
//! Most histories are a few busy minutes in quiet weeks. A quiet time that would leave no room for the rest is a break
//! of the axis, which says how long it is.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

/// The width of a break, in pixels.
const BREAK: f64 = 44.0;

/// The most breaks: each takes room from the rest.
const MAX_BREAKS: usize = 4;

/// The share of the whole time from which a quiet time is a break.
const QUIET: f64 = 0.6;

/// A shorter rest is not worth a break, in seconds.
const MIN_REST: f64 = 5.0;

/// The least width of a part between two breaks, which holds its label, in pixels.
const MIN_WIDTH: f64 = 100.0;

/// The space between the end of a part and its first moment, in pixels.
const MARGIN: f64 = 14.0;

/// The least distance between two marks, in pixels.
const MARK_DISTANCE: f64 = 100.0;

const DAY: i64 = 86_400;

/// The times between two marks, in seconds. Each divides a day or is some days.
const STEPS: [i64; 26] = [
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    2 * 3600,
    3 * 3600,
    6 * 3600,
    12 * 3600,
    DAY,
    2 * DAY,
    7 * DAY,
    28 * DAY,
    91 * DAY,
    365 * DAY,
    3650 * DAY,
    36_500 * DAY,
    365_000 * DAY,
];

/// The axis of time: parts with a scale, and breaks between them.
#[derive(Debug)]
pub(super) struct TimeAxis {
    parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    first: Timestamp,
    last: Timestamp,
    left: f64,
    right: f64,
}

/// A mark under the axis.
#[derive(Debug, PartialEq)]
pub(super) struct Mark {
    pub(super) x: f64,
    pub(super) time: String,
    /// The day, if it is another one than that of the mark before.
    pub(super) day: Option<String>,
}

/// A quiet time that takes little room.
#[derive(Debug, PartialEq)]
pub(super) struct Break {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

impl TimeAxis {
    /// Makes an axis that has room for these moments. There must be at least one.
    pub(super) fn new(mut moments: Vec<Timestamp>, left: f64, right: f64) -> Self {
        moments.sort_unstable();
        let groups = split(&moments);
        let room = right - left - BREAK * gaps(groups.len()) - MIN_WIDTH * count(groups.len());
        let all: f64 = groups.iter().map(|(first, last)| seconds(*first, *last)).sum();
        let mut parts = Vec::with_capacity(groups.len());
        let mut start = left;
        for (first, last) in groups.iter().copied() {
            let share = if all > 0.0 { seconds(first, last) / all } else { 1.0 / count(groups.len()) };
            let end = start + MIN_WIDTH + room * share;
            parts.push(Part { first, last, left: start, right: end });
            start = end + BREAK;
        }
        Self { parts }
    }

    /// Where a moment is. A moment that is outside is at the end.
    pub(super) fn x(&self, moment: Timestamp) -> f64 {
        let mut before: Option<&Part> = None;
        for part in &self.parts {
            if moment < part.first {
                return before.map_or(part.left, |before| before.right + BREAK / 2.0);
            }
            if moment <= part.last {
                return part.x(moment);
            }
            before = Some(part);
        }
        before.map_or(0.0, |last| last.right)
    }

    /// The breaks, from left to right.
    pub(super) fn breaks(&self) -> impl Iterator<Item = Break> {
        self.parts.windows(2).filter_map(|pair| match pair {
            [before, after] => {
                Some(Break { left: before.right, right: after.left, from: before.last, to: after.first })
            }
            _ => None,
        })
    }

    /// The marks, from left to right.
    pub(super) fn marks(&self, zone: &TimeZone) -> Vec<Mark> {
        let mut marks: Vec<Mark> = Vec::new();
        let mut day_before = String::new();
        for (moment, x, format) in self.parts.iter().flat_map(|part| part.marks(zone)) {
            let local = moment.to_zoned(zone.clone());
            let day = local.strftime("%Y-%m-%d").to_string();
            let is_new = day != day_before;
            marks.push(Mark { x, time: local.strftime(format).to_string(), day: is_new.then(|| day.clone()) });
            day_before = day;
        }
        marks
    }
}

impl Part {
    fn x(&self, moment: Timestamp) -> f64 {
        let (left, right) = (self.left + MARGIN, self.right - MARGIN);
        let all = seconds(self.first, self.last);
        if all > 0.0 { left + (right - left) * seconds(self.first, moment) / all } else { f64::midpoint(left, right) }
    }

    /// The moments with a mark, where they are, and how they are written.
    fn marks(&self, zone: &TimeZone) -> Vec<(Timestamp, f64, &'static str)> {
        let all = seconds(self.first, self.last);
        let most = (self.right - self.left) / MARK_DISTANCE;
        let step = STEPS.into_iter().find(|step| all / seconds_of(*step) <= most).unwrap_or(365_000 * DAY);
        let format = if step < 60 { "%H:%M:%S" } else { "%H:%M" };
        let offset = i64::from(zone.to_offset(self.first).seconds());
        // Marks are round in local time.
        let first = (self.first.as_second() + offset).div_euclid(step) * step - offset;
        let moments = (0..64).filter_map(|index| Timestamp::from_second(first + index * step).ok());
        let inside = moments.filter(|moment| (self.first..=self.last).contains(moment));
        let marks: Vec<_> = inside.map(|moment| (moment, self.x(moment), format)).collect();
        match marks.is_empty() {
            true => vec![(self.first, self.x(self.first), "%H:%M:%S")],
            false => marks,
        }
    }
}

/// Splits moments at quiet times, and returns the first and the last moment of each part.
fn split(moments: &[Timestamp]) -> Vec<(Timestamp, Timestamp)> {
    let mut gaps: Vec<_> =
        moments.windows(2).filter_map(|pair| if let [from, to] = pair { Some((*from, *to)) } else { None }).collect();
    let mut breaks = Vec::new();
    while breaks.len() < MAX_BREAKS {
        let all: f64 = gaps.iter().map(|(from, to)| seconds(*from, *to)).sum();
        let longest = gaps.iter().enumerate().max_by_key(|(_, (from, to))| to.duration_since(*from));
        let Some((index, (from, to))) = longest else { break };
        let long = seconds(*from, *to);
        if long < QUIET * all || all - long < MIN_REST {
            break;
        }
        breaks.push(gaps.remove(index));
    }
    breaks.sort_unstable();
    let (Some(first), Some(last)) = (moments.first(), moments.last()) else { return Vec::new() };
    let starts = std::iter::once(*first).chain(breaks.iter().map(|(_, to)| *to));
    let ends = breaks.iter().map(|(from, _)| *from).chain([*last]);
    starts.zip(ends).collect()
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

fn seconds_of(step: i64) -> f64 {
    SignedDuration::from_secs(step).as_secs_f64()
}

/// A number of parts. There are at most five.
fn count(parts: usize) -> f64 {
    f64::from(u8::try_from(parts).unwrap_or(u8::MAX))
}

/// The number of breaks between parts.
fn gaps(parts: usize) -> f64 {
    count(parts.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn axis(seconds: &[i64]) -> TimeAxis {
        TimeAxis::new(seconds.iter().map(|second| at(*second)).collect(), 0.0, 900.0)
    }

    #[test]
    fn quiet_times_are_breaks_if_they_leave_no_room() {
        const HOUR: i64 = 3600;
        for (name, moments, breaks) in [
            ("one moment", vec![5], vec![]),
            ("even", vec![0, 10, 20, 30], vec![]),
            ("two moments", vec![0, 30 * DAY], vec![]),
            ("milliseconds are no rest", vec![0, 0, 0, DAY], vec![]),
            ("busy minutes after a month", vec![0, 30 * DAY, 30 * DAY + 60, 30 * DAY + 120], vec![(0, 30 * DAY)]),
            (
                "busy minutes a month ago, and an hour ago",
                vec![0, 30, 60, 30 * DAY, 30 * DAY + 30, 30 * DAY + HOUR],
                vec![(60, 30 * DAY), (30 * DAY + 30, 30 * DAY + HOUR)],
            ),
        ] {
            let found: Vec<_> = axis(&moments).breaks().map(|one| (one.from.as_second(), one.to.as_second())).collect();
            assert_eq!(found, breaks, "{name}");
        }
    }

    #[test]
    fn moments_keep_their_order_and_stay_inside() {
        for moments in [
            vec![0],
            vec![0, 1],
            vec![0, 30 * DAY, 30 * DAY + 60, 30 * DAY + 61, 90 * DAY],
            vec![0, 30, 60, 300 * DAY, 300 * DAY + 1, 900 * DAY, 901 * DAY, 30_000 * DAY],
        ] {
            let axis = axis(&moments);
            let mut places: Vec<_> = moments.iter().map(|second| axis.x(at(*second))).collect();
            places.insert(0, axis.x(at(-1)));
            places.push(axis.x(at(40_000 * DAY)));
            assert!(places.is_sorted(), "{moments:?}: {places:?}");
            assert!(places.iter().all(|x| (-0.01..=900.01).contains(x)), "{moments:?}: {places:?}");
        }
        let axis = axis(&[0, 30 * DAY, 30 * DAY + 60, 30 * DAY + 120]);
        let gap = axis.breaks().next().unwrap();
        let inside = axis.x(at(15 * DAY));
        assert!(gap.left < inside && inside < gap.right, "{gap:?} {inside}");
    }

    #[test]
    fn marks_are_round_in_the_local_time_and_name_each_new_day() {
        let berlin = TimeZone::fixed(jiff::tz::offset(1));
        let shown = |moments: &[i64]| {
            let marks = axis(moments).marks(&berlin);
            assert!(marks.windows(2).all(|pair| pair[1].x - pair[0].x > 60.0), "{marks:?}");
            let text = |mark: &Mark| {
                let day = mark.day.as_ref().map(|day| format!(" {day}")).unwrap_or_default();
                format!("{}{day}", mark.time)
            };
            marks.iter().map(text).collect::<Vec<_>>()
        };
        assert_eq!(shown(&[5]), ["01:00:05 1970-01-01"]);
        assert_eq!(shown(&[3, 27]), ["01:00:05 1970-01-01", "01:00:10", "01:00:15", "01:00:20", "01:00:25"]);
        assert_eq!(
            shown(&[22 * 3600, 25 * 3600]),
            ["23:00 1970-01-01", "23:30", "00:00 1970-01-02", "00:30", "01:00", "01:30", "02:00"]
        );
        assert_eq!(shown(&[0, 30 * DAY, 30 * DAY + 60]).first().unwrap(), "01:00:00 1970-01-01");
        assert!(shown(&[0, 3000 * DAY]).len() < 20);
    }
}
