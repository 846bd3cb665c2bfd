//! Bounds how many lists are built at once, because each builds a large answer.

use std::{sync::Arc, time::Duration};

use tonic::Response;

use super::error::Error;
use crate::{
    runtime::places::{Places, Taken},
    tls::Identity,
};

/// The most bytes of a page: gRPC clients accept messages of 4 MiB, and a page takes about five times its bytes while
/// it is built.
pub(super) const MAX_PAGE_BYTES: usize = 1024 * 1024;

/// The most bytes of a list without pages: what clients of gRPC accept unless configured otherwise.
pub(super) const MAX_BYTES: usize = 4 * 1024 * 1024;

/// The most pages that are built at once, at 5 MiB each.
const MAX_PAGES: usize = 8;

/// The most of them for one user. A page of usual size takes milliseconds, so a burst of calls is served in turn.
const MAX_PAGES_OF_USER: usize = 4;

/// The longest wait for a place: many times as long as usual pages take.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);

/// The places of lists. Clones share them.
#[derive(Clone)]
pub(super) struct Lists(Arc<Places>);

/// The place of a list. It goes with the answer, as an extension, until the answer's bytes are counted.
#[derive(Clone)]
pub(super) struct ListPlace {
    _taken: Arc<Taken>,
}

impl Default for Lists {
    fn default() -> Self {
        Self(Places::new(MAX_PAGES, MAX_PAGES_OF_USER))
    }
}

impl Lists {
    /// Waits for the place of one page.
    pub(super) async fn page(&self, caller: &Identity) -> Result<ListPlace, Error> {
        self.take(caller, 1).await
    }

    /// Waits for the place of a list without pages: all places of the user, since such a list takes about 20 MiB.
    pub(super) async fn all_pages(&self, caller: &Identity) -> Result<ListPlace, Error> {
        self.take(caller, MAX_PAGES_OF_USER).await
    }

    async fn take(&self, caller: &Identity, places: usize) -> Result<ListPlace, Error> {
        let taken = self.0.take(&caller.user, places, QUEUE_TIMEOUT).await.ok_or(Error::TooManyLists)?;
        Ok(ListPlace { _taken: Arc::new(taken) })
    }
}

impl ListPlace {
    /// The answer that takes the place with it.
    pub(super) fn answer<T>(self, message: T) -> Response<T> {
        let mut response = Response::new(message);
        response.extensions_mut().insert(self);
        response
    }
}
