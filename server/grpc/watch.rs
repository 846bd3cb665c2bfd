//! Watches: a snapshot, a mark that it is complete, then changes.

use std::{
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use futures::{Stream, stream};
use jiff::Timestamp;
use prost::Message;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Interval, MissedTickBehavior, interval},
};
use tonic::Status;

use super::{authz::FRESH, error::Error, replicas::Replicas, request::Filter, view};
use crate::{
    api::TargetKey,
    cache::Seen,
    proto::replicas::v1::{Synced, WatchReplicaCountsResponse as Response, watch_replica_counts_response::Event},
    tls::Identity,
};

struct Watch {
    service: Replicas,
    who: Arc<Identity>,
    filter: Filter,
    /// What the client has been shown, as hashes: most events change nothing that it sees.
    shown: HashMap<TargetKey, u64>,
    pending: VecDeque<Response>,
    events: Receiver<Seen>,
    /// When to ask again whether the caller may watch.
    recheck: Interval,
    ended: bool,
}

/// Starts a watch by a caller who may watch what the filter selects.
pub(super) fn watch(
    service: Replicas,
    who: Arc<Identity>,
    filter: Filter,
) -> impl Stream<Item = Result<Response, Status>> + use<> {
    // Read first: the snapshot holds at least this.
    let synced = Synced { resource_version: service.cache.version().to_string() };
    let (snapshot, events) = service.cache.subscribe(filter.all_targets);
    let mut recheck = interval(FRESH);
    recheck.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (shown, pending) = (HashMap::new(), VecDeque::new());
    let mut watch = Watch { service, who, filter, shown, pending, events, recheck, ended: false };
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
                () = self.service.stop.cancelled() => Error::Stopping,
                _ = self.recheck.tick() => match self.service.recheck(&self.who, &self.filter).await {
                    Ok(()) => continue,
                    Err(error) => error,
                },
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
