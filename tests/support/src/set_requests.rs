//! Tasks that keep sending Sets while a test breaks things, and remember which Sets were accepted.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use contract::replicas::v1::{self, replicas_service_client::ReplicasServiceClient};
use tokio::{sync::watch, task::JoinSet, time::interval};
use tonic::transport::Channel;

use crate::{constants::PATIENCE, namespace::Namespace};

/// The interval of each task. It is short enough that a Set is nearly always in flight. It is long enough that Sets
/// that fail at once do not keep the machine from restarting the API server.
const INTERVAL: Duration = Duration::from_millis(20);

/// Tasks that each send Sets of one Deployment.
pub struct SetRequests<'a> {
    shop: &'a Namespace<'a>,
    tasks: JoinSet<(String, i32)>,
    stop: watch::Sender<bool>,
    accepted: watch::Sender<u32>,
}

impl<'a> SetRequests<'a> {
    /// Starts without a task.
    pub fn new(shop: &'a Namespace<'a>) -> Self {
        Self { shop, tasks: JoinSet::new(), stop: watch::Sender::new(false), accepted: watch::Sender::new(0) }
    }

    /// Starts a task for a Deployment.
    pub fn start(&mut self, name: String, client: ReplicasServiceClient<Channel>) {
        let target = v1::Target { namespace: self.shop.name.clone(), name: name.clone(), ..Default::default() };
        let task = keep_setting(client, target, self.stop.subscribe(), self.accepted.clone());
        self.tasks.spawn(async move { (name, task.await) });
    }

    /// Waits until this many more Sets are accepted.
    pub async fn wait_for_accepted(&self, more: u32) -> Result<()> {
        let goal = *self.accepted.borrow() + more;
        let mut accepted = self.accepted.subscribe();
        let reached = tokio::time::timeout(PATIENCE, accepted.wait_for(|count| *count >= goal)).await;
        ensure!(reached.is_ok(), "no {more} further Sets were accepted");
        Ok(())
    }

    /// Stops the tasks, and waits until every Deployment has the count of its last Set.
    pub async fn stop_and_verify(mut self) -> Result<()> {
        self.stop.send_replace(true);
        while let Some(task) = self.tasks.join_next().await {
            let (name, accepted) = task?;
            // A Set without an answer may have been stored. So the count can be later than the accepted one, never
            // earlier.
            let count = self.shop.get(&format!("replicacount/deployment.{name}")).await?;
            let stored = count["spec"]["replicas"].as_i64().context("no count")?;
            ensure!(stored >= i64::from(accepted), "{name}: {accepted} was accepted, and {stored} is stored");
            self.shop.wait_for_replicas(&format!("deployment/{name}"), stored).await?;
        }
        Ok(())
    }
}

/// Sets rising counts of one target until `stop` is set, and returns the last accepted count.
async fn keep_setting(
    mut client: ReplicasServiceClient<Channel>,
    target: v1::Target,
    stop: watch::Receiver<bool>,
    accepted: watch::Sender<u32>,
) -> i32 {
    let mut last = 0;
    let mut ticks = interval(INTERVAL);
    loop {
        ticks.tick().await;
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
