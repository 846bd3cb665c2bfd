//! Errors of the plugin: they say what failed, why, and how to fix it.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use cluster::{ports, run};
use tokio::process::Command;

use support::{Namespace, TestCluster, outcome, presented::TestCa, release, shared_cluster};

/// Runs the plugin, which must not reach the server, and checks its error.
async fn assert_unreachable(plugin: &mut Command, messages: &[&str]) -> Result<()> {
    let outcome = outcome(plugin).await?;
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(3), ""), "{outcome:?}");
    for message in messages.iter().chain(&["error: ", "hint: "]) {
        assert!(outcome.stderr.contains(message), "{message:?} is missing in {outcome:?}");
    }
    Ok(())
}

fn list(cluster: &TestCluster) -> Command {
    let mut plugin = cluster.plugin();
    plugin.arg("list");
    plugin
}

#[tokio::test]
async fn a_missing_kubeconfig_or_context_is_explained() -> Result<()> {
    let cluster = shared_cluster().await?;
    assert_unreachable(list(cluster).env("KUBECONFIG", "/nowhere"), &["there is no kubeconfig", "/nowhere"]).await?;
    let context = run(cluster.kubectl().args(["config", "current-context"])).await?;
    assert_unreachable(list(cluster).args(["--context", "other"]), &["has no context \"other\"", context.trim()])
        .await?;
    for (flag, what) in [("--user", "has no user \"other\""), ("--cluster", "has no cluster \"other\"")] {
        assert_unreachable(list(cluster).args([flag, "other"]), &[what, &format!("choose one with {flag}: ")]).await?;
    }
    let mut in_pod = list(cluster);
    in_pod.envs([
        ("KUBECONFIG", "/nowhere"),
        ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
        ("KUBERNETES_SERVICE_PORT", "443"),
    ]);
    // Without a token, as in kubectl, the service account does not count.
    assert_unreachable(&mut in_pod, &["there is no kubeconfig", "/nowhere"]).await
}

#[tokio::test]
async fn missing_rights_are_explained() -> Result<()> {
    let cluster = shared_cluster().await?;
    let outsider = cluster.control_plane.kubeconfig_for("outsider", None)?;
    let grant = "-connect --user=USER";
    assert_unreachable(list(cluster).env("KUBECONFIG", &outsider), &["not allowed to", "services", grant]).await?;

    let reader = cluster.control_plane.kubeconfig_for("reader", None)?;
    let role = [
        "create",
        "clusterrole",
        "reader",
        "--verb=get,list",
        "--resource=services,pods,endpointslices.discovery.k8s.io",
    ];
    run(cluster.kubectl().args(role)).await?;
    run(cluster.kubectl().args(["create", "clusterrolebinding", "reader", "--clusterrole=reader", "--user=reader"]))
        .await?;
    let mut plugin = list(cluster);
    plugin.env("KUBECONFIG", &reader).env("KUBECTL_REPLICAS_CONFIG", config_of(cluster, "reader", &reader)?);
    assert_unreachable(&mut plugin, &["not allowed to", "pods/portforward", grant, release::NAME]).await
}

/// Writes a configuration of the plugin for the context of another kubeconfig.
fn config_of(cluster: &TestCluster, user: &str, kubeconfig: &PathBuf) -> Result<PathBuf> {
    let kubeconfig: serde_json::Value = serde_yaml::from_str(&fs::read_to_string(kubeconfig)?)?;
    let context = kubeconfig["current-context"].as_str().context("no context")?;
    let known = fs::read_to_string(cluster.plugin_config())?;
    let (_, entry) = known.split_once(": {").context("no entry")?;
    let path = cluster.folder().join(format!("kubectl-replicas-{user}.yaml"));
    fs::write(&path, format!("contexts:\n  {context}: {{{entry}"))?;
    Ok(path)
}

#[tokio::test]
async fn a_missing_or_unready_server_is_explained() -> Result<()> {
    let shop = Namespace::shared("noserver").await?;
    let elsewhere = ["--service-namespace", &shop.name, "--service-name", "replicas"];
    let missing = format!("there is no Service replicas in the namespace {}", shop.name);
    assert_unreachable(list(shop.cluster).args(elsewhere), &[&missing]).await?;
    shop.kubectl(&["create", "service", "clusterip", "replicas", "--tcp=8080:8080"]).await?;
    assert_unreachable(list(shop.cluster).args(elsewhere), &["no pod of the Service", "is ready"]).await
}

#[tokio::test]
async fn a_missing_certificate_is_explained() -> Result<()> {
    let cluster = shared_cluster().await?;
    let nothing = cluster.folder().join("no-config.yaml");
    let mut plugin = list(cluster);
    plugin.env("KUBECTL_REPLICAS_CONFIG", &nothing);
    assert_unreachable(&mut plugin, &["is configured", "no-config.yaml"]).await?;
    assert_unreachable(
        list(cluster).args(["--cert", "/nowhere.crt"]),
        &["failed to read the client certificate /nowhere.crt"],
    )
    .await
}

#[tokio::test]
async fn a_wrong_configuration_is_reported_with_its_line() -> Result<()> {
    let cluster = shared_cluster().await?;
    let wrong = cluster.folder().join("wrong.yaml");
    fs::write(&wrong, "contexts:\n  somewhere:\n    certficate: x\n")?;
    let outcome = outcome(list(cluster).env("KUBECTL_REPLICAS_CONFIG", &wrong)).await?;
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    assert!(outcome.stderr.contains("certficate") && outcome.stderr.contains("line 3"), "{outcome:?}");
    Ok(())
}

#[tokio::test]
async fn untrusted_certificates_are_explained() -> Result<()> {
    let cluster = shared_cluster().await?;
    let other = cluster.folder().join("strangers");
    release::make_certificates(&other).await?;
    let file = |name: &str| other.join(name).display().to_string();
    assert_unreachable(list(cluster).args(["--ca", &file("ca/ca.crt")]), &["is not signed by the configured CA"])
        .await?;
    let client = ["--cert", &file("client/client.crt"), "--key", &file("client/client.key")];
    assert_unreachable(list(cluster).args(client), &["does not accept"]).await?;
    assert_unreachable(
        list(cluster).args(["--key", &file("client/client.key")]),
        &["the key does not belong to the client certificate"],
    )
    .await?;
    assert_unreachable(list(cluster).args(["--server-name", "other.example"]), &["is not for the name other.example"])
        .await
}

#[tokio::test]
async fn an_expired_certificate_is_explained() -> Result<()> {
    let cluster = shared_cluster().await?;
    let [certificate, key] = TestCa::load(cluster.certificates())?.write_expired(&cluster.folder().join("errors"))?;
    let mut plugin = list(cluster);
    plugin.arg("--cert").arg(&certificate).arg("--key").arg(&key);
    assert_unreachable(&mut plugin, &["the client certificate of alice expired at 2021-01-01"]).await
}

#[tokio::test]
async fn requests_are_shown_without_secrets() -> Result<()> {
    let cluster = shared_cluster().await?;
    let quiet = outcome(list(cluster).args(["-A", "-v=5"])).await?;
    assert_eq!((quiet.code, quiet.stderr.contains("/replicas.v1")), (Some(0), false), "{quiet:?}");
    let shown = outcome(list(cluster).args(["-A", "--v=6"])).await?;
    let lines: Vec<_> = shown.stderr.lines().collect();
    for (start, end) in [
        ("GET https://127.0.0.1:", " 200 OK in "),
        ("POST https://", "/replicas.v1.ReplicasService/ListReplicaCounts Ok in "),
    ] {
        let is_it = |line: &&&str| line.starts_with(start) && line.contains(end) && line.ends_with(" ms");
        assert!(lines.iter().any(|line| is_it(&line)), "{start:?} {end:?} is missing in {shown:?}");
    }
    assert!(
        shown.stderr.contains("/portforward?") && shown.stderr.contains(" 101 Switching Protocols in "),
        "{shown:?}"
    );
    let refused = outcome(cluster.plugin().args(["get", "nosuch", "-v", "6", "-n", "default"])).await?;
    assert!(refused.stderr.contains("/GetReplicaCount NotFound in "), "{refused:?}");

    let config = cluster.folder().join("token.kubeconfig");
    let url = fs::read_to_string(cluster.control_plane.kubeconfig())?;
    let url = url.split("https://").nth(1).and_then(|rest| rest.split('"').next()).context("no server")?;
    let cluster_of = format!("{{server: 'https://me:s3cret@{url}', insecure-skip-tls-verify: true}}");
    fs::write(
        &config,
        format!(
            "current-context: x\ncontexts: [{{name: x, context: {{cluster: c, user: u}}}}]\nclusters: [{{name: c, \
             cluster: {cluster_of}}}]\nusers: [{{name: u, user: {{token: s3cret}}}}]\n"
        ),
    )?;
    let [ca, certificate, key] = cluster.client_files();
    let mut plugin = list(cluster);
    plugin.env("KUBECONFIG", &config).args(["-v=9", "--ca", &ca, "--cert", &certificate, "--key", &key]);
    let secret = outcome(&mut plugin).await?;
    assert!(
        secret.stderr.contains("GET https://127.0.0.1:") && secret.stderr.contains(" 403 Forbidden in "),
        "{secret:?}"
    );
    assert!(!secret.stderr.contains("s3cret"), "{secret:?}");
    Ok(())
}

#[tokio::test]
async fn a_wrong_address_is_explained() -> Result<()> {
    let cluster = shared_cluster().await?;
    let unused = format!("127.0.0.1:{}", ports::free()?);
    assert_unreachable(list(cluster).args(["--address", &unused]), &["failed to connect to", "Connection refused"])
        .await?;
    let http = cluster.server().await?.process.address("http")?.to_string();
    assert_unreachable(list(cluster).args(["--address", &http]), &["does not speak TLS"]).await
}
