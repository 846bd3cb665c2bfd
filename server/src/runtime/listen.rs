//! Listening sockets, whose connections have small buffers in the kernel.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use futures::FutureExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// The buffers of a connection in the kernel, in bytes. Linux doubles both numbers for its own needs, and charges what is
/// in the buffers to the pod's memory. Without a bound they grow to megabytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buffers {
    /// The buffer of what a peer sends. A round trip brings no more than that.
    pub(crate) receive: u32,
    /// The buffer of what a peer has not acknowledged. A round trip takes no more than that.
    pub(crate) send: u32,
}

impl Buffers {
    /// For requests of at most 64 KiB. A distant client, 100 ms away, gets over 300 KiB/s.
    pub(crate) const SMALL_REQUESTS: Self = Self { receive: 16 * 1024, send: 32 * 1024 };
}

/// How many connections of a port may wait to be accepted, at most as many as the system allows (`somaxconn`, 4096).
/// Linux drops further ones, and their clients try again after a second. They are accepted within milliseconds, whatever
/// they send.
const BACKLOG: u32 = 4096;

/// Listens. If the address is `[::]` and the machine has no IPv6, it listens on IPv4 alone.
///
/// # Errors
///
/// When the address cannot be listened to.
pub(crate) fn listen(address: SocketAddr, buffers: Buffers) -> io::Result<TcpListener> {
    match bind(address, buffers) {
        Err(_) if address.is_ipv6() && address.ip().is_unspecified() => {
            bind((Ipv4Addr::UNSPECIFIED, address.port()).into(), buffers)
        }
        bound => bound,
    }
}

/// Waits for a connection, and accepts those behind it too, `most` in all: a flood must not fill the queue of the operating
/// system, which would drop others.
///
/// # Errors
///
/// When the operating system refuses, usually because no file descriptor is left.
pub(crate) async fn accept(listener: &TcpListener, most: usize) -> io::Result<Vec<(TcpStream, SocketAddr)>> {
    let mut accepted = vec![listener.accept().await?];
    while accepted.len() < most
        && let Some(Ok(next)) = listener.accept().now_or_never()
    {
        accepted.push(next);
    }
    Ok(accepted)
}

fn bind(address: SocketAddr, buffers: Buffers) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restarted server need not wait for the connections of the previous process.
    socket.set_reuseaddr(true)?;
    // Connections inherit them.
    socket.set_recv_buffer_size(buffers.receive)?;
    socket.set_send_buffer_size(buffers.send)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;

    use super::*;

    #[tokio::test]
    async fn a_connection_has_the_buffers_of_its_listener() {
        for (name, buffers) in [
            ("small requests", Buffers::SMALL_REQUESTS),
            ("large requests", Buffers { receive: 64 * 1024, send: 8 * 1024 }),
        ] {
            let listener = listen((Ipv4Addr::LOCALHOST, 0).into(), buffers).unwrap();
            let _peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let connection = accept(&listener, 1).await.unwrap().remove(0).0;
            let socket = SockRef::from(&connection);
            let doubled = [buffers.receive, buffers.send].map(|bytes| 2 * usize::try_from(bytes).unwrap());
            let sizes = [socket.recv_buffer_size().unwrap(), socket.send_buffer_size().unwrap()];
            assert_eq!(sizes, doubled, "{name}");
        }
    }
}
