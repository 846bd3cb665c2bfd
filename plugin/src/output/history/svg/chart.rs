//! The chart: the desired count as a line, overrides as shades, drifts as excursions, and who caused them.

use console::measure_text_width;
use contract::replicas::v1::Drift;
use jiff::{Timestamp, tz::TimeZone};

use super::{
    count_axis::CountAxis,
    counts::{Counts, Excursion, Span},
    time_axis::{Break, TimeAxis},
    xml::{Anchor, Elements, shorten},
};
use crate::{
    output::{
        history::{
            cells::{reason, time_between, what, who},
            timeline::Entry,
        },
        text::{count_or_none, printable},
    },
    time::{distance, from_proto},
};

/// The edges of the chart, in pixels. The labels of changes are above it, and those of the axes left and below.
const LEFT: f64 = 80.0;
pub(super) const RIGHT: f64 = 976.0;
const LABELS: f64 = 118.0;
const TOP: f64 = 180.0;
pub(super) const BOTTOM: f64 = 420.0;

/// The height of a line of labels, and how many there are.
const LINE: f64 = 15.0;
const LINES: usize = 3;

/// The width of a letter of a label, in pixels: an estimate, since the viewer chooses the font.
const LETTER: f64 = 6.6;

/// The longest name in a label, in columns. The list has the whole name.
const MAX_NAME: usize = 24;

/// Drifts of one person or program that are closer than this share a label, in pixels.
const NEAR: f64 = 40.0;

/// Draws the chart of a history that ends now.
pub(super) fn chart(entries: &[Entry], counts: &Counts, now: Timestamp, zone: &TimeZone) -> Elements {
    let moments = entries.iter().filter_map(Entry::at).filter(|at| *at < now).chain([now]);
    let axis = TimeAxis::new(moments.collect(), LEFT, RIGHT);
    let chart = Chart { time: axis, count: CountAxis::new(counts.most(), TOP, BOTTOM), now };
    let mut elements = Elements::default();
    counts.overrides.iter().for_each(|over| chart.draw_override(&mut elements, over));
    chart.draw_axes(&mut elements, zone);
    chart.draw_desired(&mut elements, counts);
    counts.drifts.iter().for_each(|drift| chart.draw_excursion(&mut elements, drift));
    chart.label_changes(&mut elements, entries);
    chart.label_drifts(&mut elements, entries);
    elements
}

struct Chart {
    time: TimeAxis,
    count: CountAxis,
    now: Timestamp,
}

impl Chart {
    fn x(&self, at: Option<Timestamp>, otherwise: f64) -> f64 {
        at.map_or(otherwise, |at| self.time.x(at))
    }

    fn draw_axes(&self, elements: &mut Elements, zone: &TimeZone) {
        for count in self.count.marks() {
            let y = self.count.y(count);
            elements.line([(LEFT, y), (RIGHT, y)], "grid");
            elements.text((LEFT - 8.0, y + 4.0), Anchor::End, "small", &count.to_string());
        }
        elements.text((LEFT - 8.0, TOP - 18.0), Anchor::End, "small", "replicas");
        for mark in self.time.marks(zone) {
            elements.line([(mark.x, BOTTOM), (mark.x, BOTTOM + 5.0)], "axis");
            elements.text((mark.x, BOTTOM + 18.0), Anchor::Middle, "small", &mark.time);
            if let Some(day) = mark.day {
                elements.text((mark.x, BOTTOM + 32.0), Anchor::Middle, "small", &day);
            }
        }
        let x = self.time.x(self.now);
        elements.line([(x, TOP), (x, BOTTOM)], "now");
        elements.text((x, TOP - 4.0), Anchor::Middle, "small", "now");
        self.time.breaks().for_each(|one| draw_break(elements, &one));
    }

    fn draw_override(&self, elements: &mut Elements, over: &Span) {
        let (left, right) = (self.x(over.from, LEFT), self.x(over.to, self.time.x(self.now)));
        elements.rectangle((left, TOP), (right, BOTTOM), "override", "override");
    }

    /// Draws a step line, which ends now.
    fn draw_desired(&self, elements: &mut Elements, counts: &Counts) {
        let mut points = Vec::with_capacity(counts.desired.len() * 2 + 1);
        for step in &counts.desired {
            let (x, y) = (self.x(step.at, LEFT), self.count.y(step.count));
            points.extend(points.last().map(|(_, before)| (x, *before)));
            points.push((x, y));
        }
        points.extend(points.last().map(|(_, y)| (self.time.x(self.now), *y)));
        elements.line(points, "desired");
    }

    /// Draws the way from the count before to that of the drift, and back.
    fn draw_excursion(&self, elements: &mut Elements, drift: &Excursion) {
        let (start, end) = (self.time.x(drift.at), self.x(drift.end, self.time.x(self.now)));
        let (from, to) = (self.count.y(drift.from), self.count.y(drift.to));
        let back = drift.is_corrected.then_some((end, from));
        elements.line([(start, from), (start, to), (end, to)].into_iter().chain(back), "drift");
    }

    /// Puts a dot on each change, and its author above the chart.
    fn label_changes(&self, elements: &mut Elements, entries: &[Entry]) {
        let mut lines = Lines::default();
        for entry in entries {
            let (Entry::Change(change), Some(at)) = (entry, entry.at()) else { continue };
            let point = (self.time.x(at), self.count.y(change.to()));
            let author = if change.by.is_empty() { "end of the override" } else { &change.by };
            let label = format!("{} → {}", shorten(author, MAX_NAME), change.to());
            elements.dot(point, "change", &format!("{}: {}, {}", what(entry), who(entry), reason(entry)));
            if let Some((line, x)) = lines.place(point.0, &label) {
                let y = LABELS + LINE * line;
                elements.line([(point.0, y + 4.0), (point.0, point.1)], "lead");
                elements.text((x, y), Anchor::Middle, "change-label", &label);
            }
        }
    }

    /// Puts a dot on each drift, and who caused it beside it.
    fn label_drifts(&self, elements: &mut Elements, entries: &[Entry]) {
        let mut lines = Lines::default();
        for group in self.groups(entries) {
            let Some((x, first)) = group.first().copied() else { continue };
            let times = if group.len() > 1 { format!(" ×{}", group.len()) } else { String::new() };
            let label = format!("{}{times}", shorten(&name(first), MAX_NAME));
            for (x, drift) in &group {
                elements.dot((*x, self.count.y(drift.to())), "drift-dot", &describe(drift));
            }
            let last = group.last().map_or(x, |(last, _)| *last);
            let highest = group.iter().map(|(_, drift)| self.count.y(drift.to())).fold(BOTTOM, f64::min);
            // Below the desired count, the lines of the drifts would run through a label in their middle.
            let is_below = highest > self.count.y(first.from());
            let middle = if is_below { last + 8.0 + half_width(&label) } else { f64::midpoint(x, last) };
            // Labels that do not fit are only in the list.
            if let Some((line, x)) = lines.place(middle, &label) {
                elements.text((x, highest - 8.0 - LINE * line), Anchor::Middle, "drift-label", &label);
            }
        }
    }

    /// The drifts of one person or program that are near each other, each with its place.
    fn groups<'a>(&self, entries: &'a [Entry]) -> Vec<Vec<(f64, &'a Drift)>> {
        let mut groups: Vec<Vec<(f64, &Drift)>> = Vec::new();
        for entry in entries {
            let (Entry::Drift(drift), Some(at)) = (entry, entry.at()) else { continue };
            let x = self.time.x(at);
            let is_near = |last: &&(f64, &Drift)| name(last.1) == name(drift) && x - last.0 < NEAR;
            match groups.last_mut().filter(|group| group.last().as_ref().is_some_and(is_near)) {
                Some(group) => group.push((x, drift)),
                None => groups.push(vec![(x, drift)]),
            }
        }
        groups
    }
}

fn draw_break(elements: &mut Elements, one: &Break) {
    let middle = f64::midpoint(one.left, one.right);
    elements.rectangle((one.left, BOTTOM - 3.0), (one.right, BOTTOM + 3.0), "break", "");
    for x in [middle - 6.0, middle + 2.0] {
        elements.line([(x, BOTTOM + 6.0), (x + 4.0, BOTTOM - 6.0)], "axis");
    }
    elements.text((middle, BOTTOM + 18.0), Anchor::Middle, "break-label", &distance(one.from, one.to));
}

fn describe(drift: &Drift) -> String {
    let time = |time: &Option<prost_types::Timestamp>| time.as_ref().and_then(from_proto);
    let end = match (time(&drift.at), time(&drift.corrected_at)) {
        (Some(from), Some(to)) => format!("corrected after {}", time_between(from, to)),
        _ => "not corrected".to_owned(),
    };
    let (from, to) = (count_or_none(drift.from), count_or_none(drift.to));
    format!("drift {}: {} {from} → {to}, {end}", drift.number, name(drift))
}

/// The person who caused a drift, or else the program: a label has no room for both.
fn name(drift: &Drift) -> String {
    printable(if drift.user.is_empty() { &drift.manager } else { &drift.user })
}

/// Half the width of a label, in pixels.
fn half_width(label: &str) -> f64 {
    f64::from(u16::try_from(measure_text_width(label)).unwrap_or(u16::MAX)) * LETTER / 2.0
}

/// The lines of labels, each with the end of its last label.
#[derive(Default)]
struct Lines([f64; LINES]);

impl Lines {
    /// Finds a line with room for a label, and the middle of the label there.
    fn place(&mut self, x: f64, label: &str) -> Option<(f64, f64)> {
        let half = half_width(label);
        let x = x.clamp(LEFT + half, (RIGHT - half).max(LEFT + half));
        let line = self.0.iter().position(|end| x - half > *end)?;
        self.0[line] = x + half + LETTER;
        Some((f64::from(u8::try_from(line).unwrap_or_default()), x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_never_lie_on_each_other_or_outside() {
        let mut lines = Lines::default();
        let near: Vec<_> = (0..4).map(|_| lines.place(500.0, "kubectl").map(|(line, _)| line)).collect();
        assert_eq!(near, [Some(0.0), Some(1.0), Some(2.0), None]);
        assert_eq!(lines.place(600.0, "kubectl").map(|(line, _)| line), Some(0.0));
        let (_, x) = Lines::default().place(LEFT, "kubectl").unwrap();
        assert!(x - 3.5 * LETTER >= LEFT, "{x}");
        let (_, x) = Lines::default().place(RIGHT, "kubectl").unwrap();
        assert!(x + 3.5 * LETTER <= RIGHT, "{x}");
    }
}
