//! Every call with arbitrary messages, and arbitrary bytes instead of calls, over real connections.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use cluster::wait;
use contract::{deployments, replicas::v1};
use futures::{StreamExt, TryStreamExt, stream};
use fuzz::{Mutator, grouped};
use prost::Message;
use tonic::{Code, Status, transport::Channel};
use tonic_health::pb::HealthCheckRequest;
use tonic_reflection::pb::v1::{ServerReflectionRequest, server_reflection_request::MessageRequest};

use support::{
    CERTIFICATE_FILES, Namespace, PATIENCE, StandaloneServer, connect,
    raw::{self, PREFACE, frame},
    server_flags,
};

/// Concurrent calls: fewer than the server allows on a connection.
const CALLS: usize = 64;

/// Concurrent connections.
const CONNECTIONS: usize = 16;

/// The ratio of parser inputs to calls. A call costs as much as many inputs of a parser.
const INPUTS_PER_CALL: u64 = 10;

/// The ratio of parser inputs to connections. A connection costs as much as many calls.
const INPUTS_PER_CONNECTION: u64 = 100;

/// Calls on one connection. The client's HTTP/2 implementation ends a connection after 1,024 calls that ended before
/// they were sent.
const CALLS_PER_CONNECTION: usize = 10_000;

/// Upper bound on the growth of the server's memory after the first calls, in MiB. The server caches the answers of
/// RBAC.
const GROWTH: u64 = 64;

/// The start of tonic's message about a body that is not protobuf.
const UNREADABLE: &str = "failed to decode Protobuf message";

/// A method, and messages that it understands.
type Method = (&'static str, Vec<Vec<u8>>);

fn replicas(namespace: &str) -> Vec<Method> {
    let namespace = || namespace.to_owned();
    let target = || Some(v1::Target { namespace: namespace(), name: "web".into(), ..Default::default() });
    let selector = || "app=web".to_owned();
    let list = v1::ListReplicaCountsRequest {
        namespace: namespace(),
        label_selector: selector(),
        page_size: 10,
        ..Default::default()
    };
    let get = v1::GetReplicaCountRequest { target: target(), ..Default::default() };
    let reason = "load test".into();
    let set = v1::SetReplicaCountRequest { target: target(), replicas: Some(3), reason, ..Default::default() };
    let until = Some(prost_types::Timestamp { seconds: 4_000_000_000, nanos: 0 });
    let override_ = v1::SetReplicaCountRequest { until, force: true, dry_run: true, ..set.clone() };
    let unset = v1::UnsetReplicaCountRequest { target: target(), dry_run: true, ..Default::default() };
    let watch =
        v1::WatchReplicaCountsRequest { namespace: namespace(), label_selector: selector(), ..Default::default() };
    vec![
        ("/replicas.v1.ReplicasService/ListReplicaCounts", vec![list.encode_to_vec()]),
        ("/replicas.v1.ReplicasService/GetReplicaCount", vec![get.encode_to_vec()]),
        ("/replicas.v1.ReplicasService/SetReplicaCount", vec![set.encode_to_vec(), override_.encode_to_vec()]),
        ("/replicas.v1.ReplicasService/UnsetReplicaCount", vec![unset.encode_to_vec()]),
        ("/replicas.v1.ReplicasService/WatchReplicaCounts", vec![watch.encode_to_vec()]),
        ("/replicas.v1.ReplicasService/GetServerInfo", vec![Vec::new(), get.encode_to_vec()]),
    ]
}

fn others(namespace: &str) -> Vec<Method> {
    let (namespace, name) = (namespace.to_owned(), "web".to_owned());
    let list = deployments::ListDeploymentsRequest { namespace: namespace.clone() };
    let get = deployments::GetDeploymentRequest { name: name.clone(), namespace: namespace.clone() };
    let set = deployments::SetDeploymentRequest { name, namespace, replicas: Some(3) };
    let health = HealthCheckRequest { service: "replicas.v1.ReplicasService".into() }.encode_to_vec();
    let symbol = Some(MessageRequest::FileContainingSymbol("replicas.v1.ReplicasService".into()));
    let reflection = ServerReflectionRequest { host: "localhost".into(), message_request: symbol }.encode_to_vec();
    vec![
        ("/proto.DeploymentsService/ListDeployments", vec![list.encode_to_vec()]),
        ("/proto.DeploymentsService/GetDeployment", vec![get.encode_to_vec()]),
        ("/proto.DeploymentsService/SetDeployment", vec![set.encode_to_vec()]),
        ("/grpc.health.v1.Health/Check", vec![health.clone()]),
        ("/grpc.health.v1.Health/Watch", vec![health]),
        ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", vec![reflection.clone()]),
        ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", vec![reflection]),
    ]
}

/// Makes a number of calls of a method, and returns how many succeeded.
async fn fuzz_method(dial: impl Fn() -> Result<Channel>, (path, seeds): &Method, calls: u64) -> Result<u64> {
    let mut mutator = Mutator::default();
    mutator.add_seeds(seeds);
    mutator.add_words(["apps", "Deployment", "web", "deployment.web", "app=web"]);
    let (seed, mut accepted) = (fuzz::seed(), 0);
    for first in (0..calls).step_by(CALLS_PER_CONNECTION) {
        let channel = &dial()?;
        let called = stream::iter(first..calls.min(first + CALLS_PER_CONNECTION as u64)).map(|number| {
            let message = mutator.input(seed, number);
            async move {
                let escaped = message.escape_ascii().to_string();
                let answer = raw::call(channel, path, message).await.with_context(|| format!("b\"{escaped}\""))?;
                check(&answer).with_context(|| format!("{path} b\"{escaped}\""))?;
                Ok::<_, anyhow::Error>(u64::from(answer.is_ok()))
            }
        });
        accepted += called.buffer_unordered(CALLS).try_fold(0, |sum, one| async move { Ok(sum + one) }).await?;
    }
    Ok(accepted)
}

/// Checks that a failed call has an answer of the server's own.
fn check(answer: &Result<(), Status>) -> Result<()> {
    let Err(status) = answer else { return Ok(()) };
    let is_failure = matches!(status.code(), Code::Unknown | Code::Internal | Code::DataLoss | Code::Cancelled);
    ensure!(!is_failure || status.message().starts_with(UNREADABLE), "{status:?}");
    Ok(())
}

/// A SetReplicaCount call in HTTP/2 frames: preface, settings, headers and message.
fn connection(path: &str, message: &[u8]) -> Vec<u8> {
    let field = |name: &str, value: &str| {
        let [name, value] = [name, value].map(|text| [&[text.len() as u8], text.as_bytes()].concat());
        [vec![0x10], name, value].concat()
    };
    let names =
        [(":path", path), (":authority", "localhost"), ("content-type", "application/grpc"), ("te", "trailers")];
    // POST and https have indices in HPACK's static table.
    let headers = [vec![0x83, 0x87], names.map(|(name, value)| field(name, value)).concat()].concat();
    let prefix = [&[0], &u32::try_from(message.len()).unwrap_or_default().to_be_bytes()[..]].concat();
    [PREFACE.to_vec(), frame(1, 4, 1, &headers), frame(0, 1, 1, &[&prefix, message].concat())].concat()
}

/// Opens connections, and sends mutations of the seeds.
async fn fuzz_connections(
    server: &StandaloneServer,
    name: &str,
    seeds: &[Vec<u8>],
    send: impl AsyncFn(Vec<u8>) -> Result<()>,
) -> Result<()> {
    let connections = (fuzz::inputs() / INPUTS_PER_CONNECTION).max(1);
    let mut mutator = Mutator::default();
    mutator.add_seeds(seeds);
    let send = &send;
    stream::iter(0..connections)
        .map(|number| {
            let bytes = mutator.input(fuzz::seed(), number);
            async move {
                let escaped = bytes.escape_ascii().to_string();
                send(bytes).await.with_context(|| format!("{name} b\"{escaped}\""))
            }
        })
        .buffer_unordered(CONNECTIONS)
        .try_for_each(|()| async { Ok(()) })
        .await?;
    println!("fuzz {name}: {} connections, memory {} MiB", grouped(connections), server.memory()?);
    Ok(())
}

#[tokio::test]
async fn arbitrary_messages_and_bytes_do_not_harm_the_server() -> Result<()> {
    let shop = Namespace::shared("fuzz").await?;
    shop.deployment("web", 3).await?;
    let (user, cluster) = (format!("user-{}", shop.name), shop.cluster);
    let (role, subject) = ("--clusterrole=replica-count-manager-editor", format!("--user={user}"));
    shop.kubectl(&["create", "rolebinding", "fuzz", role, &subject]).await?;
    let server = cluster.standalone(server_flags(&shop, cluster.certificates(), CERTIFICATE_FILES))?;
    server.wait_until_listening().await?;
    let certificate = cluster.certificate_of(&user).await?;
    let dial = || connect(server.grpc.clone(), &certificate);
    let channel = dial()?;
    let methods = [replicas(&shop.name), others(&shop.name)].concat();
    let good = async || -> Result<()> {
        for (path, seeds) in &methods {
            raw::call(&channel, path, seeds[0].clone()).await?.with_context(|| format!("{path} fails"))?;
        }
        Ok(())
    };
    let (set, _) = (&methods[2], shop.set("web", 3).await?);
    wait::until("the server to know of the count", PATIENCE, good).await?;

    let calls = (fuzz::inputs() / INPUTS_PER_CALL).max(1);
    for method in &methods {
        fuzz_method(dial, method, calls / 10).await?;
    }
    let before = server.memory()?;
    for method in &methods {
        let accepted = fuzz_method(dial, method, calls).await?;
        let (path, memory) = (method.0, server.memory()?);
        println!("fuzz {path}: {} calls, {} answered, memory {memory} MiB", grouped(calls), grouped(accepted));
    }
    let tls = Arc::new(certificate.tls_config(&rustls::version::TLS13)?);
    let http2: Vec<_> = set.1.iter().map(|message| connection(set.0, message)).collect();
    fuzz_connections(&server, "HTTP/2 in TLS", &http2, async |bytes| raw::send(&server.grpc, Some(&tls), &bytes).await)
        .await?;
    fuzz_connections(&server, "TLS", &[client_hello(&tls)?], async |bytes| raw::send(&server.grpc, None, &bytes).await)
        .await?;
    let http = ["/livez", "/readyz", "/metrics"].map(|path| format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"));
    fuzz_connections(&server, "HTTP", &http.map(String::into_bytes), async |bytes| {
        raw::send(&server.http, None, &bytes).await
    })
    .await?;

    good().await?;
    let (after, log) = (server.memory()?, server.log()?);
    ensure!(after < before + GROWTH, "it held {before} MiB before, and holds {after} MiB");
    ensure!(!log.contains("panicked"), "{log}");
    Ok(())
}

/// The ClientHello of a client.
fn client_hello(config: &Arc<rustls::ClientConfig>) -> Result<Vec<u8>> {
    let mut hello = Vec::new();
    let mut client = rustls::ClientConnection::new(config.clone(), "localhost".try_into()?)?;
    client.write_tls(&mut hello)?;
    Ok(hello)
}
