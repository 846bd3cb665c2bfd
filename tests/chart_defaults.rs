//! The chart with its default values: administrators prepare no Secret, and users need no certificate file.

use std::os::unix::fs::PermissionsExt;

use anyhow::{Result, ensure};
use cluster::{Options, run};

use support::{Namespace, RUN_PODS, TestCluster, User, release};

use crate::certificate_rights::only_its_own_certificates;

#[tokio::test]
async fn a_user_who_may_edit_and_log_in_sets_counts_without_certificate_files() -> Result<()> {
    let cluster = TestCluster::without_server(Options::default()).await?;
    cluster.install_managed(&[]).await?;
    let (shop, other) = (Namespace::new(&cluster, "shop").await?, Namespace::new(&cluster, "other").await?);
    let alice = User::new(&cluster, "alice")?;
    alice.grant_edit(&shop.name).await?;
    alice.grant_connect().await?;
    alice.grant_login().await?;

    for namespace in [&shop, &other] {
        namespace.deployment("web", 1).await?;
    }
    let unknown = alice.try_run(&["list", "-n", &shop.name]).await?;
    ensure!(unknown.code == Some(3) && unknown.stderr.contains("kubectl replicas login"), "{unknown:?}");
    let said = alice.run(&["login", "--for=8h"]).await?;
    ensure!(said.starts_with("logged in with the context ") && said.contains(" as alice until "), "{said}");
    assert_eq!(std::fs::metadata(&alice.config)?.permissions().mode() & 0o777, 0o600);
    ensure!(alice.run(&["whoami"]).await?.starts_with("User:    alice\n"), "whoami");
    let view = alice.run(&["config", "view"]).await?;
    ensure!(view.contains("keyData: DATA+OMITTED") && view.contains("login: true"), "{view}");

    alice.run(&["set", "web", "2", "-n", &shop.name, "--wait"]).await?;
    shop.wait_for_replicas("deployment/web", 2).await?;
    ensure!(alice.run(&["list", "-n", &shop.name]).await?.contains("deployment.apps/web"), "list");
    for arguments in [&["set", "web", "2", "-n", &other.name][..], &["list", "-n", &other.name], &["list", "-A"]] {
        let refusal = alice.try_run(arguments).await?;
        ensure!(refusal.code == Some(1) && refusal.stderr.contains("user \"alice\" cannot"), "{refusal:?}");
        ensure!(refusal.stderr.contains("to allow it: kubectl create "), "{refusal:?}");
    }

    // The chart's test has its own certificate, and an upgrade keeps the CA.
    let ca = run(cluster.kubectl().args(["get", "secret", "--namespace", release::NAME, "--output=name"])).await?;
    ensure!(ca.contains("replica-count-manager-ca") && ca.contains("replica-count-manager-check"), "{ca}");
    run(cluster.helm().args(["test", release::NAME, "--namespace", release::NAME, "--timeout=1m"])).await?;
    let mut helm = cluster.helm();
    helm.args([
        "upgrade",
        release::NAME,
        release::CHART,
        "--namespace",
        release::NAME,
        RUN_PODS,
        "--set=maxReplicas=50",
    ]);
    run(helm.args(["--wait", "--timeout=2m"])).await?;
    alice.run(&["set", "web", "3", "-n", &shop.name, "--wait"]).await?;
    shop.wait_for_replicas("deployment/web", 3).await?;
    ensure!(alice.run(&["logout"]).await?.starts_with("logged out of the context "), "logout");
    assert_eq!(alice.try_run(&["whoami"]).await?.code, Some(3));
    assert_eq!(alice.try_run(&["logout"]).await?.code, Some(3));
    only_its_own_certificates(&cluster).await?;
    objects_of_the_server_are_removed_with_its_release(&cluster).await
}

/// Uninstalls the release, and removes what the server has made as docs/uninstall.md says.
async fn objects_of_the_server_are_removed_with_its_release(cluster: &TestCluster) -> Result<()> {
    const KINDS: &str = "secrets,configmaps,leases";
    let instance = format!("app.kubernetes.io/instance={}", release::NAME);
    let selector = format!("app.kubernetes.io/managed-by=replica-count-manager,{instance}");
    let in_namespace = ["--namespace", release::NAME];
    let all = async || run(cluster.kubectl().args(["get", KINDS, "--output=name"]).args(in_namespace)).await;
    run(cluster.helm().args(["uninstall", release::NAME, "--cascade=foreground"]).args(in_namespace)).await?;
    let wait = ["wait", "--for=delete", "deployments,pods", "--timeout=2m", "--selector", &instance];
    run(cluster.kubectl().args(wait).args(in_namespace)).await?;
    let left = all().await?;
    for object in
        ["secret/replica-count-manager-ca", "secret/replica-count-manager-check", "configmap/replica-count-manager-ca"]
    {
        ensure!(left.contains(object), "{object} is not in {left}");
    }
    ensure!(left.contains("lease.coordination.k8s.io/replica-count-manager"), "{left}");
    let labelled = run(cluster.kubectl().args(["get", KINDS, "--show-labels"]).args(in_namespace)).await?;
    let deleted = run(cluster.kubectl().args(["delete", KINDS, "--selector", &selector]).args(in_namespace)).await?;
    let left = all().await?;
    ensure!(left.trim() == "configmap/kube-root-ca.crt", "{left} is left of:\n{labelled}after:\n{deleted}");
    Ok(())
}
