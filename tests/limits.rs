//! Limits: one client, or too many clients, cannot take connections, handshakes, watches or memory from the others.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use cluster::wait;
use contract::replicas::v1::{self, replicas_service_client::ReplicasServiceClient};
use kube::{
    Api, Config,
    api::{Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use rcgen::{CertificateParams, DnType};
use replica_count_manager::{resources::ReplicaCount, runtime::client};
use rustls::ClientConfig;
use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream, task::JoinSet, time::timeout};
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};

use support::{
    CERTIFICATE_FILES, Namespace, PATIENCE, StandaloneServer, dial, dial_with_endpoint, http,
    presented::{TestCa, client_params, connect},
    server_flags,
};

/// The start of a ClientHello. The server waits for the rest.
pub(crate) const HALF: [u8; 6] = [0x16, 3, 1, 2, 0, 1];

/// More events than the server buffers for a watch and than are in transit.
const MORE_EVENTS_THAN_ARE_KEPT: usize = 4096 + 2048;

/// Concurrent writers of these events.
const WRITERS: usize = 16;

/// Starts a server that manages one namespace, with a limit of open files.
pub(crate) async fn server(shop: &Namespace<'_>, files: u32) -> Result<StandaloneServer> {
    let flags = server_flags(shop, shop.cluster.certificates(), CERTIFICATE_FILES);
    let server = shop.cluster.standalone_with_file_limit(files, flags)?;
    server.wait_until_listening().await?;
    Ok(server)
}

/// The TLS configuration of an administrator with this name.
pub(crate) fn user(shop: &Namespace<'_>, name: &str) -> Result<Arc<ClientConfig>> {
    let mut params: CertificateParams = client_params(name);
    params.distinguished_name.push(DnType::OrganizationName, "replica-count-manager:admins");
    let certificates = shop.cluster.certificates();
    Ok(Arc::new(TestCa::load(certificates)?.sign(params)?.tls_config(&certificates.join("ca/ca.crt"))?))
}

/// Makes calls with new connections and with a kept one until a future completes. Returns the number of calls and the
/// future's output.
pub(crate) async fn call_during<T>(
    server: &StandaloneServer,
    client: &Arc<ClientConfig>,
    task: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<(u32, T)>
where
    T: Send + 'static,
{
    let task = tokio::spawn(task);
    let kept = dial(server.grpc.clone(), client.clone());
    let mut calls = 0;
    while !task.is_finished() || calls < 10 {
        for channel in [kept.clone(), dial(server.grpc.clone(), client.clone())] {
            let mut client = ReplicasServiceClient::new(channel);
            let call = client.get_server_info(v1::GetServerInfoRequest {});
            timeout(Duration::from_secs(10), call).await.context("a good call hangs")?.context("a good call fails")?;
            calls += 1;
        }
    }
    Ok((calls, task.await??))
}

/// Opens connections without completing their handshakes, and keeps only the latest ones open.
async fn half_open(address: String, connections: usize) -> Result<()> {
    let mut open = VecDeque::new();
    for _ in 0..connections {
        let mut socket = TcpStream::connect(&address).await?;
        socket.write_all(&HALF).await?;
        open.push_back(socket);
        if open.len() > 60 {
            open.pop_front();
        }
    }
    Ok(())
}

#[tokio::test]
async fn ten_thousand_half_open_handshakes_do_not_block_other_clients() -> Result<()> {
    let shop = Namespace::shared("half-open").await?;
    // Of 1,024 files, 192 are for handshakes. More handshakes than that are open here at once.
    let server = server(&shop, 1024).await?;
    let (alice, address) = (user(&shop, "alice")?, server.grpc.clone());
    let before = server.memory()?;
    let flood = async move {
        let mut floods = JoinSet::new();
        for _ in 0..8 {
            floods.spawn(half_open(address.clone(), 1250));
        }
        floods.join_all().await.into_iter().collect::<Result<()>>()
    };
    let (calls, ()) = call_during(&server, &alice, flood).await?;
    let grown = server.memory()?.saturating_sub(before);
    println!("10,000 half-open handshakes: {calls} good calls meanwhile, {grown} MiB more memory");
    ensure!(grown < 64, "{grown} MiB more");
    let metrics = http(&server.http, "/metrics").await?.1;
    ensure!(!metrics.contains("tls_handshake_failures_total 0\n"), "{metrics}");
    Ok(())
}

#[tokio::test]
async fn a_server_with_few_file_descriptors_limits_connections_and_keeps_working() -> Result<()> {
    let shop = Namespace::shared("few-files").await?;
    // Of 128 files, 48 are for connections, and 6 of them for one user.
    let server = server(&shop, 128).await?;
    let alice = user(&shop, "alice")?;
    let mut client = ReplicasServiceClient::new(dial(server.grpc.clone(), alice.clone()));
    client.get_server_info(v1::GetServerInfoRequest {}).await?;
    let mut open = Vec::new();
    for name in ["bob", "carol", "dan", "erin", "frank", "grace", "heidi"] {
        let config = user(&shop, name)?;
        for _ in 0..6 {
            open.push(connect(&server.grpc, config.clone()).await??);
        }
        ensure!(connect(&server.grpc, config).await?.is_err(), "{name} has more than its share");
    }
    for _ in 0..5 {
        open.push(connect(&server.grpc, alice.clone()).await??);
    }
    let late = user(&shop, "late")?;
    ensure!(connect(&server.grpc, late.clone()).await?.is_err(), "there are more connections than files");
    let metrics = http(&server.http, "/metrics").await?.1;
    ensure!(metrics.contains("replica_count_manager_connections_refused_total 8\n"), "{metrics}");

    // The server serves the open connections, and keeps enough files for itself.
    shop.deployment("web", 1).await?;
    let target = Some(v1::Target { namespace: shop.name.clone(), name: "web".into(), ..Default::default() });
    client.set_replica_count(v1::SetReplicaCountRequest { target, replicas: Some(2), ..Default::default() }).await?;
    shop.wait_for_replicas("deployment/web", 2).await?;
    wait::until("readiness", PATIENCE, async || {
        let ready = http(&server.http, "/readyz").await?;
        ensure!(ready.0 == 200, "{ready:?}");
        Ok(())
    })
    .await?;

    drop(open.pop());
    wait::until("the place of one that has left", PATIENCE, async || {
        connect(&server.grpc, late.clone()).await?.map(drop).context("refused")
    })
    .await
}

#[tokio::test]
async fn a_call_that_is_too_large_fails_without_ending_its_connection() -> Result<()> {
    let shop = Namespace::shared("large").await?;
    let mut client = shop.cluster.client()?;
    let reason = "x".repeat(65 * 1024);
    let large = v1::SetReplicaCountRequest { replicas: Some(1), reason, ..Default::default() };
    let refusal = client.set_replica_count(large.clone()).await.err().context("a large message was taken")?;
    assert_eq!(refusal.code(), Code::OutOfRange, "{refusal}");
    // The compressed message is small, but its content is still too large.
    let mut compressing = client.clone().send_compressed(tonic::codec::CompressionEncoding::Gzip);
    let refusal = compressing.set_replica_count(large).await.err().context("a bomb was taken")?;
    assert!(refusal.message().contains("size limit"), "{refusal}");
    let mut request = tonic::Request::new(v1::GetServerInfoRequest {});
    request.metadata_mut().insert("x-large", "x".repeat(17 * 1024).parse()?);
    ensure!(client.get_server_info(request).await.is_err(), "large metadata were taken");
    client.get_server_info(v1::GetServerInfoRequest {}).await.context("and the connection is lost")?;
    Ok(())
}

#[tokio::test]
async fn the_watches_of_one_user_are_limited() -> Result<()> {
    let shop = Namespace::shared("watches").await?;
    let alice = user(&shop, "alice-of-watches")?;
    let channels = [0, 1].map(|_| dial(shop.cluster.grpc_address().to_owned(), alice.clone()));
    let watch = async |channel: &Channel| {
        let request = v1::WatchReplicaCountsRequest { namespace: shop.name.clone(), ..Default::default() };
        ReplicasServiceClient::new(channel.clone()).watch_replica_counts(request).await
    };
    let mut open = Vec::new();
    // A connection has at most 128 concurrent calls.
    for at in 0..128 {
        open.push(watch(&channels[at % 2]).await?);
    }
    let refusal = watch(&channels[0]).await.err().context("there is no limit")?;
    assert_eq!(refusal.code(), Code::ResourceExhausted, "{refusal}");
    assert!(refusal.message().contains("128 is the limit for one user"), "{refusal}");
    let bob = dial(shop.cluster.grpc_address().to_owned(), user(&shop, "bob-of-watches")?);
    watch(&bob).await?;
    drop(open.pop());
    wait::until("a watch in place of one that ended", PATIENCE, async || Ok(watch(&channels[0]).await.map(drop)?)).await
}

#[tokio::test]
#[ignore = "its 6,000 writes take minutes: make stress"]
async fn an_unread_watch_is_ended_and_holds_no_memory() -> Result<()> {
    let shop = Namespace::shared("unread").await?;
    let server = server(&shop, 1024).await?;
    let alice = user(&shop, "alice")?;
    let small = Endpoint::from_static("https://localhost").initial_stream_window_size(65_535);
    let mut slow = ReplicasServiceClient::new(dial_with_endpoint(small, server.grpc.clone(), alice.clone()));
    let request = v1::WatchReplicaCountsRequest { namespace: shop.name.clone(), ..Default::default() };
    wait::until("readiness", PATIENCE, async || {
        Ok(slow.clone().watch_replica_counts(request.clone()).await.map(drop)?)
    })
    .await?;
    let mut unread = slow.watch_replica_counts(request).await?.into_inner();
    let before = server.memory()?;
    let kubeconfig = Kubeconfig::read_from(shop.cluster.control_plane.kubeconfig())?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    let counts: Api<ReplicaCount> = Api::namespaced(client::client(&config)?, &shop.name);
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (name, counts) = (format!("web-{writer}"), counts.clone());
        let target = Some(v1::Target { namespace: shop.name.clone(), name: name.clone(), ..Default::default() });
        let request =
            v1::SetReplicaCountRequest { target, replicas: Some(2), allow_missing: true, ..Default::default() };
        slow.set_replica_count(request).await?;
        writers.spawn(async move {
            for write in 0..MORE_EVENTS_THAN_ARE_KEPT / WRITERS {
                let patch = Patch::Merge(json!({"spec": {"reason": format!("{write} {:200}", "x")}}));
                counts.patch(&format!("deployment.{name}"), &PatchParams::default(), &patch).await?;
            }
            Ok(())
        });
    }
    writers.join_all().await.into_iter().collect::<Result<()>>()?;
    let end = loop {
        match timeout(PATIENCE, unread.message()).await.context("the watch hangs")? {
            Ok(event) => drop(event.context("it ended without a word")?),
            Err(status) => break status,
        }
    };
    assert_eq!(end.code(), Code::Aborted, "{end}");
    let grown = server.memory()?.saturating_sub(before);
    ensure!(grown < 64, "{grown} MiB more");
    Ok(())
}
