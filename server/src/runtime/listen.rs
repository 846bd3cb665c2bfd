//! Listening sockets, whose connections have small buffers in the kernel.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use futures::FutureExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// The buffer of what a peer sends, in bytes. Linux doubles both numbers for its own needs, and charges what is in the
/// buffers to the pod's memory. Without a bound they grow to megabytes. A request has at most 64 KiB.
const RECEIVE_BUFFER: u32 = 16 * 1024;

/// The buffer of what a peer has not acknowledged, in bytes. A distant client, 100 ms away, then gets over 300 KiB/s.
const SEND_BUFFER: u32 = 32 * 1024;

/// Listens. If the address is `[::]` and the machine has no IPv6, it listens on IPv4 alone. `backlog` connections may
/// wait to be accepted, at most as many as the system allows (`somaxconn`, 4096). Linux drops further ones, and their
/// clients try again after a second.
///
/// # Errors
///
/// When the address cannot be listened to.
pub(crate) fn listen(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    match bind(address, backlog) {
        Err(_) if address.is_ipv6() && address.ip().is_unspecified() => {
            bind((Ipv4Addr::UNSPECIFIED, address.port()).into(), backlog)
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

fn bind(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restarted server need not wait for the connections of the previous process.
    socket.set_reuseaddr(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(backlog)
}
