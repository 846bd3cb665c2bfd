//! The handshakes under way.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use tokio::{
    task::{AbortHandle, Id, JoinSet},
    time::Instant,
};

use crate::runtime::by_address::{ByAddress, Entry};

/// How long a handshake is safe from being ended to make room for another. An honest client is done by then, also on a
/// busy machine. Meanwhile, those behind it wait.
const PROTECTED_TIME: Duration = Duration::from_millis(250);

/// The handshakes under way.
pub(super) struct Handshakes {
    limit: usize,
    tasks: JoinSet<()>,
    entries: HashMap<Id, Entry>,
    /// When each began.
    open: ByAddress<(Instant, AbortHandle)>,
}

impl Handshakes {
    /// Room for `limit` handshakes.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, tasks: JoinSet::new(), entries: HashMap::new(), open: ByAddress::default() }
    }

    /// Starts a handshake with a peer.
    pub(super) fn start(&mut self, peer: IpAddr, handshake: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.spawn(handshake);
        let id = task.id();
        self.entries.insert(id, self.open.add(peer, (Instant::now(), task)));
    }

    /// Waits until one has ended. `None` if there is none.
    pub(super) async fn ended(&mut self) -> Option<()> {
        let id = match self.tasks.join_next_with_id().await? {
            Ok((id, ())) => id,
            Err(error) => error.id(),
        };
        if let Some(entry) = self.entries.remove(&id) {
            self.open.take(entry);
        }
        Some(())
    }

    /// Whether another one may start.
    pub(super) fn has_room(&self) -> bool {
        self.open.len() < self.limit
    }

    /// When one may be ended to make room: after its protected time.
    pub(super) fn room_at(&self) -> Instant {
        self.open.of_most().map_or_else(Instant::now, |(begun, _)| *begun + PROTECTED_TIME)
    }

    /// Ends one if there are too many, the oldest of the address that has the most, and returns whether it did: a flood of
    /// handshakes that never finish must not keep others out.
    pub(super) fn make_room(&mut self) -> bool {
        if self.has_room() {
            return false;
        }
        self.open.take_of_most().inspect(|(_, handshake)| handshake.abort()).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, net::Ipv4Addr};

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_handshakes_makes_room_for_others_after_its_protected_time() {
        let [flood, other] = [1, 2].map(|host| IpAddr::from(Ipv4Addr::new(10, 0, 0, host)));
        let (mut handshakes, begun) = (Handshakes::new(3), Instant::now());
        handshakes.start(other, pending());
        for _ in 0..2 {
            handshakes.start(flood, pending());
        }
        assert_eq!(handshakes.room_at(), begun + PROTECTED_TIME);
        advance(PROTECTED_TIME).await;
        assert!(handshakes.room_at() <= Instant::now() && handshakes.make_room());
        handshakes.start(flood, async {});
        assert_eq!(handshakes.ended().await, Some(()));
        assert_eq!(handshakes.ended().await, Some(()), "the one that made room, and the one that is done");
        assert_eq!((handshakes.open.len(), handshakes.entries.len()), (2, 2));
        assert!(!handshakes.make_room(), "there is room");
    }
}
