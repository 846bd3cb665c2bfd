//! Endless HTTP/2 frames from a client with a valid certificate. Other clients are not affected.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use rustls::ClientConfig;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use support::{
    Namespace,
    presented::connect,
    raw::{PREFACE, frame},
};

use crate::limits::{call_during, server, user};

/// The bytes of one flood, which take seconds to send.
const FLOOD: usize = 32 * 1024 * 1024;

/// How long a write may block before the flood ends.
const BLOCKED: Duration = Duration::from_secs(2);

/// The headers of a call, `POST https /`, in HPACK.
const HEADERS: [u8; 3] = [0x83, 0x87, 0x84];

/// Builds the frames that a flood sends the n-th time.
type Frames = fn(u32) -> Vec<u8>;

const FLOODS: &[(&str, Frames)] = &[
    ("pings", |_| frame(6, 0, 0, &[0; 8])),
    ("settings", |_| frame(4, 0, 0, &[])),
    ("empty data", |_| frame(0, 0, 1, &[])),
    ("calls that are reset at once", |n| {
        [frame(1, 4, 2 * n + 1, &HEADERS), frame(3, 0, 2 * n + 1, &[0, 0, 0, 8])].concat()
    }),
    ("headers without end", |n| if n == 0 { frame(1, 0, 1, &HEADERS) } else { frame(9, 0, 1, &[0; 64]) }),
    ("a byte of data a frame", |n| {
        [if n == 0 { frame(1, 4, 1, &HEADERS) } else { Vec::new() }, frame(0, 0, 1, &[0])].concat()
    }),
    ("calls without end", |n| frame(1, 4, 2 * n + 1, &HEADERS)),
    ("windows of one byte", |_| frame(8, 0, 0, &[0, 0, 0, 1])),
    ("windows without end", |_| frame(8, 0, 0, &[0x7f, 0xff, 0xff, 0xff])),
];

/// Sends frames until all are sent, a write blocks, or the server ends the connection. Returns which of them happened.
async fn flood(address: String, client: Arc<ClientConfig>, frames: Frames) -> Result<&'static str> {
    let stream = connect(&address, client).await??;
    let (mut reader, mut writer) = tokio::io::split(stream);
    // Read half of the answers: a client that reads nothing blocks itself.
    let reading =
        tokio::spawn(
            async move { tokio::io::copy(&mut (&mut reader).take(FLOOD as u64), &mut tokio::io::sink()).await },
        );
    writer.write_all(PREFACE).await?;
    let (mut sent, mut n) = (0, 0);
    let end = loop {
        if sent >= FLOOD {
            break "all was taken";
        }
        let mut chunk = Vec::with_capacity(32 * 1024);
        while chunk.len() < 32 * 1024 {
            chunk.extend(frames(n));
            n += 1;
        }
        match timeout(BLOCKED, writer.write_all(&chunk)).await {
            Err(_) => break "held up",
            Ok(Err(_)) => break "cut off",
            Ok(Ok(())) => sent += chunk.len(),
        }
    };
    reading.abort();
    Ok(end)
}

#[tokio::test]
async fn floods_of_frames_do_not_affect_other_clients() -> Result<()> {
    let shop = Namespace::shared("floods").await?;
    let server = server(&shop, 1024).await?;
    let (alice, mallory) = (user(&shop, "alice")?, user(&shop, "mallory")?);
    let before = server.memory()?;
    for (name, frames) in FLOODS {
        let flood = flood(server.grpc.clone(), mallory.clone(), *frames);
        let (calls, end) = call_during(&server, &alice, flood).await?;
        let grown = server.memory()?.saturating_sub(before);
        println!("{name}: {end}; {calls} good calls meanwhile, {grown} MiB more memory");
        ensure!(grown < 64, "{name}: {grown} MiB more");
    }
    Ok(())
}
