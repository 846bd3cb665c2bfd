//! The lanes of a work queue, and how many writes each may have under way.

/// The lane of a target. Targets in trouble have one of their own, so that they take no place from healthy ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lane {
    /// The last write to the target succeeded, or there was none.
    #[default]
    Healthy,
    /// The last write to the target was refused or got no answer.
    Failing,
}

impl Lane {
    /// The lane of a target whose last write failed, or did not.
    pub fn of(is_failing: bool) -> Self {
        if is_failing { Self::Failing } else { Self::Healthy }
    }
}

/// A namespace may start a write while its writes under way are fewer than the free places times this number. One
/// namespace thus gets at most four fifths of the places, and two get at most four ninths each. The rest stays free for
/// others.
const SHARE_AT_PACE: usize = 4;

/// The bound for all writes, slow ones included: a namespace may start a write while its writes under way times this
/// number are fewer than the free places. One namespace thus gets at most a fifth, because slow writes keep their
/// places for long.
const FREE_IN_FLIGHT: usize = 4;

/// How many writes of one lane may be under way.
#[derive(Clone, Copy, Debug)]
pub struct LaneBound {
    /// Those that are not slow.
    pub at_pace: usize,
    /// All, slow ones included.
    pub in_flight: usize,
}

impl LaneBound {
    /// No bound.
    pub const NONE: Self = Self { at_pace: usize::MAX, in_flight: usize::MAX };

    /// Whether one more write may start, with these under way in the lane.
    pub fn has_room(self, at_pace: usize, in_flight: usize) -> bool {
        at_pace < self.at_pace && in_flight < self.in_flight
    }

    /// Whether a namespace may start one more write, with these under way in the lane and for the namespace.
    pub fn has_room_for(self, at_pace: usize, in_flight: usize, of_namespace: usize) -> bool {
        let free_at_pace = self.at_pace.saturating_sub(at_pace);
        let free_in_flight = self.in_flight.saturating_sub(in_flight);
        of_namespace < free_at_pace.saturating_mul(SHARE_AT_PACE)
            && of_namespace.saturating_mul(FREE_IN_FLIGHT) < free_in_flight
    }
}

/// The bounds of both lanes of a queue.
#[derive(Clone, Copy, Debug)]
pub struct LaneBounds {
    /// Of targets to which the last write succeeded.
    pub healthy: LaneBound,
    /// Of targets in trouble.
    pub failing: LaneBound,
}

impl LaneBounds {
    /// The bounds of a lane.
    pub fn of(&self, lane: Lane) -> LaneBound {
        match lane {
            Lane::Healthy => self.healthy,
            Lane::Failing => self.failing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many writes each of some namespaces gets if all of them start as many as they may. None of them ends.
    fn shares(bound: LaneBound, namespaces: usize, is_slow: bool) -> Vec<usize> {
        let mut shares = vec![0; namespaces];
        loop {
            let mut has_started = false;
            for index in 0..namespaces {
                let in_flight: usize = shares.iter().sum();
                let at_pace = if is_slow { 0 } else { in_flight };
                if bound.has_room(at_pace, in_flight) && bound.has_room_for(at_pace, in_flight, shares[index]) {
                    shares[index] += 1;
                    has_started = true;
                }
            }
            if !has_started {
                return shares;
            }
        }
    }

    #[test]
    fn a_namespace_leaves_room_for_others() {
        struct Row {
            name: &'static str,
            namespaces: usize,
            is_slow: bool,
            most: usize,
            free: usize,
        }
        let bound = LaneBound { at_pace: 80, in_flight: 480 };
        for row in [
            Row { name: "one namespace", namespaces: 1, is_slow: false, most: 64, free: 16 },
            Row { name: "two", namespaces: 2, is_slow: false, most: 36, free: 8 },
            Row { name: "twenty", namespaces: 20, is_slow: false, most: 4, free: 0 },
            Row { name: "one, all slow", namespaces: 1, is_slow: true, most: 96, free: 384 },
            Row { name: "ten, all slow", namespaces: 10, is_slow: true, most: 35, free: 130 },
            Row { name: "four hundred, all slow", namespaces: 400, is_slow: true, most: 2, free: 0 },
        ] {
            let shares = shares(bound, row.namespaces, row.is_slow);
            let of = if row.is_slow { bound.in_flight } else { bound.at_pace };
            assert!(shares.iter().all(|share| *share <= row.most), "{}: {shares:?}", row.name);
            assert!(of - shares.iter().sum::<usize>() >= row.free, "{}: {shares:?}", row.name);
            let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
            assert!(most - least <= 1, "{}: {shares:?}", row.name);
        }
        assert!(LaneBound::NONE.has_room_for(7, 7, 7));
    }
}
