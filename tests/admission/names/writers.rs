//! Users and service accounts that write counts in every way.

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use futures::{StreamExt, TryStreamExt, stream};
use kube::Client;

use super::truth::{Author, Truth, target};
use crate::admission::ways::{Way, Written, refusal};
use support::{Namespace, RefusingWebhook, callers};

/// How many writes are under way at once.
const WRITERS: usize = 16;

/// Of a hundred writes, so many are raced: two users write the same count at the same time.
const RACED: u32 = 10;

/// Of a hundred writes, before so many another user makes a dry run of the same count.
const DRY_RUNS: u32 = 5;

/// Of a hundred writes, before so many another webhook refuses a write of another user.
const REFUSED: u32 = 5;

/// The user whose writes another webhook refuses.
const REFUSED_USER: &str = "refused";

/// The first count that is written. Each target has each count once.
const FIRST: i32 = 10;

/// A user of the API server.
struct User {
    client: Client,
    author: Author,
}

/// The users. The webhook that refuses ends with them.
pub(super) struct Writers<'a> {
    shop: &'a Namespace<'a>,
    truth: &'a Truth,
    users: Vec<User>,
    refused: User,
    rng: Rng,
    _webhook: RefusingWebhook,
}

/// A planned write, and what comes before it or at the same time.
struct Planned {
    target: usize,
    count: i32,
    user: usize,
    way: Way,
    with: With,
}

enum With {
    Nothing,
    /// Another user writes the same count at the same time.
    Rival(usize, Way),
    /// Another user makes a dry run of the same count before.
    DryRun(usize, Way),
    /// Another webhook refuses another count before.
    Refused(i32, Way),
}

impl<'a> Writers<'a> {
    /// Prepares users: three quarters have certificates, and the rest are impersonated or service accounts.
    pub(super) async fn new(shop: &'a Namespace<'a>, truth: &'a Truth, number: usize, rng: Rng) -> Result<Self> {
        let mut users = Vec::new();
        for index in 0..number {
            let name = format!("user-{index}");
            let (client, user) = match index % 8 {
                6 => (callers::impersonated(shop.cluster, &name, &[callers::EDITORS]).await?, name),
                7 => callers::service_account(shop, &name).await?,
                _ => (callers::editor(shop.cluster, &name).await?, name),
            };
            users.push(User { client, author: Author { user, manager: format!("manager-{index}") } });
        }
        let author = Author { user: REFUSED_USER.to_owned(), manager: REFUSED_USER.to_owned() };
        let refused = User { client: callers::editor(shop.cluster, REFUSED_USER).await?, author };
        // The administrator who waits for the webhook is refused, too, but only this count.
        let condition =
            format!("request.userInfo.username == '{REFUSED_USER}' || object.?spec.?replicas.orValue(0) == 7");
        let webhook = RefusingWebhook::start(shop, &condition, "web-0", 7).await?;
        Ok(Self { shop, truth, users, refused, rng, _webhook: webhook })
    }

    /// Makes these many writes of the targets.
    pub(super) async fn write(&mut self, targets: &[String], writes: usize) -> Result<()> {
        let mut planned: Vec<_> = (0..writes).map(|number| self.plan(number, targets.len())).collect();
        // So that several users write one target at once, and meet conflicts.
        self.rng.shuffle(&mut planned);
        let this = &*self;
        stream::iter(planned.into_iter().map(|planned| this.make(targets, planned)))
            .buffer_unordered(WRITERS)
            .try_collect::<()>()
            .await
    }

    fn plan(&mut self, number: usize, targets: usize) -> Planned {
        let rng = &mut self.rng;
        // Two counts for each write: one of them is refused, if any.
        let count = FIRST + 2 * (number / targets) as i32;
        let user = rng.usize(..self.users.len());
        let other = (user + 1 + rng.usize(..self.users.len() - 1)) % self.users.len();
        let way = |rng: &mut Rng| Way::ALL[rng.usize(..Way::ALL.len())];
        let with = match rng.u32(..100) {
            chance if chance < RACED => With::Rival(other, way(rng)),
            chance if chance < RACED + DRY_RUNS => With::DryRun(other, way(rng)),
            chance if chance < RACED + DRY_RUNS + REFUSED => With::Refused(count + 1, way(rng)),
            _ => With::Nothing,
        };
        Planned { target: number % targets, count, user, way: way(rng), with }
    }

    async fn make(&self, targets: &[String], planned: Planned) -> Result<()> {
        let name = &targets[planned.target];
        let key = target(&self.shop.name, name);
        let write = async |user: &User, way: Way, count: i32, dry_run: bool| {
            let written = Written::new(user.client.clone(), &self.shop.name, "Deployment", name);
            let answer = written.write(way, count, &user.author.manager, dry_run).await;
            refusal(answer).with_context(|| format!("{way:?} of {name} to {count} by {}", user.author.user))
        };
        let accepted = async |user: &User, way: Way, dry_run: bool| {
            let refused = write(user, way, planned.count, dry_run).await?;
            ensure!(refused.is_none(), "{way:?} of {name} by {}: {refused:?}", user.author.user);
            Ok(())
        };
        let user = &self.users[planned.user];
        self.truth.note(&key, planned.count, user.author.clone());
        match planned.with {
            With::Nothing => {}
            With::Rival(rival, way) => {
                let rival = &self.users[rival];
                self.truth.note(&key, planned.count, rival.author.clone());
                tokio::try_join!(accepted(user, planned.way, false), accepted(rival, way, false))?;
                return Ok(());
            }
            With::DryRun(other, way) => accepted(&self.users[other], way, true).await?,
            With::Refused(count, way) => {
                ensure!(write(&self.refused, way, count, false).await?.is_some(), "{way:?} was not refused");
            }
        }
        accepted(user, planned.way, false).await
    }
}
