//! Watches: a snapshot, a mark that it is complete, then changes.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    vec,
};

use futures::{Stream, stream};
use jiff::Timestamp;
use prost::Message;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Interval, MissedTickBehavior, interval},
};
use tonic::Status;

use super::{authz::FRESH, convert, error::Error, replicas::Replicas, request::Filter};
use crate::{index::TargetSnapshot, resources::TargetKey, runtime::limiter::Permit, tls::Identity};
use contract::replicas::v1::{Synced, WatchReplicaCountsResponse as Response, watch_replica_counts_response::Event};

struct Watch {
    service: Replicas,
    who: Arc<Identity>,
    filter: Filter,
    /// What is left of the snapshot. It becomes messages one by one: a reader that stalls holds no more than one.
    snapshot: vec::IntoIter<TargetSnapshot>,
    synced: Option<Synced>,
    events: Receiver<TargetSnapshot>,
    /// What the client has been shown, as hashes: most events change nothing that it sees.
    shown: HashMap<TargetKey, u64>,
    /// When to ask again whether the caller may watch.
    recheck: Interval,
    ended: bool,
    _share: Permit,
}

/// Starts a watch by a caller who may watch what the filter selects.
pub(super) fn watch(
    service: Replicas,
    who: Arc<Identity>,
    filter: Filter,
    share: Permit,
) -> impl Stream<Item = Result<Response, Status>> + use<> {
    // Read first: the snapshot holds at least this.
    let synced = Some(Synced { resource_version: service.index.version().to_string() });
    let (snapshot, events) = service.index.subscribe(filter.all_targets);
    let mut recheck = interval(FRESH);
    recheck.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (snapshot, shown) = (snapshot.into_iter(), HashMap::new());
    let watch = Watch { service, who, filter, snapshot, synced, events, shown, recheck, ended: false, _share: share };
    stream::unfold(watch, |mut watch| async { watch.next().await.map(|item| (item, watch)) })
}

impl Watch {
    async fn next(&mut self) -> Option<Result<Response, Status>> {
        while let Some(seen) = self.snapshot.next() {
            if let Some(event) = self.take(&seen) {
                return Some(Ok(event));
            }
        }
        if let Some(synced) = self.synced.take() {
            return Some(Ok(Response { event: Some(Event::Synced(synced)) }));
        }
        loop {
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
                    Ok(seen) => match self.take(&seen) {
                        Some(event) => return Some(Ok(event)),
                        None => continue,
                    },
                    Err(RecvError::Lagged(_)) => Error::TooSlow,
                    Err(RecvError::Closed) => Error::Stopping,
                },
            };
            self.ended = true;
            return Some(Err(error.into()));
        }
    }

    /// What an event changes for the client.
    fn take(&mut self, seen: &TargetSnapshot) -> Option<Response> {
        let exists = seen.count.is_some() || seen.target.is_some();
        let event = if exists && self.filter.selects(seen) {
            let shown = convert::replica_count(seen, Timestamp::now());
            let mut hasher = DefaultHasher::new();
            shown.encode_to_vec().hash(&mut hasher);
            let hash = hasher.finish();
            if self.shown.insert(seen.key.clone(), hash) == Some(hash) {
                return None;
            }
            Event::Changed(Box::new(shown))
        } else {
            self.shown.remove(&seen.key)?;
            Event::Removed(convert::target(&seen.key))
        };
        Some(Response { event: Some(event) })
    }
}
