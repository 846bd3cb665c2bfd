//! `--contexts` of the plugin: several clusters side by side, some of which fail.

mod many;

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use cluster::ports;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use support::{Namespace, Outcome, outcome};

/// A user with contexts of one real cluster, one that refuses connections and one that hangs.
struct Contexts<'a> {
    shop: Namespace<'a>,
    kubeconfig: PathBuf,
    config: PathBuf,
    /// A listener that never answers.
    _hanging: TcpListener,
}

impl Contexts<'static> {
    async fn new(purpose: &str) -> Result<Self> {
        let shop = Namespace::shared(purpose).await?;
        let hanging = TcpListener::bind("127.0.0.1:0").await?;
        let kubeconfig = fs::read_to_string(shop.cluster.control_plane.kubeconfig())?;
        let mut kubeconfig: Value = serde_json::from_str(&kubeconfig)?;
        let real = kubeconfig["clusters"][0].take();
        let at = |name: &str, server: String| {
            let mut cluster = json!({"name": name, "cluster": real["cluster"]});
            cluster["cluster"]["server"] = server.into();
            cluster
        };
        let dead = format!("https://127.0.0.1:{}", ports::free()?);
        let slow = format!("https://{}", hanging.local_addr()?);
        kubeconfig["clusters"] = json!([real, at("dead", dead), at("slow", slow)]);
        let user = kubeconfig["users"][0]["name"].clone();
        let named = |name: &str, cluster: &Value| json!({"name": name, "context": {"cluster": cluster, "user": user, "namespace": shop.name}});
        let contexts = [("west", &real["name"]), ("east", &real["name"]), ("bob", &real["name"])];
        let broken = [("x-dead", json!("dead")), ("x-slow", json!("slow"))];
        let contexts = contexts.into_iter().chain(broken.iter().map(|(name, cluster)| (*name, cluster)));
        let contexts: Vec<_> = contexts.map(|(name, cluster)| named(name, cluster)).collect();
        (kubeconfig["contexts"], kubeconfig["current-context"]) = (contexts.into(), "east".into());

        let bob = format!("bob-of-{purpose}");
        shop.cluster.certificate_of(&bob).await?;
        let [ca, certificate, key] = shop.cluster.client_files();
        let admin = json!({"ca": ca, "certificate": certificate, "key": key});
        let file = |name: &str| certificate.replace("client/client.crt", &format!("client-{bob}/{name}"));
        let bob = json!({"ca": ca, "certificate": file("client.crt"), "key": file("client.key")});
        let contexts = json!({"west": admin, "east": admin, "bob": bob, "x-dead": admin, "x-slow": admin});
        let path = |name: &str| shop.cluster.folder().join(format!("{purpose}-{name}"));
        let (kubeconfig_path, config_path) = (path("kubeconfig"), path("config.yaml"));
        fs::write(&kubeconfig_path, kubeconfig.to_string())?;
        fs::write(&config_path, json!({"contexts": contexts}).to_string())?;
        Ok(Self { shop, kubeconfig: kubeconfig_path, config: config_path, _hanging: hanging })
    }
}

impl Contexts<'_> {
    /// Runs the plugin with enough time for a busy machine, unless the line has a limit.
    async fn run(&self, line: &str) -> Result<Outcome> {
        let mut plugin = self.shop.cluster.plugin();
        plugin.env("KUBECONFIG", &self.kubeconfig).env("KUBECTL_REPLICAS_CONFIG", &self.config).args(line.split(' '));
        if !line.contains("x-slow") && !line.contains("timeout") {
            plugin.arg("--request-timeout=30s");
        }
        outcome(&mut plugin).await
    }
}

#[tokio::test]
async fn clusters_are_side_by_side_and_those_that_fail_are_named() -> Result<()> {
    let contexts = Contexts::new("contexts").await?;
    let shop = &contexts.shop;
    shop.deployment("web", 2).await?;
    ensure!(contexts.run("set web 3").await?.code == Some(0));
    shop.wait_for_replica_count("deployment.web", "ready", |count| count["status"]["ready"] == 3).await?;

    let begun = Instant::now();
    let table = contexts.run("list --contexts * --request-timeout 6s").await?;
    ensure!(table.code == Some(1) && begun.elapsed() < Duration::from_secs(20), "{:?}: {table:?}", begun.elapsed());
    let rows: Vec<Vec<_>> = table.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows.len(), 3, "{table:?}");
    assert_eq!(rows[0][..3], ["CLUSTER", "TARGET", "DESIRED"]);
    assert_eq!(
        (&rows[1][..3], &rows[2][..3]),
        (&["east", "deployment.apps/web", "3"][..], &["west", "deployment.apps/web", "3"][..])
    );
    for part in [
        "error: bob: user \"bob-of-contexts\" cannot list replicacounts",
        "error: x-dead: ",
        "the API server cannot be reached",
        "error: x-slow: ",
        "within 6s",
        "error: 3 of 5 contexts failed\n",
    ] {
        ensure!(table.stderr.contains(part), "{part:?} is missing in {table:?}");
    }

    let slow = contexts.run("list --contexts x-slow").await?;
    ensure!(slow.code == Some(1) && slow.stderr.contains("within 2.5s"), "the limit is short by default: {slow:?}");
    Ok(())
}

#[tokio::test]
async fn every_format_names_the_cluster() -> Result<()> {
    let contexts = Contexts::new("context-formats").await?;
    contexts.shop.deployment("web", 1).await?;
    ensure!(contexts.run("set web 1").await?.code == Some(0));
    let done = async |line: &str| {
        let ended = contexts.run(line).await?;
        ensure!(ended.code == Some(0) && ended.stderr.is_empty(), "{line}: {ended:?}");
        Ok(ended.stdout)
    };
    for line in [
        "list --contexts east,we* -o json",
        "get web --contexts ?est,east -o json",
        "list web --contexts ?ast,?est -o json",
    ] {
        let list: Value = serde_json::from_str(&done(line).await?)?;
        let items = list["items"].as_array().context("no items")?;
        let shown: Vec<_> = items.iter().map(|item| (&item["cluster"], &item["target"]["name"])).collect();
        assert_eq!(shown, [(&"east".into(), &"web".into()), (&"west".into(), &"web".into())], "{line}");
    }
    let names = done("list --contexts east,west -o name").await?;
    assert_eq!(names, "--context=east deployment.apps/web\n--context=west deployment.apps/web\n");
    let of_all = done("list -A --contexts east,west -o name").await?;
    let namespace = format!("--namespace={}", contexts.shop.name);
    let in_context = |context: &str| format!("--context={context} {namespace} deployment.apps/web\n");
    ensure!(of_all.contains(&in_context("east")) && of_all.contains(&in_context("west")), "{of_all}");
    for name in [names.lines().next().context("no line")?, in_context("east").trim()] {
        ensure!(done(&format!("get {name}")).await?.contains("deployment.apps/web"), "a name is an argument of get");
    }
    let described = done("get web --contexts east,west").await?;
    ensure!(described.starts_with("Cluster:         east\nTarget:          deployment.apps/web\n"), "{described}");
    ensure!(described.contains("\n\nCluster:         west\n"), "{described}");
    Ok(())
}

#[tokio::test]
async fn contexts_that_cannot_be_asked_are_explained() -> Result<()> {
    let contexts = Contexts::new("context-errors").await?;
    for (line, code, parts) in [
        (
            "list --contexts nosuch*",
            3,
            ["no context of the kubeconfig matches \"nosuch*\"", "the contexts are bob, east"],
        ),
        ("list --contexts east --context west", 2, ["--contexts cannot be used with --context", "leave out --context"]),
        ("list --contexts east --address 127.0.0.1:1", 2, ["cannot be used with --address", "leave out --address"]),
        ("list --contexts east --token t", 2, ["cannot be used with --token", "leave out --token"]),
        ("list --contexts east --tls-server-name a", 2, ["cannot be used with --tls-server-name", "leave out --tls"]),
        ("get web --contexts east -w", 2, ["--contexts", "--watch"]),
        ("get nosuch --contexts east,west", 1, ["contexts: east, west", "2 of 2 contexts failed"]),
        ("list nosuch gone --contexts east", 1, ["east: deployment.apps/nosuch", "1 of 1 contexts failed"]),
    ] {
        let ended = contexts.run(line).await?;
        ensure!(ended.code == Some(code) && ended.stdout.is_empty(), "{line}: {ended:?}");
        for part in parts {
            ensure!(ended.stderr.contains(part), "{line}: {part:?} is missing in {ended:?}");
        }
    }
    Ok(())
}
