//! Floods of connections to the gRPC port by clients without a certificate. New connections of others wait for no second.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use contract::replicas::v1::{self, replicas_service_client::ReplicasServiceClient};
use rustls::{ClientConfig, ClientConnection};
use tokio::{io::AsyncWriteExt, net::TcpSocket, runtime::Builder, time::timeout};

use support::{Namespace, dial};

use crate::limits::{HALF, server, user};

/// How long each flood lasts.
const LASTING: Duration = Duration::from_secs(2);

/// The latest connections of a flood, which stay open. The server has 1,024 places for ClientHellos, and 512 for
/// handshakes.
const KEPT: usize = 3000;

/// The longest time of a call on a new connection. A client whose connection the operating system drops tries again after
/// a second.
const LIMIT: Duration = Duration::from_secs(1);

/// Opens connections from an address as fast as one thread can, and sends something on each. Returns their number.
fn flood(from: &str, to: &str, bytes: Vec<u8>, kept: usize) -> Result<thread::JoinHandle<Result<u64>>> {
    let (from, to): (SocketAddr, SocketAddr) = (format!("{from}:0").parse()?, to.parse()?);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    Ok(thread::spawn(move || {
        runtime.block_on(async {
            let (begun, mut opened, mut open) = (Instant::now(), 0, VecDeque::new());
            while begun.elapsed() < LASTING {
                let socket = TcpSocket::new_v4()?;
                // Closes by a reset, which frees the port at once.
                socket.set_zero_linger()?;
                socket.bind(from)?;
                // One that is not accepted is part of the flood too.
                let Ok(Ok(mut stream)) = timeout(Duration::from_millis(100), socket.connect(to)).await else {
                    continue;
                };
                opened += u64::from(stream.write_all(&bytes).await.is_ok());
                open.push_back(stream);
                if open.len() > kept {
                    open.pop_front();
                }
            }
            Ok(opened)
        })
    }))
}

/// The first bytes of a client.
fn client_hello(config: &Arc<ClientConfig>) -> Result<Vec<u8>> {
    let mut hello = Vec::new();
    ClientConnection::new(config.clone(), "localhost".try_into()?)?.write_tls(&mut hello)?;
    Ok(hello)
}

#[tokio::test]
#[ignore = "compares times, so nothing may run beside it: make stress"]
async fn floods_of_connections_keep_no_new_connection_waiting() -> Result<()> {
    let shop = Namespace::shared("connection-floods").await?;
    let server = server(&shop, 8192).await?;
    let alice = user(&shop, "alice")?;
    let floods = [
        ("closed at once", "127.0.0.1", Vec::new(), 0),
        ("silent", "127.0.0.1", Vec::new(), KEPT),
        ("half a ClientHello", "127.0.0.1", HALF.to_vec(), KEPT),
        ("no TLS", "127.0.0.1", b"GET / HTTP/1.1\r\n\r\n".to_vec(), KEPT),
        ("a ClientHello and nothing more", "127.0.0.2", client_hello(&alice)?, KEPT),
    ];
    for (name, from, bytes, kept) in floods {
        let flood = flood(from, &server.grpc, bytes, kept)?;
        let mut slowest = Duration::ZERO;
        let mut calls = 0;
        while !flood.is_finished() || calls < 10 {
            let begun = Instant::now();
            let mut client = ReplicasServiceClient::new(dial(server.grpc.clone(), alice.clone()));
            let call = timeout(Duration::from_secs(10), client.get_server_info(v1::GetServerInfoRequest {}));
            call.await.with_context(|| format!("{name}: a call hangs"))?.with_context(|| name.to_owned())?;
            slowest = slowest.max(begun.elapsed());
            calls += 1;
        }
        let opened = flood.join().map_err(|_| anyhow!("the flood has failed"))??;
        println!("{name}: {} a second, {calls} calls, at most {slowest:?} each", opened / LASTING.as_secs());
        ensure!(opened > 1000, "{name}: only {opened} connections");
        ensure!(slowest < LIMIT, "{name}: a new connection took {slowest:?}");
    }
    Ok(())
}
