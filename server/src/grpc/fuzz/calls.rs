//! Every call of every service, from the bytes of its request to those of its answer. The API server behind it accepts
//! every write.

use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Bytes};
use kube::{Client, client::Body};
use prost::Message;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, service::Routes};
use tonic_health::pb::HealthCheckRequest;
use tonic_reflection::pb::v1::{ServerReflectionRequest, server_reflection_request::MessageRequest};
use tower::ServiceExt;

use super::{
    super::{
        authorizer::Authorizer, backend::Backend, health, serve::routes, validate::RequestValidator,
        writer::ReplicaCountWriter,
    },
    requests::{lists, sets, target},
};
use crate::{
    index::{discovery::Discovery, fixtures},
    resources::fixtures::full_replica_count,
    runtime::limiter::Limiter,
    tls::Identity,
};
use contract::{deployments, replicas::v1};

/// The beginnings of tonic's refusals of bytes that are not a message.
const UNREADABLE: [&str; 5] =
    ["failed to decode Protobuf message", "protocol error", "Error decompressing", "Unexpected EOF", "Missing request"];

/// The services, in a runtime that makes one call after the other.
struct Services {
    runtime: Runtime,
    routes: Routes,
    caller: Arc<Identity>,
}

impl Services {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let routes = runtime.block_on(async {
            let client = Client::new(tower::service_fn(api_server), "default");
            let authorizer = Authorizer::new(client.clone(), None);
            let backend = Backend {
                index: Arc::new(fixtures::index()),
                validator: Arc::new(RequestValidator { namespace: None, max_replicas: 100 }),
                authorizer,
                discovery: Arc::new(Discovery::new(client.clone(), None)),
                writer: ReplicaCountWriter::new(client.clone()),
                client,
                watches: Limiter::new(usize::MAX, usize::MAX, Default::default()),
                lists: Default::default(),
                stop: CancellationToken::new(),
                admission_mode: Default::default(),
            };
            routes(backend, health::service().await.1).unwrap()
        });
        let caller = Arc::new(Identity { user: "alice".into(), groups: Vec::new() });
        Self { runtime, routes, caller }
    }

    /// Makes a call with a body, and returns how it ended, or began if it does not end.
    fn call(&self, path: &str, encoding: &str, body: Vec<u8>) -> Status {
        let request = Request::post(path).header("content-type", "application/grpc").header("grpc-encoding", encoding);
        let mut request = request.body(tonic::body::Body::new(Full::new(Bytes::from(body)))).unwrap();
        request.extensions_mut().insert(self.caller.clone());
        self.runtime.block_on(async {
            let response = self.routes.clone().oneshot(request).await.unwrap();
            let (parts, mut body) = response.into_parts();
            let frame = body.frame().await.transpose().unwrap();
            let trailers = frame.as_ref().and_then(|frame| frame.trailers_ref());
            let status = [Some(&parts.headers), trailers].into_iter().flatten().find_map(Status::from_header_map);
            status.unwrap_or_else(|| Status::ok(""))
        })
    }

    fn check(&self, path: &str, encoding: &str, body: Vec<u8>) -> bool {
        let status = self.call(path, encoding, body);
        // tonic refuses bytes that are not protobuf, with codes of its own.
        let is_unreadable = UNREADABLE.iter().any(|start| status.message().starts_with(start));
        let is_failure = matches!(status.code(), Code::Unknown | Code::Internal | Code::Unavailable | Code::DataLoss);
        assert!(is_unreadable || !is_failure, "{path}: {status:?}");
        status.code() == Code::Ok
    }
}

/// The ends of the annotation's name that asks for a restore, with the beginning of its value: in a patch that adds it,
/// and in one that adds all annotations.
const RESTORE: [&str; 2] = ["restore\",\"value\":\"", "restore\":\""];

/// An API server that allows everything, knows no objects, and accepts every write.
async fn api_server(request: Request<Body>) -> Result<Response<Body>, tower::BoxError> {
    let failure = |code: u16, reason: &str| {
        (code, json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason}))
    };
    let (parts, body) = request.into_parts();
    let (method, path) = (parts.method.as_str(), parts.uri.path());
    let body = body.collect().await?.to_bytes();
    let is_restore =
        method == "PATCH" && RESTORE.iter().any(|restore| String::from_utf8_lossy(&body).contains(restore));
    let (code, answer): (u16, Value) = match (method, path) {
        // After a restore, a call would wait for the leader.
        _ if is_restore => failure(404, "NotFound"),
        ("GET", "/apis") => (200, json!({"kind": "APIGroupDiscoveryList", "items": []})),
        ("GET", _) => failure(404, "NotFound"),
        // After a deletion, a call would wait for the index, which no watch fills here.
        ("DELETE", _) => failure(409, "Conflict"),
        (_, path) if path.ends_with("accessreviews") => (201, json!({"spec": {}, "status": {"allowed": true}})),
        (_, path) if path.ends_with("/scale") => (200, json!({"metadata": {}, "spec": {"replicas": 3}})),
        _ => (200, serde_json::to_value(full_replica_count())?),
    };
    Ok(Response::builder().status(code).body(Body::from(answer.to_string().into_bytes()))?)
}

/// A message with its prefix: "not compressed", and its length.
fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0], &length.to_be_bytes()[..], message].concat()
}

fn fuzz_call(name: &'static str, service: &str, seeds: Vec<Vec<u8>>) {
    let method = name.split(' ').next_back().unwrap();
    let (services, path) = (Services::new(), format!("/{service}/{method}"));
    let words = ["shop", "apps", "Deployment", "web", "db", "api", "deployment.web", "app=web"];
    fuzz::target(name).seeds(seeds).words(words).bytes(|message| services.check(&path, "identity", frame(message)));
}

fn fuzz_replicas(name: &'static str, seeds: Vec<Vec<u8>>) {
    fuzz_call(name, "replicas.v1.ReplicasService", seeds);
}

fn fuzz_deployments(name: &'static str, seed: impl Message) {
    fuzz_call(name, "proto.DeploymentsService", vec![seed.encode_to_vec()]);
}

#[test]
fn list_replica_counts() {
    fuzz_replicas("call ListReplicaCounts", lists());
}

#[test]
fn get_replica_count() {
    let request = v1::GetReplicaCountRequest { target: target(), min_resource_version: "7".into() };
    fuzz_replicas("call GetReplicaCount", vec![request.encode_to_vec()]);
}

#[test]
fn set_replica_count() {
    fuzz_replicas("call SetReplicaCount", sets());
}

#[test]
fn unset_replica_count() {
    let expected_resource_version = Some("7".to_owned());
    let request = v1::UnsetReplicaCountRequest {
        target: target(),
        restore: true,
        force: true,
        dry_run: true,
        expected_resource_version,
    };
    let written = v1::UnsetReplicaCountRequest { dry_run: false, ..request.clone() };
    fuzz_replicas("call UnsetReplicaCount", vec![request.encode_to_vec(), written.encode_to_vec()]);
}

#[test]
fn watch_replica_counts() {
    let request = v1::WatchReplicaCountsRequest {
        namespace: "shop".into(),
        label_selector: "app=web".into(),
        all_targets: true,
        min_resource_version: "7".into(),
    };
    fuzz_replicas("call WatchReplicaCounts", vec![request.encode_to_vec()]);
}

#[test]
fn get_server_info() {
    // The request has no fields; unknown ones are skipped.
    fuzz_replicas("call GetServerInfo", vec![Vec::new(), target().unwrap_or_default().encode_to_vec()]);
}

#[test]
fn list_deployments() {
    fuzz_deployments("call ListDeployments", deployments::ListDeploymentsRequest { namespace: "shop".into() });
}

#[test]
fn get_deployment() {
    let request = deployments::GetDeploymentRequest { name: "web".into(), namespace: "shop".into() };
    fuzz_deployments("call GetDeployment", request);
}

#[test]
fn set_deployment() {
    let (name, namespace) = ("web".to_owned(), "shop".to_owned());
    fuzz_deployments("call SetDeployment", deployments::SetDeploymentRequest { name, namespace, replicas: Some(3) });
}

fn health_requests() -> Vec<Vec<u8>> {
    ["", "proto.DeploymentsService"]
        .map(|service| HealthCheckRequest { service: service.into() }.encode_to_vec())
        .into()
}

#[test]
fn health_check() {
    fuzz_call("call Check", "grpc.health.v1.Health", health_requests());
}

#[test]
fn health_watch() {
    fuzz_call("call Watch", "grpc.health.v1.Health", health_requests());
}

fn reflection_requests() -> Vec<Vec<u8>> {
    let symbol = MessageRequest::FileContainingSymbol("replicas.v1.ReplicasService".into());
    let file = MessageRequest::FileByFilename("deployments.proto".into());
    [symbol, file, MessageRequest::ListServices(String::new())]
        .map(|request| {
            ServerReflectionRequest { host: "localhost".into(), message_request: Some(request) }.encode_to_vec()
        })
        .into()
}

#[test]
fn reflection() {
    fuzz_call("call of v1 ServerReflectionInfo", "grpc.reflection.v1.ServerReflection", reflection_requests());
}

#[test]
fn reflection_v1alpha() {
    let service = "grpc.reflection.v1alpha.ServerReflection";
    fuzz_call("call of v1alpha ServerReflectionInfo", service, reflection_requests());
}

/// `{target: {namespace: "shop", name: "web"}, replicas: 3}`, by gzip.
const COMPRESSED: &[u8] =
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xe3\xe2\xe6\x62\x29\xce\xc8\x2f\x50\x62\x2e\x4f\x4d\x12\x60\x06\x00\x86\
    \x8a\xe3\x4d\x0f\x00\x00\x00";

/// The same message with a reason of 70,000 bytes, more than the server reads.
const LARGE: &[u8] =
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xed\xc1\xb1\x0d\x80\x20\x10\x00\xc0\x82\xaf\xa0\x71\x06\x47\x72\x03\x4d\
    \x48\xec\x20\xa1\x70\x1f\x26\x64\x04\x97\xa0\xbc\xbb\x5c\x72\x8c\xb7\xf5\x33\x7d\xf5\x39\xd2\xb5\x66\xdc\x00\x00\
    \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
    \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
    \x00\x00\x00\x00\x00\x00\x00\x00\x00\xc0\x76\x3f\x1c\x57\x66\xe9\x83\x11\x01\x00";

#[test]
fn frames_of_messages() {
    let services = Services::new();
    let compressed = [COMPRESSED, LARGE].map(|message| [&[1], &frame(message)[1..]].concat());
    let path = "/replicas.v1.ReplicasService/SetReplicaCount";
    assert!(services.check(path, "gzip", compressed[0].clone()));
    assert_eq!(services.call(path, "gzip", compressed[1].clone()).code(), Code::ResourceExhausted);
    let seeds: Vec<_> = sets().iter().map(|message| frame(message)).chain(compressed).collect();
    fuzz::target("frames of messages")
        .seeds(seeds)
        .words(["\0\0\0\0\0", "\u{1}\0\0\0\0"])
        .bytes(|body| services.check(path, "gzip", body.to_vec()));
}
