//! The renewal of a login: it is silent, keeps the requested duration and the user, and happens only when it is due.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use cluster::{Options, run, wait};
use k8s_openapi::ByteString;
use rcgen::{Issuer, KeyPair};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use x509_parser::prelude::{FromDer, X509Certificate};

use support::{Namespace, PATIENCE, TestCluster, User, outcome, presented, release};

/// The validity of a certificate whose renewal is due, in hours from now.
pub(crate) const OLD: [i64; 2] = [-23, 1];

/// The cluster of these tests, where the server approves and signs requests.
pub(crate) async fn shared_cluster() -> Result<&'static TestCluster> {
    static SHARED: OnceCell<TestCluster> = OnceCell::const_new();
    let start = async || {
        let cluster = TestCluster::without_server(Options::default()).await?;
        cluster.install_managed(&[]).await?;
        Ok(cluster)
    };
    SHARED.get_or_try_init(start).await
}

/// A user who may log in.
async fn user(name: &str) -> Result<User<'static>> {
    let user = User::new(shared_cluster().await?, name)?;
    user.grant_connect().await?;
    user.grant_login().await?;
    Ok(user)
}

/// The managed CA. An administrator of the cluster can read it.
async fn issuer(cluster: &TestCluster) -> Result<Issuer<'static, KeyPair>> {
    let get = ["get", "secret/replica-count-manager-ca", "--namespace", release::NAME, "--output=json"];
    let mut secret: Value = serde_json::from_str(&run(cluster.kubectl().args(get)).await?)?;
    let mut text = |key: &str| -> Result<String> {
        let data: ByteString = serde_json::from_value(secret["data"][key].take())?;
        Ok(String::from_utf8(data.0)?)
    };
    let key = KeyPair::from_pem(&text("tls.key")?)?;
    Ok(Issuer::from_ca_cert_pem(&text("tls.crt")?, key)?)
}

/// Replaces the certificate in a configuration by another one of a user, which is valid from and until these hours from
/// now.
pub(crate) async fn replace_certificate(
    cluster: &TestCluster,
    user: &User<'_>,
    name: &str,
    [from, until]: [i64; 2],
) -> Result<Value> {
    let time = |hours: i64| -> SystemTime {
        let distance = Duration::from_secs(hours.unsigned_abs() * 60 * 60);
        if hours < 0 { SystemTime::now() - distance } else { SystemTime::now() + distance }
    };
    let mut params = presented::client_params(name);
    (params.not_before, params.not_after) = (time(from).into(), time(until).into());
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer(cluster).await?)?.pem();
    user.edit_entry(|entry| {
        entry["certificateData"] = json!(ByteString(certificate.into_bytes()));
        entry["keyData"] = json!(ByteString(key.serialize_pem().into_bytes()));
    })?;
    user.entry()
}

/// The certificate requests of a user.
async fn requests(user: &User<'_>) -> Result<Vec<Value>> {
    let get = run(shared_cluster().await?.kubectl().args(["get", "csr", "--output=json"])).await?;
    let mut all: Value = serde_json::from_str(&get)?;
    let all = all["items"].as_array_mut().context("no list")?;
    Ok(all.drain(..).filter(|request| request["spec"]["username"] == *user.name).collect())
}

/// The lifetime of an entry's certificate, in seconds.
fn life(entry: &Value) -> Result<i64> {
    let certificate: ByteString = serde_json::from_value(entry["certificateData"].clone())?;
    let pem = pem::parse(certificate.0)?;
    let (_, certificate) = X509Certificate::from_der(pem.contents())?;
    let validity = certificate.validity();
    Ok(validity.not_after.timestamp() - validity.not_before.timestamp())
}

#[tokio::test]
async fn a_login_is_renewed_silently_with_the_requested_duration() -> Result<()> {
    let ruth = user("ruth").await?;
    // The shortest duration that Kubernetes accepts.
    ruth.run(&["login", "--for=10m"]).await?;
    let entry = ruth.entry()?;
    assert_eq!(entry["expirationSeconds"], 600, "it is remembered");
    let short = life(&entry)?;
    let old = replace_certificate(shared_cluster().await?, &ruth, "ruth", OLD).await?;
    let outcome = ruth.try_run(&["whoami"]).await?;
    ensure!(outcome.code == Some(0) && outcome.stdout.starts_with("User:    ruth\n"), "{outcome:?}");
    assert_eq!(outcome.stderr, "", "it is quiet");
    let renewed = ruth.entry()?;
    ensure!(
        renewed["certificateData"] != old["certificateData"] && renewed["keyData"] != old["keyData"],
        "not renewed"
    );
    assert_eq!((&renewed["expirationSeconds"], life(&renewed)?), (&json!(600), short));
    let asked: Vec<_> =
        requests(&ruth).await?.iter().map(|request| request["spec"]["expirationSeconds"].clone()).collect();
    assert_eq!(asked, [600, 600]);
    // A certificate that is not due is not renewed.
    ruth.run(&["whoami"]).await?;
    ensure!(ruth.entry()? == renewed && requests(&ruth).await?.len() == 2, "it was renewed again");
    Ok(())
}

#[tokio::test]
async fn a_renewal_for_another_user_changes_nothing() -> Result<()> {
    let paul = user("paul").await?;
    paul.run(&["login"]).await?;
    let old = replace_certificate(shared_cluster().await?, &paul, "saul", OLD).await?;
    let outcome = paul.try_run(&["whoami"]).await?;
    ensure!(outcome.code == Some(0) && outcome.stdout.starts_with("User:    saul\n"), "{outcome:?}");
    let warning = "warning: the client certificate was not renewed: the new certificate would name paul instead of \
                   saul\nhint: to become paul, run: kubectl replicas login";
    ensure!(outcome.stderr.starts_with(warning), "{outcome:?}");
    let mut kept = paul.entry()?;
    ensure!(kept["retryAt"].is_string(), "the next try has its time: {}", kept["retryAt"]);
    kept.as_object_mut().context("no entry")?.remove("retryAt");
    ensure!(kept == old, "something else was changed");

    // An expired certificate cannot be used any longer.
    let ended = replace_certificate(shared_cluster().await?, &paul, "saul", [-24, -1]).await?;
    paul.edit_entry(|entry| entry["retryAt"] = "2020-01-01T00:00:00Z".into())?;
    let outcome = paul.try_run(&["whoami"]).await?;
    ensure!(
        outcome.code == Some(3) && outcome.stderr.starts_with("error: the new certificate would name paul"),
        "{outcome:?}"
    );
    assert_eq!(paul.entry()?["certificateData"], ended["certificateData"]);
    paul.run(&["login"]).await?;
    ensure!(paul.run(&["whoami"]).await?.starts_with("User:    paul\n"), "whoami");
    Ok(())
}

#[tokio::test]
async fn no_certificate_is_requested_if_the_configuration_cannot_be_written() -> Result<()> {
    let mut nina = user("nina").await?;
    // Not even root can create files there.
    nina.config = PathBuf::from("/proc/kubectl-replicas.yaml");
    let outcome = nina.try_run(&["login"]).await?;
    ensure!(
        outcome.code == Some(3) && outcome.stderr.contains("failed to write the configuration /proc/"),
        "{outcome:?}"
    );
    assert_eq!(requests(&nina).await?.len(), 0);
    Ok(())
}

#[tokio::test]
async fn a_member_of_system_masters_needs_no_further_rights() -> Result<()> {
    let cluster = shared_cluster().await?;
    let shop = Namespace::new(cluster, "masters").await?;
    shop.deployment("web", 1).await?;
    let config = cluster.folder().join("home-of-masters/config.yaml");
    let run = async |line: &str| {
        let mut plugin = cluster.plugin();
        plugin.env("KUBECTL_REPLICAS_CONFIG", &config);
        outcome(plugin.args(line.split(' ')).args(["--namespace", &shop.name])).await
    };
    let login = run("login").await?;
    ensure!(login.code == Some(0), "{login:?}");
    for line in [
        "adopt --dry-run",
        "list --all-targets -o name",
        "set --all --replicas 1 --dry-run",
        "set -l app=web --current --dry-run",
    ] {
        // The server may not have seen the Deployment yet.
        wait::until(line, PATIENCE, async || {
            let shown = run(line).await?;
            ensure!(shown.code == Some(0) && shown.stdout.contains("deployment.apps/web"), "{shown:?}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_login_without_the_right_fails_with_the_command_that_grants_it() -> Result<()> {
    let olga = User::new(shared_cluster().await?, "olga")?;
    olga.grant_connect().await?;
    let outcome = olga.try_run(&["login"]).await?;
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    for part in [
        "error: not allowed to create a certificatesigningrequest",
        "User \"olga\" cannot create resource \"certificatesigningrequests\"",
        "hint: an administrator allows it with the chart's access.login, or: kubectl create clusterrolebinding",
        "--clusterrole=replica-count-manager-login",
        "kubectl replicas config import",
    ] {
        ensure!(outcome.stderr.contains(part), "{part:?} is missing in {}", outcome.stderr);
    }
    ensure!(!olga.config.exists(), "something was stored");
    olga.grant_login().await?;
    olga.run(&["login"]).await.map(drop)
}
