//! Losses of the leader and of all replicas, with writes while they are away.

use anyhow::{Context, Result, ensure};
use cluster::{run, wait};
use contract::replicas::v1::replicas_service_client::ReplicasServiceClient;
use tonic::transport::Channel;

use super::{
    steps::{Done, Walk},
    target::{Admission, LEAST},
    writes::drifted,
};
use support::{
    PATIENCE, Server, TestCluster, release,
    two_replicas::{client_of, is_leader, leader_and_standby},
};

/// The most targets that are changed while nobody watches.
const UNSEEN_AT_ONCE: usize = 10;

/// The two replicas.
pub(super) struct Servers {
    pub(super) leader: Server,
    pub(super) standby: Server,
    /// Clients of the leader and of the other replica.
    pub(super) clients: [ReplicasServiceClient<Channel>; 2],
}

impl Servers {
    /// Waits until one of two ready replicas leads.
    pub(super) async fn find(cluster: &TestCluster) -> Result<Self> {
        let (leader, standby) = leader_and_standby(cluster).await?;
        let clients = [client_of(cluster, &leader)?, client_of(cluster, &standby)?];
        Ok(Self { leader, standby, clients })
    }
}

impl Walk<'_> {
    /// Deletes the Lease, so that the next leader does not wait until it has run out.
    async fn free_lease(&self) -> Result<()> {
        let delete = ["delete", "lease", release::NAME, "--namespace", release::NAME];
        run(self.shop.cluster.kubectl().args(delete)).await.map(drop)
    }

    /// Waits for the next leader, which has another process.
    async fn find_servers(&mut self, gone: &[u32]) -> Result<()> {
        self.servers = wait::until("other processes", PATIENCE, async || {
            let servers = Servers::find(self.shop.cluster).await?;
            let pids = [servers.leader.process.pid()?, servers.standby.process.pid()?];
            ensure!(pids.iter().all(|pid| !gone.contains(pid)), "one is still there");
            Ok(servers)
        })
        .await?;
        Ok(())
    }

    fn lose_contention(&mut self) {
        for target in &mut self.targets {
            let is_autoscaled = target.autoscaled_by().is_some();
            if let Some(held) = &mut target.held {
                held.contention.lose_leader(is_autoscaled);
            }
        }
    }

    /// Takes the leader away, and writes to some targets before the other replica leads, which watches.
    pub(super) async fn lose_leader(&mut self) -> Result<Done> {
        let gone = self.servers.leader.process.pid()?;
        // A killed one would start again within moments, and might lead again without having watched.
        self.servers.leader.process.pause()?;
        self.lose_contention();
        let mut done = Done { what: "lose the leader".to_owned(), ..Done::default() };
        let mut indices: Vec<_> = (0..self.targets.len()).collect();
        self.rng.shuffle(&mut indices);
        for &index in indices.iter().take(4) {
            let (sets, observed) = (self.rng.u32(..4), self.targets[index].observed);
            for set in 0..sets {
                let count = self.rng.i32(1..=6);
                self.set_through(index, count, ["", "away"][usize::from(set % 2 == 0)], 1).await?;
                done.what += &format!(", set {} to {count}", self.targets[index].name);
            }
            // The next leader puts only the last of them in place.
            self.targets[index].observed = observed;
            self.targets[index].put_in_place();
        }
        for &index in indices.iter().skip(4).take(2) {
            let count = self.rng.i32(5..=6);
            let target = &self.targets[index];
            if target.held.is_some() && target.can_drift_to(count) {
                self.scale_target(index, count, "blue").await?;
                let drifted = drifted(&mut self.targets[index], "blue", count, "scale by blue");
                done.what += &format!(", {}", drifted.what);
                done.events.extend(drifted.events);
            }
        }
        self.free_lease().await?;
        wait::until("the other replica to lead", PATIENCE, async || {
            ensure!(is_leader(&self.servers.standby).await?, "it does not yet");
            Ok(())
        })
        .await?;
        self.servers.leader.process.kill()?;
        self.find_servers(&[gone]).await?;
        Ok(done)
    }

    /// Changes ReplicaCounts several times while both replicas are paused, and kills both.
    pub(super) async fn change_unseen(&mut self) -> Result<Done> {
        let processes = [&self.servers.leader.process, &self.servers.standby.process];
        let gone = [processes[0].pid()?, processes[1].pid()?];
        processes.iter().try_for_each(|process| process.pause())?;
        let mut indices: Vec<_> = (0..self.targets.len()).filter(|index| self.targets[*index].held.is_some()).collect();
        self.rng.shuffle(&mut indices);
        indices.truncate(UNSEEN_AT_ONCE);
        let mut done = Done { what: "change unseen".to_owned(), ..Done::default() };
        for &index in &indices {
            let before = self.targets[index].held.as_ref().context("it is managed")?.replicas;
            let [one, other] = other_counts(before, self.targets[index].admission);
            for count in [one, other] {
                self.edit_count(index, count, false).await?;
            }
            let target = &mut self.targets[index];
            if let Some(held) = &mut target.held {
                held.change_unseen(other);
            }
            target.put_in_place();
            done.what += &format!(", {} to {other}", self.targets[index].name);
        }
        self.unseen += indices.len();
        [&self.servers.leader.process, &self.servers.standby.process].iter().try_for_each(|process| process.kill())?;
        self.lose_contention();
        self.free_lease().await?;
        self.find_servers(&gone).await?;
        Ok(done)
    }

    /// Restarts one replica.
    pub(super) async fn restart(&mut self) -> Result<Done> {
        let is_leader = self.rng.bool();
        let server = if is_leader { &self.servers.leader } else { &self.servers.standby };
        let gone = server.process.pid()?;
        server.process.terminate()?;
        if is_leader {
            self.lose_contention();
        }
        self.find_servers(&[gone]).await?;
        Ok(Done { what: format!("restart a replica, the leader: {is_leader}"), ..Done::default() })
    }
}

/// Two different counts that are not this one, and that admission allows.
fn other_counts(before: i32, admission: Admission) -> [i32; 2] {
    let least = if admission == Admission::Raises { LEAST } else { 1 };
    let mut others = [least, 3, 5, 6].into_iter().filter(|count| *count != before);
    [others.next().unwrap_or(least), others.next().unwrap_or(least)]
}
