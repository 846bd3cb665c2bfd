//! Elects the one replica that writes to targets and statuses, by a Lease of the API server. All replicas serve.
//!
//! [`elector`] gets and renews the Lease, and says so through a [`Leadership`]. Whoever writes waits for a [`Term`] there
//! and does nothing outside of it. The algorithm is that of client-go: a write of the Lease is conditional on the version
//! that was read; a holder stops ten seconds after it *sent* the last renewal that was stored; another waits until it has
//! seen no renewal for fifteen, by its own clock. So one has stopped before the next starts, whatever the network does
//! and whatever the clocks of the machines say. A write that is on its way when its term ends cannot be called back.

mod elector;
mod record;

use std::{
    future::{pending, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

use clap::Args;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

pub use self::elector::Elector;

/// How long others leave a Lease alone that they do not see renewed. These three are the defaults of Kubernetes' own
/// components: an API server that restarts costs no leader.
pub const LEASE_DURATION: Duration = Duration::from_secs(15);

/// How long a holder acts after it sent the last renewal that was stored. What is missing to [`LEASE_DURATION`] is for
/// writes that are under way, and for clocks that do not run alike.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);

/// The pause between two renewals, and the shortest between two attempts to get the Lease.
pub const RETRY: Duration = Duration::from_secs(2);

/// Whether and how to elect a leader.
#[derive(Args, Clone, Debug)]
pub struct LeaseArgs {
    /// Lease by which several replicas elect the one that corrects; empty means that this is the only one
    #[arg(long, env, default_value = "", hide_default_value = true, value_name = "NAME")]
    pub lease: String,
}

/// Since when and until when this replica leads.
#[derive(Clone, Copy, Debug)]
struct Holding {
    term: u64,
    /// `None` where nobody else could lead.
    until: Option<Instant>,
}

impl Holding {
    fn is_valid(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }
}

/// Whether this replica leads, as it changes.
#[derive(Clone, Debug)]
pub struct Leadership {
    state: watch::Receiver<Option<Holding>>,
}

impl Leadership {
    /// That of the only replica.
    pub fn sole() -> Self {
        let (_, state) = watch::channel(Some(Holding { term: 0, until: None }));
        Self { state }
    }

    /// Waits until this replica leads.
    pub async fn begins(&mut self) -> Term {
        loop {
            let holding = *self.state.borrow_and_update();
            if let Some(holding) = holding.filter(Holding::is_valid) {
                return Term { number: holding.term, state: self.state.clone() };
            }
            if self.state.changed().await.is_err() {
                // Without an elector nobody becomes the leader any more.
                return pending().await;
            }
        }
    }
}

/// A time in which this replica leads. Once over, it stays over: the next one is another term.
#[derive(Clone, Debug)]
pub struct Term {
    number: u64,
    state: watch::Receiver<Option<Holding>>,
}

impl Term {
    /// Whether it lasts. Looks at the clock: a process that was stopped for a while learns it before it acts.
    pub fn holds(&self) -> bool {
        self.state.borrow().is_some_and(|holding| holding.term == self.number && holding.is_valid())
    }

    /// Waits until it is over.
    pub async fn ends(&self) {
        let mut state = self.state.clone();
        loop {
            let holding = *state.borrow_and_update();
            let Some(holding) = holding.filter(|holding| holding.term == self.number && holding.is_valid()) else {
                return;
            };
            let time_is_up = async {
                match holding.until {
                    Some(until) => sleep_until(until).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                Ok(()) = state.changed() => {}
                () = time_is_up => {}
            }
        }
    }

    /// Runs work until it is done or the term is over: `None` then, with the work given up where it is.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.ends() => None,
            done = self.clone().guard(work) => Some(done),
        }
    }

    /// Does work for as long as the term lasts, and takes no step of it, nor ever ends, after that: whoever waits for it
    /// ends with the term.
    pub async fn guard<T>(self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|context| if self.holds() { work.as_mut().poll(context) } else { Poll::Pending }).await
    }
}

#[cfg(test)]
mod tests;
