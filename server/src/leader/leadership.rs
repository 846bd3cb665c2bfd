//! Whether this replica leads, and for how long. Writers depend on it; the elector publishes it.

use std::{
    future::{pending, poll_fn},
    pin::pin,
    task::Poll,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// A term as the elector has extended it so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holding {
    pub(super) term: u64,
    /// `None` if no other replica can lead.
    pub(super) until: Option<Instant>,
}

impl Holding {
    pub(super) fn is_valid(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }
}

/// Whether this replica leads, as it changes.
#[derive(Clone, Debug)]
pub struct Leadership {
    pub(super) holding: watch::Receiver<Option<Holding>>,
}

impl Leadership {
    /// The leadership of the only replica.
    pub(crate) fn sole() -> Self {
        let (_, holding) = watch::channel(Some(Holding { term: 0, until: None }));
        Self { holding }
    }

    /// Waits until this replica leads.
    pub(crate) async fn begins(&mut self) -> Term {
        loop {
            let holding = *self.holding.borrow_and_update();
            if let Some(holding) = holding.filter(Holding::is_valid) {
                return Term { number: holding.term, holding: self.holding.clone() };
            }
            if self.holding.changed().await.is_err() {
                // The elector has ended, so this replica never leads again.
                return pending().await;
            }
        }
    }
}

/// A time in which this replica leads. Once over, it stays over: the next one is another term.
#[derive(Clone, Debug)]
pub struct Term {
    number: u64,
    holding: watch::Receiver<Option<Holding>>,
}

impl Term {
    /// Whether the term lasts. It checks the clock, so a process that was suspended notices the end before it acts.
    pub(crate) fn holds(&self) -> bool {
        self.current().is_some()
    }

    fn current(&self) -> Option<Holding> {
        let holding = *self.holding.borrow();
        holding.filter(|holding| holding.term == self.number && holding.is_valid())
    }

    /// Waits until the term is over.
    pub(crate) async fn ends(&self) {
        let mut changes = self.holding.clone();
        loop {
            changes.mark_unchanged();
            let Some(holding) = self.current() else { return };
            let time_is_up = async {
                match holding.until {
                    Some(until) => sleep_until(until).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                Ok(()) = changes.changed() => {}
                () = time_is_up => {}
            }
        }
    }

    /// Runs work until it is done or the term is over. Then it drops the work, and returns `None`.
    pub(crate) async fn run<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.ends() => None,
            done = self.clone().guard(work) => Some(done),
        }
    }

    /// Runs work while the term lasts. After the term it takes no further step and never completes, so its caller must
    /// end with the term too.
    pub(crate) async fn guard<T>(self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|context| if self.holds() { work.as_mut().poll(context) } else { Poll::Pending }).await
    }
}
