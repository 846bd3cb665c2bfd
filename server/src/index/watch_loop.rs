//! The loop that every watch runs. kube's `watcher` lists, watches, resumes after a failure, and lists again when the
//! API server no longer knows the resource version. The loop passes its events on, and decides what a failure means.

use std::{collections::BTreeSet, fmt, time::Duration};

use futures::{StreamExt, stream::BoxStream};
use kube::{
    Api,
    runtime::watcher::{self, Event, InitialListStrategy},
};
use serde::de::DeserializeOwned;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::{
    snapshot::Unavailable, store::Index, unreadable::UnreadableObjects, watch_backoff::with_pauses,
    watch_source::WatchSource,
};
use crate::{resources::reasons, telemetry};

/// The pause before a list that follows a watch that could not be resumed, so that an API server that resumes no watch is
/// not asked for lists without a pause.
const LIST_AGAIN: Duration = Duration::from_secs(5);

/// An object that can be watched.
pub(super) trait Object: kube::Resource + Clone + DeserializeOwned + fmt::Debug + Send + 'static {}

impl<K: kube::Resource + Clone + DeserializeOwned + fmt::Debug + Send + 'static> Object for K {}

/// Takes in the events of one watch.
pub(super) trait WatchHandler<K> {
    /// The key of an object.
    type Key: Ord;

    /// How to ask for lists. The default is object by object, which takes the least memory and time (Kubernetes
    /// enhancement 3157, on by default since 1.34). Such a list may be a moment old. If the API server cannot stream
    /// lists, they are read in pages.
    const LISTS: InitialListStrategy = InitialListStrategy::StreamingList;

    /// Begins a list. Returns the keys of all known objects.
    async fn begin_list(&mut self) -> BTreeSet<Self::Key>;

    /// Takes in the state of an object. `is_listed` means that it comes from a list, whose objects are not in the order
    /// of their versions. Returns the object's key, or `None` if the object cannot be used.
    fn apply(&mut self, object: K, is_listed: bool) -> Option<Self::Key>;

    /// Takes in the deletion of an object.
    fn delete(&mut self, object: K);

    /// Takes in a failure of the watch, which is tried again.
    fn fail(&mut self, _error: &str) {}

    /// Completes a list. `missing` are the keys of the known objects that the list does not contain.
    fn complete_list(&mut self, missing: BTreeSet<Self::Key>);

    /// The objects that cannot be read.
    fn unreadable(&self) -> &UnreadableObjects;
}

/// Watches until the API server refuses it, and returns why.
pub(super) async fn run<K: Object, H: WatchHandler<K>>(
    index: &Index,
    source: &WatchSource,
    api: Api<K>,
    mut handler: H,
) -> Unavailable {
    let mut missing = BTreeSet::new();
    let mut lists = H::LISTS;
    let mut is_listing = false;
    let mut events = watch(&api, lists.clone());
    while let Some(event) = next(&mut events, handler.unreadable()).await {
        match event {
            // kube's watcher begins again without an error when the API server ends a watch, even within a list.
            Ok(Event::Init) if is_listing => {
                index.watches.failed(source);
                warn!(%source, "the list took longer than a watch lasts, reading it in pages");
                (is_listing, lists) = (false, InitialListStrategy::ListWatch);
                events = watch(&api, lists.clone());
            }
            Ok(Event::Init) => {
                missing = handler.begin_list().await;
                is_listing = true;
            }
            Ok(Event::InitApply(object)) => {
                if let Some(key) = handler.apply(object, true) {
                    missing.remove(&key);
                }
            }
            Ok(Event::Apply(object)) => drop(handler.apply(object, false)),
            Ok(Event::Delete(object)) => handler.delete(object),
            Ok(Event::InitDone) => {
                handler.complete_list(std::mem::take(&mut missing));
                is_listing = false;
                index.sync_state.record_list(source);
                index.watches.listed(source);
                index.health.clear(source);
                info!(%source, "listed");
            }
            Err(error) if lists == InitialListStrategy::StreamingList && is_invalid(&error) => {
                debug!(%source, error = telemetry::chain(&error), "lists are not streamed, reading them in pages");
                lists = InitialListStrategy::ListWatch;
                events = watch(&api, lists.clone());
            }
            Err(error) => {
                index.watches.failed(source);
                if let Some(refusal) = refusal(&error) {
                    return refusal;
                }
                record_failure(index, source, &mut handler, &error);
                // A list that takes longer than a watch lasts is often cut off within an object, which is an error.
                if is_listing && lists == InitialListStrategy::StreamingList {
                    warn!(%source, "the list was cut off, reading it in pages");
                    lists = InitialListStrategy::ListWatch;
                    events = watch(&api, lists.clone());
                } else if cannot_resume(&error) {
                    sleep(LIST_AGAIN).await;
                    events = watch(&api, lists.clone());
                }
                is_listing = false;
            }
        }
    }
    ended()
}

/// The next event. While there is none, lines about unreadable objects that were left out are reported.
async fn next<E>(events: &mut BoxStream<'static, E>, unreadable: &UnreadableObjects) -> Option<E> {
    loop {
        tokio::select! {
            biased;
            event = events.next() => return event,
            () = unreadable.report_left_out() => {}
        }
    }
}

/// What a watch that has ended means for its kind. kube's watcher never ends.
fn ended() -> Unavailable {
    Unavailable { reason: reasons::WATCH_ENDED, message: "the watch has ended".to_owned() }
}

fn record_failure<K: Object>(
    index: &Index,
    source: &WatchSource,
    handler: &mut impl WatchHandler<K>,
    error: &watcher::Error,
) {
    index.sync_state.record_failure(source);
    let error = telemetry::chain(error);
    warn!(%source, error, "watch failed, trying again");
    index.health.record_failure(source, &error);
    handler.fail(&error);
}

/// The events of a watch that never ends.
fn watch<K: Object>(api: &Api<K>, lists: InitialListStrategy) -> BoxStream<'static, watcher::Result<Event<K>>> {
    let config = watcher::Config { initial_list_strategy: lists, ..watcher::Config::default() };
    with_pauses(watcher::watcher(api.clone(), config)).boxed()
}

/// Whether the API server refuses the request as invalid. An API server that cannot stream lists does so.
fn is_invalid(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if matches!(status.code, 400 | 422))
}

/// Whether the API server refuses to go on from the version at which the last watch has ended: it is too old, or not one
/// of its own. kube's watcher lists again if an event says so, but repeats a request that is refused with the same version
/// for ever.
fn cannot_resume(error: &watcher::Error) -> bool {
    let is_gone = matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 410);
    is_gone || is_invalid(error)
}

/// Why the API server refuses this watch until somebody changes a right or a definition. `None` for other errors.
fn refusal(error: &watcher::Error) -> Option<Unavailable> {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => status,
        _ => return None,
    };
    let reason = match status.code {
        403 => reasons::FORBIDDEN,
        404 => reasons::KIND_NOT_SERVED,
        _ => return None,
    };
    Some(Unavailable { reason, message: status.message.clone() })
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, sync::Arc};

    use futures::stream;
    use http_body_util::{BodyExt, Full, StreamBody};
    use hyper::{
        Request, Response,
        body::{Bytes, Frame},
    };
    use kube::{Client, client::Body};
    use parking_lot::Mutex;
    use serde_json::json;
    use tokio::time::timeout;

    use super::*;
    use crate::resources::{Lenient, ReplicaCount};

    /// Takes nothing in.
    struct Nothing(UnreadableObjects);

    impl WatchHandler<Lenient<ReplicaCount>> for Nothing {
        type Key = ();

        const LISTS: InitialListStrategy = InitialListStrategy::ListWatch;

        async fn begin_list(&mut self) -> BTreeSet<()> {
            BTreeSet::new()
        }

        fn apply(&mut self, _: Lenient<ReplicaCount>, _: bool) -> Option<()> {
            None
        }

        fn delete(&mut self, _: Lenient<ReplicaCount>) {}

        fn complete_list(&mut self, _: BTreeSet<()>) {}

        fn unreadable(&self) -> &UnreadableObjects {
            &self.0
        }
    }

    /// An API server whose lists are at the versions 1, 2 and so on. It refuses to watch from the first one with this
    /// status, and sends nothing in the watches that it opens. It notes the requests.
    fn api(refusal: u16, requests: &Arc<Mutex<Vec<&'static str>>>) -> Api<Lenient<ReplicaCount>> {
        let requests = requests.clone();
        let answer = tower::service_fn(move |request: Request<Body>| {
            let query = request.uri().query().unwrap_or_default().to_owned();
            let is_watch = query.contains("watch=");
            let mut requests = requests.lock();
            requests.push(if is_watch { "watch" } else { "list" });
            let lists = requests.iter().filter(|request| **request == "list").count();
            let (code, text) = if !is_watch {
                (200, json!({"metadata": {"resourceVersion": lists.to_string()}, "items": []}).to_string())
            } else if query.split('&').any(|word| word == "resourceVersion=1") {
                (refusal, json!({"status": "Failure", "message": "no", "reason": "x", "code": refusal}).to_string())
            } else {
                (200, String::new())
            };
            let body = if text.is_empty() {
                StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>()).boxed_unsync()
            } else {
                Full::new(Bytes::from(text)).boxed_unsync()
            };
            async move { Ok::<_, tower::BoxError>(Response::builder().status(code).body(body)?) }
        });
        Api::all(Client::new(answer, "default"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_cannot_be_resumed_begins_with_another_list() {
        for (name, refusal, expected) in [
            ("the version is too old", 410, "list watch list watch"),
            ("the version is not one of this API server", 400, "list watch list watch"),
            ("a busy API server", 503, "list watch watch watch"),
        ] {
            let requests = Arc::default();
            let (index, source, api) = (Index::default(), WatchSource::ReplicaCounts, api(refusal, &requests));
            let handler = Nothing(UnreadableObjects::new(source.clone(), index.watches.unreadable.clone()));
            let ended = timeout(2 * LIST_AGAIN, run(&index, &source, api, handler)).await;
            assert!(ended.is_err(), "{name}: it never ends");
            assert!(requests.lock().join(" ").starts_with(expected), "{name}: {:?}", requests.lock());
        }
    }

    #[test]
    fn a_watch_that_ends_has_a_reason() {
        assert_eq!(ended().reason, "WatchEnded");
    }
}
