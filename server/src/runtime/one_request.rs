//! Connections for one request and a short time, which everybody may open.

use std::{convert::Infallible, fmt::Display, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tonic::codegen::http::request::Parts;
use tracing::debug;

use crate::telemetry::Metrics;

/// The longest time of a connection. It is Prometheus' default for a scrape; a probe waits for a second.
const MAX_AGE: Duration = Duration::from_secs(10);

/// The OpenMetrics content type (specification 1.0).
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The answer to a request.
pub(crate) type Answer = Response<Full<Bytes>>;

/// Answers the request of a connection, of which the line and the headers have at most `max_head` bytes.
pub(crate) async fn serve<A: Future<Output = Answer>>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    max_head: usize,
    answer: impl Fn(Parts) -> A,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer(request.into_parts().0);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut http = http1::Builder::new();
    let served = http.keep_alive(false).max_buf_size(max_head).serve_connection(TokioIo::new(stream), service);
    match timeout(MAX_AGE, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "connection ended"),
        Err(_) => debug!(seconds = MAX_AGE.as_secs(), "connection ended by its age"),
    }
}

/// The refusal of a request that does more than read.
pub(crate) fn refuse_writes(request: &Parts) -> Option<Answer> {
    let is_read = request.method == Method::GET || request.method == Method::HEAD;
    (!is_read).then(|| text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are supported\n"))
}

/// An answer in plain text.
pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

/// A 404 with a hint at what is served.
pub(crate) fn not_found(hint: impl Display) -> Answer {
    text(StatusCode::NOT_FOUND, format!("not found: {hint}\n"))
}

/// The answer with all metrics.
pub(crate) fn of_metrics(metrics: &Metrics) -> Answer {
    match metrics.encode() {
        Ok(metrics) => {
            let mut answer = text(StatusCode::OK, metrics);
            answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(OPEN_METRICS));
            answer
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}
