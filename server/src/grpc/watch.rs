//! WatchReplicaCounts: a snapshot of the index, a mark that it is complete, then every change.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    vec,
};

use contract::replicas::v1::{
    Synced, WatchReplicaCountsRequest, WatchReplicaCountsResponse as Response, watch_replica_counts_response::Event,
};
use futures::{Stream, stream};
use jiff::Timestamp;
use prost::Message;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Interval, MissedTickBehavior, interval},
};
use tonic::Status;

use super::{action::Action, authorizer::FRESH, backend::Backend, convert, error::Error, filter::Filter};
use crate::{index::TargetSnapshot, resources::TargetKey, runtime::limiter::Permit, tls::Identity};

struct Watch {
    backend: Backend,
    caller: Arc<Identity>,
    filter: Filter,
    /// The rest of the snapshot. Its entries are converted one by one, so that a stalled reader holds one message only.
    snapshot: vec::IntoIter<TargetSnapshot>,
    synced: Option<Synced>,
    events: Receiver<TargetSnapshot>,
    /// Hashes of what the client has: most events of the index change nothing in a message.
    sent: HashMap<TargetKey, u64>,
    /// When to check again that the caller may watch.
    recheck: Interval,
    ended: bool,
    _permit: Permit,
}

pub(super) async fn watch(
    backend: &Backend,
    caller: Arc<Identity>,
    request: WatchReplicaCountsRequest,
) -> Result<impl Stream<Item = Result<Response, Status>> + use<>, Error> {
    let mut filter = backend.validator.filter(request.namespace, &request.label_selector, request.all_targets)?;
    check_right(backend, &caller, &filter).await?;
    filter.kinds = backend.listable_kinds(&caller, &filter).await?;
    backend.ready_to_read(&request.min_resource_version).await?;
    let permit = backend.watches.acquire(&caller.user).map_err(Error::TooManyWatches)?;
    Ok(start(backend.clone(), caller, filter, permit))
}

async fn check_right(backend: &Backend, caller: &Arc<Identity>, filter: &Filter) -> Result<(), Error> {
    backend.authorizer.check(caller, Action::on_replica_counts("watch", filter.namespace(), "")).await
}

fn start(
    backend: Backend,
    caller: Arc<Identity>,
    filter: Filter,
    permit: Permit,
) -> impl Stream<Item = Result<Response, Status>> + use<> {
    // Read before the snapshot, which therefore holds at least this version.
    let synced = Some(Synced { resource_version: backend.index.version().to_string() });
    let (snapshot, events) = backend.index.subscribe(filter.all_targets);
    let mut recheck = interval(FRESH);
    recheck.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watch = Watch {
        backend,
        caller,
        filter,
        snapshot: snapshot.into_iter(),
        synced,
        events,
        sent: HashMap::new(),
        recheck,
        ended: false,
        _permit: permit,
    };
    stream::unfold(watch, |mut watch| async { watch.next().await.map(|item| (item, watch)) })
}

impl Watch {
    async fn next(&mut self) -> Option<Result<Response, Status>> {
        while let Some(snapshot) = self.snapshot.next() {
            if let Some(response) = self.response(&snapshot) {
                return Some(Ok(response));
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
                () = self.backend.stop.cancelled() => Error::Stopping,
                _ = self.recheck.tick() => match self.check_rights().await {
                    Ok(()) => continue,
                    Err(error) => error,
                },
                event = self.events.recv() => match event {
                    Ok(snapshot) => match self.response(&snapshot) {
                        Some(response) => return Some(Ok(response)),
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

    /// Refuses a caller who may no longer watch, or no longer list all kinds that it could list when the watch began.
    async fn check_rights(&self) -> Result<(), Error> {
        match check_right(&self.backend, &self.caller, &self.filter).await {
            Err(denied @ Error::Denied(_)) => return Err(denied),
            // Rights cannot change while the API server is out of reach.
            Err(_) => return Ok(()),
            Ok(()) => {}
        }
        match self.backend.listable_kinds(&self.caller, &self.filter).await {
            Ok(listable) if !self.filter.kinds.is_subset(&listable) => Err(Error::RightsChanged),
            Err(denied @ Error::Denied(_)) => Err(denied),
            _ => Ok(()),
        }
    }

    /// What a snapshot of a target changes for the client, if anything.
    fn response(&mut self, snapshot: &TargetSnapshot) -> Option<Response> {
        let exists = snapshot.count.is_some() || snapshot.target.is_some();
        let event = if exists && self.filter.selects(snapshot) {
            let replica_count = convert::replica_count(snapshot, Timestamp::now());
            let mut hasher = DefaultHasher::new();
            replica_count.encode_to_vec().hash(&mut hasher);
            let hash = hasher.finish();
            if self.sent.insert(snapshot.key.clone(), hash) == Some(hash) {
                return None;
            }
            Event::Changed(Box::new(replica_count))
        } else {
            self.sent.remove(&snapshot.key)?;
            Event::Removed(convert::target(&snapshot.key))
        };
        Some(Response { event: Some(event) })
    }
}
