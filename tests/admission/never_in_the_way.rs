//! The webhooks are never in the way: whatever happens to the server, no write fails, and none waits longer than the API
//! server waits for the webhooks.

mod events;

use std::{cell::RefCell, time::Duration};

use anyhow::{Context, Result, ensure};
use cluster::Options;
use futures::future::try_join_all;
use tokio::time::{Instant, interval};

use super::ways::{Way, Written};
use support::{
    Namespace, TestCluster, admission, callers,
    manifests::{ReplicaCountManifest, Workload},
};

/// How long the API server waits for one webhook.
const TIMEOUT: Duration = Duration::from_secs(1);

/// What a write takes without webhooks, at most, on an idle machine.
const WITHOUT: Duration = Duration::from_millis(500);

/// The pause between two writes of one writer.
const PAUSE: Duration = Duration::from_millis(50);

/// Writers of one unmanaged Deployment each, and of one that is held.
const WRITES: [(&str, Way, u32); 4] = [
    // Through `/scale`, only the validating webhook is asked.
    ("scaled", Way::PatchScale, 1),
    // On the main resource, the mutating one may be asked twice, and then the validating one.
    ("patched", Way::Merge, 3),
    ("applied", Way::Apply, 3),
    // Its other counts are put back, or not stored at all. A patch that meets a correction is tried once more, and the
    // webhooks are called again.
    ("held", Way::Merge, 6),
];

/// The writes during one event.
#[derive(Debug, Default)]
struct Row {
    what: String,
    writes: usize,
    failures: Vec<String>,
    /// The longest write, by how many calls of webhooks a write may wait for.
    longest: [Duration; 7],
}

impl Row {
    fn check(&self, slack: Duration) -> Result<()> {
        ensure!(
            self.failures.is_empty(),
            "{}: {} writes failed: {:?}",
            self.what,
            self.failures.len(),
            self.failures.first()
        );
        ensure!(self.writes > 0, "{}: no write was made", self.what);
        for (calls, longest) in (0_u32..).zip(self.longest) {
            let bound = TIMEOUT * calls + slack;
            ensure!(longest <= bound, "{}: a write with {calls} webhooks took {longest:?}", self.what);
        }
        Ok(())
    }
}

/// A server with two replicas, and Deployments that are written all the time.
struct Scene {
    cluster: TestCluster,
    writers: Vec<(Written, Way, u32)>,
    rows: RefCell<Vec<Row>>,
}

impl Scene {
    async fn new() -> Result<Self> {
        let cluster = admission::start(Options::default(), "guard", &["--set=replicaCount=2"]).await?;
        callers::create_editors(&cluster).await?;
        let shop = Namespace::new(&cluster, "way").await?;
        let mut writers = Vec::new();
        for (name, way, calls) in WRITES {
            shop.create(&Workload::deployment(name).replicas(1).without_pods()).await?;
            let client = callers::editor(&cluster, &format!("writer-{name}")).await?;
            writers.push((Written::new(client, &shop.name, "Deployment", name), way, calls));
        }
        shop.kubectl_with(&["create", "--filename=-"], &ReplicaCountManifest::deployment("held").manifest()).await?;
        shop.wait_for_replica_count("deployment.held", "a guarded count", |count| {
            count["status"]["admission"] == "guarded"
        })
        .await?;
        Ok(Self { cluster, writers, rows: RefCell::default() })
    }

    /// Writes while something happens, and for a while afterwards.
    async fn during(&self, what: &str, lasting: Duration, event: impl Future<Output = Result<()>>) -> Result<()> {
        let row = RefCell::new(Row { what: what.to_owned(), ..Row::default() });
        let end = RefCell::new(None);
        let writes = try_join_all(self.writers.iter().map(|writer| self.write(writer, &row, &end)));
        let event = async {
            event.await.with_context(|| what.to_owned())?;
            *end.borrow_mut() = Some(Instant::now() + lasting);
            Ok(())
        };
        tokio::try_join!(writes, event)?;
        self.rows.borrow_mut().push(row.into_inner());
        Ok(())
    }

    async fn write(
        &self,
        (written, way, calls): &(Written, Way, u32),
        row: &RefCell<Row>,
        end: &RefCell<Option<Instant>>,
    ) -> Result<()> {
        let mut rounds = interval(PAUSE);
        for count in (2..4).cycle() {
            rounds.tick().await;
            if end.borrow().is_some_and(|end| end <= Instant::now()) {
                break;
            }
            let began = Instant::now();
            let answer = written.write(*way, count, "writer", false).await;
            let took = began.elapsed();
            let mut row = row.borrow_mut();
            row.writes += 1;
            let longest = &mut row.longest[*calls as usize];
            *longest = took.max(*longest);
            if let Err(error) = answer {
                row.failures.push(format!("{way:?} of {}: {error}", written.name));
            }
        }
        Ok(())
    }

    /// Prints the table, and checks each row.
    fn check(self, slack: Duration) -> Result<()> {
        let rows = self.rows.into_inner();
        println!("| what happens | writes | failed | longest through /scale | of an object | of a held object |");
        println!("|---|--:|--:|--:|--:|--:|");
        for Row { what, writes, failures, longest } in &rows {
            let [scale, object, held] = [longest[1], longest[3], longest[6]];
            println!("| {what} | {writes} | {} | {scale:.2?} | {object:.2?} | {held:.2?} |", failures.len());
        }
        rows.iter().try_for_each(|row| row.check(slack))
    }
}

#[tokio::test]
async fn no_write_fails_when_the_server_or_its_objects_are_gone() -> Result<()> {
    let (scene, lasting) = (Scene::new().await?, Duration::from_secs(1));
    scene.during("the leader is killed", lasting, scene.kill_leader()).await?;
    scene.during("all replicas are killed", lasting, scene.kill_all()).await?;
    scene.during("the CRD is deleted", lasting, scene.delete_definition()).await?;
    scene.during("the release is uninstalled", lasting, scene.uninstall()).await?;
    // Other tests run beside this one, so each write may take longer.
    scene.check(Duration::from_secs(10))
}

#[tokio::test]
#[ignore = "takes minutes, and compares times: make stress"]
async fn no_write_fails_or_waits_longer_than_for_the_webhooks_whatever_happens() -> Result<()> {
    let (scene, lasting) = (Scene::new().await?, Duration::from_secs(20));
    scene.during("nothing", lasting, async { Ok(()) }).await?;
    scene.during("the server is rolled out", lasting, scene.roll_out()).await?;
    scene.during("the leader is killed", lasting, scene.kill_leader()).await?;
    scene.during("all replicas are killed", lasting, scene.kill_all()).await?;
    scene.during("the leader is silent", lasting, scene.silence_leader(2 * lasting)).await?;
    scene.during("a replica without the Lease is asked", lasting, scene.ask_standby()).await?;
    scene.during("no process has the address", lasting, scene.lose_address()).await?;
    scene.during("the path in the webhooks is changed", lasting, scene.damage_webhooks()).await?;
    scene.during("the certificate is rotated", lasting, scene.rotate()).await?;
    scene.during("the CA is replaced", lasting, scene.replace_ca()).await?;
    scene.during("the CRD is deleted", lasting, scene.delete_definition()).await?;
    scene.during("the webhooks are deleted", lasting, scene.delete_webhooks()).await?;
    scene.during("the release is uninstalled", lasting, scene.uninstall()).await?;
    scene.check(WITHOUT)
}
