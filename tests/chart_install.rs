//! The chart in its life cycle: installed, tested, upgraded and uninstalled with Helm 4, Helm 3 or kubectl, by users
//! who have only the documented rights.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use cluster::{Options, run};
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use support::{
    Namespace, TestCluster,
    installation::{Helm, Installation, previous_chart},
    release::{self, CHART, NAME},
};

const DEFINITION: &str = "customresourcedefinition/replicacounts.replica-count-manager.io";

/// A cluster for concurrent releases that manage one namespace each. An administrator has created the CRD.
async fn cluster_for_single_namespaces() -> Result<&'static TestCluster> {
    static CLUSTER: OnceCell<TestCluster> = OnceCell::const_new();
    let start = async || {
        let cluster = TestCluster::without_server(Options::default()).await?;
        let definition = format!("--filename={CHART}/files/crd.yaml");
        run(cluster.kubectl().args(["apply", "--server-side", &definition])).await?;
        Ok(cluster)
    };
    CLUSTER.get_or_try_init(start).await
}

/// The release that manages all namespaces, for one test at a time. The objects of the previous test are removed.
async fn release_for_all_namespaces() -> Result<(MutexGuard<'static, ()>, &'static Installation<'static>)> {
    static TURN: Mutex<()> = Mutex::const_new(());
    static CLUSTER: OnceCell<TestCluster> = OnceCell::const_new();
    static RELEASE: OnceCell<Installation<'static>> = OnceCell::const_new();
    let turn = TURN.lock().await;
    let cluster = CLUSTER.get_or_try_init(|| TestCluster::without_server(Options::default())).await?;
    let release = RELEASE.get_or_try_init(|| Installation::of_all_namespaces(cluster)).await?;
    let uninstall = ["uninstall", NAME, "--namespace", NAME, "--ignore-not-found", "--wait", "--timeout=2m"];
    run(cluster.helm().args(uninstall)).await?;
    run(cluster.kubectl().args(["delete", DEFINITION, "--ignore-not-found", "--timeout=1m"])).await?;
    Ok((turn, release))
}

/// Sets the count of a Deployment, and checks that the server corrects a change by kubectl.
async fn assert_enforces(installation: &Installation<'_>, shop: &Namespace<'_>) -> Result<()> {
    shop.deployment("web", 1).await?;
    installation.set(shop, "web", 3).await?;
    shop.kubectl(&["scale", "deployment/web", "--replicas=8"]).await?;
    shop.wait_for_drifts("deployment.web", 1).await?;
    shop.wait_for_replicas("deployment/web", 3).await
}

async fn install_for_one_namespace(helm: Helm) -> Result<()> {
    let shop = Namespace::new(cluster_for_single_namespaces().await?, "shop").await?;
    let installation = Installation::of_one_namespace(&shop).await?;
    installation.install(helm, Path::new(CHART), &[]).await?;
    assert_enforces(&installation, &shop).await?;
    installation.test(helm).await?;
    installation.uninstall(helm).await?;
    assert_eq!(shop.replicas("replicacount/deployment.web").await?, 3);
    Ok(())
}

#[tokio::test]
async fn the_documented_rights_suffice_for_one_namespace_with_helm_4() -> Result<()> {
    install_for_one_namespace(Helm::V4).await
}

#[tokio::test]
async fn the_documented_rights_suffice_for_one_namespace_with_helm_3() -> Result<()> {
    install_for_one_namespace(Helm::V3).await
}

#[tokio::test]
async fn the_documented_rights_suffice_for_the_commands_that_certificates_prints() -> Result<()> {
    let shop = Namespace::new(cluster_for_single_namespaces().await?, "printed").await?;
    let installation = Installation::of_one_namespace(&shop).await?;
    shop.kubectl(&["delete", "secret/replica-count-manager-certificates"]).await?;
    let mut renew = shop.cluster.command(release::program("certificates")?);
    renew.args(["server", "--force", "--namespace", &shop.name, "--out"]);
    let printed = run(renew.arg(&installation.certificates)).await?;
    let user = shop.cluster.control_plane.kubeconfig_for(&shop.name, None)?;
    let commands: Vec<_> = printed.split("\n\n").filter(|text| text.starts_with("kubectl create secret")).collect();
    assert_eq!(commands.len(), 2, "{printed}");
    for command in commands {
        run(shop.cluster.command("sh").env("KUBECONFIG", &user).args(["-c", command])).await?;
    }
    Ok(())
}

#[tokio::test]
async fn helm_test_fails_with_a_certificate_of_another_ca() -> Result<()> {
    let shop = Namespace::new(cluster_for_single_namespaces().await?, "foreign").await?;
    let installation = Installation::of_one_namespace(&shop).await?;
    let other = shop.cluster.folder().join("other-ca");
    release::make_certificates(&other).await?;
    let [_, certificate, key] = release::client_files(&other).map(|file| format!("={file}"));
    let files = [format!("--from-file=tls.crt{certificate}"), format!("--from-file=tls.key{key}")];
    shop.kubectl(&["create", "secret", "generic", "foreign", &files[0], &files[1]]).await?;
    let pod = format!("{NAME}-test");
    for helm in [Helm::V4, Helm::V3] {
        let values = ["--set=tests.certificateSecret=foreign", "--set=logLevel=debug"];
        installation.install(helm, Path::new(CHART), &values).await?;
        let error = installation.test(helm).await.err().with_context(|| format!("{helm:?} is content"))?;
        assert!(error.to_string().contains(&format!("{pod} failed")), "{error}");
        let log = shop.cluster.log(&shop.name, &pod)?;
        assert!(log.contains("failed to call 127.0.0.1:"), "{log}");
        let server = shop.cluster.server_in(&shop.name).await?;
        let log = shop.cluster.log(&shop.name, &server.pod)?;
        assert!(log.contains("invalid peer certificate: UnknownIssuer"), "{log}");
        let pod = shop.get(&format!("pod/{pod}")).await?;
        assert_eq!(pod["status"]["phase"], "Failed", "{pod}");
        let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
        assert_eq!((&ended["exitCode"], &ended["reason"]), (&1.into(), &"Error".into()), "{pod}");
        installation.uninstall(helm).await?;
    }
    Ok(())
}

async fn upgrade(helm: Helm) -> Result<()> {
    let (_turn, installation) = release_for_all_namespaces().await?;
    let cluster = installation.cluster;
    let previous = cluster.folder().join(format!("previous-chart-{helm:?}"));
    previous_chart(&previous).await?;
    installation.install(helm, &previous, &[]).await?;
    assert!(!run(cluster.kubectl().args(["explain", "replicacount.spec"])).await?.contains("reason"));
    let shop = Namespace::new(cluster, "upgraded").await?;
    assert_enforces(installation, &shop).await?;

    installation.install(helm, Path::new(CHART), &[]).await?;
    let current: Value = serde_yaml::from_str(&std::fs::read_to_string(format!("{CHART}/files/crd.yaml"))?)?;
    let definition = shop.get(DEFINITION).await?;
    for place in ["additionalPrinterColumns", "schema/openAPIV3Schema/properties/spec/properties/reason"] {
        let place = format!("/spec/versions/0/{place}");
        let wanted = current.pointer(&place).context("not in the definition")?;
        assert_eq!(definition.pointer(&place), Some(wanted));
    }
    shop.kubectl(&["scale", "deployment/web", "--replicas=8"]).await?;
    shop.wait_for_drifts("deployment.web", 2).await?;
    installation.test(helm).await?;

    installation.uninstall(helm).await?;
    let definition = shop.get(DEFINITION).await?;
    ensure!(definition["metadata"]["deletionTimestamp"].is_null(), "{definition}");
    assert_eq!(shop.replicas("replicacount/deployment.web").await?, 3);
    assert_eq!(shop.replicas("deployment/web").await?, 3);
    Ok(())
}

#[tokio::test]
async fn an_upgrade_with_helm_4_updates_the_crd_and_keeps_the_counts() -> Result<()> {
    upgrade(Helm::V4).await
}

#[tokio::test]
async fn an_upgrade_with_helm_3_updates_the_crd_and_keeps_the_counts() -> Result<()> {
    upgrade(Helm::V3).await
}

#[tokio::test]
async fn the_rendered_chart_works_when_kubectl_applies_it() -> Result<()> {
    let (_turn, installation) = release_for_all_namespaces().await?;
    let cluster = installation.cluster;
    let manifest = cluster.folder().join("applied.yaml");
    std::fs::write(&manifest, installation.render(Helm::V4).await?)?;
    let shop = Namespace::new(cluster, "applied").await?;
    let apply = async || {
        run(cluster.kubectl().args(["apply", "--server-side", "--filename"]).arg(&manifest)).await?;
        installation.wait_for_one_pod().await?;
        assert_enforces(installation, &shop).await
    };
    let applied = apply().await;
    // Delete the objects even if the test failed: the next test uses the same names, and Helm does not adopt objects of
    // kubectl.
    let mut delete = cluster.kubectl();
    run(delete.args(["delete", "--ignore-not-found", "--timeout=1m", "--filename"]).arg(&manifest)).await?;
    applied
}

#[tokio::test]
async fn a_second_release_for_a_namespace_is_warned_of_the_first() -> Result<()> {
    let shop = Namespace::new(cluster_for_single_namespaces().await?, "twice").await?;
    let (first, second) = (["install", "first", CHART], ["install", "second", CHART]);
    let managed = format!("--set=namespace={},crds.enabled=false,replicaCount=0,access.roles.create=false", shop.name);
    let helm = async |arguments: &[&str]| {
        let mut helm = shop.cluster.helm();
        helm.args(arguments).args(["--namespace", &shop.name, &managed, "--set=certificates.existingSecret=x"]);
        run(&mut helm).await
    };
    let alone = helm(&first).await?;
    ensure!(!alone.contains("WARNING"), "{alone}");
    let warning = format!("WARNING: another release manages the namespace {0} too: {0}/first.", shop.name);
    let warned = helm(&[&second[..], &["--dry-run=server"]].concat()).await?;
    ensure!(warned.contains(&warning), "{warned}");
    let upgraded = helm(&["upgrade", "first", CHART]).await?;
    ensure!(!upgraded.contains("WARNING"), "{upgraded}");
    Ok(())
}

#[tokio::test]
async fn the_notes_say_how_to_get_a_client_certificate() -> Result<()> {
    let cluster = cluster_for_single_namespaces().await?;
    let (login, import) = ("    kubectl replicas login\n", "    kubectl replicas config import ");
    for (values, expected, other) in [
        ("namespace=", login, import),
        ("certificates.mode=certManager", login, import),
        ("certificates.existingSecret=x", import, login),
        ("certificates.clients.enabled=false", import, login),
        ("namespace=shop", import, login),
    ] {
        let mut helm = cluster.helm();
        let notes = run(helm.args(["install", "noted", CHART, "--dry-run=client", "--set", values])).await?;
        let (_, notes) = notes.split_once("NOTES:").context("no notes")?;
        ensure!(notes.contains(expected) && !notes.contains(other), "{values}: {notes}");
    }
    Ok(())
}
