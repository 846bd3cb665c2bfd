//! Proxies that lead every name to this machine.

use std::{fs, path::Path, sync::Arc};

use anyhow::{Result, bail, ensure};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// `me:p@ss3cret` in base64.
const BASIC: &str = "Proxy-Authorization: Basic bWU6cEBzczNjcmV0";

/// The protocol of a proxy, and whether it asks for a password.
#[derive(Clone)]
enum Protocol {
    Http { with_password: bool },
    Https(TlsAcceptor),
    Socks { with_password: bool },
}

/// Running proxies. They end with this value.
pub(super) struct Proxies {
    addresses: Vec<(&'static str, String)>,
    _tasks: JoinSet<()>,
}

impl Proxies {
    /// Starts one of each kind.
    pub(super) async fn start(pki: &Path) -> Result<Self> {
        let certificate = CertificateDer::from_pem_slice(&fs::read(pki.join("api-server.crt"))?)?;
        let key = PrivateKeyDer::from_pem_slice(&fs::read(pki.join("api-server.key"))?)?;
        let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        let mut proxies = Self { addresses: Vec::new(), _tasks: JoinSet::new() };
        for (name, protocol) in [
            ("$HTTP_WITH_PASSWORD", Protocol::Http { with_password: true }),
            ("$HTTPS", Protocol::Https(TlsAcceptor::from(Arc::new(tls)))),
            ("$HTTP", Protocol::Http { with_password: false }),
            ("$SOCKS_WITH_PASSWORD", Protocol::Socks { with_password: true }),
            ("$SOCKS", Protocol::Socks { with_password: false }),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            proxies.addresses.push((name, listener.local_addr()?.to_string()));
            proxies._tasks.spawn(serve(listener, protocol));
        }
        Ok(proxies)
    }

    /// The words of rows that stand for addresses. A longer word comes before its beginning.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        self.addresses.iter().map(|(name, address)| (*name, address.clone()))
    }
}

async fn serve(listener: TcpListener, protocol: Protocol) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let protocol = protocol.clone();
        connections.spawn(async move {
            // A refused client sees the end of the connection.
            let _ = match protocol {
                Protocol::Http { with_password } => tunnel(stream, with_password).await,
                Protocol::Https(tls) => match tls.accept(stream).await {
                    Ok(stream) => tunnel(stream, false).await,
                    Err(error) => Err(error.into()),
                },
                Protocol::Socks { with_password } => socks(stream, with_password).await,
            };
        });
    }
}

/// Answers CONNECT.
async fn tunnel(mut client: impl AsyncRead + AsyncWrite + Unpin, with_password: bool) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8(head)?;
    if with_password && !head.contains(BASIC) {
        client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n").await?;
        bail!("no password");
    }
    let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
    let Some(port) = target.and_then(|target| target.rsplit(':').next()) else { bail!("no port in {head}") };
    let mut server = TcpStream::connect(("127.0.0.1", port.parse()?)).await?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

async fn read(client: &mut TcpStream, length: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    client.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// Speaks SOCKS 5 (RFC 1928, RFC 1929).
async fn socks(mut client: TcpStream, with_password: bool) -> Result<()> {
    let methods = usize::from(read(&mut client, 2).await?[1]);
    let methods = read(&mut client, methods).await?;
    let method = if with_password { 2 } else { 0 };
    ensure!(methods.contains(&method), "no common method");
    client.write_all(&[5, method]).await?;
    if with_password {
        let name = usize::from(read(&mut client, 2).await?[1]);
        let name = read(&mut client, name).await?;
        let password = usize::from(read(&mut client, 1).await?[0]);
        let password = read(&mut client, password).await?;
        ensure!(name == b"me" && password == b"p@ss3cret", "a wrong password");
        client.write_all(&[1, 0]).await?;
    }
    let mut head = [0; 4];
    client.read_exact(&mut head).await?;
    let length = match head[3] {
        1 => 4,
        3 => usize::from(client.read_u8().await?),
        _ => 16,
    };
    client.read_exact(&mut vec![0; length]).await?;
    let port = client.read_u16().await?;
    let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
    client.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0]).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
