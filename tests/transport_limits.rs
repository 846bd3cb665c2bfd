//! Bytes: half-sent requests and unread answers take a bounded share of the server.

use std::{convert::Infallible, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use cluster::wait;
use contract::replicas::v1::{self, replicas_service_client::ReplicasServiceClient};
use futures::{StreamExt, future::join_all, stream};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response,
    body::{Bytes, Frame, Incoming},
    client::conn::http2::{self, SendRequest},
    header::HeaderMap,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use rustls::ClientConfig;
use tokio::{task::JoinSet, time::timeout};
use tonic::{Code, Status, codec::CompressionEncoding};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest,
};
use tonic_types::StatusExt;

use support::{Namespace, PATIENCE, dial, handshake};

use crate::limits::{call_during, server, user};

pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A connection with HTTP/2 windows of a size.
pub(crate) async fn connection(address: &str, client: &Arc<ClientConfig>, window: u32) -> Result<SendRequest<Body>> {
    let stream = TokioIo::new(handshake(address, client.clone()).await?);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(window).initial_connection_window_size(1 << 20);
    let (sender, connection) = builder.handshake(stream).await?;
    tokio::spawn(connection);
    Ok(sender)
}

pub(crate) fn call(address: &str, path: &str, body: Body) -> Result<Request<Body>> {
    let request = Request::post(format!("https://{address}{path}"));
    Ok(request.header("content-type", "application/grpc").header("te", "trailers").body(body)?)
}

/// A message of this length.
pub(crate) fn message(bytes: &[u8]) -> Result<Vec<u8>> {
    Ok([&[0], &u32::try_from(bytes.len())?.to_be_bytes()[..], bytes].concat())
}

/// A request whose last byte never comes.
fn half_sent(mut bytes: Bytes, piece: usize) -> Body {
    bytes.truncate(bytes.len() - 1);
    let pieces =
        (0..bytes.len().div_ceil(piece)).map(move |at| bytes.slice(at * piece..bytes.len().min((at + 1) * piece)));
    let frames = stream::iter(pieces).map(|piece| Ok(Frame::data(piece)));
    StreamBody::new(frames.chain(stream::pending())).boxed_unsync()
}

/// The status of an answer, once it has ended.
async fn status(answer: Response<Incoming>) -> Result<Status> {
    let (head, body) = answer.into_parts();
    let find = |headers: &HeaderMap| Status::from_header_map(headers);
    let end = match find(&head.headers) {
        Some(status) => Some(status),
        None => body.collect().await?.trailers().and_then(find),
    };
    end.context("the answer has no status")
}

/// Sends half of many requests on each of many connections, and returns the codes of all answers. UNAVAILABLE is that of
/// a connection that has ended.
pub(crate) async fn send_halves(
    address: &str,
    client: &Arc<ClientConfig>,
    path: &str,
    (connections, calls): (usize, usize),
    (length, piece): (usize, usize),
) -> Result<Vec<Code>> {
    let (mut answers, bytes) = (Vec::new(), Bytes::from(message(&vec![0; length])?));
    for _ in 0..connections {
        let mut connection = connection(address, client, 1 << 16).await?;
        for _ in 0..calls {
            connection.ready().await?;
            answers.push(connection.send_request(call(address, path, half_sent(bytes.clone(), piece))?));
        }
    }
    let code = async |answer| anyhow::Ok(status(answer.await?).await?.code());
    Ok(join_all(answers.into_iter().map(async |answer| code(answer).await.unwrap_or(Code::Unavailable))).await)
}

#[tokio::test]
async fn half_sent_requests_take_little_memory_and_end() -> Result<()> {
    let shop = Namespace::shared("half-sent").await?;
    let server = server(&shop, 1024).await?;
    let alice = user(&shop, "alice")?;
    let check = "/grpc.health.v1.Health/Check";
    let reflect = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let set = "/replicas.v1.ReplicasService/SetReplicaCount";
    let watch = "/grpc.health.v1.Health/Watch";
    let (mib, large) = (4 * 1024 * 1024, 64 * 1024);
    let attacks = [
        ("60 calls with 4 MiB", check, (1, 60), (mib, 16 * 1024)),
        ("60 reflections with 4 MiB", reflect, (1, 60), (mib, 16 * 1024)),
        ("all calls of all connections with 64 KiB", set, (20, 100), (large, 16 * 1024)),
        ("many watches in small frames", watch, (4, 100), (4096, 300)),
        ("small reflections in small frames", reflect, (4, 100), (4096, 100)),
    ];
    let before = server.memory()?;
    let mut running = JoinSet::new();
    for (name, path, calls, sizes) in attacks {
        // Users of their own, so that each has a full share.
        let (address, client) = (server.grpc.clone(), user(&shop, &format!("mallory {name}"))?);
        running.spawn(async move {
            let codes = timeout(Duration::from_secs(20), send_halves(&address, &client, path, calls, sizes));
            let codes = codes.await.with_context(|| format!("{name}: calls do not end"))?;
            Ok::<_, anyhow::Error>((name, codes.with_context(|| name.to_owned())?))
        });
    }
    let attack = async { running.join_all().await.into_iter().collect::<Result<Vec<_>>>() };
    let (calls, ended) = call_during(&server, &alice, attack).await?;
    let grown = server.peak_memory()?.saturating_sub(before);
    println!("half-sent requests: {calls} good calls meanwhile, at most {grown} MiB more memory");
    for (name, codes) in ended {
        let count = |code| codes.iter().filter(|one| **one == code).count();
        let counts = [Code::Ok, Code::OutOfRange, Code::ResourceExhausted, Code::DeadlineExceeded].map(count);
        println!("{name}: {counts:?} ended, were too large, too many, too slow");
        // HTTP/2 takes many small frames that come after a refusal for a flood.
        let cut_off = if name.contains("small frames") { count(Code::Unavailable) } else { 0 };
        ensure!(counts.iter().sum::<usize>() + cut_off == codes.len(), "{name}: {codes:?}");
    }
    ensure!(grown < 40, "{grown} MiB more");
    Ok(())
}

#[tokio::test]
async fn unread_answers_take_little_memory() -> Result<()> {
    let shop = Namespace::shared("unread-lists").await?;
    let server = server(&shop, 1024).await?;
    let alice = user(&shop, "alice")?;
    let mut client = ReplicasServiceClient::new(dial(server.grpc.clone(), alice.clone()));
    let list = v1::ListReplicaCountsRequest { namespace: shop.name.clone(), ..Default::default() };
    wait::until("readiness", PATIENCE, async || {
        Ok(client.clone().list_replica_counts(list.clone()).await.map(drop)?)
    })
    .await?;
    let sets = (0..200).map(|number| {
        let target = v1::Target { namespace: shop.name.clone(), name: format!("web-{number}"), ..Default::default() };
        let reason = "x".repeat(1000);
        let (target, replicas) = (Some(target), Some(1));
        v1::SetReplicaCountRequest { target, replicas, reason, allow_missing: true, ..Default::default() }
    });
    let set = stream::iter(sets).map(|set| {
        let mut client = client.clone();
        async move { client.set_replica_count(set).await }
    });
    set.buffer_unordered(16).collect::<Vec<_>>().await.into_iter().collect::<Result<Vec<_>, _>>()?;
    let size = wait::until("all counts", PATIENCE, async || {
        let listed = client.clone().list_replica_counts(list.clone()).await?.into_inner();
        ensure!(listed.replica_counts.len() == 200, "{}", listed.replica_counts.len());
        Ok(listed.encoded_len())
    })
    .await?;

    let (before, mallory) = (server.memory()?, user(&shop, "mallory")?);
    let request = Bytes::from(message(&list.encode_to_vec())?);
    let (mut open, mut answers) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let mut connection = connection(&server.grpc, &mallory, 0).await?;
        for _ in 0..60 {
            connection.ready().await?;
            let body = StreamBody::new(stream::iter([Ok(Frame::data(request.clone()))])).boxed_unsync();
            let path = "/replicas.v1.ReplicasService/ListReplicaCounts";
            answers.push(connection.send_request(call(&server.grpc, path, body)?));
        }
        open.push(connection);
    }
    let wait_for_end = async |answer| -> Result<Option<Status>> {
        let answer = timeout(PATIENCE, answer).await.context("no answer")??;
        // An answer that is held back cannot end, because its reader's window is closed.
        timeout(Duration::from_secs(1), status(answer)).await.ok().transpose()
    };
    let ends = join_all(answers.into_iter().map(wait_for_end)).await.into_iter().collect::<Result<Vec<_>>>()?;
    let grown = server.memory()?.saturating_sub(before);
    let refused: Vec<_> = ends.iter().flatten().collect();
    println!("{} unread answers of {size} bytes, {} refused: {grown} MiB more memory", ends.len(), refused.len());
    ensure!(!refused.is_empty() && refused.len() < ends.len(), "{refused:?}");
    for refusal in refused {
        assert_eq!(refusal.code(), Code::ResourceExhausted, "{refusal}");
        let reason = reason(refusal)?;
        ensure!(["TOO_MANY_BYTES", "TOO_MANY_LISTS"].contains(&reason.as_str()), "{reason}");
    }
    ensure!(grown < 24, "{grown} MiB more");
    client.list_replica_counts(list).await.context("another user gets no answer")?;
    Ok(())
}

#[tokio::test]
async fn sixty_parallel_clients_of_one_user_are_served() -> Result<()> {
    let shop = Namespace::shared("robot").await?;
    let robot = user(&shop, "robot")?;
    let list = v1::ListReplicaCountsRequest { namespace: shop.name.clone(), ..Default::default() };
    let calls = (0..60).map(async |_| {
        let mut client = ReplicasServiceClient::new(dial(shop.cluster.grpc_address().to_owned(), robot.clone()));
        client.list_replica_counts(list.clone()).await?;
        client.get_server_info(v1::GetServerInfoRequest {}).await?;
        Ok(client)
    });
    // All connections stay open until the last one has made its calls.
    join_all(calls).await.into_iter().collect::<Result<Vec<_>>>().map(drop)
}

fn reason(status: &Status) -> Result<String> {
    Ok(status.get_details_error_info().with_context(|| format!("{status:?} has no ErrorInfo"))?.reason)
}

/// The status of a call that waits for longer than its caller allows. Tonic's client would end it by itself.
async fn past_its_deadline(shop: &Namespace<'_>) -> Result<Status> {
    let address = shop.cluster.grpc_address();
    let mut connection = connection(address, &user(shop, "alice")?, 1 << 16).await?;
    let min_resource_version = i64::MAX.to_string();
    let list =
        v1::ListReplicaCountsRequest { namespace: shop.name.clone(), min_resource_version, ..Default::default() };
    let body = StreamBody::new(stream::iter([Ok(Frame::data(message(&list.encode_to_vec())?.into()))])).boxed_unsync();
    let mut call = call(address, "/replicas.v1.ReplicasService/ListReplicaCounts", body)?;
    call.headers_mut().insert("grpc-timeout", "200m".parse()?);
    status(timeout(PATIENCE, connection.send_request(call)).await.context("no answer")??).await
}

#[tokio::test]
async fn errors_of_grpc_itself_have_a_reason_too() -> Result<()> {
    let shop = Namespace::shared("reasons").await?;
    let channel = shop.cluster.channel()?;
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await?;
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let unknown = grpc.unary(tonic::Request::new(()), "/made.Up/Method".parse()?, codec).await.err();
    let late = past_its_deadline(&shop).await?;
    let service = HealthCheckRequest { service: "unknown".into() };
    let unhealthy = HealthClient::new(channel.clone()).check(service).await.err();
    let large = v1::SetReplicaCountRequest { reason: "x".repeat(65 * 1024), ..Default::default() };
    let client = ReplicasServiceClient::new(channel.clone());
    let too_large = client.clone().set_replica_count(large.clone()).await.err();
    let bomb = client.send_compressed(CompressionEncoding::Gzip).set_replica_count(large).await.err();
    let symbol = MessageRequest::FileContainingSymbol("made.Up".into());
    let request = ServerReflectionRequest { message_request: Some(symbol), ..Default::default() };
    let mut reflection = ServerReflectionClient::new(channel);
    let mut answers = reflection.server_reflection_info(stream::iter([request])).await?.into_inner();
    let unreflected = answers.message().await.err();
    for (name, error, code, expected) in [
        ("an unknown method", unknown, Code::Unimplemented, "UNIMPLEMENTED"),
        ("a call past its deadline", Some(late), Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
        ("an unknown service", unhealthy, Code::NotFound, "NOT_FOUND"),
        ("a large message", too_large, Code::OutOfRange, "REQUEST_TOO_LARGE"),
        ("a message that is large after decompression", bomb, Code::ResourceExhausted, "RESOURCE_EXHAUSTED"),
        ("an unknown symbol", unreflected, Code::NotFound, "NOT_FOUND"),
    ] {
        let error = error.with_context(|| format!("{name} is no error"))?;
        assert_eq!((error.code(), reason(&error)?.as_str()), (code, expected), "{name}");
    }
    Ok(())
}
