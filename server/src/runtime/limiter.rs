//! How much of something there may be at once, in all and for one user: no user takes everything from the others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus_client::metrics::gauge::Gauge;

/// A quota, shared by reference.
#[derive(Debug)]
pub struct Limiter {
    total: usize,
    each: usize,
    used: Mutex<Used>,
    /// How much is used.
    gauge: Gauge,
}

#[derive(Debug, Default)]
struct Used {
    total: usize,
    /// Users without any are not kept.
    each: HashMap<String, usize>,
}

/// A part of a quota, which goes back when it is dropped.
#[derive(Debug)]
pub struct Permit {
    quota: Arc<Limiter>,
    user: String,
}

/// Whose part of a quota is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Exhausted {
    /// That of all users together.
    #[error("all users together have {0} open, the most there may be")]
    Total(usize),
    /// That of one user.
    #[error("the user has {0} open, the most that one may have")]
    User(usize),
}

impl Limiter {
    /// A quota of so many in all, and so many for each user, with a gauge that shows how much is used.
    pub fn new(total: usize, each: usize, gauge: Gauge) -> Arc<Self> {
        Arc::new(Self { total, each, used: Mutex::default(), gauge })
    }

    /// Takes one for a user.
    ///
    /// # Errors
    ///
    /// When there is none left, for anybody or for this user.
    pub fn take(self: &Arc<Self>, user: &str) -> Result<Permit, Exhausted> {
        let mut used = self.lock();
        if used.total >= self.total {
            return Err(Exhausted::Total(self.total));
        }
        let own = used.each.get(user).copied().unwrap_or(0);
        if own >= self.each {
            return Err(Exhausted::User(self.each));
        }
        used.each.insert(user.to_owned(), own + 1);
        used.total += 1;
        self.gauge.inc();
        Ok(Permit { quota: self.clone(), user: user.to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut used = self.quota.lock();
        used.total -= 1;
        self.quota.gauge.dec();
        if let Some(own) = used.each.get_mut(&self.user) {
            *own -= 1;
            if *own == 0 {
                used.each.remove(&self.user);
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
        let quota = Limiter::new(3, 2, gauge.clone());
        let first = quota.take("alice").unwrap();
        let _second = quota.take("alice").unwrap();
        assert_eq!(quota.take("alice").unwrap_err(), Exhausted::User(2));
        let bob = quota.take("bob").unwrap();
        assert_eq!(quota.take("carol").unwrap_err(), Exhausted::Total(3));
        drop(first);
        drop(quota.take("carol").unwrap());
        quota.take("alice").unwrap();
        drop(bob);
        assert_eq!((quota.lock().total, gauge.get()), (1, 1));
        assert_eq!(quota.lock().each.len(), 1, "users without any are forgotten");
    }
}
