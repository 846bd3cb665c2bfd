//! A layer around all services that bounds what a client can make the server hold: calls, bytes of requests that arrive,
//! and bytes of answers that nobody reads.
//!
//! A service sees a request once it has arrived in full, so a half-sent one is no more than its bytes. Reflection alone
//! has requests that go on while answers come.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{
    HeaderMap, Request, Response, Version,
    body::{Bytes, Frame},
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, body::Body};
use tower::{Layer, Service, ServiceExt};

use super::{
    answer::{Messages, OneMessage},
    deadline::deadline,
    lists::ListPlace,
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

/// The most bytes that the requests of one reflection stream may have together: a request has about 100.
const MAX_REFLECTION: usize = 8 * 1024;

/// The most frames of a reflection stream that wait for the service, which reads on when its answer has left.
const MAX_REFLECTION_FRAMES: usize = 128;

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
}

impl CallLimits {
    pub(super) fn new(methods: Calls) -> Self {
        Self {
            calls: Limiter::new(MAX_CALLS, MAX_CALLS_OF_USER, Default::default()),
            request_bytes: Limiter::new(MAX_REQUEST_BYTES, MAX_REQUEST_BYTES_OF_USER, Default::default()),
            unread_bytes: Places::new(MAX_UNREAD_BYTES, MAX_UNREAD_BYTES_OF_USER),
            methods,
        }
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
            requests_in_time(body)
        } else {
            let read = timeout(REQUEST_TIMEOUT, read(body, &mut bytes));
            Body::new(Full::new(read.await.map_err(|_| Refusal::TooSlow(REQUEST_TIMEOUT))??))
        };
        Ok(Admitted { request, kind, peer, call, bytes })
    }

    /// Makes a call, from its request's headers to the answer's.
    async fn call<S: Service<Request<Body>, Response = Response<Body>>>(
        self,
        request: Request<Body>,
        inner: S,
    ) -> Result<Response<Body>, S::Error> {
        let deadline = deadline(request.headers());
        let answer = self.answer(request, inner);
        let answer = match deadline {
            Some(deadline) => timeout(deadline, answer).await.unwrap_or(Ok(Err(Refusal::Deadline))),
            None => answer.await,
        };
        Ok(answer?.unwrap_or_else(|refusal| Status::from(refusal).into_http()))
    }

    async fn answer<S: Service<Request<Body>, Response = Response<Body>>>(
        self,
        request: Request<Body>,
        inner: S,
    ) -> Result<Result<Response<Body>, Refusal>, S::Error> {
        let Admitted { request, kind, peer, call, bytes } = match self.admit(request).await {
            Ok(admitted) => admitted,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut response = inner.oneshot(request).await?;
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

/// Requests of a stream, which are read when they come, whether the service waits for them or not. They end after a
/// time.
fn requests_in_time(body: Body) -> Body {
    let (sender, receiver) = mpsc::channel(MAX_REFLECTION_FRAMES);
    tokio::spawn(async move {
        let end = tokio::select! {
            () = sender.closed() => return,
            end = timeout(REQUEST_TIMEOUT, forward(body, &sender)) => end,
        };
        if let Err(refusal) = end.unwrap_or(Err(Refusal::TooSlow(REQUEST_TIMEOUT))) {
            // If there is no room, the stream ends without it.
            let _ = sender.try_send(Err(Status::from(refusal)));
        }
    });
    Body::new(StreamBody::new(ReceiverStream::new(receiver)))
}

async fn forward(mut body: Body, requests: &mpsc::Sender<Result<Frame<Bytes>, Status>>) -> Result<(), Refusal> {
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::Broken)?;
        let Some(data) = frame.data_ref() else { continue };
        length += data.len();
        let copy = Frame::data(Bytes::copy_from_slice(data));
        if length > MAX_REFLECTION {
            return Err(Refusal::TooLarge(MAX_REFLECTION));
        }
        requests.try_send(Ok(copy)).map_err(|_| Refusal::TooManyFrames(MAX_REFLECTION_FRAMES))?;
    }
    Ok(())
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
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
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
