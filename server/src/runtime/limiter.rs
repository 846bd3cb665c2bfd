//! Bounds how much of something is open at once, in all and per user, so that no user takes everything from the others.

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
    /// The amount of each user with a permit.
    per_user: HashMap<String, usize>,
}

/// The permission to have an amount open, for example one connection or 100 bytes. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Permit {
    limiter: Arc<Limiter>,
    user: String,
    amount: usize,
}

/// The limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Exhausted {
    #[error("{0} is the limit for all users together")]
    Total(usize),
    #[error("{0} is the limit for one user")]
    User(usize),
}

impl Limiter {
    /// A limiter whose gauge shows how many permits are out.
    pub(crate) fn new(limit: usize, limit_per_user: usize, gauge: Gauge) -> Arc<Self> {
        Arc::new(Self { limit, limit_per_user, open: Mutex::default(), gauge })
    }

    /// Gives a user a permit for one.
    ///
    /// # Errors
    ///
    /// When a limit is reached.
    pub(crate) fn acquire(self: &Arc<Self>, user: &str) -> Result<Permit, Exhausted> {
        self.acquire_many(user, 1)
    }

    /// Gives a user a permit for an amount.
    ///
    /// # Errors
    ///
    /// When it would exceed a limit.
    pub(crate) fn acquire_many(self: &Arc<Self>, user: &str, amount: usize) -> Result<Permit, Exhausted> {
        self.take(user, amount)?;
        Ok(Permit { limiter: self.clone(), user: user.to_owned(), amount })
    }

    fn take(&self, user: &str, amount: usize) -> Result<(), Exhausted> {
        let mut open = self.open.lock();
        if amount > self.limit.saturating_sub(open.total) {
            return Err(Exhausted::Total(self.limit));
        }
        let own = open.per_user.get(user).copied().unwrap_or(0);
        if amount > self.limit_per_user.saturating_sub(own) {
            return Err(Exhausted::User(self.limit_per_user));
        }
        match open.per_user.get_mut(user) {
            Some(own) => *own += amount,
            None => drop(open.per_user.insert(user.to_owned(), amount)),
        }
        open.total += amount;
        self.gauge.inc_by(i64::try_from(amount).unwrap_or(i64::MAX));
        Ok(())
    }
}

impl Permit {
    /// Adds an amount.
    ///
    /// # Errors
    ///
    /// When it would exceed a limit. The permit stays as it was.
    pub(crate) fn grow(&mut self, amount: usize) -> Result<(), Exhausted> {
        self.limiter.take(&self.user, amount)?;
        self.amount += amount;
        Ok(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.limiter.open.lock();
        open.total -= self.amount;
        self.limiter.gauge.dec_by(i64::try_from(self.amount).unwrap_or(i64::MAX));
        if let Some(own) = open.per_user.get_mut(&self.user) {
            *own -= self.amount;
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

    #[test]
    fn a_permit_grows_up_to_the_limits_and_gives_everything_back() {
        let limiter = Limiter::new(100, 60, Gauge::default());
        let mut alice = limiter.acquire_many("alice", 10).unwrap();
        assert_eq!(alice.grow(51), Err(Exhausted::User(60)));
        assert_eq!(alice.grow(usize::MAX), Err(Exhausted::Total(100)));
        alice.grow(50).unwrap();
        let mut bob = limiter.acquire_many("bob", 39).unwrap();
        assert_eq!((bob.grow(2), bob.grow(1)), (Err(Exhausted::Total(100)), Ok(())));
        assert_eq!(limiter.gauge.get(), 100);
        drop((alice, bob));
        let open = limiter.open.lock();
        assert_eq!((open.total, open.per_user.len(), limiter.gauge.get()), (0, 0, 0));
    }
}
