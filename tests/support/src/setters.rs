//! Programs that set counts all the time, whatever breaks, and know what was accepted.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use contract::replicas::v1::{self, replicas_service_client::ReplicasServiceClient};
use tokio::{sync::watch, task::JoinSet, time::interval};
use tonic::transport::Channel;

use super::{Namespace, PATIENCE};

/// How often a setter sets: often enough to be in the middle of one at any time, and not so often that a refused one,
/// which costs nothing, keeps the machine from starting the API server again.
const PACE: Duration = Duration::from_millis(20);

/// Setters of a Deployment each.
pub struct Setters<'a> {
    shop: &'a Namespace<'a>,
    tasks: JoinSet<(String, i32)>,
    stop: watch::Sender<bool>,
    accepted: watch::Sender<u32>,
}

impl<'a> Setters<'a> {
    /// Nobody yet.
    pub fn of(shop: &'a Namespace<'a>) -> Self {
        Self { shop, tasks: JoinSet::new(), stop: watch::Sender::new(false), accepted: watch::Sender::new(0) }
    }

    /// Begins to set a Deployment.
    pub fn set(&mut self, name: String, client: ReplicasServiceClient<Channel>) {
        let target = v1::Target { namespace: self.shop.name.clone(), name: name.clone(), ..Default::default() };
        let setting = keep_setting(client, target, self.stop.subscribe(), self.accepted.clone());
        self.tasks.spawn(async move { (name, setting.await) });
    }

    /// Waits until so many more Sets have been accepted.
    pub async fn accepted_more(&self, more: u32) -> Result<()> {
        let goal = *self.accepted.borrow() + more;
        let mut accepted = self.accepted.subscribe();
        let reached = tokio::time::timeout(PATIENCE, accepted.wait_for(|count| *count >= goal)).await;
        ensure!(reached.is_ok(), "no {more} further Sets were accepted");
        Ok(())
    }

    /// Stops, and waits until every count that was accepted last is in force.
    pub async fn hold(mut self) -> Result<()> {
        self.stop.send_replace(true);
        while let Some(setter) = self.tasks.join_next().await {
            let (name, accepted) = setter?;
            // A Set without an answer may have been stored, so the count can be a later one, but never an earlier.
            let count = self.shop.get(&format!("replicacount/deployment.{name}")).await?;
            let stored = count["spec"]["replicas"].as_i64().context("no count")?;
            ensure!(stored >= i64::from(accepted), "{name}: {accepted} was accepted, and {stored} is stored");
            self.shop.reaches(&format!("deployment/{name}"), stored).await?;
        }
        Ok(())
    }
}

/// Sets rising counts of one target until told to stop, and returns the last one that was accepted.
async fn keep_setting(
    mut client: ReplicasServiceClient<Channel>,
    target: v1::Target,
    stop: watch::Receiver<bool>,
    accepted: watch::Sender<u32>,
) -> i32 {
    let mut last = 0;
    let mut pace = interval(PACE);
    loop {
        pace.tick().await;
        if *stop.borrow() {
            return last;
        }
        let replicas = last + 1;
        let request =
            v1::SetReplicaCountRequest { target: Some(target.clone()), replicas: Some(replicas), ..Default::default() };
        if client.set_replica_count(request).await.is_ok() {
            last = replicas;
            accepted.send_modify(|count| *count += 1);
        }
    }
}
