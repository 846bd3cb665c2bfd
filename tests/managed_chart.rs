//! The chart with its default values: nothing is prepared, and users need no file.

use std::os::unix::fs::PermissionsExt;

use anyhow::{Result, ensure};
use cluster::{Options, run};

use support::{Namespace, RUN, User, World, release};

use crate::certificate_rights::only_its_own_certificates;

#[tokio::test]
async fn whoever_may_edit_and_log_in_sets_counts_without_a_file() -> Result<()> {
    let world = World::without_server(Options::default()).await?;
    world.install_managed(&[]).await?;
    let (shop, other) = (Namespace::new(&world, "shop").await?, Namespace::new(&world, "other").await?);
    let alice = User::new(&world, "alice")?;
    alice.may_edit(&shop.name).await?;
    alice.may_connect().await?;
    alice.may_log_in().await?;

    for namespace in [&shop, &other] {
        namespace.deployment("web", 1).await?;
    }
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
    only_its_own_certificates(&world).await
}
