//! The steps of the walk: each is one write, or one failure with the writes during it.

use anyhow::{Context, Result, ensure};
use contract::replicas::v1;
use fastrand::Rng;
use jiff::Timestamp;
use kube::{Api, Client, api::DynamicObject};
use replica_count_manager::resources::ReplicaCount;
use tokio::time::Instant;

use super::{
    autoscalers::scales,
    forms::Form,
    model::{ExpectedOverride, Held, instant},
    outages::Servers,
    policies,
    target::{Admission, Target},
};
use support::Namespace;

/// The user of the tests' client certificate.
pub(super) const USER: &str = "admin";

/// The targets of each kind of admission and of each form. There are so many that few of them drift ten times in a
/// minute.
const TARGETS: [(&str, usize, Admission, Form); 6] = [
    ("plain", 7, Admission::Allows, Form::Deployment),
    ("pods", 2, Admission::Allows, Form::WithPods),
    ("raised", 1, Admission::Raises, Form::Deployment),
    ("refused", 1, Admission::Refuses, Form::Deployment),
    ("set", 2, Admission::Allows, Form::StatefulSet),
    ("widget", 2, Admission::Allows, Form::Widget),
];

/// How long an override lasts at most whose end the walk waits for, in seconds.
const SHORT: i64 = 3;

/// An Event that a step causes, by its target, its reason, and the beginning and the end of its note.
#[derive(Clone, Debug)]
pub(super) struct ExpectedNote {
    pub(super) target: String,
    pub(super) reason: &'static str,
    pub(super) begin: String,
    pub(super) end: String,
}

/// What a step did.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) what: String,
    pub(super) events: Vec<ExpectedNote>,
    /// When the override of this step ends, if the walk waits for it.
    pub(super) ends: Option<Instant>,
    pub(super) target: usize,
}

/// A walk, and what it expects.
pub(super) struct Walk<'a> {
    pub(super) shop: &'a Namespace<'a>,
    pub(super) rng: Rng,
    pub(super) targets: Vec<Target>,
    pub(super) servers: Servers,
    pub(super) client: Client,
    pub(super) counts: Api<ReplicaCount>,
    /// The targets of each kind.
    pub(super) kinds: Vec<Api<DynamicObject>>,
    /// How many states no replica watched.
    pub(super) unseen: usize,
}

impl<'a> Walk<'a> {
    /// Creates the targets, none of which is managed.
    pub(super) async fn new(shop: &'a Namespace<'a>, rng: Rng) -> Result<Self> {
        let raises = policies::create(shop).await?;
        Form::create_widgets(shop).await?;
        let mut targets = Vec::new();
        for (prefix, number, admission, form) in TARGETS {
            let admission = if admission == Admission::Raises && !raises { Admission::Allows } else { admission };
            for index in 0..number {
                let resource = form.resource(&shop.name);
                targets.push(Target::new(format!("{prefix}-{index}"), admission, form, resource, 3));
            }
        }
        let client = shop.cluster.control_plane.client().await?;
        let kinds =
            Form::KINDS.map(|form| Api::namespaced_with(client.clone(), &shop.name, &form.resource(&shop.name)));
        let walk = Self {
            shop,
            rng,
            targets,
            servers: Servers::find(shop.cluster).await?,
            counts: Api::namespaced(client.clone(), &shop.name),
            client,
            kinds: kinds.into(),
            unseen: 0,
        };
        for (index, target) in walk.targets.iter().enumerate() {
            walk.create(index, target.observed).await?;
        }
        Ok(walk)
    }

    /// Makes one step.
    pub(super) async fn step(&mut self, number: usize) -> Result<Done> {
        if number % 50 == 25 {
            return self.change_unseen().await;
        }
        if number % 60 == 40 {
            return self.lose_leader().await;
        }
        if number % 100 == 90 {
            return self.restart().await;
        }
        loop {
            let index = self.rng.usize(..self.targets.len());
            let is_managed = self.targets[index].held.is_some();
            let done = match self.rng.u32(..21) {
                0..=4 => self.set(index).await?,
                5..=6 => self.set_override(index).await?,
                7 if is_managed => self.unset(index).await?,
                8..=13 => self.scale(index).await?,
                14..=15 => self.apply(index).await?,
                16 => self.recreate(index).await?,
                17..=18 if is_managed => self.edit(index).await?,
                19 if is_managed => self.edit_reason(index).await?,
                20 => self.autoscale(index).await?,
                _ => None,
            };
            if let Some(done) = done {
                return Ok(done);
            }
        }
    }

    /// The objects of a target's kind.
    pub(super) fn api(&self, index: usize) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.shop.name, &self.targets[index].resource)
    }

    /// What the walk expects after the end of the step's override.
    pub(super) fn end_override(&mut self, done: &Done) -> Result<Vec<ExpectedNote>> {
        let target = &mut self.targets[done.target];
        let held = target.held.as_mut().context("it is not managed")?;
        let over = held.over.as_ref().context("there is no override")?;
        if over.then_unset {
            let event = ended(target, &format!("left at {}", target.observed));
            target.held = None;
            return Ok(event.into_iter().collect());
        }
        held.end_override();
        target.put_in_place();
        Ok(Vec::new())
    }

    /// A count that is not the present one and not the desired one.
    pub(super) fn count(&mut self, target: usize, least: i32) -> i32 {
        loop {
            let count = self.rng.i32(least..=6);
            if count != self.targets[target].observed {
                return count;
            }
        }
    }

    pub(super) fn request(&self, target: usize) -> v1::SetReplicaCountRequest {
        let Target { name, resource, .. } = &self.targets[target];
        let target = v1::Target {
            namespace: self.shop.name.clone(),
            group: resource.group.clone(),
            kind: resource.kind.clone(),
            name: name.clone(),
        };
        v1::SetReplicaCountRequest { target: Some(target), ..Default::default() }
    }

    /// Sends a Set. It is refused if the target has an autoscaler, and then forced.
    async fn send(&mut self, index: usize, request: v1::SetReplicaCountRequest, replica: usize) -> Result<()> {
        let client = &mut self.servers.clients[replica];
        let answer = client.set_replica_count(request.clone()).await;
        let Some(autoscaler) = self.targets[index].autoscaled_by() else {
            answer?;
            return Ok(());
        };
        let refusal = answer.err().with_context(|| format!("the Set should be refused: {autoscaler} is there"))?;
        ensure!(refusal.message().starts_with(&scales(autoscaler)), "{refusal}");
        client.set_replica_count(v1::SetReplicaCountRequest { force: true, ..request }).await?;
        Ok(())
    }

    /// Sets the lasting count, sometimes to the same again, through the leader or the other replica.
    async fn set(&mut self, index: usize) -> Result<Option<Done>> {
        let same = self.targets[index].held.as_ref().map(|held| held.replicas).filter(|_| self.rng.u32(..4) == 0);
        let count = match same {
            Some(count) => count,
            None => self.count(index, 1),
        };
        let reason = ["", "load", "night"][self.rng.usize(..3)];
        let replica = self.rng.usize(..2);
        self.set_through(index, count, reason, replica).await?;
        let what = format!("set {} to {count} for {reason:?}", self.targets[index].name);
        Ok(Some(Done { what, ..Done::default() }))
    }

    /// Sets the lasting count through one replica.
    pub(super) async fn set_through(&mut self, index: usize, count: i32, reason: &str, replica: usize) -> Result<()> {
        let request =
            v1::SetReplicaCountRequest { replicas: Some(count), reason: reason.to_owned(), ..self.request(index) };
        self.send(index, request, replica).await?;
        let target = &mut self.targets[index];
        let is_new = target.held.is_none();
        let held = target.held.get_or_insert_with(|| Held::new(target.observed));
        // The same count again keeps its reason, unless there is a new one.
        let is_same = !is_new && held.replicas == count;
        let kept = if is_same && reason.is_empty() { held.reason.clone() } else { reason.to_owned() };
        if !is_same {
            held.change_replicas((!is_new).then_some(held.replicas), count, USER, &kept);
        }
        held.clear_override(USER, if is_same { "the override was cleared" } else { &kept });
        if is_same && held.reason != kept {
            held.change_reason(USER, &kept);
        }
        target.put_in_place();
        Ok(())
    }

    async fn set_override(&mut self, index: usize) -> Result<Option<Done>> {
        let count = self.count(index, 1);
        if self.targets[index].held.as_ref().is_some_and(|held| held.replicas == count) {
            return Ok(None);
        }
        let (is_short, reason) = (self.rng.bool(), ["", "sale"][self.rng.usize(..2)]);
        let then_unset = is_short && self.rng.u32(..3) == 0;
        // Kubernetes stores whole seconds.
        let until = Timestamp::from_second(Timestamp::now().as_second() + if is_short { SHORT } else { 3600 })?;
        let end = prost_types::Timestamp { seconds: until.as_second(), nanos: 0 };
        let request = v1::SetReplicaCountRequest {
            replicas: Some(count),
            reason: reason.to_owned(),
            until: Some(end),
            then_unset,
            ..self.request(index)
        };
        let replica = self.rng.usize(..2);
        self.send(index, request, replica).await?;
        let target = &mut self.targets[index];
        let is_new = target.held.is_none();
        let held = target.held.get_or_insert_with(|| Held::new(target.observed));
        if is_new {
            held.change_replicas(None, target.observed, USER, "");
        }
        // The same count again keeps its reason here too.
        let known = held.over.as_ref().filter(|over| over.replicas == count && reason.is_empty());
        let reason = known.map_or(reason.to_owned(), |over| over.reason.clone());
        held.change_override(ExpectedOverride { replicas: count, until, reason, then_unset }, USER);
        target.put_in_place();
        let what = format!("set {} to {count} until {until}, then unset: {then_unset}", target.name);
        let ends = is_short.then(|| instant(until));
        Ok(Some(Done { what, ends, target: index, ..Done::default() }))
    }

    async fn unset(&mut self, index: usize) -> Result<Option<Done>> {
        let restore = self.rng.bool();
        // To restore the count of before is against an autoscaler.
        let force = self.targets[index].autoscaled_by().is_some();
        let request =
            v1::UnsetReplicaCountRequest { target: self.request(index).target, restore, force, ..Default::default() };
        let replica = self.rng.usize(..2);
        let target = &mut self.targets[index];
        let original = target.held.as_ref().context("it is not managed")?.original;
        let answer = self.servers.clients[replica].unset_replica_count(request).await?.into_inner();
        let stored = target.stored(original);
        let end =
            if restore { format!("put back to {stored} for {USER}") } else { format!("left at {}", target.observed) };
        let event = ended(target, &end);
        target.held = None;
        if restore {
            ensure!(answer.restored == Some(stored), "the answer says {answer:?}, and {stored} is stored");
            target.observed = stored;
        }
        let what = format!("unset {}, restore: {restore}", target.name);
        Ok(Some(Done { what, events: event.into_iter().collect(), ..Done::default() }))
    }
}

/// The Event about the end of a target's management.
fn ended(target: &Target, end: &str) -> Option<ExpectedNote> {
    let desired = target.held.as_ref()?.desired();
    let begin = format!("the replica count is no longer held at {desired}");
    Some(ExpectedNote { target: target.name.clone(), reason: "Unmanaged", begin, end: end.to_owned() })
}
