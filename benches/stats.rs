//! Statistics of durations.

use std::time::Duration;

/// Sorted durations.
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) fn new(mut durations: Vec<Duration>) -> Self {
        durations.sort_unstable();
        Self(durations)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The duration that this percentage of the samples does not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }

    pub(crate) fn median(&self) -> Duration {
        self.percentile(50)
    }

    /// The points (milliseconds, percentage of the samples up to this time).
    pub(crate) fn distribution(&self) -> Vec<(f64, f64)> {
        let share = |index: usize| (index + 1) as f64 * 100.0 / self.0.len() as f64;
        self.0.iter().enumerate().map(|(index, duration)| (millis(*duration), share(index))).collect()
    }
}

/// `this` divided by `that`.
pub(crate) fn ratio(this: Duration, that: Duration) -> f64 {
    this.as_secs_f64() / that.as_secs_f64()
}

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Formats a duration with a suitable unit.
pub(crate) fn format_duration(duration: Duration) -> String {
    match duration.as_secs_f64() {
        seconds if seconds >= 1.0 => format!("{seconds:.1} s"),
        seconds if seconds >= 0.01 => format!("{:.1} ms", seconds * 1e3),
        seconds => format!("{:.2} ms", seconds * 1e3),
    }
}
