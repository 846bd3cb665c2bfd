//! Threads beside those that serve calls.

use std::{convert::Infallible, future, io, thread};

use tokio::runtime::{Builder, Handle};

/// Starts a thread that runs tasks until the process ends.
///
/// Enforcement has such a thread: calls, handshakes and large lists delay it only at the lock of the index, and its
/// tasks pass work to each other without waking other threads.
///
/// # Errors
///
/// When the system has no thread to give, or no file descriptors for its events.
pub(crate) fn start(name: &str) -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new().name(name.to_owned()).spawn(move || runtime.block_on(future::pending::<Infallible>()))?;
    Ok(handle)
}
