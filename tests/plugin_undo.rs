//! `undo`: each kind of change is taken back, unless somebody else has changed the count since.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use cluster::wait;
use serde_json::Value;

use support::{Namespace, Outcome, PATIENCE, manifests::ReplicaCountManifest, outcome};

/// A user with an operation log of their own.
struct Shell {
    shop: Namespace<'static>,
    log: PathBuf,
}

impl Shell {
    async fn new(purpose: &str) -> Result<Self> {
        let shop = Namespace::shared(purpose).await?;
        let log = shop.cluster.folder().join(format!("state-of-{purpose}")).join("operations.json");
        Ok(Self { shop, log })
    }

    async fn run(&self, line: &str) -> Result<Outcome> {
        let mut plugin = self.shop.cluster.plugin();
        plugin.env("KUBECTL_REPLICAS_STATE", &self.log);
        outcome(plugin.args(line.split(' ')).args(["--namespace", &self.shop.name])).await
    }

    async fn done(&self, line: &str) -> Result<Outcome> {
        let outcome = self.run(line).await?;
        ensure!(outcome.code == Some(0), "{line}: {outcome:?}");
        Ok(outcome)
    }

    async fn refused(&self, line: &str, part: &str) -> Result<()> {
        let outcome = self.run(line).await?;
        ensure!(outcome.code == Some(1) && outcome.stderr.contains(part), "{line}: {outcome:?}");
        Ok(())
    }

    /// Waits until the server knows that a target has this count.
    async fn wait_for_observed(&self, target: &str, replicas: i32) -> Result<()> {
        wait::until("the count to be known", PATIENCE, async || {
            let shown: Value = serde_json::from_str(&self.done(&format!("get {target} -o json")).await?.stdout)?;
            ensure!(shown["observed"] == replicas, "{shown}");
            Ok(())
        })
        .await
    }

    /// The specs of all ReplicaCounts.
    async fn specs(&self) -> Result<Vec<Value>> {
        let mut counts: Value =
            serde_json::from_str(&self.shop.kubectl(&["get", "replicacounts", "--output=json"]).await?)?;
        let items = counts["items"].as_array_mut().context("no items")?;
        Ok(items.iter_mut().map(|item| item["spec"].take()).collect())
    }
}

/// A command that ends an override.
const AFTER_AN_OVERRIDE: &str = "set web 5";

/// The number of changes of the only ReplicaCount's spec.
const GENERATIONS: &str = "--output=jsonpath={.items[*].metadata.generation}";

#[tokio::test]
async fn each_kind_of_change_is_taken_back() -> Result<()> {
    let shell = Shell::new("undo").await?;
    shell.shop.deployment("web", 2).await?;
    shell.shop.stateful_set("db", 1).await?;
    let commands = [
        "set web 3",
        "set web 3 --reason usual",
        "set web 4",
        "set web 9 --for 2h --reason sale",
        AFTER_AN_OVERRIDE,
        "set web=+1 sts/db=3",
        "set web 8 --for 3h --then-unset --reason rush",
        "unset web",
        "set web 6",
        "unset --all --restore --yes",
        "adopt --yes",
    ];
    let mut states = Vec::new();
    for line in commands {
        states.push(shell.specs().await?);
        shell.done(line).await?;
        if line.contains("rush") {
            // The next command leaves the count that is in place.
            shell.wait_for_observed("web", 8).await?;
        }
    }
    let listed = shell.done("undo --list").await?.stdout;
    ensure!(listed.lines().count() == commands.len() + 1 && listed.contains("set web 9 --for 2h"), "{listed}");
    let dry = shell.done("undo --dry-run").await?;
    ensure!(dry.stdout.matches("(server dry run)").count() == 2, "{dry:?}");
    let unasked = shell.run("undo").await?;
    ensure!(unasked.code == Some(2) && unasked.stderr.contains("2 targets would be undone"), "{unasked:?}");
    // Repeated, it walks back.
    let generation = async || shell.shop.kubectl(&["get", "replicacounts", GENERATIONS]).await;
    for (line, state) in commands.iter().zip(states).rev() {
        let before = generation().await?;
        let undone = shell.done("undo --yes").await?;
        if *line == AFTER_AN_OVERRIDE {
            // The lasting count alone is never in force on the way.
            assert_eq!(generation().await?.parse::<i64>()?, before.parse::<i64>()? + 1, "one write brings both counts");
        }
        ensure!(undone.stderr.contains(&format!("undo of `{line}")), "{undone:?}");
        assert_eq!(shell.specs().await?, state, "{line}: {undone:?}");
    }
    shell.shop.wait_for_replicas("deployment/web", 2).await?;
    shell.shop.wait_for_replicas("statefulset/db", 1).await?;
    shell.refused("undo", "there is no operation of yours in this cluster to undo").await?;
    let listed = shell.done("undo --list").await?.stdout;
    assert_eq!(listed.lines().filter(|line| line.ends_with("yes")).count(), commands.len(), "{listed}");
    // A new command can be undone after undos.
    shell.done("set web 3").await?;
    ensure!(shell.done("undo").await?.stdout.contains("put back to 2 (was 3)"), "the first set is undone");
    Ok(())
}

#[tokio::test]
async fn what_somebody_else_has_changed_is_not_taken_back() -> Result<()> {
    let shell = Shell::new("undo-refused").await?;
    let shop = &shell.shop;
    for name in ["web", "api"] {
        shop.deployment(name, 2).await?;
    }
    shell.done("set web=3 api=3").await?;
    shop.wait_for_replicas("deployment/web", 3).await?;
    // A drift changes only the status.
    shop.kubectl(&["scale", "deployment/web", "--replicas=9"]).await?;
    shop.wait_for_drifts("deployment.web", 1).await?;
    ensure!(shell.done("undo --dry-run").await?.stdout.contains("web unset"), "a drift is no change of the count");

    let patch = r#"--patch={"spec": {"replicas": 7}}"#;
    shop.kubectl(&["patch", "replicacount/deployment.web", "--type=merge", "--field-manager=bob", patch]).await?;
    let changed = |count: &Value| count["status"]["changes"][0]["to"] == 7;
    shop.wait_for_replica_count("deployment.web", "the change", changed).await?;
    shell.refused("undo --yes", "deployment.apps/web was changed to 7 by bob, ").await?;
    let api = shop.get("replicacount/deployment.api").await?;
    assert_eq!(api["spec"]["replicas"], 3, "one refusal leaves all as they are");

    shell.wait_for_observed("api", 3).await?;
    shell.done("unset api").await?;
    shop.kubectl(&["scale", "deployment/api", "--replicas=6"]).await?;
    shell.wait_for_observed("api", 6).await?;
    shell.refused("undo", "deployment.apps/api has 6 replicas by now, and was left at 3").await?;
    shop.kubectl(&["scale", "deployment/api", "--replicas=3"]).await?;
    shell.wait_for_observed("api", 3).await?;
    shell.done("undo").await?;
    assert_eq!(shop.get("replicacount/deployment.api").await?["spec"]["originalReplicas"], 2);
    shell.done("set api 4").await?;
    shop.kubectl(&["delete", "replicacount/deployment.api"]).await?;
    shop.wait_until_unmanaged("api").await?;
    shell.refused("undo", "deployment.apps/api is not managed any more").await?;

    // What cannot be taken back any more is skipped.
    for line in ["set api 4", "set web=3 api=3"] {
        shell.refused("undo --yes", "`kubectl replicas undo --skip`").await?;
        let skipped = shell.done("undo --skip").await?;
        ensure!(skipped.stdout.starts_with(&format!("`{line} ")), "{skipped:?}");
        ensure!(skipped.stdout.ends_with(" ago, dropped from the log\n"), "{skipped:?}");
    }
    shell.refused("undo --skip", "there is no operation of yours in this cluster to undo").await
}

#[tokio::test]
async fn an_undo_that_the_server_refuses_says_how_to_go_on() -> Result<()> {
    let shell = Shell::new("undo-unscalable").await?;
    shell.shop.deployment("web", 2).await?;
    shell.done("set web 3").await?;
    let ghost = ReplicaCountManifest::deployment("ghost").name("daemonset.ghost").of_kind("apps/v1", "DaemonSet");
    shell.shop.kubectl_with(&["create", "--filename=-"], &ghost.manifest()).await?;
    wait::until("the ReplicaCount to be known", PATIENCE, async || shell.done("unset daemonset.apps/ghost").await)
        .await?;
    for part in ["cannot be undone\n  caused by: ", "cannot be scaled", "`kubectl replicas undo --skip`"] {
        shell.refused("undo", part).await?;
    }
    ensure!(shell.done("undo --skip").await?.stdout.starts_with("`unset daemonset.apps/ghost "), "the last is skipped");
    ensure!(shell.done("undo").await?.stdout.contains("put back to 2 (was 3)"), "the one before is undone");
    Ok(())
}

#[tokio::test]
async fn a_target_goes_back_to_a_count_of_its_history() -> Result<()> {
    let shell = Shell::new("undo-target").await?;
    shell.shop.deployment("web", 2).await?;
    for (number, line) in [(1, "set web 3 --reason usual"), (2, "set web 5"), (3, "set web 7")] {
        shell.done(line).await?;
        let is_recorded = |count: &Value| count["status"]["changes"][0]["number"] == number;
        shell.shop.wait_for_replica_count("deployment.web", "the change", is_recorded).await?;
    }
    let dry = shell.done("undo web --dry-run").await?;
    assert_eq!(dry.stdout, "deployment.apps/web set to 5 (was 7) (server dry run)\n");
    assert_eq!(shell.done("undo web").await?.stdout, "deployment.apps/web set to 5 (was 7)\n");
    assert_eq!(shell.done("undo deploy web --to 3").await?.stdout, "deployment.apps/web set to 3 (was 5)\n");
    assert_eq!(shell.shop.get("replicacount/deployment.web").await?["spec"]["reason"], "usual");
    assert_eq!(shell.done("undo web --to-change 3").await?.stdout, "deployment.apps/web set to 7 (was 3)\n");
    for (line, part) in [
        ("undo web --to 4", "never had the count 4 in its history, which has "),
        ("undo web --to-change 99", "has no change 99 in its history"),
        ("undo nosuch", "nosuch"),
    ] {
        shell.refused(line, part).await?;
    }
    let wrong = shell.run("undo --to 3").await?;
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    // Going back is an operation as any other.
    assert_eq!(shell.done("undo").await?.stdout, "deployment.apps/web set to 3 (was 7)\n");
    assert_eq!(shell.done("undo").await?.stdout, "deployment.apps/web set to 5 (was 3)\n");
    Ok(())
}

#[tokio::test]
async fn a_log_that_cannot_be_used_stops_no_other_command() -> Result<()> {
    let shell = Shell::new("undo-log").await?;
    shell.shop.deployment("web", 2).await?;
    shell.done("set web 3").await?;
    let log = fs::read_to_string(&shell.log)?;
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&shell.log)?.permissions());
    assert_eq!(mode & 0o777, 0o600);
    ensure!(!log.contains("PRIVATE KEY") && !log.contains("token"), "{log}");
    shell.done("set web 3").await?;
    assert_eq!(fs::read_to_string(&shell.log)?, log, "a command that changes nothing is no operation");
    for (count, text, part) in
        [(4, "{".to_owned(), "is broken"), (5, log.replace("\"version\":1", "\"version\":2"), "newer")]
    {
        fs::write(&shell.log, &text)?;
        let set = shell.done(&format!("set web {count}")).await?;
        ensure!(set.stderr.matches("warning: ").count() == 1 && set.stderr.contains(part), "{set:?}");
        assert_eq!(fs::read_to_string(&shell.log)?, text, "it is not overwritten");
        shell.refused("undo", part).await?;
    }
    fs::write(&shell.log, log)?;
    // Another cluster's operations stay.
    let elsewhere = fs::read_to_string(&shell.log)?.replace("\"uid\":\"", "\"uid\":\"other-");
    fs::write(&shell.log, elsewhere)?;
    shell.refused("undo", "no operation of yours in this cluster").await?;
    ensure!(shell.done("undo --list").await?.stdout.contains("set web 3"), "it is listed");
    Ok(())
}

#[tokio::test]
async fn an_empty_file_begins_a_log_and_the_null_device_keeps_none() -> Result<()> {
    let mut shell = Shell::new("undo-empty").await?;
    shell.shop.deployment("web", 2).await?;
    fs::create_dir_all(shell.log.parent().context("no folder")?)?;
    fs::write(&shell.log, "")?;
    let set = shell.done("set web 3").await?;
    ensure!(!set.stderr.contains("warning: "), "{set:?}");
    shell.done("undo").await?;
    shell.log = PathBuf::from("/dev/null");
    let set = shell.done("set web 4").await?;
    ensure!(!set.stderr.contains("warning: "), "{set:?}");
    shell.refused("undo", "there is no operation of yours in this cluster to undo").await
}
