//! Watches: a snapshot, a mark that it is complete, then changes.

use std::{
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use futures::{Stream, stream};
use jiff::Timestamp;
use prost::Message;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{error::Error, request::Filter, view};
use crate::{
    api::TargetKey,
    cache::{Cache, Seen},
    proto::replicas::v1::{Synced, WatchReplicaCountsResponse as Response, watch_replica_counts_response::Event},
};

struct Watch {
    filter: Filter,
    /// What the client has been shown, as hashes: most events change nothing that it sees.
    shown: HashMap<TargetKey, u64>,
    pending: VecDeque<Response>,
    events: Receiver<Seen>,
    stop: CancellationToken,
    ended: bool,
}

/// Starts a watch.
pub(super) fn watch(
    cache: &Arc<Cache>,
    filter: Filter,
    stop: CancellationToken,
) -> impl Stream<Item = Result<Response, Status>> + use<> {
    // Read first: the snapshot holds at least this.
    let synced = Synced { resource_version: cache.version().to_string() };
    let (snapshot, events) = cache.subscribe(filter.all_targets);
    let mut watch = Watch { filter, shown: HashMap::new(), pending: VecDeque::new(), events, stop, ended: false };
    snapshot.iter().for_each(|seen| watch.take(seen));
    watch.pending.push_back(Response { event: Some(Event::Synced(synced)) });
    stream::unfold(watch, |mut watch| async { watch.next().await.map(|item| (item, watch)) })
}

impl Watch {
    async fn next(&mut self) -> Option<Result<Response, Status>> {
        loop {
            if let Some(response) = self.pending.pop_front() {
                return Some(Ok(response));
            }
            if self.ended {
                return None;
            }
            let error = tokio::select! {
                () = self.stop.cancelled() => Error::Stopping,
                event = self.events.recv() => match event {
                    Ok(seen) => {
                        self.take(&seen);
                        continue;
                    }
                    Err(RecvError::Lagged(_)) => Error::TooSlow,
                    Err(RecvError::Closed) => Error::Stopping,
                },
            };
            self.ended = true;
            return Some(Err(error.into()));
        }
    }

    fn take(&mut self, seen: &Seen) {
        let exists = seen.count.is_some() || seen.target.is_some();
        if exists && self.filter.selects(seen) {
            let shown = view::replica_count(seen, Timestamp::now());
            let mut hasher = DefaultHasher::new();
            shown.encode_to_vec().hash(&mut hasher);
            let hash = hasher.finish();
            if self.shown.insert(seen.key.clone(), hash) != Some(hash) {
                self.pending.push_back(Response { event: Some(Event::Changed(Box::new(shown))) });
            }
        } else if self.shown.remove(&seen.key).is_some() {
            self.pending.push_back(Response { event: Some(Event::Removed(view::target(&seen.key))) });
        }
    }
}
