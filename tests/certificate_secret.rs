//! Changes of the Secret with the server's certificate: it is damaged, or renewed under load.

use std::{fs, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use cluster::{Options, run, wait};
use contract::replicas::v1;
use serde_json::json;

use support::{
    CERTIFICATE_FILES, Certificate, CertificateRotation, Namespace, PATIENCE, TestCluster, metric,
    namespace::ExpectedEvent, release, served_certificate,
};

/// Upper bound until a new certificate is in use. The server reads its files every 5 s, and our kubelet needs a moment
/// to update them.
const SOON: Duration = Duration::from_secs(10 + 5);

/// The files of the Secret.
struct Files {
    certificate: String,
    key: String,
    ca: String,
}

/// How often the server found the files unusable.
async fn failures(cluster: &TestCluster) -> Result<u64> {
    metric(&cluster.http("/metrics").await?.1, "certificate_reload_failures_total")
}

#[tokio::test]
async fn a_damaged_secret_is_reported_and_the_certificate_stays_in_use() -> Result<()> {
    let cluster = TestCluster::start(Options::default()).await?;
    let admin = Certificate::load(cluster.certificates())?;
    let [certificate, key, ca] = CERTIFICATE_FILES;
    let read = |file: &str| fs::read_to_string(cluster.certificates().join(file));
    let (certificate, key, ca) = (read(certificate)?, read(key)?, read(ca)?);
    let half = |text: &str| text[..text.len() / 2].to_owned();
    let before = served_certificate(cluster.grpc_address(), &admin).await?;
    let intact = || Files { certificate: certificate.clone(), key: key.clone(), ca: ca.clone() };
    for (damage, files) in [
        ("no certificate", Files { certificate: "damaged".to_owned(), ..intact() }),
        ("half a certificate", Files { certificate: half(&certificate), ..intact() }),
        ("half a key", Files { key: half(&key), ..intact() }),
        ("no key", Files { key: String::new(), ..intact() }),
        ("the key of another certificate", Files { key: read("client/client.key")?, ..intact() }),
        ("no authority", Files { ca: String::new(), ..intact() }),
        ("half an authority", Files { ca: half(&ca), ..intact() }),
    ] {
        let Files { certificate, key, ca } = files;
        let patch = json!({"stringData": {"tls.crt": certificate, "tls.key": key, "ca.crt": ca}}).to_string();
        let patch = ["--type=merge", "--namespace", release::NAME, "--patch", &patch];
        let mut kubectl = cluster.kubectl();
        run(kubectl.args(["patch", "secret", "replica-count-manager-certificates"]).args(patch)).await?;
        // Two more failures, because the first one may still be caused by the previous damage.
        let expected = failures(&cluster).await? + 2;
        wait::until(damage, PATIENCE, async || {
            let failures = failures(&cluster).await?;
            ensure!(failures >= expected, "{failures} of {expected}");
            Ok(())
        })
        .await?;
        ensure!(
            served_certificate(cluster.grpc_address(), &admin).await? == before,
            "{damage}: another certificate is in use"
        );
        cluster.client()?.get_server_info(v1::GetServerInfoRequest {}).await.context(damage)?;
    }
    ExpectedEvent {
        namespace: release::NAME,
        kind: "Pod",
        reason: "CertificateUnusable",
        note: "the previous one stays in use",
    }
    .wait(&cluster)
    .await?;
    let server = cluster.server().await?;
    let log = cluster.log(release::NAME, &server.pod)?;
    assert_eq!(log.matches("keeping the previous one").count(), 1, "{log}");
    let body = key.lines().nth(1).context("a key has lines")?;
    assert!(!log.contains(body), "{log}");

    cluster.renew_server_certificate().await?;
    wait::until("the new certificate", SOON, async || {
        ensure!(served_certificate(cluster.grpc_address(), &admin).await? != before, "it is still the old one");
        Ok(())
    })
    .await?;
    ExpectedEvent { namespace: release::NAME, kind: "Pod", reason: "CertificateUsable", note: "can be used again" }
        .wait(&cluster)
        .await
}

#[tokio::test]
async fn the_server_replaces_its_certificate_under_load_without_failed_calls() -> Result<()> {
    let cluster = TestCluster::start(Options::default()).await?;
    let shop = Namespace::new(&cluster, "renewed").await?;
    let admin = Arc::new(Certificate::load(cluster.certificates())?);
    let pid = cluster.server().await?.process.pid()?;
    let rotation = CertificateRotation::begin(&shop, cluster.grpc_address(), admin).await?;
    cluster.renew_server_certificate().await?;
    rotation.wait_until_in_force().await?;
    rotation.assert_unnoticed().await?;
    assert_eq!(cluster.server().await?.process.pid()?, pid, "the server was restarted");
    Ok(())
}
