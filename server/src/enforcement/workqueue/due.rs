//! The targets that are due, each once, in two lanes. Within a lane the namespaces take turns, and each has its targets
//! in the order in which they came.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use tokio::time::Instant;

use crate::{enforcement::lane::Lane, resources::TargetKey};

/// A target in its place, and since when it is due.
type Place = (TargetKey, Instant);

/// The targets that are due.
#[derive(Default)]
pub struct Due {
    /// Since when each target is due, and in which lane. A place that differs from this entry is left over from before,
    /// and is skipped.
    queued: HashMap<TargetKey, (Instant, Lane)>,
    healthy: Turns,
    failing: Turns,
    /// All places of the healthy lane, the oldest first. A place that is left over is removed when it reaches the
    /// front.
    arrivals: VecDeque<Place>,
    healthy_len: usize,
}

/// The places of one lane.
#[derive(Default)]
struct Turns {
    namespaces: HashMap<Arc<str>, VecDeque<Place>>,
    /// The namespaces that have places, the next one first.
    order: VecDeque<Arc<str>>,
}

impl Due {
    /// Adds a target. A target that is due already keeps its place. If its lane changes, it goes to the end of the
    /// other lane, and still counts as due since the same time.
    pub fn add(&mut self, key: TargetKey, lane: Lane) {
        let since = match self.queued.get(&key) {
            Some((_, before)) if *before == lane => return,
            Some((since, _)) => *since,
            None => Instant::now(),
        };
        match self.queued.insert(key.clone(), (since, lane)) {
            Some((_, Lane::Healthy)) => self.healthy_len -= 1,
            Some((_, Lane::Failing)) | None => {}
        }
        match lane {
            Lane::Healthy => {
                self.healthy_len += 1;
                self.arrivals.push_back((key.clone(), since));
                self.healthy.push((key, since));
            }
            Lane::Failing => {
                self.failing.push((key, since));
                self.drop_left_over();
            }
        }
    }

    /// Takes the next target of a lane: one that `may_start`, in a namespace that `has_room`. The others keep their
    /// places.
    pub fn take(
        &mut self,
        lane: Lane,
        has_room: impl Fn(&str) -> bool,
        may_start: impl Fn(&TargetKey) -> bool,
    ) -> Option<TargetKey> {
        let queued = &self.queued;
        let is_due = |(key, since): &Place| queued.get(key) == Some(&(*since, lane));
        let turns = match lane {
            Lane::Healthy => &mut self.healthy,
            Lane::Failing => &mut self.failing,
        };
        let key = turns.take(has_room, is_due, may_start)?;
        self.queued.remove(&key);
        if lane == Lane::Healthy {
            self.healthy_len -= 1;
            self.drop_left_over();
        }
        Some(key)
    }

    /// How many targets of the healthy lane are due.
    pub fn len(&self) -> usize {
        self.healthy_len
    }

    /// Since when the first target of the healthy lane is due.
    pub fn oldest(&self) -> Option<Instant> {
        self.arrivals.front().map(|(_, since)| *since)
    }

    fn drop_left_over(&mut self) {
        while let Some((key, since)) = self.arrivals.front()
            && self.queued.get(key) != Some(&(*since, Lane::Healthy))
        {
            self.arrivals.pop_front();
        }
    }
}

impl Turns {
    fn push(&mut self, place: Place) {
        let namespace = &place.0.namespace;
        if let Some(places) = self.namespaces.get_mut(namespace) {
            return places.push_back(place);
        }
        self.order.push_back(namespace.clone());
        self.namespaces.insert(namespace.clone(), VecDeque::from([place]));
    }

    fn take(
        &mut self,
        has_room: impl Fn(&str) -> bool,
        is_due: impl Fn(&Place) -> bool,
        may_start: impl Fn(&TargetKey) -> bool,
    ) -> Option<TargetKey> {
        let mut turn = 0;
        while let Some(namespace) = self.order.get(turn) {
            if !has_room(namespace) {
                turn += 1;
                continue;
            }
            let places = self.namespaces.get_mut(namespace)?;
            while places.front().is_some_and(|place| !is_due(place)) {
                places.pop_front();
            }
            let next = places.iter().position(|place| is_due(place) && may_start(&place.0));
            let key = next.and_then(|index| places.remove(index)).map(|(key, _)| key);
            let is_empty = places.is_empty();
            if key.is_none() && !is_empty {
                turn += 1;
                continue;
            }
            let namespace = self.order.remove(turn)?;
            if is_empty {
                self.namespaces.remove(&namespace);
            } else {
                self.order.push_back(namespace);
            }
            if key.is_some() {
                return key;
            }
        }
        None
    }
}
