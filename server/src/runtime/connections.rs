//! The open connections of a port to which everybody may connect. If there are too many, the address with the most loses
//! its oldest.

use std::net::SocketAddr;

use futures::{
    FutureExt, StreamExt,
    future::{AbortHandle, BoxFuture, abortable},
    stream::FuturesUnordered,
};

use super::by_address::{ByAddress, Entry};

/// The open connections. They are no tasks of their own: a task may wait for its turn while others take its place.
pub(crate) struct Connections {
    limit: usize,
    running: FuturesUnordered<BoxFuture<'static, Entry>>,
    open: ByAddress<AbortHandle>,
}

impl Connections {
    /// Room for `limit` connections.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, running: FuturesUnordered::new(), open: ByAddress::default() }
    }

    /// Adds a connection of a peer.
    pub(crate) fn add(&mut self, peer: SocketAddr, connection: impl Future<Output = ()> + Send + 'static) {
        let (connection, end) = abortable(connection);
        let entry = self.open.add(peer.ip(), end);
        self.running.push(connection.map(move |_| entry).boxed());
    }

    /// Ends connections, so that there is room for more.
    pub(crate) fn make_room(&mut self, more: usize) {
        for _ in 0..(self.open.len() + more).saturating_sub(self.limit) {
            let Some(end) = self.open.take_of_most() else { return };
            end.abort();
        }
    }

    /// Serves all of them until one has ended. `None` if there is none.
    pub(crate) async fn ended(&mut self) -> Option<()> {
        let ended = self.running.next().await?;
        self.open.take(ended);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn the_address_with_the_most_makes_room_and_ended_connections_need_none() {
        let [flood, other] = [1, 2].map(|host| SocketAddr::from(([10, 0, 0, host], 1)));
        let mut connections = Connections::new(3);
        assert_eq!(connections.ended().await, None);
        connections.add(other, pending());
        for _ in 0..2 {
            connections.add(flood, pending());
        }
        connections.make_room(1);
        connections.add(flood, ready(()));
        for _ in 0..2 {
            assert_eq!(connections.ended().await, Some(()), "the one that made room, and the one that is done");
        }
        assert_eq!(connections.open.len(), 2);
        connections.make_room(1);
        assert_eq!(connections.open.len(), 2, "there is room");
    }
}
