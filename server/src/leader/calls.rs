//! Calls to the API server about the Lease, each with a deadline.

use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api,
    api::{WatchEvent, WatchParams},
};
use tokio::time::{sleep, timeout};

use super::lease::RETRY;
use crate::resources::{Lenient, Unreadable};

/// The longest time of one call: half of `RENEW_DEADLINE`, so that a call that hangs leaves time for another.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the API server keeps one watch of the Lease open, in seconds. Then the elector watches again.
const WATCH_SECONDS: u32 = 60;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("no answer within {CALL_TIMEOUT:?}")]
    Timeout,
    #[error(transparent)]
    Api(#[from] kube::Error),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

/// Bounds the time of a call.
pub(super) async fn call<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Failure> {
    timeout(CALL_TIMEOUT, call).await.map_err(|_| Failure::Timeout)?.map_err(Failure::Api)
}

/// Reads the Lease; `None` if there is none.
pub(super) async fn get(leases: &Api<Lenient<Lease>>, name: &str) -> Result<Option<Lease>, Failure> {
    Ok(call(leases.get_opt(name)).await?.map(Lenient::read).transpose()?)
}

/// The changes of the Lease, while it can be watched; `None` if it was deleted. The election also works without them,
/// by attempts at intervals. With them, a hand-over takes no longer than an event, and the time of a holder that is
/// gone counts from its last renewal, not from the attempt that noticed it.
pub(super) fn changes(leases: Api<Lenient<Lease>>, name: String) -> impl Stream<Item = Option<Lease>> {
    let watches = stream::unfold(false, move |is_repeated| {
        let (leases, name) = (leases.clone(), name.clone());
        async move {
            if is_repeated {
                sleep(RETRY).await;
            }
            let params = WatchParams::default().fields(&format!("metadata.name={name}")).timeout(WATCH_SECONDS);
            // Version 0 begins with the current Lease.
            let events = call(leases.watch(&params, "0")).await.ok().map(StreamExt::boxed);
            Some((events.unwrap_or_else(|| stream::empty().boxed()), true))
        }
    });
    let changes = watches.flatten().filter_map(async |event| match event {
        Ok(WatchEvent::Added(lease) | WatchEvent::Modified(lease)) => lease.read().ok().map(Some),
        Ok(WatchEvent::Deleted(_)) => Some(None),
        Ok(WatchEvent::Bookmark(_) | WatchEvent::Error(_)) | Err(_) => None,
    });
    Box::pin(changes)
}
