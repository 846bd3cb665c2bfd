//! The renewal of a login: quiet, as long as was asked for, in one name, and never for nothing.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use cluster::{Options, run};
use k8s_openapi::ByteString;
use rcgen::{Issuer, KeyPair};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use x509_parser::prelude::{FromDer, X509Certificate};

use support::{User, World, presented, release};

/// A certificate that a renewal is due for, in hours from now.
const OLD: [i64; 2] = [-23, 1];

/// The cluster of these tests, where the server signs and approves by itself.
async fn world() -> Result<&'static World> {
    static SHARED: OnceCell<World> = OnceCell::const_new();
    let start = async || {
        let world = World::without_server(Options::default()).await?;
        world.install_managed(&[]).await?;
        Ok(world)
    };
    SHARED.get_or_try_init(start).await
}

/// A user who may log in.
async fn user(name: &str) -> Result<User<'static>> {
    let user = User::new(world().await?, name)?;
    user.may_connect().await?;
    user.may_log_in().await?;
    Ok(user)
}

/// The managed CA, which an administrator of the cluster can read.
async fn issuer(world: &World) -> Result<Issuer<'static, KeyPair>> {
    let get = ["get", "secret/replica-count-manager-ca", "--namespace", release::NAME, "--output=json"];
    let mut secret: Value = serde_json::from_str(&run(world.cluster.kubectl().args(get)).await?)?;
    let mut text = |key: &str| -> Result<String> {
        let data: ByteString = serde_json::from_value(secret["data"][key].take())?;
        Ok(String::from_utf8(data.0)?)
    };
    let key = KeyPair::from_pem(&text("tls.key")?)?;
    Ok(Issuer::from_ca_cert_pem(&text("tls.crt")?, key)?)
}

/// Puts a certificate of a user, valid from and until these many hours from now, in place of the one in a configuration.
async fn replace_certificate(user: &User<'_>, name: &str, [from, until]: [i64; 2]) -> Result<Value> {
    let time = |hours: i64| -> SystemTime {
        let distance = Duration::from_secs(hours.unsigned_abs() * 60 * 60);
        if hours < 0 { SystemTime::now() - distance } else { SystemTime::now() + distance }
    };
    let mut params = presented::client(name);
    (params.not_before, params.not_after) = (time(from).into(), time(until).into());
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer(world().await?).await?)?.pem();
    user.edit_entry(|entry| {
        entry["certificateData"] = json!(ByteString(certificate.into_bytes()));
        entry["keyData"] = json!(ByteString(key.serialize_pem().into_bytes()));
    })?;
    user.entry()
}

/// The requests of a user.
async fn requests(user: &User<'_>) -> Result<Vec<Value>> {
    let get = run(world().await?.cluster.kubectl().args(["get", "csr", "--output=json"])).await?;
    let mut all: Value = serde_json::from_str(&get)?;
    let all = all["items"].as_array_mut().context("no list")?;
    Ok(all.drain(..).filter(|request| request["spec"]["username"] == *user.name).collect())
}

/// How long the certificate of an entry lasts from its first to its last second, in seconds.
fn life(entry: &Value) -> Result<i64> {
    let certificate: ByteString = serde_json::from_value(entry["certificateData"].clone())?;
    let pem = pem::parse(certificate.0)?;
    let (_, certificate) = X509Certificate::from_der(pem.contents())?;
    let validity = certificate.validity();
    Ok(validity.not_after.timestamp() - validity.not_before.timestamp())
}

#[tokio::test]
async fn a_login_is_renewed_without_a_word_for_as_long_as_was_asked() -> Result<()> {
    let ruth = user("ruth").await?;
    // The shortest that Kubernetes lets anybody ask for.
    ruth.does(&["login", "--for=10m"]).await?;
    let entry = ruth.entry()?;
    assert_eq!(entry["expirationSeconds"], 600, "it is remembered");
    let short = life(&entry)?;
    let old = replace_certificate(&ruth, "ruth", OLD).await?;
    let outcome = ruth.replicas(&["whoami"]).await?;
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
    // One that is not due stays.
    ruth.does(&["whoami"]).await?;
    ensure!(ruth.entry()? == renewed && requests(&ruth).await?.len() == 2, "it was renewed again");
    Ok(())
}

#[tokio::test]
async fn a_renewal_that_would_name_another_user_changes_nothing() -> Result<()> {
    let paul = user("paul").await?;
    paul.does(&["login"]).await?;
    let old = replace_certificate(&paul, "saul", OLD).await?;
    let outcome = paul.replicas(&["whoami"]).await?;
    ensure!(outcome.code == Some(0) && outcome.stdout.starts_with("User:    saul\n"), "{outcome:?}");
    let warning = "warning: the client certificate was not renewed: the new certificate would name paul instead of \
                   saul\nhint: to become paul, run: kubectl replicas login";
    ensure!(outcome.stderr.starts_with(warning), "{outcome:?}");
    let mut kept = paul.entry()?;
    ensure!(kept["retryAt"].is_string(), "the next try has its time: {}", kept["retryAt"]);
    kept.as_object_mut().context("no entry")?.remove("retryAt");
    ensure!(kept == old, "something else was changed");

    // Past its end, there is nothing to go on with.
    let ended = replace_certificate(&paul, "saul", [-24, -1]).await?;
    paul.edit_entry(|entry| entry["retryAt"] = "2020-01-01T00:00:00Z".into())?;
    let outcome = paul.replicas(&["whoami"]).await?;
    ensure!(
        outcome.code == Some(3) && outcome.stderr.starts_with("error: the new certificate would name paul"),
        "{outcome:?}"
    );
    assert_eq!(paul.entry()?["certificateData"], ended["certificateData"]);
    paul.does(&["login"]).await?;
    ensure!(paul.does(&["whoami"]).await?.starts_with("User:    paul\n"), "whoami");
    Ok(())
}

#[tokio::test]
async fn no_request_is_filed_for_a_configuration_that_cannot_be_written() -> Result<()> {
    let mut nina = user("nina").await?;
    // Nobody makes files there, not even root.
    nina.config = PathBuf::from("/proc/kubectl-replicas.yaml");
    let outcome = nina.replicas(&["login"]).await?;
    ensure!(
        outcome.code == Some(3) && outcome.stderr.contains("failed to write the configuration /proc/"),
        "{outcome:?}"
    );
    assert_eq!(requests(&nina).await?.len(), 0);
    Ok(())
}

#[tokio::test]
async fn who_lacks_a_right_is_told_which_and_what_grants_it() -> Result<()> {
    let olga = User::new(world().await?, "olga")?;
    olga.may_connect().await?;
    let outcome = olga.replicas(&["login"]).await?;
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
    olga.may_log_in().await?;
    olga.does(&["login"]).await.map(drop)
}
