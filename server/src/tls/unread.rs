//! The answers of a connection that its peer has not read.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

/// The longest time until the peer has read an answer. The largest answer, a list of 4 MiB without pages, then needs
/// 70 KiB/s.
pub(super) const TIMEOUT: Duration = Duration::from_secs(60);

/// When the unread answers of a connection were made.
#[derive(Debug, Default)]
pub(crate) struct Unread(Mutex<Answers>);

#[derive(Debug, Default)]
struct Answers {
    next: u64,
    /// In the order in which they were made.
    made: BTreeMap<u64, Instant>,
}

/// An answer that is unread until this is dropped.
pub(crate) struct UnreadAnswer {
    unread: Arc<Unread>,
    number: u64,
}

impl Unread {
    /// Records an answer.
    pub(crate) fn begin(self: &Arc<Self>) -> UnreadAnswer {
        let mut answers = self.0.lock();
        let number = answers.next;
        answers.next += 1;
        answers.made.insert(number, Instant::now());
        UnreadAnswer { unread: self.clone(), number }
    }

    /// Whether an answer was not read in time.
    pub(super) fn is_too_old(&self) -> bool {
        self.0.lock().made.first_key_value().is_some_and(|(_, made)| made.elapsed() >= TIMEOUT)
    }
}

impl Drop for UnreadAnswer {
    fn drop(&mut self) {
        self.unread.0.lock().made.remove(&self.number);
    }
}
