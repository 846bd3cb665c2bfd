//! Questions to the API server about rights: equal ones are asked once, only so many at a time, and their answers are
//! kept for a while.

use std::{collections::HashMap, pin::Pin, sync::Arc, time::Duration};

use futures::{FutureExt, future::WeakShared};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use super::{action::Action, error::Error};
use crate::{runtime::places::Places, tls::Identity};

/// The most answers that are kept usually, at about 400 bytes each.
const MAX_ANSWERS: usize = 4096;

/// One user has this part of the answers at most, so that no user displaces those about all others.
const PART_OF_USER: usize = 8;

/// The most bytes of a user's name and groups for which answers are kept. It is far above usual certificates. The
/// users beyond it share what one user may take.
const MAX_IDENTITY: usize = 4096;

/// The most reviews under way. Each has a connection, and corrections share the API server with them.
const MAX_REVIEWS: usize = 64;

/// The most reviews under way about one user, so that no user delays the calls of others.
const MAX_REVIEWS_OF_USER: usize = 16;

/// The longest wait for one of these places: 200 times as long as a usual review takes.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest wait for an answer: a quarter of the time that a Set or Unset may take.
const TIMEOUT: Duration = Duration::from_secs(5);

type Question = (Arc<Identity>, Action);

/// A review under way, which all calls with the same question share. It is cancelled when no call waits for it any more.
type Review = Pin<Box<dyn Future<Output = Result<Answer, Error>> + Send>>;

/// An answer of the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) allowed: bool,
    /// When it was asked for.
    pub(super) at: Instant,
}

/// The reviews under way, and the answers that are kept.
pub(super) struct Reviews {
    /// The most answers that are kept.
    most: usize,
    places: Arc<Places>,
    users: Mutex<HashMap<String, User>>,
}

/// What is known and asked about one user.
#[derive(Default)]
struct User {
    entries: HashMap<Question, Entry>,
}

#[derive(Default)]
struct Entry {
    known: Option<Answer>,
    asking: Option<WeakShared<Review>>,
}

impl Entry {
    /// Whether a review is under way, or its answer is younger than this.
    fn is_current(&self, age: Duration) -> bool {
        let is_under_way = self.asking.as_ref().is_some_and(|review| review.upgrade().is_some());
        is_under_way || self.known.is_some_and(|answer| answer.at.elapsed() < age)
    }
}

impl Default for Reviews {
    fn default() -> Self {
        Self::keeping(MAX_ANSWERS)
    }
}

impl Reviews {
    /// Keeps so many answers at most.
    pub(super) fn keeping(most: usize) -> Self {
        Self { most, places: Places::new(MAX_REVIEWS, MAX_REVIEWS_OF_USER), users: Mutex::default() }
    }

    /// Drops the answers that are older than this, and the names of their users.
    pub(super) fn forget(&self, older: Duration) {
        drop_old(&mut self.users.lock(), older);
    }

    /// Answers a question: by an answer that is not older than `fresh`, or else by a review, which `ask` makes.
    ///
    /// # Errors
    ///
    /// When there is no place for a review, or the API server does not answer it. The answer that is known, of
    /// whatever age, comes with the error.
    pub(super) async fn answer<F>(
        &self,
        caller: &Arc<Identity>,
        action: &Action,
        fresh: Duration,
        ask: impl FnOnce() -> F,
    ) -> Result<Answer, (Error, Option<Answer>)>
    where
        F: Future<Output = Result<bool, kube::Error>> + Send + 'static,
    {
        let (name, is_kept) = user_of(caller);
        let question = (caller.clone(), action.clone());
        let (review, known) = {
            let mut users = self.users.lock();
            make_room(&mut users, self.most, name, &question, fresh);
            let User { entries } = users.entry(name.to_owned()).or_default();
            let begin = || self.review(name.to_owned(), ask).shared();
            if is_kept {
                let entry = entries.entry(question.clone()).or_default();
                if let Some(answer) = entry.known.filter(|answer| answer.at.elapsed() < fresh) {
                    return Ok(answer);
                }
                let review = entry.asking.as_ref().and_then(WeakShared::upgrade).unwrap_or_else(begin);
                entry.asking = review.downgrade();
                (review, entry.known)
            } else {
                (begin(), None)
            }
        };
        let answer = review.await.map_err(|error| (error, known))?;
        if let Some(entry) = self.users.lock().get_mut(name).and_then(|user| user.entries.get_mut(&question)) {
            let is_newer = entry.known.is_none_or(|known| known.at < answer.at);
            entry.known = if is_newer { Some(answer) } else { entry.known };
        }
        Ok(answer)
    }

    fn review<F>(&self, user: String, ask: impl FnOnce() -> F) -> Review
    where
        F: Future<Output = Result<bool, kube::Error>> + Send + 'static,
    {
        let (places, ask) = (self.places.clone(), ask());
        Box::pin(async move {
            let _place = places.take(&user, 1, QUEUE_TIMEOUT).await.ok_or(Error::TooManyReviews)?;
            let at = Instant::now();
            match timeout(TIMEOUT, ask).await {
                Ok(Ok(allowed)) => Ok(Answer { allowed, at }),
                Ok(Err(error)) => Err(Error::from(error)),
                Err(_) => Err(Error::Unreachable(format!("no answer within {TIMEOUT:?}"))),
            }
        })
    }
}

/// The name under which a caller's answers are counted, and whether they are kept.
fn user_of(caller: &Identity) -> (&str, bool) {
    let bytes = caller.user.len() + caller.groups.iter().map(String::len).sum::<usize>();
    // No caller has an empty name: such a one is refused before.
    if bytes <= MAX_IDENTITY { (caller.user.as_str(), true) } else { ("", false) }
}

/// Makes room for a question that is not known yet: first by dropping answers that are too old, then by dropping all
/// of the user or of all users.
fn make_room(users: &mut HashMap<String, User>, most: usize, name: &str, question: &Question, fresh: Duration) {
    let user = users.get(name);
    if user.is_some_and(|user| user.entries.contains_key(question)) {
        return;
    }
    let most_of_user = most / PART_OF_USER;
    if user.is_some_and(|user| user.entries.len() >= most_of_user)
        && let Some(user) = users.get_mut(name)
    {
        user.entries.retain(|_, entry| entry.is_current(fresh));
        if user.entries.len() >= most_of_user {
            user.entries.clear();
        }
    }
    // A user without an answer is one entry more.
    let total = |users: &HashMap<String, User>| users.values().map(|user| user.entries.len().max(1)).sum::<usize>();
    if total(users) >= most {
        drop_old(users, fresh);
    }
    if total(users) >= most {
        users.values_mut().for_each(|user| user.entries.clear());
        users.retain(|_, user| !user.entries.is_empty());
    }
}

/// Drops the answers that are older than this. Reviews under way stay.
fn drop_old(users: &mut HashMap<String, User>, older: Duration) {
    users.values_mut().for_each(|user| user.entries.retain(|_, entry| entry.is_current(older)));
    users.retain(|_, user| !user.entries.is_empty());
}

#[cfg(test)]
mod tests;
