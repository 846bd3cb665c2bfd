//! Bounds how many of something are open at once, in all and per user, so that no user takes everything from the
//! others.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;

/// Gives out permits up to its limits.
#[derive(Debug)]
pub(crate) struct Limiter {
    limit: usize,
    limit_per_user: usize,
    open: Mutex<Open>,
    /// Shows how many permits are out.
    gauge: Gauge,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    /// Holds no user without a permit.
    per_user: HashMap<String, usize>,
}

/// The permission to have one open, for example one connection. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Permit {
    limiter: Arc<Limiter>,
    user: String,
}

/// The limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Exhausted {
    #[error("all users together have {0} open, which is the limit")]
    Total(usize),
    #[error("the user has {0} open, which is the limit per user")]
    User(usize),
}

impl Limiter {
    /// A limiter whose gauge shows how many permits are out.
    pub(crate) fn new(limit: usize, limit_per_user: usize, gauge: Gauge) -> Arc<Self> {
        Arc::new(Self { limit, limit_per_user, open: Mutex::default(), gauge })
    }

    /// Gives a permit to a user.
    ///
    /// # Errors
    ///
    /// When a limit is reached.
    pub(crate) fn acquire(self: &Arc<Self>, user: &str) -> Result<Permit, Exhausted> {
        let mut open = self.open.lock();
        if open.total >= self.limit {
            return Err(Exhausted::Total(self.limit));
        }
        let own = open.per_user.get(user).copied().unwrap_or(0);
        if own >= self.limit_per_user {
            return Err(Exhausted::User(self.limit_per_user));
        }
        open.per_user.insert(user.to_owned(), own + 1);
        open.total += 1;
        self.gauge.inc();
        Ok(Permit { limiter: self.clone(), user: user.to_owned() })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.limiter.open.lock();
        open.total -= 1;
        self.limiter.gauge.dec();
        if let Some(own) = open.per_user.get_mut(&self.user) {
            *own -= 1;
            if *own == 0 {
                open.per_user.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_leaves_some_to_the_others_and_all_leave_what_they_drop() {
        let gauge = Gauge::default();
        let limiter = Limiter::new(3, 2, gauge.clone());
        let first = limiter.acquire("alice").unwrap();
        let _second = limiter.acquire("alice").unwrap();
        assert_eq!(limiter.acquire("alice").unwrap_err(), Exhausted::User(2));
        let bob = limiter.acquire("bob").unwrap();
        assert_eq!(limiter.acquire("carol").unwrap_err(), Exhausted::Total(3));
        drop(first);
        drop(limiter.acquire("carol").unwrap());
        limiter.acquire("alice").unwrap();
        drop(bob);
        assert_eq!((limiter.open.lock().total, gauge.get()), (1, 1));
        assert_eq!(limiter.open.lock().per_user.len(), 1, "users without a permit are forgotten");
    }
}
