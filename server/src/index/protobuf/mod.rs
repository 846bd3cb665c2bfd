//! Translates the API server's protobuf into JSON for kube's watcher, which reads only JSON.
//!
//! The API server writes protobuf several times faster than JSON. A start with 100,000 Deployments mostly waits for
//! these answers. The translation skips the fields that the index does not store, so the JSON has a tenth of the size.

mod envelope;
#[cfg(test)]
mod fuzz;
mod json;
mod malformed;
mod metadata;
#[cfg(test)]
mod tests;
mod text;
mod workload;

use std::io;

use futures::{Stream, TryStreamExt};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Request, Response,
    body::{Bytes, Frame},
    header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue},
};
use kube::{Client, client::Body};
use tokio_util::{
    codec::{FramedRead, LengthDelimitedCodec},
    io::StreamReader,
};
use tower::{BoxError, service_fn};

use self::json::{event_line, object_or_list_to_json};

/// The accepted formats. An API server without protobuf answers in JSON.
const ACCEPTED: &str = "application/vnd.kubernetes.protobuf,application/json";

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const JSON: &str = "application/json";

/// The largest event that can be read, in bytes. It is about ten times the largest request that etcd accepts by default
/// (1.5 MiB, `--max-request-bytes`). A larger event restarts the watch.
const MAX_EVENT: usize = 16 * 1024 * 1024;

/// Wraps a client so that its lists and watches of the group `apps` use protobuf.
pub fn client(client: Client) -> Client {
    let namespace = client.default_namespace().to_owned();
    let service = service_fn(move |mut request: Request<Body>| {
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
        let client = client.clone();
        async move { to_json(client.send(request).await?).await }
    });
    Client::new(service, namespace)
}

/// Translates an answer into JSON.
async fn to_json<B>(answer: Response<B>) -> Result<Response<UnsyncBoxBody<Bytes, BoxError>>, BoxError>
where
    B: hyper::body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let (mut head, body) = answer.into_parts();
    let body = body.map_err(B::Error::into);
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !content_type.starts_with(PROTOBUF) {
        return Ok(Response::from_parts(head, body.boxed_unsync()));
    }
    let is_watch = content_type.split(';').any(|parameter| parameter.trim() == "stream=watch");
    head.headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    head.headers.remove(CONTENT_LENGTH);
    if is_watch {
        let body = StreamBody::new(event_lines(body).map_ok(Frame::data).map_err(BoxError::from)).boxed_unsync();
        return Ok(Response::from_parts(head, body));
    }
    let body = body.collect().await?.to_bytes();
    let json = match object_or_list_to_json(body.clone()) {
        Ok(json) => json.into(),
        // A refusal is known by its HTTP status, even if its body cannot be read.
        Err(_) if !head.status.is_success() => body,
        Err(error) => return Err(error.into()),
    };
    Ok(Response::from_parts(head, Full::new(json).map_err(BoxError::from).boxed_unsync()))
}

/// The events of a watch as lines of JSON.
fn event_lines(
    body: impl hyper::body::Body<Data = Bytes, Error = BoxError> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, io::Error>> {
    let events = LengthDelimitedCodec::builder().max_frame_length(MAX_EVENT).new_codec();
    let bytes = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
    FramedRead::new(bytes, events).map_ok(|event| format!("{}\n", event_line(event.freeze())).into())
}
