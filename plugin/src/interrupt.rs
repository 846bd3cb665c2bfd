//! Ctrl-C: a command stops, and says what it has done.

use std::future;

use tokio::{signal, sync::Notify};

use crate::error::Error;

/// Keeps a Ctrl-C until a part of the command asks for it.
static PRESSED: Notify = Notify::const_new();

/// Runs a command, and listens for Ctrl-C meanwhile.
pub(crate) async fn listen<T>(work: impl Future<Output = T>) -> T {
    let listen = async {
        // If the system reports no signals, Ctrl-C ends the process by itself.
        while signal::ctrl_c().await.is_ok() {
            PRESSED.notify_one();
        }
        future::pending().await
    };
    tokio::select! {
        biased;
        never = listen => never,
        result = work => result,
    }
}

/// Waits for the next Ctrl-C that no part of the command has seen.
pub(crate) async fn pressed() {
    PRESSED.notified().await;
}

/// Runs a watch until Ctrl-C, which is its usual end.
pub(crate) async fn guard_watch<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::select! {
        biased;
        result = work => result,
        () = pressed() => Err(Error::WatchInterrupted),
    }
}

/// Runs a part of a command until Ctrl-C. The account says what was done until then.
pub(crate) async fn guard<T>(account: &str, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::select! {
        biased;
        result = work => result,
        () = pressed() => Err(Error::Interrupted { account: account.to_owned() }),
    }
}
