//! The gRPC channel: it keeps tonic from panicking at a malformed answer, and shows the calls for `-v=6`.
//!
//! tonic panics if the details of a gRPC status are malformed, so they are removed before tonic sees them.

use std::task::{Context, Poll};

use futures::{FutureExt, future::BoxFuture};
use http_body_util::BodyExt;
use hyper::http::uri::{PathAndQuery, Scheme};
use tonic::{
    Code,
    body::Body,
    codegen::http::{HeaderMap, Request, Response, Uri},
    metadata::MetadataMap,
    transport::{self, Channel},
};
use tower::Service;

use crate::trace;

/// The header with the details of an error, in base64.
const DETAILS: &str = "grpc-status-details-bin";

/// The header, or the trailer, with the code of the status.
const STATUS: &str = "grpc-status";

/// A channel whose answers are checked and whose calls are shown.
#[derive(Clone)]
pub(crate) struct Checked {
    channel: Channel,
    /// The address of the server, for people: calls have only a path.
    origin: Uri,
}

impl Checked {
    pub(super) const fn new(channel: Channel, origin: Uri) -> Self {
        Self { channel, origin }
    }

    fn url(&self, path: &Uri) -> Uri {
        let mut parts = self.origin.clone().into_parts();
        parts.scheme = Some(Scheme::HTTPS);
        parts.path_and_query = path.path_and_query().cloned().or_else(|| Some(PathAndQuery::from_static("/")));
        Uri::from_parts(parts).unwrap_or_else(|_| path.clone())
    }
}

impl Service<Request<Body>> for Checked {
    type Response = Response<Body>;
    type Error = transport::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, transport::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), transport::Error>> {
        self.channel.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mut shown = trace::Request::new(request.method().as_str(), &self.url(request.uri()));
        let answer = self.channel.call(request);
        async move {
            match answer.await {
                Ok(response) => Ok(check(response, shown)),
                Err(error) => {
                    shown.end("failed");
                    Err(error)
                }
            }
        }
        .boxed()
    }
}

/// Removes malformed details from an answer, and shows the call when its status has come.
fn check(mut response: Response<Body>, mut shown: trace::Request) -> Response<Body> {
    show_status(response.headers(), &mut shown);
    remove_malformed(response.headers_mut());
    response.map(|body| {
        Body::new(body.map_frame(move |mut frame| {
            if let Some(trailers) = frame.trailers_mut() {
                show_status(trailers, &mut shown);
                remove_malformed(trailers);
            }
            frame
        }))
    })
}

fn show_status(headers: &HeaderMap, shown: &mut trace::Request) {
    if let Some(status) = headers.get(STATUS) {
        shown.end(&format!("{:?}", Code::from_bytes(status.as_bytes())));
    }
}

pub(super) fn remove_malformed(headers: &mut HeaderMap) {
    let mut metadata = MetadataMap::from_headers(std::mem::take(headers));
    if metadata.get_bin(DETAILS).is_some_and(|details| details.to_bytes().is_err()) {
        metadata.remove_bin(DETAILS);
    }
    *headers = metadata.into_headers();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_formed_details_stay() {
        for (details, stays) in [("CAUSA3dlYg", true), ("CAUSA3dlYg==", true), ("CA%USA3dlYg", false), ("C", false)] {
            let mut headers = HeaderMap::new();
            headers.insert(STATUS, "5".parse().unwrap());
            headers.insert(DETAILS, details.parse().unwrap());
            remove_malformed(&mut headers);
            assert_eq!(headers.contains_key(DETAILS), stays, "{details}");
            assert!(tonic::Status::from_header_map(&headers).is_some());
        }
    }

    #[tokio::test]
    async fn the_headers_and_the_trailers_of_an_answer_are_checked() {
        let mut headers = HeaderMap::new();
        headers.insert(DETAILS, "%".parse().unwrap());
        let body = http_body_util::Empty::new().with_trailers(std::future::ready(Some(Ok(headers.clone()))));
        let mut response = Response::new(Body::new(body.map_err(|never| match never {})));
        *response.headers_mut() = headers;
        let (parts, body) = check(response, trace::Request::new("POST", &Uri::default())).into_parts();
        assert!(parts.headers.is_empty());
        assert!(body.collect().await.unwrap().trailers().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_call_has_the_url_of_its_server() {
        let channel = transport::Endpoint::from_static("https://a.test").connect_lazy();
        let checked = Checked::new(channel, Uri::from_static("https://[::1]:8080"));
        let url = checked.url(&Uri::from_static("/replicas.v1.ReplicasService/GetServerInfo"));
        assert_eq!(url, "https://[::1]:8080/replicas.v1.ReplicasService/GetServerInfo");
    }
}
