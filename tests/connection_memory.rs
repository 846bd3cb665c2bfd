//! The memory that all connections take together, beside what SECURITY.md counts for them.

use std::{fs, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use support::{
    Namespace, PATIENCE, StandaloneServer,
    raw::{PREFACE, frame},
};

use crate::limits::{server, user};

/// Users, each with as many connections as a user may have.
const USERS: usize = 8;
const CONNECTIONS_OF_USER: usize = 64;
const CONNECTIONS: u64 = (USERS * CONNECTIONS_OF_USER) as u64;

/// What SECURITY.md counts for a connection in the process, in KiB: without the buffers in the kernel.
const COUNTED: u64 = 306;

/// What it counts for those buffers, in KiB.
const COUNTED_IN_KERNEL: u64 = 96;

/// Calls that are opened on each connection: as many as it may have, and as many as HTTP/2 lets it have refused.
const CALLS: u32 = 128 + 800;

/// The headers of a call, `POST https /`, in HPACK.
const HEADERS: [u8; 3] = [0x83, 0x87, 0x84];

/// How long a write may block before a client sends no more.
const BLOCKED: Duration = Duration::from_secs(2);

/// How long the memory is watched.
const WATCHED: Duration = Duration::from_secs(8);

type Connection = TlsStream<TcpStream>;

/// Connects with as small a buffer as there can be, so that the server keeps what the client does not read.
async fn connect(address: String, client: Arc<ClientConfig>) -> Result<Connection> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(2048)?;
    let socket = socket.connect(address.parse()?).await?;
    let name = ServerName::try_from("localhost")?;
    let mut stream = timeout(PATIENCE, TlsConnector::from(client).connect(name, socket)).await??;
    stream.write_all(PREFACE).await?;
    // The server's first bytes are its settings: by then it has accepted the certificate.
    timeout(PATIENCE, stream.read_u8()).await??;
    Ok(stream)
}

/// Opens calls that do not end, and reads no answer.
async fn call(mut stream: Connection) -> Connection {
    for number in 0..CALLS {
        let call = frame(1, 4, 2 * number + 1, &HEADERS);
        if !timeout(BLOCKED, stream.write_all(&call)).await.is_ok_and(|written| written.is_ok()) {
            break;
        }
    }
    stream
}

/// The memory of all TCP buffers of this machine, in KiB.
fn kernel_memory() -> Result<u64> {
    let sockets = fs::read_to_string("/proc/net/sockstat")?;
    let line = sockets.lines().find(|line| line.starts_with("TCP:")).context("no TCP")?;
    let pages: u64 = line.rsplit(' ').next().context("no memory")?.parse()?;
    Ok(pages * 4)
}

/// The highest growth of a server's memory within a time, for one connection, in KiB.
async fn growth(server: &StandaloneServer, before: u64) -> Result<u64> {
    let (begun, mut highest) = (Instant::now(), 0);
    while begun.elapsed() < WATCHED {
        highest = highest.max(server.memory()?.saturating_sub(before));
        sleep(Duration::from_millis(100)).await;
    }
    Ok(highest * 1024 / CONNECTIONS)
}

#[tokio::test]
#[ignore = "it opens 512 connections, and measures the buffers of the whole machine: make stress"]
async fn all_connections_take_no_more_memory_than_is_counted_for_them() -> Result<()> {
    let shop = Namespace::shared("connection-memory").await?;
    let server = server(&shop, 8192).await?;
    let mut connecting = JoinSet::new();
    for user_number in 0..USERS {
        let client = user(&shop, &format!("user-{user_number}"))?;
        for _ in 0..CONNECTIONS_OF_USER {
            connecting.spawn(connect(server.grpc.clone(), client.clone()));
        }
    }
    let (before, kernel_before) = (server.memory()?, kernel_memory()?);
    let connections = connecting.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    let idle = growth(&server, before).await?;

    let mut calling = JoinSet::new();
    for connection in connections {
        calling.spawn(call(connection));
    }
    let (busy, open) = tokio::join!(growth(&server, before), calling.join_all());
    let (busy, kernel) = (busy?, kernel_memory()?.saturating_sub(kernel_before) / CONNECTIONS);
    println!("{} connections: {idle} KiB each, {busy} KiB with unread refusals, at most {COUNTED} counted", open.len());
    println!("{kernel} KiB each in the kernel, for both ends, at most {COUNTED_IN_KERNEL} counted for ours");
    ensure!(busy <= COUNTED, "a connection takes {busy} KiB");
    Ok(())
}
