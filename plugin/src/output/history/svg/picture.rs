//! The whole picture: what it is about, the legend, the chart, and the list.

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};

use super::{
    chart::{BOTTOM, RIGHT, chart},
    counts::Counts,
    list::{self, date_and_clock},
    xml::{Anchor, Elements, escape, shorten},
};
use crate::{
    output::{
        history::timeline::{Entry, Timeline},
        text::printable,
    },
    target,
};

const WIDTH: f64 = 1000.0;

/// Where the list begins, in pixels.
const LIST: f64 = BOTTOM + 68.0;

/// The most entries in a picture: the latest ones, and as many as a server keeps.
const MAX_ENTRIES: usize = 60;

/// The longest title, in columns.
const MAX_TITLE: usize = 90;

/// The longest line below it, in columns.
const MAX_SUMMARY: usize = 140;

/// Colours with a contrast of at least 4.5 to their background, in a light and in a dark viewer.
const STYLE: &str = "\
text { font: 12px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: #1f2328; }
.title { font-size: 18px; font-weight: 600; }
.header { font-weight: 600; }
.small, .muted, .break-label { fill: #59636e; }
.small, .break-label, .change-label, .drift-label { font-size: 11px; }
.paper { fill: #ffffff; }
polyline { fill: none; }
.grid { stroke: #d1d9e0; }
.axis { stroke: #59636e; }
.now, .lead { stroke: #59636e; stroke-dasharray: 2 3; }
.break { fill: #ffffff; }
.override { fill: #d4a72c; fill-opacity: 0.25; }
.desired { stroke: #0969da; stroke-width: 2.5; }
.drift { stroke: #cf222e; stroke-width: 1.5; }
.change { fill: #0969da; }
.drift-dot { fill: #cf222e; }
.change-label, .change-text { fill: #0969da; }
.drift-label, .drift-text { fill: #cf222e; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; }
.small, .muted, .break-label { fill: #9198a1; }
.paper, .break { fill: #0d1117; }
.grid { stroke: #30363d; }
.axis, .now, .lead { stroke: #9198a1; }
.override { fill: #bb8009; fill-opacity: 0.4; }
.desired { stroke: #4493f8; }
.drift { stroke: #f85149; }
.change, .change-label, .change-text { fill: #4493f8; }
.drift-dot, .drift-label, .drift-text { fill: #f85149; }
}
";

/// Draws a history that ends now, with times in a zone.
pub(crate) fn picture(timeline: &Timeline, now: Timestamp, zone: &TimeZone) -> String {
    let cut = timeline.entries.len().saturating_sub(MAX_ENTRIES);
    let entries = &timeline.entries[cut..];
    let counts = Counts::of(entries, &timeline.count, now);
    let title = title(timeline);
    let mut elements = Elements::default();
    elements.text((24.0, 34.0), Anchor::Start, "title", &title);
    elements.text((24.0, 56.0), Anchor::Start, "muted", &period(entries, now, zone));
    elements.text((24.0, 74.0), Anchor::Start, "muted", &summary(entries));
    draw_legend(&mut elements);
    elements.add(chart(entries, &counts, now, zone));
    elements.text((RIGHT, BOTTOM + 46.0), Anchor::End, "small", &format!("local time, {}", zone_name(now, zone)));
    let end = list::draw(&mut elements, &list::lines(entries, timeline.dropped, zone), LIST);
    let height = end + 24.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
         role=\"img\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n<rect width=\"{WIDTH}\" height=\"{height}\" \
         class=\"paper\"/>\n{}</svg>\n",
        escape(&title),
        elements.into_text()
    )
}

fn title(timeline: &Timeline) -> String {
    let target = timeline.count.target.clone().unwrap_or_default();
    shorten(&format!("Replica count of {}, namespace {}", target::name(&target), target.namespace), MAX_TITLE)
}

fn period(entries: &[Entry], now: Timestamp, zone: &TimeZone) -> String {
    let first = entries.iter().filter_map(Entry::at).min().unwrap_or(now);
    format!("{} to {}, {}", date_and_clock(first, zone), date_and_clock(now, zone), zone_name(now, zone))
}

/// How many changes and drifts there were, and by which programs.
fn summary(entries: &[Entry]) -> String {
    let (mut changes, mut programs) = (0, BTreeMap::<&str, usize>::new());
    for entry in entries {
        match entry {
            Entry::Change(_) => changes += 1,
            Entry::Drift(drift) => *programs.entry(&drift.manager).or_default() += 1,
            Entry::Attempt(..) | Entry::Unmanaged(_) => {}
        }
    }
    let number = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    let mut by: Vec<_> = programs.iter().collect();
    by.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let by: Vec<_> = by.iter().map(|(program, count)| format!("{} ({count})", printable(program))).collect();
    let drifts = number(programs.values().sum(), "drift");
    let by = if by.is_empty() { String::new() } else { format!(" by {}", by.join(", ")) };
    shorten(&format!("{}, {drifts}{by}", number(changes, "change")), MAX_SUMMARY)
}

/// The name of a time zone, and its distance from UTC now.
fn zone_name(now: Timestamp, zone: &TimeZone) -> String {
    let offset = now.to_zoned(zone.clone()).strftime("UTC%:z").to_string();
    match zone.iana_name() {
        Some("UTC") => "UTC".to_owned(),
        Some(name) => format!("{name} ({offset})"),
        None => offset,
    }
}

fn draw_legend(elements: &mut Elements) {
    let y = 96.0;
    let desired = 24.0;
    elements.line([(desired, y - 4.0), (desired + 24.0, y - 4.0)], "desired");
    elements.dot((desired + 12.0, y - 4.0), "change", "");
    elements.text((desired + 30.0, y), Anchor::Start, "small", "desired count, and its changes");
    let drift = 250.0;
    elements.line([(drift, y), (drift, y - 8.0), (drift + 12.0, y - 8.0), (drift + 12.0, y)], "drift");
    elements.dot((drift, y - 8.0), "drift-dot", "");
    let text = "drift: a program wrote another count, until that was corrected";
    elements.text((drift + 20.0, y), Anchor::Start, "small", text);
    let over = 680.0;
    elements.rectangle((over, y - 10.0), (over + 20.0, y + 1.0), "override", "");
    elements.text((over + 26.0, y), Anchor::Start, "small", "override, which ends by itself");
}

#[cfg(test)]
mod tests;
