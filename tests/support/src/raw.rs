//! Calls and connections with arbitrary bytes.

use std::sync::Arc;

use anyhow::{Context, Result};
use prost::bytes::{Buf, BufMut};
use rustls::ClientConfig;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
    transport::Channel,
};

use crate::{channel::handshake, constants::PATIENCE};

/// A codec whose messages are bytes.
#[derive(Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).into()))
    }
}

/// Makes a call, and waits for the first message of the answer.
pub async fn call(channel: &Channel, path: &'static str, message: Vec<u8>) -> Result<Result<(), Status>> {
    let call = async {
        let mut grpc = Grpc::new(channel.clone());
        grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let answers = grpc.server_streaming(Request::new(message), PathAndQuery::from_static(path), Raw).await?;
        answers.into_inner().message().await.map(drop)
    };
    timeout(PATIENCE, call).await.with_context(|| format!("no answer of {path}"))
}

/// Sends bytes, after a TLS handshake if there is a configuration, and waits until the server has closed the
/// connection.
pub async fn send(address: &str, tls: Option<&Arc<ClientConfig>>, bytes: &[u8]) -> Result<()> {
    let exchange = async {
        match tls {
            None => exchange_bytes(TcpStream::connect(address).await?, bytes).await,
            Some(config) => exchange_bytes(handshake(address, config.clone()).await?, bytes).await,
        }
    };
    timeout(PATIENCE, exchange).await.context("the server does not close")?
}

/// Ignores errors: a server that refuses the bytes may close the connection at any time.
async fn exchange_bytes(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: &[u8]) -> Result<()> {
    if stream.write_all(bytes).await.is_ok() && stream.shutdown().await.is_ok() {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    Ok(())
}

/// The connection preface of HTTP/2, with an empty SETTINGS frame.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Encodes an HTTP/2 frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or_default().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}
