//! The bodies of answers, which bound the bytes that wait for their reader.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http_body_util::BodyExt;
use hyper::{
    HeaderMap,
    body::{Bytes, Frame},
};
use tokio::sync::oneshot;
use tonic::{Status, body::Body};

use super::refusal::add_error_info;
use crate::runtime::limiter::Permit;

/// An answer of one message, which is built before its headers leave. HTTP/2 asks for no body while its reader has no
/// window, and a message that is not encoded takes several times its bytes.
pub(super) struct OneMessage {
    bytes: Bytes,
    trailers: Option<HeaderMap>,
}

/// Bytes, and what goes with them.
struct Unsent<T> {
    bytes: Bytes,
    _permits: T,
}

impl<T> AsRef<[u8]> for Unsent<T> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl OneMessage {
    /// Reads the body that a service has made.
    pub(super) async fn read(mut body: Body) -> Result<Self, Status> {
        let (mut bytes, mut trailers) = (Vec::new(), None);
        while let Some(frame) = body.frame().await.transpose()? {
            match frame.into_data() {
                // A copy, since the buffer has room for up to twice as much.
                Ok(data) => bytes.extend_from_slice(&data),
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        if let Some(trailers) = &mut trailers {
            add_error_info(trailers);
        }
        bytes.shrink_to_fit();
        Ok(Self { bytes: bytes.into(), trailers })
    }

    /// The bytes of the message, and its frame.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// A body with the message. The permits end when its bytes have left.
    pub(super) fn into_body(mut self, permits: impl Send + 'static) -> Body {
        if !self.bytes.is_empty() {
            self.bytes = Bytes::from_owner(Unsent { bytes: self.bytes, _permits: permits });
        }
        Body::new(self)
    }
}

impl hyper::body::Body for OneMessage {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let bytes = std::mem::take(&mut self.bytes);
        let frame = if bytes.is_empty() { self.trailers.take().map(Frame::trailers) } else { Some(Frame::data(bytes)) };
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty() && self.trailers.is_none()
    }
}

/// An answer of many messages. It hands out a frame when the previous frame has left for the peer, so that an unread
/// stream holds one frame, whatever windows its reader opens.
pub(super) struct Messages {
    inner: Body,
    /// Resolves when the last frame has left.
    left: Option<oneshot::Receiver<()>>,
    /// The call, and the request if it is still arriving. They end with the answer.
    _permits: (Permit, Option<Permit>),
}

impl Messages {
    /// Wraps a body. The permits end with it.
    pub(super) fn new(inner: Body, permits: (Permit, Option<Permit>)) -> Self {
        Self { inner, left: None, _permits: permits }
    }
}

impl hyper::body::Body for Messages {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(left) = &mut self.left {
            // The sender sends nothing. It is dropped.
            let _ = ready!(Pin::new(left).poll(cx));
            self.left = None;
        }
        let frame = match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            end => return Poll::Ready(end),
        };
        let frame = match frame.into_data() {
            Ok(bytes) => {
                let (sender, left) = oneshot::channel::<()>();
                self.left = Some(left);
                Frame::data(Bytes::from_owner(Unsent { bytes, _permits: sender }))
            }
            Err(frame) => match frame.into_trailers() {
                Ok(mut trailers) => {
                    add_error_info(&mut trailers);
                    Frame::trailers(trailers)
                }
                Err(frame) => frame,
            },
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
}
