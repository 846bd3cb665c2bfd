//! The chart with its default values: nothing is prepared, and users need no file.

use std::{os::unix::fs::PermissionsExt, path::PathBuf};

use anyhow::{Context, Result, ensure};
use cluster::{Options, run};

use crate::support::{Namespace, Outcome, World, outcome, release};

/// What the tests of the chart need beside its default values: our kubelet runs the pods.
const RUN: &str = r"--set-string=podAnnotations.replica-count-manager\.io/run=true";

async fn install(world: &World) -> Result<()> {
    run(world.cluster.kubectl().args(["create", "namespace", release::NAME])).await?;
    let mut helm = world.cluster.helm();
    helm.args(["install", release::NAME, release::CHART, "--namespace", release::NAME, RUN, "--wait", "--timeout=2m"]);
    run(&mut helm).await.map(drop)
}

/// A user with a kubeconfig, and a configuration of the plugin that does not exist yet.
struct User<'a> {
    world: &'a World,
    kubeconfig: PathBuf,
    config: PathBuf,
}

impl<'a> User<'a> {
    fn new(world: &'a World, name: &str) -> Result<Self> {
        let config = world.cluster.folder().join(format!("home-of-{name}/config.yaml"));
        Ok(Self { world, kubeconfig: world.cluster.kubeconfig_for(name, None)?, config })
    }

    async fn replicas(&self, arguments: &[&str]) -> Result<Outcome> {
        let mut plugin = self.world.plugin();
        plugin.env("KUBECONFIG", &self.kubeconfig).env("KUBECTL_REPLICAS_CONFIG", &self.config);
        outcome(plugin.args(arguments)).await
    }

    /// Runs the plugin, which must succeed, and returns what it printed.
    async fn does(&self, arguments: &[&str]) -> Result<String> {
        let outcome = self.replicas(arguments).await?;
        ensure!(outcome.code == Some(0), "{arguments:?}: {outcome:?}");
        Ok(outcome.stdout)
    }
}

#[tokio::test]
async fn whoever_may_edit_and_log_in_sets_counts_without_a_file() -> Result<()> {
    let world = World::without_server(Options::default()).await?;
    install(&world).await?;
    let (shop, other) = (Namespace::new(&world, "shop").await?, Namespace::new(&world, "other").await?);
    let bind = async |namespace: &str, name: &str, role: &str| {
        let bind = ["create", "rolebinding", name, role, "--user=alice", "--namespace", namespace];
        run(world.cluster.kubectl().args(bind)).await
    };
    bind(&shop.name, "alice", "--clusterrole=edit").await?;
    bind(release::NAME, "alice", "--role=replica-count-manager-connect").await?;
    let login = ["create", "clusterrolebinding", "alice", "--clusterrole=replica-count-manager-login", "--user=alice"];
    run(world.cluster.kubectl().args(login)).await?;

    for namespace in [&shop, &other] {
        namespace.deployment("web", 1).await?;
    }
    let alice = User::new(&world, "alice")?;
    let unknown = alice.replicas(&["list", "-n", &shop.name]).await?;
    ensure!(unknown.code == Some(3) && unknown.stderr.contains("kubectl replicas login"), "{unknown:?}");
    let said = alice.does(&["login", "--for=8h"]).await?;
    ensure!(said.starts_with("logged in with the context ") && said.contains(" as alice until "), "{said}");
    assert_eq!(std::fs::metadata(&alice.config)?.permissions().mode() & 0o777, 0o600);
    ensure!(alice.does(&["whoami"]).await?.starts_with("User:    alice\n"), "whoami");
    let view = alice.does(&["config", "view"]).await?;
    ensure!(view.contains("keyData: DATA+OMITTED") && view.contains("login: true"), "{view}");

    alice.does(&["set", "web", "2", "-n", &shop.name, "--wait"]).await?;
    shop.reaches("deployment/web", 2).await?;
    ensure!(alice.does(&["list", "-n", &shop.name]).await?.contains("deployment.apps/web"), "list");
    for arguments in [&["set", "web", "2", "-n", &other.name][..], &["list", "-n", &other.name], &["list", "-A"]] {
        let refusal = alice.replicas(arguments).await?;
        ensure!(refusal.code == Some(1) && refusal.stderr.contains("user \"alice\" cannot"), "{refusal:?}");
        ensure!(refusal.stderr.contains("to allow it: kubectl create "), "{refusal:?}");
    }

    // The test of the chart has a certificate of its own, and an upgrade leaves the CA as it is.
    let ca =
        run(world.cluster.kubectl().args(["get", "secret", "--namespace", release::NAME, "--output=name"])).await?;
    ensure!(ca.contains("replica-count-manager-ca") && ca.contains("replica-count-manager-check"), "{ca}");
    run(world.cluster.helm().args(["test", release::NAME, "--namespace", release::NAME, "--timeout=1m"])).await?;
    let mut helm = world.cluster.helm();
    helm.args(["upgrade", release::NAME, release::CHART, "--namespace", release::NAME, RUN, "--set=maxReplicas=50"]);
    run(helm.args(["--wait", "--timeout=2m"])).await?;
    alice.does(&["set", "web", "3", "-n", &shop.name, "--wait"]).await?;
    shop.reaches("deployment/web", 3).await?;
    ensure!(alice.does(&["logout"]).await?.starts_with("logged out of the context "), "logout");
    assert_eq!(alice.replicas(&["whoami"]).await?.code, Some(3));
    assert_eq!(alice.replicas(&["logout"]).await?.code, Some(3));
    only_its_own_secrets(&world).await
}

/// Checks that the server's account writes no Secret but those of its certificates.
async fn only_its_own_secrets(world: &World) -> Result<()> {
    let account = format!("--as=system:serviceaccount:{0}:{0}", release::NAME);
    let create = ["create", "secret", "generic", "other", "--namespace", release::NAME, &account];
    let refusal = run(world.cluster.kubectl().args(create)).await.err().context("should be refused")?.to_string();
    ensure!(refusal.contains("may change counts and who owns them"), "{refusal}");
    let read = ["get", "secret", "sh.helm.release.v1.replica-count-manager.v1", "--namespace", release::NAME, &account];
    let refusal = run(world.cluster.kubectl().args(read)).await.err().context("should be refused")?.to_string();
    ensure!(refusal.contains("cannot get resource"), "{refusal}");
    Ok(())
}
