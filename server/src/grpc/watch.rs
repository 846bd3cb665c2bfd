//! WatchReplicaCounts: a snapshot of the index, a mark that it is complete, then every change.
//!
//! A task of each watch reads the index in pages and sends on what the client does not have yet. It remembers nothing of
//! what it has sent: a change says what was before. So an open watch takes the same memory whatever it watches.

use std::{convert::Infallible, sync::Arc, time::Duration};

use contract::replicas::v1::{
    ReplicaCount, Synced, WatchReplicaCountsRequest, WatchReplicaCountsResponse as Response,
    watch_replica_counts_response::Event,
};
use futures::{Stream, stream};
use jiff::Timestamp;
use tokio::{
    sync::{
        broadcast::{Receiver, error::RecvError},
        mpsc,
    },
    task::{JoinSet, consume_budget},
    time::{Instant, MissedTickBehavior, interval_at},
};
use tonic::Status;

use super::{
    action::Action,
    authorizer::{OF_WATCH, STALE},
    backend::Backend,
    convert,
    error::Error,
    filter::Filter,
};
use crate::{
    index::{Change, TargetSnapshot},
    resources::TargetKey,
    tls::Identity,
};

/// How often the task checks that the caller may still watch: see [`OF_WATCH`].
const RECHECK: Duration = Duration::from_secs(6);

/// The most messages between the task and the client: about 150 bytes each, and the states of targets that they hold.
const MAX_UNREAD: usize = 16;

/// How long a client may read nothing while messages wait for it. It is the time that an answered ping may take, and it
/// gives a terminal that is scrolled back some time.
const STALLED: Duration = Duration::from_secs(30);

/// What the client does not have yet. It becomes a message when the client reads it.
enum Item {
    Changed(TargetSnapshot),
    Removed(TargetKey),
    Synced(Synced),
}

/// The task of a watch.
struct Watch {
    backend: Backend,
    caller: Arc<Identity>,
    filter: Filter,
    items: mpsc::Sender<Item>,
}

pub(super) async fn watch(
    backend: &Backend,
    caller: Arc<Identity>,
    request: WatchReplicaCountsRequest,
) -> Result<impl Stream<Item = Result<Response, Status>> + use<>, Error> {
    let mut filter = backend.validator.filter(request.namespace, &request.label_selector, request.all_targets)?;
    check_right(backend, &caller, &filter).await?;
    filter.kinds = backend.listable_kinds(OF_WATCH, &caller, &filter).await?;
    backend.ready_to_read(&request.min_resource_version).await?;
    let permit = backend.watches.acquire(&caller.user).map_err(Error::TooManyWatches)?;
    let (items, unread) = mpsc::channel(MAX_UNREAD);
    // The stream owns the task: dropping the set ends it.
    let mut task = JoinSet::new();
    task.spawn(Watch { backend: backend.clone(), caller, filter, items }.run());
    Ok(stream::unfold((unread, task, permit), |(mut unread, mut task, permit)| async move {
        let next = match unread.recv().await {
            Some(item) => Ok(Response { event: Some(item.into_event()) }),
            // The task has ended.
            None => match task.join_next().await? {
                Ok(error) => Err(Status::from(error)),
                Err(error) => Err(Status::internal(error.to_string())),
            },
        };
        Some((next, (unread, task, permit)))
    }))
}

async fn check_right(backend: &Backend, caller: &Arc<Identity>, filter: &Filter) -> Result<(), Error> {
    let watch = Action::on_replica_counts("watch", filter.namespace(), "");
    backend.authorizer.check_within(OF_WATCH, caller, watch).await
}

impl Watch {
    /// Sends until something ends the watch, and returns what.
    async fn run(self) -> Error {
        let ended = tokio::select! {
            ended = self.send_all() => ended,
            ended = self.keep_checking_rights() => ended,
            () = self.backend.stop.cancelled() => Err(Error::Stopping),
        };
        match ended {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    /// Sends the snapshot, the mark, then every change.
    ///
    /// The pages of the snapshot are read one after the other, each under a lock that the index needs for its changes.
    /// So a change concerns targets of an earlier page, and the client needs it; or of this page, which holds it if it
    /// is older than the page; or of a later page, which will hold it.
    async fn send_all(&self) -> Result<Infallible, Error> {
        let index = &self.backend.index;
        // Read before the snapshot, which therefore holds at least this version.
        let synced = Synced { resource_version: index.version().to_string() };
        let mut changes = index.changes();
        let mut sent: Option<TargetKey> = None;
        loop {
            let (page, older) = index.page_and_older_events(self.filter.scope(), sent.as_ref(), &changes);
            for snapshot in page.entries {
                consume_budget().await;
                if self.filter.selects(&snapshot) {
                    self.send(Item::Changed(snapshot)).await?;
                }
            }
            for _ in 0..older {
                let change = receive(&mut changes).await?;
                if sent.as_ref().is_some_and(|sent| change.after.key <= *sent) {
                    self.send_change(&change).await?;
                }
            }
            match page.next {
                Some(last) => sent = Some(last),
                None => break,
            }
        }
        self.send(Item::Synced(synced)).await?;
        loop {
            let change = receive(&mut changes).await?;
            self.send_change(&change).await?;
        }
    }

    async fn send_change(&self, change: &Change) -> Result<(), Error> {
        match item(&self.filter, change) {
            Some(item) => self.send(item).await,
            None => Ok(()),
        }
    }

    async fn send(&self, item: Item) -> Result<(), Error> {
        // The stream owns both the task and the receiver, so this one cannot be gone.
        self.items.send_timeout(item, STALLED).await.map_err(|_| Error::TooSlow)
    }

    /// Ends when the caller may no longer watch, or no longer list all kinds that it could list when the watch began,
    /// or when the API server has not confirmed it for a while.
    async fn keep_checking_rights(&self) -> Result<Infallible, Error> {
        let mut confirmed = Instant::now();
        let mut recheck = interval_at(confirmed + RECHECK, RECHECK);
        recheck.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            recheck.tick().await;
            match self.check_rights().await {
                Ok(()) => confirmed = Instant::now(),
                Err(error) if error.is_outage() && confirmed.elapsed() < STALE => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn check_rights(&self) -> Result<(), Error> {
        check_right(&self.backend, &self.caller, &self.filter).await?;
        let listable = self.backend.listable_kinds(OF_WATCH, &self.caller, &self.filter).await?;
        if self.filter.kinds.is_subset(&listable) { Ok(()) } else { Err(Error::RightsChanged) }
    }
}

async fn receive(changes: &mut Receiver<Arc<Change>>) -> Result<Arc<Change>, Error> {
    consume_budget().await;
    changes.recv().await.map_err(|error| match error {
        RecvError::Lagged(_) => Error::TooSlow,
        RecvError::Closed => Error::Stopping,
    })
}

/// What a change changes for the client, if anything: most changes of the index change nothing in a message.
fn item(filter: &Filter, change: &Change) -> Option<Item> {
    let (before, after) = (change.before(), &change.after);
    match (filter.selects(&before), filter.selects(after)) {
        (true, true) => {
            let now = Timestamp::now();
            is_changed(&before, after, now).then(|| Item::Changed(after.clone()))
        }
        (false, true) => Some(Item::Changed(after.clone())),
        (true, false) => Some(Item::Removed(after.key.clone())),
        (false, false) => None,
    }
}

/// Whether a message changes in more than the version of the target, which changes with every field of the target.
fn is_changed(before: &TargetSnapshot, after: &TargetSnapshot, now: Timestamp) -> bool {
    let message =
        |snapshot| ReplicaCount { target_resource_version: String::new(), ..convert::replica_count(snapshot, now) };
    message(before) != message(after)
}

impl Item {
    fn into_event(self) -> Event {
        match self {
            Self::Changed(snapshot) => Event::Changed(Box::new(convert::replica_count(&snapshot, Timestamp::now()))),
            Self::Removed(key) => Event::Removed(convert::target(&key)),
            Self::Synced(synced) => Event::Synced(synced),
        }
    }
}

#[cfg(test)]
mod tests;
