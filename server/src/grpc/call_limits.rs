//! A layer around all services that bounds what a client can make the server hold: calls, bytes of requests that arrive,
//! and bytes of answers that nobody reads.
//!
//! A service sees a request once it has arrived in full, so a half-sent one is no more than its bytes. Reflection alone
//! has requests that go on while answers come.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Request, Response, Version,
    body::Bytes,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};
use tokio::{sync::mpsc, time::timeout};
use tonic::{Status, body::Body};
use tower::{Layer, Service, ServiceExt};

use super::{
    answer::{Messages, OneMessage},
    deadline::deadline,
    lists::ListPlace,
    reflection::{self, MAX_REFLECTION},
    refusal::{Refusal, add_error_info},
};
use crate::{
    runtime::{
        limiter::{Limiter, Permit},
        places::Places,
    },
    telemetry::{Calls, MethodKind},
    tls::Peer,
};

/// The largest message that the server reads, in bytes: far above any request of these services.
pub(super) const MAX_MESSAGE: usize = 64 * 1024;

/// The bytes before a message: whether it is compressed, and its length.
const MESSAGE_PREFIX: usize = 5;

/// The longest time from a request's headers to its last byte, and the longest life of a reflection stream's requests.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The most open calls. Each takes about 6 KiB while its request arrives or its small answer is unread.
const MAX_CALLS: usize = 2048;

/// The most open calls of one user: enough for its watches (128) and as many others.
const MAX_CALLS_OF_USER: usize = 256;

/// The most bytes of requests that arrive or are worked on. A buffer takes twice as much while it grows.
const MAX_REQUEST_BYTES: usize = 8 * 1024 * 1024;

/// The most of them of one user: 16 of the largest requests.
const MAX_REQUEST_BYTES_OF_USER: usize = 1024 * 1024;

/// The most bytes of unread answers.
const MAX_UNREAD_BYTES: usize = 16 * 1024 * 1024;

/// The most of them of one user: four of the largest pages of a list, or the largest list without pages.
const MAX_UNREAD_BYTES_OF_USER: usize = 4 * 1024 * 1024;

/// The longest wait for room for an answer. Callers who read free it within milliseconds.
const UNREAD_WAIT: Duration = Duration::from_secs(2);

/// The most bytes of an answer that are part of what its call takes, and are not counted: most answers other than those
/// of lists.
const SMALL_ANSWER: usize = 4 * 1024;

/// The headers that services read. All others are dropped, so that no call holds them.
const HEADERS: [HeaderName; 3] =
    [CONTENT_TYPE, HeaderName::from_static("grpc-encoding"), HeaderName::from_static("grpc-accept-encoding")];

/// The layer. Clones share the limits.
#[derive(Clone)]
pub(super) struct CallLimits {
    calls: Arc<Limiter>,
    request_bytes: Arc<Limiter>,
    unread_bytes: Arc<Places>,
    /// Knows the served methods.
    methods: Calls,
    /// Held by each write until it has ended. Nothing is sent.
    writing: mpsc::Sender<Infallible>,
}

impl CallLimits {
    /// The limits, and the end of all writes: it is closed once they have ended and the limits are dropped.
    pub(super) fn new(methods: Calls) -> (Self, mpsc::Receiver<Infallible>) {
        let (writing, written) = mpsc::channel(1);
        let limits = Self {
            calls: Limiter::new(MAX_CALLS, MAX_CALLS_OF_USER, Default::default()),
            request_bytes: Limiter::new(MAX_REQUEST_BYTES, MAX_REQUEST_BYTES_OF_USER, Default::default()),
            unread_bytes: Places::new(MAX_UNREAD_BYTES, MAX_UNREAD_BYTES_OF_USER),
            methods,
            writing,
        };
        (limits, written)
    }

    /// Waits until a request has arrived.
    async fn admit(&self, request: Request<Body>) -> Result<Admitted, Refusal> {
        let (head, body) = request.into_parts();
        let peer = head.extensions.get::<Peer>().ok_or(Refusal::NoIdentity)?.clone();
        let path = head.uri.path();
        let call = self.calls.acquire(&peer.identity.user).map_err(Refusal::TooManyCalls)?;
        let bytes = self.request_bytes.acquire_many(&peer.identity.user, path.len());
        let mut bytes = bytes.map_err(Refusal::TooManyRequestBytes)?;
        // Copies, since the original ones keep what arrived with them in memory, up to a frame each.
        let mut request = Request::new(Body::empty());
        *request.method_mut() = head.method;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = path.parse().unwrap_or_default();
        *request.headers_mut() = copied(&head.headers);
        request.extensions_mut().insert(peer.identity.clone());
        drop((head.uri, head.headers, head.extensions));
        let kind = self.methods.kind(request.uri().path());
        *request.body_mut() = if kind.is_request_stream {
            bytes.grow(MAX_REFLECTION).map_err(Refusal::TooManyRequestBytes)?;
            reflection::requests_in_time(body, REQUEST_TIMEOUT)
        } else {
            let read = timeout(REQUEST_TIMEOUT, read(body, &mut bytes));
            Body::new(Full::new(read.await.map_err(|_| Refusal::TooSlow(REQUEST_TIMEOUT))??))
        };
        Ok(Admitted { request, kind, peer, call, bytes })
    }

    /// Makes a call, from its request's headers to the answer's.
    async fn call<S>(self, request: Request<Body>, inner: S) -> Result<Response<Body>, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>, Future: Send + 'static, Error: Send> + Send + 'static,
    {
        let deadline = deadline(request.headers());
        let answer = self.answer(request, inner);
        let answer = match deadline {
            Some(deadline) => timeout(deadline, answer).await.unwrap_or(Ok(Err(Refusal::Deadline))),
            None => answer.await,
        };
        Ok(answer?.unwrap_or_else(|refusal| Status::from(refusal).into_http()))
    }

    async fn answer<S>(self, request: Request<Body>, inner: S) -> Result<Result<Response<Body>, Refusal>, S::Error>
    where
        S: Service<Request<Body>, Response = Response<Body>, Future: Send + 'static, Error: Send> + Send + 'static,
    {
        let Admitted { request, kind, peer, call, bytes } = match self.admit(request).await {
            Ok(admitted) => admitted,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let served = async move { (inner.oneshot(request).await, call, bytes) };
        let (response, call, bytes) = if kind.is_write {
            // It goes on if its caller goes away, and keeps its permits: what is written must be in the audit log.
            let writing = self.writing.clone();
            let write = tokio::spawn(async move {
                let served = served.await;
                drop(writing);
                served
            });
            match write.await {
                Ok(served) => served,
                Err(error) => return Ok(Err(Refusal::Unbuilt(Status::internal(error.to_string())))),
            }
        } else {
            served.await
        };
        let mut response = response?;
        add_error_info(response.headers_mut());
        if kind.is_answer_stream {
            let permits = (call, kind.is_request_stream.then_some(bytes));
            return Ok(Ok(response.map(|body| Body::new(Messages::new(body, permits)))));
        }
        Ok(self.count(response, peer, call).await)
    }

    /// Builds an answer of one message, and counts its bytes. A list keeps its place until then, so that the lists that
    /// wait for room are bounded.
    async fn count(&self, mut response: Response<Body>, peer: Peer, call: Permit) -> Result<Response<Body>, Refusal> {
        let _place = response.extensions_mut().remove::<ListPlace>();
        let (head, body) = response.into_parts();
        let message = OneMessage::read(body).await.map_err(Refusal::Unbuilt)?;
        let bytes = if message.len() > SMALL_ANSWER {
            let taken = self.unread_bytes.take(&peer.identity.user, message.len(), UNREAD_WAIT).await;
            Some(taken.ok_or(Refusal::TooManyAnswerBytes(MAX_UNREAD_BYTES_OF_USER))?)
        } else {
            None
        };
        Ok(Response::from_parts(head, message.into_body((call, bytes, peer.unread.begin()))))
    }
}

/// A request that a service may see.
struct Admitted {
    request: Request<Body>,
    kind: MethodKind,
    peer: Peer,
    call: Permit,
    /// The request's bytes.
    bytes: Permit,
}

fn copied(headers: &HeaderMap) -> HeaderMap {
    let copy = |name: HeaderName| {
        let value = HeaderValue::from_bytes(headers.get(&name)?.as_bytes()).ok()?;
        Some((name, value))
    };
    HEADERS.into_iter().filter_map(copy).collect()
}

/// Reads a request in full. The bytes are copied: a small frame would keep a large buffer.
async fn read(mut body: Body, permit: &mut Permit) -> Result<Bytes, Refusal> {
    let mut request = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::Broken)?;
        // Services read no trailers.
        let Some(data) = frame.data_ref() else { continue };
        if request.len() + data.len() > MAX_MESSAGE + MESSAGE_PREFIX {
            return Err(Refusal::TooLarge(MAX_MESSAGE));
        }
        permit.grow(data.len()).map_err(Refusal::TooManyRequestBytes)?;
        request.extend_from_slice(data);
    }
    Ok(request.into())
}

impl<S> Layer<S> for CallLimits {
    type Service = Limited<S>;

    fn layer(&self, inner: S) -> Limited<S> {
        Limited { inner, limits: self.clone() }
    }
}

/// Services whose calls are limited.
#[derive(Clone)]
pub(super) struct Limited<S> {
    inner: S,
    limits: CallLimits,
}

impl<S> Service<Request<Body>> for Limited<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Future: Send + 'static, Error: Send> + Clone + Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        // Each call waits for the services itself.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.limits.clone().call(request, self.inner.clone()))
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;
    use tokio::sync::oneshot;
    use tower::service_fn;

    use super::*;
    use crate::{telemetry::Metrics, tls::Identity};

    #[tokio::test]
    async fn a_write_goes_on_without_its_caller_and_a_read_ends() {
        for (path, goes_on) in [
            ("/replicas.v1.ReplicasService/SetReplicaCount", true),
            ("/replicas.v1.ReplicasService/UnsetReplicaCount", true),
            ("/proto.DeploymentsService/SetDeployment", true),
            ("/replicas.v1.ReplicasService/GetReplicaCount", false),
        ] {
            let (limits, mut written) = CallLimits::new(Metrics::default().calls.clone());
            let ((begin, begun), (answer, answered), (end, ended)) =
                (oneshot::channel(), oneshot::channel(), oneshot::channel());
            let call = Arc::new(Mutex::new(Some((begin, answered, end))));
            let service = service_fn(move |_: Request<Body>| {
                let call = call.lock().take();
                async move {
                    let (begin, answered, end) = call.unwrap();
                    begin.send(()).unwrap();
                    let answered: Result<(), _> = answered.await;
                    end.send(answered).unwrap();
                    Ok::<_, Infallible>(Response::new(Body::empty()))
                }
            });
            let mut request = Request::post(path).body(Body::empty()).unwrap();
            let identity = Arc::new(Identity { user: "alice".to_owned(), groups: Vec::new() });
            request.extensions_mut().insert(Peer { identity, unread: Arc::default() });
            let caller = tokio::spawn(limits.layer(service).oneshot(request));
            begun.await.unwrap();
            caller.abort();
            assert!(caller.await.unwrap_err().is_cancelled(), "{path}");
            let all = limits.calls.acquire_many("alice", MAX_CALLS_OF_USER);
            assert_eq!(all.is_err(), goes_on, "{path}: it counts as long as it goes on");
            assert_eq!(answer.send(()).is_ok(), goes_on, "{path}");
            assert_eq!(ended.await.is_ok(), goes_on, "{path}");
            drop(limits);
            assert!(written.recv().await.is_none(), "{path}: nothing is being written any more");
        }
    }
}
