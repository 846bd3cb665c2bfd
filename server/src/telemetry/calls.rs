//! Metrics of the gRPC calls, with the names of go-grpc-middleware, which dashboards know: a layer around all services.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use hyper::{
    Request, Response,
    body::{Body, Bytes, Frame, SizeHint},
    header::HeaderMap,
};
use prometheus_client::{
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::Code;
use tower::{Layer, Service};

/// The buckets of go-grpc-middleware.
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The service and method of calls to unknown methods. Callers choose those names, so they cannot be labels.
const UNKNOWN: &str = "unknown";

/// What the names of methods that write begin with.
const WRITES: [&str; 2] = ["Set", "Unset"];

/// The labels of a method, with the code once the call has ended.
type Labels = Vec<(&'static str, Arc<str>)>;

/// Which sides of a method send several messages, and whether it writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MethodKind {
    /// The caller does.
    pub is_request_stream: bool,
    /// The server does.
    pub is_answer_stream: bool,
    /// It changes the cluster.
    pub is_write: bool,
}

/// Counts gRPC calls. Clones share the counts.
#[derive(Clone, Debug)]
pub struct Calls {
    started: Family<Labels, Counter>,
    handled: Family<Labels, Counter>,
    seconds: Family<Labels, Histogram>,
    /// The kind and the labels of each served method, by its path.
    methods: Arc<HashMap<String, (MethodKind, Labels)>>,
    unknown: Labels,
}

impl Calls {
    /// Registers the metrics.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let calls = Self {
            started: Family::default(),
            handled: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            methods: Arc::new(methods()),
            unknown: labels(UNKNOWN, UNKNOWN, MethodKind::default()),
        };
        for labels in calls.methods.values().map(|(_, labels)| labels).chain([&calls.unknown]) {
            drop(calls.started.get_or_create(labels));
        }
        registry.register("grpc_server_started", "Calls that have begun", calls.started.clone());
        registry.register("grpc_server_handled", "Calls that have ended, by their status", calls.handled.clone());
        registry.register(
            "grpc_server_handling_seconds",
            "Time from the beginning of a call to its end",
            calls.seconds.clone(),
        );
        calls
    }

    /// The kind of a method by its path. An unknown one is unary.
    pub(crate) fn kind(&self, path: &str) -> MethodKind {
        self.methods.get(path).map(|(kind, _)| *kind).unwrap_or_default()
    }

    fn begin(&self, path: &str) -> Call {
        let labels = self.methods.get(path).map_or(&self.unknown, |(_, labels)| labels).clone();
        self.started.get_or_create(&labels).inc();
        Call { calls: self.clone(), labels, begun: Instant::now(), code: None }
    }
}

/// The kind and the labels of every served method, by its path.
fn methods() -> HashMap<String, (MethodKind, Labels)> {
    let sets = [
        contract::DESCRIPTORS,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    // All of them decode: they are part of the program, and the reflection service does not start otherwise.
    let sets = sets.into_iter().filter_map(|set| FileDescriptorSet::decode(set).ok());
    let mut methods = HashMap::new();
    for file in sets.flat_map(|set| set.file) {
        for service in &file.service {
            let name = format!("{}.{}", file.package(), service.name());
            for method in &service.method {
                let path = format!("/{name}/{}", method.name());
                let kind = MethodKind {
                    is_request_stream: method.client_streaming(),
                    is_answer_stream: method.server_streaming(),
                    is_write: WRITES.iter().any(|verb| method.name().starts_with(verb)),
                };
                methods.insert(path, (kind, labels(&name, method.name(), kind)));
            }
        }
    }
    methods
}

/// The name of a kind, as gRPC's metrics in Go spell it.
fn kind_name(kind: MethodKind) -> &'static str {
    match (kind.is_request_stream, kind.is_answer_stream) {
        (false, false) => "unary",
        (false, true) => "server_stream",
        (true, false) => "client_stream",
        (true, true) => "bidi_stream",
    }
}

fn labels(service: &str, method: &str, kind: MethodKind) -> Labels {
    vec![("grpc_type", kind_name(kind).into()), ("grpc_service", service.into()), ("grpc_method", method.into())]
}

/// The name of a code, as gRPC's metrics in Go spell it.
fn code_name(code: Code) -> String {
    match code {
        Code::Ok => "OK".to_owned(),
        Code::Cancelled => "Canceled".to_owned(),
        code => format!("{code:?}"),
    }
}

/// A call that is counted when it is dropped.
struct Call {
    calls: Calls,
    labels: Labels,
    begun: Instant,
    /// The code of its end. A call without one was cancelled by its caller.
    code: Option<Code>,
}

impl Call {
    /// Reads the status from the header or the trailers, whichever has it.
    fn read_status(&mut self, headers: &HeaderMap) {
        if let Some(status) = headers.get("grpc-status") {
            self.code = Some(Code::from_bytes(status.as_bytes()));
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut labels = std::mem::take(&mut self.labels);
        self.calls.seconds.get_or_create(&labels).observe(self.begun.elapsed().as_secs_f64());
        labels.push(("grpc_code", code_name(self.code.unwrap_or(Code::Cancelled)).into()));
        self.calls.handled.get_or_create(&labels).inc();
    }
}

impl<S> Layer<S> for Calls {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, calls: self.clone() }
    }
}

/// Services whose calls are counted.
#[derive(Clone, Debug)]
pub struct Counted<S> {
    inner: S,
    calls: Calls,
}

impl<S, A, B> Service<Request<A>> for Counted<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<CountedBody<B>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let mut call = self.calls.begin(request.uri().path());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            call.read_status(answer.headers());
            Ok(answer.map(|inner| CountedBody { inner, call }))
        })
    }
}

/// The body of an answer. Its end is the end of the call.
pub struct CountedBody<B> {
    inner: B,
    call: Call,
}

impl<B: Body<Data = Bytes> + Unpin> Body for CountedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(trailers) = frame.trailers_ref()
        {
            self.call.read_status(trailers);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::{BodyExt, StreamBody};
    use prometheus_client::encoding::text::encode;
    use tower::{ServiceExt, service_fn};

    use super::*;

    type Frames = Vec<Result<Frame<Bytes>, Infallible>>;

    fn trailers(status: &'static str) -> Frame<Bytes> {
        Frame::trailers(HeaderMap::from_iter([("grpc-status".parse().unwrap(), status.parse().unwrap())]))
    }

    /// Calls a method that answers with this header and these frames, and reads `reads` of them.
    async fn call(calls: &Calls, path: &str, header: Option<&str>, frames: Frames, reads: usize) {
        let mut answer = Response::builder();
        if let Some(status) = header {
            answer = answer.header("grpc-status", status);
        }
        let answer = answer.body(StreamBody::new(futures::stream::iter(frames))).unwrap();
        let mut answer = Some(answer);
        let service = service_fn(move |_: Request<()>| std::future::ready(Ok::<_, Infallible>(answer.take().unwrap())));
        let answer = calls.layer(service).oneshot(Request::post(path).body(()).unwrap()).await.unwrap();
        let mut body = answer.into_body();
        for _ in 0..reads {
            body.frame().await.unwrap().unwrap();
        }
    }

    #[tokio::test]
    async fn a_call_is_counted_at_its_end_by_the_code_of_its_header_or_trailers() {
        let mut registry = Registry::default();
        let calls = Calls::register(&mut registry);
        let set = "/replicas.v1.ReplicasService/SetReplicaCount";
        let watch = "/replicas.v1.ReplicasService/WatchReplicaCounts";
        let data = || Ok(Frame::data(Bytes::from_static(b"x")));
        call(&calls, set, None, vec![data(), Ok(trailers("0"))], 2).await;
        call(&calls, set, Some("9"), Vec::new(), 0).await;
        call(&calls, watch, None, vec![data(), data(), Ok(trailers("14"))], 3).await;
        call(&calls, watch, None, vec![data(), data()], 1).await;
        call(&calls, "/alice/secret", Some("12"), Vec::new(), 0).await;
        call(&calls, "/alice/token", Some("12"), Vec::new(), 0).await;
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let mut handled: Vec<_> =
            text.lines().filter_map(|line| line.strip_prefix("grpc_server_handled_total")).collect();
        handled.sort_unstable();
        let labels = |kind, service, method, code| {
            format!(r#"grpc_type="{kind}",grpc_service="{service}",grpc_method="{method}",grpc_code="{code}""#)
        };
        let ours = "replicas.v1.ReplicasService";
        let expected = [
            labels("server_stream", ours, "WatchReplicaCounts", "Canceled"),
            labels("server_stream", ours, "WatchReplicaCounts", "Unavailable"),
            labels("unary", ours, "SetReplicaCount", "FailedPrecondition"),
            labels("unary", ours, "SetReplicaCount", "OK"),
            labels("unary", UNKNOWN, UNKNOWN, "Unimplemented"),
        ];
        assert_eq!(
            handled,
            expected
                .iter()
                .zip([1, 1, 1, 1, 2])
                .map(|(labels, count)| format!("{{{labels}}} {count}"))
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn every_service_has_its_methods() {
        let methods = methods();
        for path in [
            "/proto.DeploymentsService/SetDeployment",
            "/replicas.v1.ReplicasService/GetServerInfo",
            "/grpc.health.v1.Health/Check",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        ] {
            assert!(methods.contains_key(path), "{path} is not among {methods:?}");
        }
    }
}
