//! Reads the bodies of reviews, within a bound on all of them.

use std::{pin::pin, sync::Arc, time::Duration};

use http_body_util::BodyExt;
use hyper::{
    StatusCode,
    body::{Body, Bytes},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// The most bytes of a review. It holds an object before and after a write, of which etcd stores 1.5 MiB each. In the JSON
/// of the API server, a `<`, `>` or `&` takes six bytes, so objects with 700 KiB of these are over the bound. Their writes
/// are stored unreviewed.
const MAX_BODY: usize = 8 * 1024 * 1024;

/// The most bytes of all reviews that arrive or are decided about. A usual one has less than 100 KiB.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The longest wait for room. The API server waits for a second in all.
const WAIT: Duration = Duration::from_millis(300);

/// Room for bodies.
pub(super) struct Bodies(Arc<Semaphore>);

/// A body. Dropping it makes room for others.
pub(super) struct Read {
    /// Its bytes.
    pub(super) bytes: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

impl Default for Bodies {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_BYTES)))
    }
}

impl Bodies {
    /// Reads a body.
    ///
    /// # Errors
    ///
    /// The status of the answer, if the body has no length or too large a one, if there is no room in time, or if it does
    /// not arrive.
    pub(super) async fn read<B: Body<Data = Bytes>>(&self, body: B) -> Result<Read, StatusCode> {
        // The API server always says the length. So there is room for the whole body before it arrives.
        let length = body.size_hint().exact().ok_or(StatusCode::LENGTH_REQUIRED)?;
        let length = u32::try_from(length).ok().filter(|length| *length as usize <= MAX_BODY);
        let length = length.ok_or(StatusCode::PAYLOAD_TOO_LARGE)?;
        // It is never closed.
        let room = timeout(WAIT, self.0.clone().acquire_many_owned(length)).await;
        let Ok(Ok(room)) = room else { return Err(StatusCode::SERVICE_UNAVAILABLE) };
        // Into its room at once. Collecting the parts first would take twice as much.
        let mut bytes = Vec::with_capacity(length as usize);
        let mut body = pin!(body);
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.map_err(|_| StatusCode::BAD_REQUEST)?.into_data() {
                bytes.extend_from_slice(&data);
            }
        }
        Ok(Read { bytes, _room: room })
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::stream;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    fn full(length: usize) -> Full<Bytes> {
        Full::new(vec![0; length].into())
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_share_a_bound_and_each_has_one() {
        let bodies = Bodies::default();
        assert_eq!(bodies.read(full(3)).await.unwrap().bytes.len(), 3);
        assert_eq!(bodies.read(full(MAX_BODY + 1)).await.err(), Some(StatusCode::PAYLOAD_TOO_LARGE));
        let endless = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        assert_eq!(bodies.read(endless).await.err(), Some(StatusCode::LENGTH_REQUIRED));
        let mut held = Vec::new();
        for _ in 0..MAX_BYTES / MAX_BODY {
            held.push(bodies.read(full(MAX_BODY)).await.unwrap());
        }
        assert_eq!(bodies.read(full(1)).await.err(), Some(StatusCode::SERVICE_UNAVAILABLE));
        let (read, ()) = tokio::join!(bodies.read(full(1)), async { drop(held) });
        assert!(read.is_ok(), "room that comes in time is used");
    }
}
