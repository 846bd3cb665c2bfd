//! Places for work, in all and per user, which are given out in the order of arrival.
//!
//! A [`Limiter`](super::limiter::Limiter) refuses at once. Here callers wait, so a burst is served and not refused.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Gives out places up to its limits.
#[derive(Debug)]
pub(crate) struct Places {
    all: Arc<Semaphore>,
    of_user: usize,
    /// The users that have places or wait for some, and some that had.
    users: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// Places of a user. Dropping them gives them back.
#[derive(Debug)]
pub(crate) struct Taken {
    _of_all: OwnedSemaphorePermit,
    _of_user: OwnedSemaphorePermit,
}

impl Places {
    /// Makes `all` places, of which one user gets at most `of_user`.
    pub(crate) fn new(all: usize, of_user: usize) -> Arc<Self> {
        Arc::new(Self { all: Arc::new(Semaphore::new(all)), of_user, users: Mutex::default() })
    }

    /// Takes an amount of places, or all of the user's if it is more. Returns `None` if they are not free in time.
    ///
    /// The user's own places come first: a user who waits for those takes nothing from the others.
    pub(crate) async fn take(&self, user: &str, amount: usize, within: Duration) -> Option<Taken> {
        let amount = u32::try_from(amount.min(self.of_user)).ok()?;
        let (all, own) = (self.all.clone(), self.semaphore_of(user));
        let take = async {
            // Semaphores that are never closed always give a place in the end.
            let _of_user = own.acquire_many_owned(amount).await.ok()?;
            Some(Taken { _of_all: all.acquire_many_owned(amount).await.ok()?, _of_user })
        };
        timeout(within, take).await.ok()?
    }

    fn semaphore_of(&self, user: &str) -> Arc<Semaphore> {
        let mut users = self.users.lock();
        if let Some(own) = users.get(user) {
            return own.clone();
        }
        users.retain(|_, own| Arc::strong_count(own) > 1);
        let own = Arc::new(Semaphore::new(self.of_user));
        users.insert(user.to_owned(), own.clone());
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn a_user_waits_for_its_own_places_and_leaves_some_to_others() {
        let places = Places::new(6, 4);
        let alice = places.take("alice", 100, WAIT).await.unwrap();
        assert!(places.take("alice", 1, WAIT).await.is_none(), "more than the user's share");
        let bob = places.take("bob", 2, WAIT).await.unwrap();
        assert!(places.take("carol", 1, WAIT).await.is_none(), "more than there are");
        let (waited, ()) = tokio::join!(places.take("alice", 4, WAIT), async { drop(alice) });
        assert!(waited.is_some(), "a place that becomes free in time is given out");
        drop((waited, bob));
        drop(places.take("dan", 1, WAIT).await.unwrap());
        assert_eq!(places.users.lock().len(), 1, "users without places are forgotten");
        assert_eq!(places.all.available_permits(), 6);
    }
}
