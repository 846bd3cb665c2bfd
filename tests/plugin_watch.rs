//! `--watch` of the plugin: each change is a row, also when the pod that it talks to ends.

use std::{
    collections::BTreeSet,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use cluster::{Options, run, wait};
use futures::future::try_join_all;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use parking_lot::Mutex;
use replica_count_manager::resources::ReplicaCount;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::Child,
    task::JoinHandle,
    time::timeout,
};

use support::{
    Namespace, PATIENCE, TestCluster, outcome, release,
    two_replicas::{create_managed, leader_and_standby, start},
};

/// The notes about a connection that is lost, and that is back.
const LOST: &str = "warning: the watch is interrupted: ";
const BACK: &str = "the connection is back, and the watch goes on";

/// A run of the plugin that watches.
struct Watching {
    child: Child,
    stdout: Arc<Mutex<Vec<String>>>,
    stderr: Arc<Mutex<Vec<String>>>,
    readers: [JoinHandle<()>; 2],
}

/// Collects lines as they come.
fn collect(from: impl AsyncRead + Unpin + Send + 'static) -> (Arc<Mutex<Vec<String>>>, JoinHandle<()>) {
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let (collected, mut from) = (lines.clone(), BufReader::new(from).lines());
    let reader = tokio::spawn(async move {
        while let Ok(Some(line)) = from.next_line().await {
            collected.lock().push(line);
        }
    });
    (lines, reader)
}

impl Watching {
    /// Starts a command in a namespace, and waits for its first line.
    async fn start(shop: &Namespace<'_>, line: &str) -> Result<Self> {
        let mut plugin = shop.cluster.plugin();
        plugin.args(line.split(' ')).args(["--namespace", &shop.name]).kill_on_drop(true);
        let mut child = plugin.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (stdout, first) = collect(child.stdout.take().context("no standard output")?);
        let (stderr, second) = collect(child.stderr.take().context("no standard error")?);
        let watching = Self { child, stdout, stderr, readers: [first, second] };
        watching.wait_for_line("the first line", |_| true).await?;
        Ok(watching)
    }

    fn lines(&self) -> Vec<String> {
        self.stdout.lock().clone()
    }

    /// Waits for a line, and returns it.
    async fn wait_for_line(&self, what: &str, is_it: impl Fn(&str) -> bool) -> Result<String> {
        wait::until(what, PATIENCE, async || {
            let found = self.stdout.lock().iter().find(|line| is_it(line)).cloned();
            found.with_context(|| format!("there is none: {:?}, {:?}", self.stdout.lock(), self.stderr.lock()))
        })
        .await
    }

    /// The number of notes with this start.
    fn notes(&self, start: &str) -> usize {
        self.stderr.lock().iter().filter(|line| line.starts_with(start)).count()
    }

    async fn wait_for_notes(&self, start: &str, count: usize) -> Result<()> {
        wait::until(start, PATIENCE, async || {
            ensure!(self.notes(start) == count, "there are {}: {:?}", self.notes(start), self.stderr.lock());
            Ok(())
        })
        .await
    }

    /// The pod that it talks to: the last one that a port was forwarded to.
    fn pod(&self) -> Result<String> {
        let stderr = self.stderr.lock();
        let is_forward = |line: &&String| line.contains("/portforward?") && line.contains(" 101 ");
        let pod = stderr.iter().rfind(is_forward).and_then(|line| line.split("/pods/").nth(1)?.split('/').next());
        pod.map(str::to_owned).with_context(|| format!("no pod in {stderr:?}"))
    }

    /// Presses Ctrl-C, and returns the exit code.
    async fn interrupt(mut self, cluster: &TestCluster) -> Result<(Option<i32>, Vec<String>)> {
        let pid = self.child.id().context("it has ended")?.to_string();
        run(cluster.command("kill").args(["-INT", &pid])).await?;
        let code = timeout(PATIENCE, self.child.wait()).await??.code();
        try_join_all(self.readers).await?;
        Ok((code, self.stderr.lock().clone()))
    }
}

/// Starts a watch that does not talk to the leader: a leader that is killed has no successor for 15 s.
async fn start_at_standby(shop: &Namespace<'_>) -> Result<(Watching, String)> {
    let (_, standby) = leader_and_standby(shop.cluster).await?;
    wait::until("a watch through the standby", PATIENCE, async || {
        let watching = Watching::start(shop, "list -w -o json -v=6").await?;
        ensure!(watching.pod()? == standby.pod, "it talks to the leader");
        Ok((watching, standby.pod.clone()))
    })
    .await
}

/// Changes the count many times. Meanwhile, the pod that the plugin talks to is killed, and the next one is deleted.
async fn follow(changes: i64) -> Result<()> {
    let cluster = start(Options::default()).await?;
    let shop = Namespace::new(&cluster, "watched").await?;
    create_managed(&shop, &["web".to_owned()]).await?;
    let (watching, standby) = start_at_standby(&shop).await?;
    let counts: Api<ReplicaCount> = Api::namespaced(cluster.control_plane.client().await?, &shop.name);
    let set = async |range: std::ops::Range<i64>| {
        for replicas in range {
            let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
            counts.patch("deployment.web", &PatchParams::default(), &patch).await?;
        }
        anyhow::Ok(())
    };
    let third = changes / 3;
    set(2..third).await?;
    let servers = cluster.servers_in(release::NAME).await?;
    servers.iter().find(|server| server.pod == standby).context("the standby is gone")?.process.kill()?;
    set(third..third + 10).await?;
    watching.wait_for_notes(BACK, 1).await?;
    set(third + 10..2 * third).await?;
    let delete = ["delete", "pod", &watching.pod()?, "--wait=false", "--namespace", release::NAME];
    run(cluster.kubectl().args(delete)).await?;
    set(2 * third..2 * third + 10).await?;
    watching.wait_for_notes(BACK, 2).await?;
    set(2 * third + 10..changes + 1).await?;

    wait::until("the last row to equal the cluster", PATIENCE, async || {
        let last: Value = serde_json::from_str(&watching.lines().pop().context("no line")?)?;
        let stored = shop.get("replicacount/deployment.web").await?;
        let version = &stored["metadata"]["resourceVersion"];
        let in_cluster = (&json!(changes), &json!(shop.replicas("deployment/web").await?), version);
        ensure!((&last["desired"], &last["observed"], &last["resourceVersion"]) == in_cluster, "{last}, {stored}");
        ensure!(last["observed"] == changes, "{last}");
        Ok(())
    })
    .await?;
    assert_eq!((watching.notes(LOST), watching.notes(BACK)), (2, 2), "{:?}", watching.stderr.lock());
    check_states(&watching.lines(), 2)?;
    let (code, stderr) = watching.interrupt(&cluster).await?;
    ensure!(code == Some(130) && !stderr.iter().any(|line| line.starts_with("error")), "{code:?}: {stderr:?}");
    Ok(())
}

/// Checks that no state comes twice or after a newer one, and that changes are missing only where a connection was lost.
fn check_states(lines: &[String], losses: usize) -> Result<()> {
    let states: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line)).collect::<Result<_, _>>()?;
    let number = |state: &Value, field: &str| state[field].as_i64().with_context(|| format!("no {field} in {state}"));
    let distinct: BTreeSet<_> = lines.iter().collect();
    assert_eq!(distinct.len(), lines.len(), "a state comes twice: {lines:?}");
    for field in ["desired", "observed"] {
        let values: Vec<_> = states.iter().map(|state| number(state, field)).collect::<Result<_>>()?;
        ensure!(values.is_sorted(), "{field}: an older state comes after a newer one: {values:?}");
        let jumps = values.windows(2).filter(|pair| pair[1] > pair[0] + 1).count();
        ensure!(field == "observed" || jumps <= losses, "{field}: changes are missing: {values:?}");
    }
    let version = |state: &Value| state["resourceVersion"].as_str().unwrap_or_default().parse::<u64>();
    let versions: Vec<_> = states.iter().map(version).collect::<Result<_, _>>()?;
    ensure!(versions.is_sorted(), "an older version comes after a newer one: {versions:?}");
    Ok(())
}

#[tokio::test]
async fn each_change_is_seen_once_and_in_order_although_pods_end() -> Result<()> {
    follow(120).await
}

#[tokio::test]
#[ignore = "it makes 1,000 changes: make stress"]
async fn each_of_many_changes_is_seen_once_and_in_order_although_pods_end() -> Result<()> {
    follow(1000).await
}

#[tokio::test]
async fn a_table_grows_by_a_row_for_each_change() -> Result<()> {
    let shop = Namespace::shared("watch-table").await?;
    shop.deployment("web", 2).await?;
    shop.stateful_set("db", 1).await?;
    let plugin = async |line: &str| {
        let mut plugin = shop.cluster.plugin();
        run(plugin.args(line.split(' ')).args(["--namespace", &shop.name])).await
    };
    plugin("set web 2").await?;
    let watching = Watching::start(&shop, "list deploy -w").await?;
    let header = watching.wait_for_line("the header", |line| line.starts_with("TARGET ")).await?;
    let column = header.find("DESIRED").context("no DESIRED")?;
    let desired = |line: &str| line.get(column..).and_then(|rest| rest.split(' ').next()).map(str::to_owned);
    let of_web = |line: &str| line.starts_with("deployment.apps/web ");
    watching.wait_for_line("the snapshot", |line| of_web(line) && desired(line).as_deref() == Some("2")).await?;
    plugin("set sts/db 2").await?;
    plugin("set web 3").await?;
    watching.wait_for_line("the change", |line| of_web(line) && desired(line).as_deref() == Some("3")).await?;
    plugin("unset web").await?;
    watching.wait_for_line("the end", |line| of_web(line) && line.contains("  Gone  ")).await?;
    let lines = watching.lines();
    assert_eq!(lines.iter().filter(|line| line.starts_with("TARGET")).count(), 1, "{lines:?}");
    ensure!(lines[1..].iter().all(|line| of_web(line)), "other kinds are not shown: {lines:?}");
    assert_eq!(watching.interrupt(shop.cluster).await?, (Some(130), Vec::new()), "Ctrl-C is quiet");
    Ok(())
}

#[tokio::test]
async fn an_unmanaged_target_is_watched_for_longer_than_a_request_may_take() -> Result<()> {
    let shop = Namespace::shared("watch-one").await?;
    for name in ["web", "other"] {
        shop.deployment(name, 1).await?;
    }
    let known = async || {
        let mut get = shop.cluster.plugin();
        run(get.args(["get", "web", "--namespace", &shop.name])).await
    };
    wait::until("the Deployment to be known", PATIENCE, known).await?;
    let watching = Watching::start(&shop, "get web -w -o json --request-timeout 1s").await?;
    let begun = Instant::now();
    let mut replicas = 1;
    while begun.elapsed() < Duration::from_millis(1500) {
        replicas += 1;
        shop.kubectl(&["scale", "deployment/web", "deployment/other", &format!("--replicas={replicas}")]).await?;
    }
    let is_last = |line: &str| line.contains(&format!("\"observed\":{replicas}"));
    watching.wait_for_line("the last change", is_last).await?;
    shop.kubectl(&["delete", "deployment/web"]).await?;
    watching.wait_for_line("the end", |line| line.contains(r#""removed":true"#)).await?;
    let lines = watching.lines();
    let name = |line: &String| anyhow::Ok(serde_json::from_str::<Value>(line)?["target"]["name"].clone());
    let names = lines.iter().map(name).collect::<Result<Vec<_>>>()?;
    ensure!(names.iter().all(|name| name == "web") && watching.notes("") == 0, "{lines:?}");
    ensure!(lines[0].contains(r#""observed":1"#) && !lines[0].contains("desired"), "{lines:?}");
    Ok(())
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_ends_a_watch() -> Result<()> {
    let shop = Namespace::shared("watch-head").await?;
    shop.deployment("web", 1).await?;
    let mut set = shop.cluster.plugin();
    run(set.args(["set", "web", "1", "--namespace", &shop.name])).await?;
    for format in ["table", "yaml"] {
        let mut plugin = shop.cluster.plugin();
        plugin.args(["list", "-w", "-o", format, "--namespace", &shop.name]).kill_on_drop(true);
        let mut child = plugin.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        lines.next_line().await?.context("no line")?;
        drop(lines);
        let mut replicas = 1;
        let begun = Instant::now();
        let ended = loop {
            ensure!(begun.elapsed() < PATIENCE, "it goes on");
            replicas += 1;
            let replicas = format!("--replicas={replicas}");
            shop.kubectl(&["scale", "replicacount/deployment.web", &replicas]).await?;
            if let Some(ended) = child.try_wait()? {
                break ended;
            }
        };
        let output: std::process::Output = child.wait_with_output().await?;
        assert_eq!((ended.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{format}");
    }
    Ok(())
}

#[tokio::test]
async fn a_watch_that_cannot_begin_fails_as_a_list_does() -> Result<()> {
    let shop = Namespace::shared("watch-fails").await?;
    for (line, code, message) in [
        ("list -w nosuch", 1, "nosuch"),
        ("get -w nosuch", 1, "nosuch"),
        ("list -w -l app=in=", 1, "--selector "),
        ("list -w --contexts *", 2, "--contexts"),
        ("list -w --address 127.0.0.1:1", 3, "failed to connect to 127.0.0.1:1"),
    ] {
        let ended = outcome(shop.cluster.plugin().args(line.split(' ')).args(["--namespace", &shop.name])).await?;
        ensure!(ended.code == Some(code) && ended.stdout.is_empty(), "{line}: {ended:?}");
        ensure!(ended.stderr.starts_with("error: ") && ended.stderr.contains(message), "{line}: {ended:?}");
    }
    Ok(())
}
