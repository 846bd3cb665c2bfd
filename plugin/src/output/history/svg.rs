//! The history of a target's count as a picture for an incident report.
//!
//! It is an SVG that needs nothing else: no fonts, scripts or network. [`counts`] finds what to draw, [`time_axis`] and
//! [`count_axis`] say where, [`chart`] and [`list`] draw it, and [`xml`] escapes the text of others.

mod chart;
mod count_axis;
mod counts;
mod list;
mod picture;
mod time_axis;
mod xml;

pub(crate) use self::picture::picture;
