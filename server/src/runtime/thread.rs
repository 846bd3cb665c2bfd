//! Threads apart from those that serve calls.

use std::{convert::Infallible, future, io, thread};

use tokio::runtime::{Builder, Handle};

/// Starts a thread that runs tasks, by itself and until the process ends.
///
/// What enforces has one: calls, handshakes and large lists do not delay it there, but for moments at the lock of the
/// cache, and its tasks hand work to each other without waking other threads.
///
/// # Errors
///
/// When the system has no thread to give, or no files for its events.
pub fn start(name: &str) -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new().name(name.to_owned()).spawn(move || runtime.block_on(future::pending::<Infallible>()))?;
    Ok(handle)
}
