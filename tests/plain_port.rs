//! The plain port: probes are answered while others hold its connections.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    runtime::Builder,
    task::spawn_blocking,
    time::{sleep, timeout},
};

use support::{Namespace, PATIENCE, http};

use crate::limits::server;

/// The longest wait of a kubelet for a probe, by default.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Probes again and again until a task ends, and returns how often.
async fn probe_during(address: &str, task: impl Future<Output = Result<()>> + Send + 'static) -> Result<u32> {
    let (task, mut probes) = (tokio::spawn(task), 0);
    while !task.is_finished() || probes < 10 {
        for path in ["/livez", "/readyz"] {
            let begun = Instant::now();
            let (status, _) = timeout(PROBE_TIMEOUT, http(address, path)).await.with_context(|| path.to_owned())??;
            ensure!(path == "/readyz" || status == 200, "{status}");
            ensure!(begun.elapsed() < PROBE_TIMEOUT, "{path} took {:?}", begun.elapsed());
            probes += 1;
        }
    }
    task.await??;
    Ok(probes)
}

#[tokio::test]
async fn probes_are_answered_while_others_hold_connections() -> Result<()> {
    let shop = Namespace::shared("probes").await?;
    let server = server(&shop, 1024).await?;
    let address = server.http.clone();
    let held = async move {
        let mut open = Vec::new();
        for number in 0..400 {
            // The probes' own address, as a port-forward beside the kubelet on its node.
            let mut socket = TcpStream::connect(&address).await?;
            if number % 2 == 0 {
                socket.write_all(b"GET /metrics HTTP/1.1\r\nx-slow: ").await?;
            }
            open.push(socket);
        }
        // None is kept for long, whatever it sends.
        for mut socket in open {
            let end = async { while socket.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {} };
            timeout(Duration::from_secs(12), end).await.context("a connection stays open")?;
        }
        Ok(())
    };
    let probes = probe_during(&server.http, held).await?;
    println!("{probes} probes while 400 connections were held");
    Ok(())
}

/// Opens connections from an address as fast as one thread can, and closes them at once. Returns their number.
pub(crate) fn flood(from: &str, to: &str, lasting: Duration) -> Result<thread::JoinHandle<Result<u64>>> {
    let (from, to): (SocketAddr, SocketAddr) = (format!("{from}:0").parse()?, to.parse()?);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    Ok(thread::spawn(move || {
        runtime.block_on(async {
            let (begun, mut opened) = (Instant::now(), 0);
            while begun.elapsed() < lasting {
                let socket = TcpSocket::new_v4()?;
                // Closes by a reset, which frees the port at once.
                socket.set_zero_linger()?;
                socket.bind(from)?;
                // One that is not accepted is part of the flood too.
                let opening = timeout(Duration::from_millis(100), socket.connect(to)).await;
                opened += u64::from(opening.is_ok_and(|connected| connected.is_ok()));
            }
            Ok(opened)
        })
    }))
}

#[tokio::test]
async fn probes_are_answered_during_floods_of_connections() -> Result<()> {
    let shop = Namespace::shared("connects").await?;
    let server = server(&shop, 1024).await?;
    // The probes' own address, as through a port-forward, and another one.
    for from in ["127.0.0.1", "127.0.0.2"] {
        let lasting = Duration::from_secs(4);
        let flood = flood(from, &server.http, lasting)?;
        let counted = spawn_blocking(move || {
            let opened = flood.join().map_err(|_| anyhow::anyhow!("the flood has failed"))??;
            println!("{} connections a second", opened / lasting.as_secs());
            ensure!(opened > 1000, "only {opened} connections");
            Ok(())
        });
        let probes = probe_during(&server.http, async { counted.await? }).await?;
        println!("{probes} probes during a flood from {from}");
    }
    Ok(())
}

#[tokio::test]
async fn a_plain_connection_is_for_one_small_request() -> Result<()> {
    let shop = Namespace::shared("plain").await?;
    let server = server(&shop, 1024).await?;
    let exchange = async |bytes: Vec<u8>| -> Result<String> {
        let mut socket = TcpStream::connect(&server.http).await?;
        // The server may answer and close before it has read everything.
        let _ = socket.write_all(&bytes).await;
        let mut answer = Vec::new();
        let end = timeout(PATIENCE, socket.read_to_end(&mut answer)).await.context("it stays open")?;
        ensure!(end.is_ok() || !answer.is_empty() || bytes.len() > 8192, "{end:?}");
        Ok(String::from_utf8_lossy(&answer).to_lowercase())
    };
    let get = "GET /livez HTTP/1.1\r\nhost: x\r\n";
    let one = exchange(format!("{get}\r\n").into_bytes()).await?;
    ensure!(one.starts_with("http/1.1 200") && one.contains("\r\nconnection: close\r\n"), "{one}");
    let two = exchange(format!("{get}\r\n{get}\r\n").into_bytes()).await?;
    assert_eq!(two.matches("http/1.1").count(), 1, "{two}");
    let large = exchange(format!("{get}x: {}\r\n\r\n", "x".repeat(64 * 1024)).into_bytes()).await?;
    ensure!(large.is_empty() || large.starts_with("http/1.1 431"), "{large}");
    let mut slow = TcpStream::connect(&server.http).await?;
    let begun = Instant::now();
    let write = async {
        for byte in get.bytes().cycle() {
            if slow.write_all(&[byte]).await.is_err() {
                return begun.elapsed();
            }
            sleep(Duration::from_millis(100)).await;
        }
        begun.elapsed()
    };
    match timeout(Duration::from_secs(13), write).await {
        Ok(_) => Ok(()),
        Err(_) => bail!("a slow request keeps its connection"),
    }
}
