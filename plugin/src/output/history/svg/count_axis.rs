//! Where a count of replicas is in the chart.

/// The most marks of the axis. More do not help to read it.
const MAX_MARKS: i32 = 5;

/// The axis of counts.
#[derive(Debug)]
pub(super) struct CountAxis {
    /// Where 0 is.
    bottom: f64,
    /// The height of one replica.
    unit: f64,
    /// The highest count.
    most: i32,
    /// The count between two marks.
    step: i32,
}

impl CountAxis {
    /// Makes an axis from 0 to the highest count.
    pub(super) fn new(most: i32, top: f64, bottom: f64) -> Self {
        let most = most.max(1);
        Self { bottom, unit: (bottom - top) / f64::from(most), most, step: step(most) }
    }

    /// The height of a count. The API server accepts no negative one.
    pub(super) fn y(&self, count: i32) -> f64 {
        self.bottom - f64::from(count.max(0)) * self.unit
    }

    /// The counts that have a mark.
    pub(super) fn marks(&self) -> impl Iterator<Item = i32> {
        let step = self.step;
        (0..=self.most / step).map(move |index| index * step)
    }
}

/// The smallest of 1, 2, 5, 10, 20, 50 and so on that leaves few marks.
fn step(most: i32) -> i32 {
    let powers = (0..=9).map(|power| 10_i32.pow(power));
    let mut steps = powers.flat_map(|power| [1, 2, 5].into_iter().filter_map(move |digit| power.checked_mul(digit)));
    steps.find(|step| most / step <= MAX_MARKS).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marks_are_few_and_round() {
        for (most, expected) in [
            (0, vec![0, 1]),
            (1, vec![0, 1]),
            (5, vec![0, 1, 2, 3, 4, 5]),
            (7, vec![0, 2, 4, 6]),
            (20, vec![0, 5, 10, 15, 20]),
            (40, vec![0, 10, 20, 30, 40]),
            (i32::MAX, vec![0, 500_000_000, 1_000_000_000, 1_500_000_000, 2_000_000_000]),
        ] {
            assert_eq!(CountAxis::new(most, 0.0, 100.0).marks().collect::<Vec<_>>(), expected, "{most}");
        }
    }

    #[test]
    fn a_count_is_between_the_bottom_and_the_top() {
        let axis = CountAxis::new(10, 100.0, 300.0);
        assert_eq!([axis.y(0), axis.y(5), axis.y(10), axis.y(-1)], [300.0, 200.0, 100.0, 300.0]);
    }
}
