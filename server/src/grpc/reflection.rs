//! The requests of reflection, the only ones that go on while answers come.

use std::time::Duration;

use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, body::Body};

use super::refusal::Refusal;

/// The most bytes that the requests of one reflection stream may have together: a request has about 100.
pub(super) const MAX_REFLECTION: usize = 8 * 1024;

/// The most frames of a reflection stream that wait for the service, which reads on when its answer has left.
const MAX_REFLECTION_FRAMES: usize = 128;

/// Requests of a stream, which are read when they come, whether the service waits for them or not. They end after a
/// time.
pub(super) fn requests_in_time(body: Body, lasting: Duration) -> Body {
    let (sender, receiver) = mpsc::channel(MAX_REFLECTION_FRAMES);
    tokio::spawn(async move {
        let end = tokio::select! {
            () = sender.closed() => return,
            end = timeout(lasting, forward(body, &sender)) => end,
        };
        if let Err(refusal) = end.unwrap_or(Err(Refusal::TooSlow(lasting))) {
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
