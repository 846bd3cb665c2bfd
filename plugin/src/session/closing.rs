//! Closes the port-forwards before the program ends, so that the server need not find out that its client is gone.

use std::{sync::LazyLock, time::Duration};

use kube::api::Portforwarder;
use tokio::time;
use tokio_util::task::TaskTracker;

/// The time to send the end of TLS and of the port-forward. Sending takes less than a millisecond; nothing depends on
/// the answer, so that a command to a distant cluster need not wait for it.
const LIMIT: Duration = Duration::from_millis(10);

static FORWARDS: LazyLock<TaskTracker> = LazyLock::new(TaskTracker::new);

/// Remembers a port-forward until it is closed. It closes when its stream is dropped.
pub(super) fn remember(forward: Portforwarder) {
    FORWARDS.spawn(forward.join());
}

/// Waits until the port-forwards of dropped sessions are closed, for a short time.
pub(crate) async fn close() {
    FORWARDS.close();
    // Those that are still open end with the process.
    let _ = time::timeout(LIMIT, FORWARDS.wait()).await;
}
