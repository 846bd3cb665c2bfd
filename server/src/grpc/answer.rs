//! The body of an answer, which bounds the bytes that wait for its reader.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use hyper::body::{Bytes, Frame, SizeHint};
use tokio::sync::oneshot;
use tonic::{Status, body::Body};

use super::refusal::{Refusal, add_error_info};
use crate::{
    runtime::limiter::{Limiter, Permit},
    tls::{Peer, UnreadAnswer},
};

/// The body of an answer. It hands out a frame when the one before has left for the peer, so that an unread stream holds
/// one frame, whatever windows its reader opens.
pub(super) struct Answer {
    inner: Body,
    reader: Reader,
    /// Resolves when the last frame has left.
    left: Option<oneshot::Receiver<()>>,
    ended: bool,
    /// The call, and the request if it is still arriving. They end with the answer.
    _permits: (Permit, Option<Permit>),
}

/// How the unread bytes of an answer are bounded.
pub(super) enum Reader {
    /// One message: its bytes count against the user's share, and have a deadline.
    OfOneMessage {
        /// Bounds the bytes.
        unread: Arc<Limiter>,
        /// The reader.
        peer: Peer,
    },
    /// A stream: the bound of its frames and that of open streams are enough.
    OfStream,
}

/// The bytes of a frame, until they have left.
struct Unsent {
    bytes: Bytes,
    _counted: Option<(Permit, UnreadAnswer)>,
    /// Tells the answer when this is dropped.
    _left: oneshot::Sender<()>,
}

impl AsRef<[u8]> for Unsent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Answer {
    /// Wraps a body. The permits end with it.
    pub(super) fn new(inner: Body, reader: Reader, permits: (Permit, Option<Permit>)) -> Self {
        Self { inner, reader, left: None, ended: false, _permits: permits }
    }

    /// Wraps the bytes of a frame, so that they count until they are dropped.
    fn hold(&mut self, bytes: Bytes) -> Result<Bytes, Refusal> {
        let counted = match &self.reader {
            Reader::OfStream => None,
            Reader::OfOneMessage { unread, peer } => {
                let permit = unread.acquire_many(&peer.identity.user, bytes.len());
                Some((permit.map_err(Refusal::TooManyAnswerBytes)?, peer.unread.begin()))
            }
        };
        let (sender, left) = oneshot::channel();
        self.left = Some(left);
        Ok(Bytes::from_owner(Unsent { bytes, _counted: counted, _left: sender }))
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
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
            Ok(bytes) => match self.hold(bytes) {
                Ok(bytes) => Frame::data(bytes),
                Err(refusal) => {
                    self.ended = true;
                    self.inner = Body::empty();
                    Frame::trailers(refusal.trailers())
                }
            },
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
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
