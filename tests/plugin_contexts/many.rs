//! Forty contexts of four control planes, some of which stop, hang, or refuse the user.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use cluster::{Component, Options};
use serde_json::{Value, json};

use support::{Namespace, Outcome, TestCluster, outcome, presented::TestCa};

const CLUSTERS: usize = 4;

/// The contexts of each cluster.
const CONTEXTS: usize = 10;

/// How soon a table is there although clusters do not answer.
const SOON: Duration = Duration::from_secs(3);

/// How often each time is measured. The shortest one counts, since the machine does other work, too.
const ROUNDS: usize = 5;

/// Four clusters, each with a held Deployment, and the files of a user of all of them.
struct ManyContexts {
    clusters: Vec<TestCluster>,
    /// The namespace of the Deployment in each cluster.
    namespaces: Vec<String>,
    kubeconfig: PathBuf,
    config: PathBuf,
    certificates: serde_json::Map<String, Value>,
}

impl ManyContexts {
    async fn start() -> Result<Self> {
        let (mut clusters, mut namespaces) = (Vec::new(), Vec::new());
        for number in 0..CLUSTERS {
            let cluster = TestCluster::start(Options::default()).await.with_context(|| format!("cluster {number}"))?;
            let shop = Namespace::new(&cluster, "shop").await?;
            shop.deployment("web", 1).await?;
            shop.set("web", 1).await?;
            namespaces.push(shop.name.clone());
            clusters.push(cluster);
        }
        let folder = clusters.first().context("no cluster")?.folder();
        let (kubeconfig, config) = (folder.join("all.kubeconfig"), folder.join("all.yaml"));
        let mut many = Self { clusters, namespaces, kubeconfig, config, certificates: serde_json::Map::new() };
        fs::write(&many.kubeconfig, many.merged()?.to_string())?;
        for (number, cluster) in many.clusters.iter().enumerate() {
            let [ca, certificate, key] = cluster.client_files();
            let files = json!({"ca": ca, "certificate": certificate, "key": key});
            many.certificates.extend((0..CONTEXTS).map(|context| (name(number, context), files.clone())));
        }
        many.write_config()?;
        Ok(many)
    }

    /// The kubeconfigs of all clusters as one.
    fn merged(&self) -> Result<Value> {
        let (mut clusters, mut users, mut contexts) = (Vec::new(), Vec::new(), Vec::new());
        for (number, (cluster, namespace)) in self.clusters.iter().zip(&self.namespaces).enumerate() {
            let one: Value = serde_json::from_str(&fs::read_to_string(cluster.control_plane.kubeconfig())?)?;
            let own = format!("cluster-{number}");
            clusters.push(json!({"name": own, "cluster": one["clusters"][0]["cluster"]}));
            users.push(json!({"name": own, "user": one["users"][0]["user"]}));
            contexts.extend((0..CONTEXTS).map(|context| {
                json!({"name": name(number, context), "context": {"cluster": own, "user": own, "namespace": namespace}})
            }));
        }
        Ok(json!({
            "apiVersion": "v1", "kind": "Config", "current-context": name(0, 0),
            "clusters": clusters, "users": users, "contexts": contexts
        }))
    }

    fn write_config(&self) -> Result<()> {
        Ok(fs::write(&self.config, json!({"contexts": self.certificates}).to_string())?)
    }

    /// Gives the user an expired certificate for all contexts of a cluster.
    fn expire(&mut self, number: usize) -> Result<()> {
        let cluster = &self.clusters[number];
        let ca = TestCa::load(cluster.certificates())?;
        let [certificate, key] = ca.write_expired(&cluster.folder().join("expired"))?;
        let files = json!({"ca": cluster.client_files()[0], "certificate": certificate, "key": key});
        self.certificates.extend((0..CONTEXTS).map(|context| (name(number, context), files.clone())));
        self.write_config()
    }

    /// Lists the counts of contexts, and measures the time.
    async fn list(&self, contexts: &str) -> Result<(Outcome, Duration)> {
        let mut plugin = self.clusters[0].plugin();
        plugin.env("KUBECONFIG", &self.kubeconfig).env("KUBECTL_REPLICAS_CONFIG", &self.config);
        let started = Instant::now();
        let listed = outcome(plugin.args(["list", "--contexts", contexts])).await?;
        Ok((listed, started.elapsed()))
    }

    /// The shortest time of several lists, each of which must show this many contexts.
    async fn time_of(&self, contexts: &str, expected: usize) -> Result<Duration> {
        let mut shortest = Duration::MAX;
        for _ in 0..ROUNDS {
            let (listed, time) = self.list(contexts).await?;
            ensure!(listed.code == Some(0) && rows(&listed).len() == expected, "{contexts}: {listed:?}");
            shortest = shortest.min(time);
        }
        Ok(shortest)
    }
}

/// The name of a context.
fn name(cluster: usize, context: usize) -> String {
    format!("prod-{cluster}-{context}")
}

/// The contexts that a table shows.
fn rows(listed: &Outcome) -> Vec<&str> {
    listed.stdout.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect()
}

#[tokio::test]
#[ignore = "it starts four control planes, and compares times: make stress"]
async fn forty_contexts_of_four_control_planes_are_side_by_side() -> Result<()> {
    let mut many = ManyContexts::start().await?;
    let mut slowest = Duration::ZERO;
    for number in 0..CLUSTERS {
        slowest = slowest.max(many.time_of(&name(number, 0), 1).await?);
    }
    let one = many.time_of(&name(0, 0), 1).await?;
    let all = many.time_of("*", CLUSTERS * CONTEXTS).await?;
    println!("one context: {one:?}, the slowest one: {slowest:?}, all {}: {all:?}", CLUSTERS * CONTEXTS);

    many.clusters[1].control_plane.component(Component::ApiServer).stop().await?;
    many.clusters[2].control_plane.component(Component::ApiServer).pause()?;
    many.expire(3)?;
    let (listed, time) = many.list("*").await?;
    println!("with three clusters in trouble: {time:?}");
    print!("{}", listed.stderr);
    many.clusters[2].control_plane.component(Component::ApiServer).resume()?;
    ensure!(listed.code == Some(1) && time <= SOON, "{time:?}: {listed:?}");
    let expected: Vec<_> = (0..CONTEXTS).map(|context| name(0, context)).collect();
    assert_eq!(rows(&listed), expected, "{listed:?}");
    for part in ["cannot be reached", "within 2.5s", "expired at 2021-01-01", "error: 30 of 40 contexts failed"] {
        ensure!(listed.stderr.contains(part), "{part:?} is missing in {listed:?}");
    }

    ensure!(all <= 2 * one + slowest, "all contexts took {all:?}, one took {one:?}, the slowest one {slowest:?}");
    Ok(())
}
