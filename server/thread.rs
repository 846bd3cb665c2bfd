//! Threads apart from those that serve calls.

use std::{convert::Infallible, future, io, thread};

use tokio::runtime::{Builder, Handle};

/// Starts a thread that runs tasks, by itself and until the process ends.
///
/// What enforces has one: no call, handshake or large list delays it there, and its tasks, which hand work to each other
/// all the time, wake no other threads to do so.
///
/// # Errors
///
/// When the system has no thread to give.
pub fn start(name: &str) -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new().name(name.to_owned()).spawn(move || runtime.block_on(future::pending::<Infallible>()))?;
    Ok(handle)
}
