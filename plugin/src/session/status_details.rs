//! The details of a gRPC status. tonic panics if they are malformed, so they are removed before tonic sees them.

use http_body_util::BodyExt;
use tonic::{
    body::Body,
    codegen::http::{HeaderMap, Response},
    metadata::MetadataMap,
    transport::Channel,
};
use tower::{ServiceExt, util::MapResponse};

/// The header with the details of an error, in base64.
const DETAILS: &str = "grpc-status-details-bin";

/// A channel without malformed details in its answers.
pub(crate) type Checked = MapResponse<Channel, fn(Response<Body>) -> Response<Body>>;

/// Removes malformed details from the answers of a channel.
pub(super) fn check_answers(channel: Channel) -> Checked {
    channel.map_response(check)
}

fn check(mut response: Response<Body>) -> Response<Body> {
    remove_malformed(response.headers_mut());
    response.map(|body| {
        Body::new(body.map_frame(|mut frame| {
            if let Some(trailers) = frame.trailers_mut() {
                remove_malformed(trailers);
            }
            frame
        }))
    })
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
            headers.insert("grpc-status", "5".parse().unwrap());
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
        let (parts, body) = check(response).into_parts();
        assert!(parts.headers.is_empty());
        assert!(body.collect().await.unwrap().trailers().unwrap().is_empty());
    }
}
