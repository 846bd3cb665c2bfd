//! The server accepts only TLS 1.3 with a certificate of our CA.

use std::{process::Stdio, sync::Arc};

use anyhow::{Context, Result};
use serde_json::json;
use tokio::time::timeout;

use support::{Certificate, PATIENCE, Refusal, TestCluster, handshake, release, shared_cluster};

const METHOD: &str = "proto.DeploymentsService/ListDeployments";

async fn refusal(cluster: &TestCluster, flags: &[&str]) -> Result<Refusal> {
    let flags = [flags, &["-proto", "proto/deployments.proto"]].concat();
    cluster.grpcurl_with(&flags, METHOD, &json!({})).await.err().context("should be refused")
}

#[tokio::test]
async fn a_client_needs_a_certificate_of_our_ca() -> Result<()> {
    let cluster = shared_cluster().await?;
    let [ca, certificate, key] = cluster.client_files();
    cluster.grpcurl_with(&["-cacert", &ca, "-cert", &certificate, "-key", &key], METHOD, &json!({})).await?;

    let none = refusal(cluster, &["-cacert", &ca]).await?;
    assert!(none.output.contains("certificate required"), "{none}");

    let other = cluster.folder().join("other-ca");
    release::make_certificates(&other).await?;
    let file = |name: &str| other.join(name).display().to_string();
    let foreign =
        refusal(cluster, &["-cacert", &ca, "-cert", &file("client/client.crt"), "-key", &file("client/client.key")])
            .await?;
    // Go's client does not send a certificate whose CA the server does not name.
    assert!(foreign.output.contains("certificate required"), "{foreign}");

    // The client refuses a server of another CA.
    let stranger = refusal(cluster, &["-cacert", &file("ca/ca.crt"), "-cert", &certificate, "-key", &key]).await?;
    assert!(stranger.output.contains("certificate signed by unknown authority"), "{stranger}");
    Ok(())
}

#[tokio::test]
async fn plaintext_is_refused() -> Result<()> {
    let refusal = refusal(shared_cluster().await?, &["-plaintext"]).await?;
    assert_ne!(refusal.output, "");
    Ok(())
}

#[tokio::test]
async fn tls_1_2_is_refused() -> Result<()> {
    let cluster = shared_cluster().await?;
    let certificate = Certificate::load(cluster.certificates())?;
    let speak = async |version| -> Result<()> {
        Ok(handshake(cluster.grpc_address(), Arc::new(certificate.tls_config(version)?)).await.map(drop)?)
    };
    speak(&rustls::version::TLS13).await?;
    let refusal = speak(&rustls::version::TLS12).await.err().context("should be refused")?;
    assert!(refusal.to_string().contains("ProtocolVersion"), "{refusal:?}");
    Ok(())
}

/// Files that the server cannot use, and a part of its error.
struct Unusable {
    certificate: String,
    key: String,
    ca: String,
    message: &'static str,
}

#[tokio::test]
async fn the_server_does_not_start_with_unusable_certificates() -> Result<()> {
    let cluster = shared_cluster().await?;
    let good = cluster.certificates().join("server");
    let other = cluster.folder().join("unusable");
    release::make_certificates(&other).await?;
    let start = async |certificate: &str, key: &str, ca: &str| -> Result<String> {
        let mut server = cluster.command(support::release::program("replica-count-manager")?);
        server.args(["--grpc-address=127.0.0.1:0", "--http-address=127.0.0.1:0", "--cert-file", certificate]);
        server.args(["--key-file", key, "--ca-cert-file", ca]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = timeout(PATIENCE, server.kill_on_drop(true).output()).await??;
        assert_eq!(output.status.code(), Some(1));
        Ok(String::from_utf8(output.stderr)?)
    };
    let file = |name: &str| good.join(name).display().to_string();
    let foreign_key = other.join("server/server.key").display().to_string();
    for Unusable { certificate, key, ca, message } in [
        Unusable {
            certificate: "/nowhere.crt".to_owned(),
            key: file("server.key"),
            ca: file("ca.crt"),
            message: "failed to read /nowhere.crt: No such file or directory",
        },
        Unusable {
            certificate: file("server.crt"),
            key: foreign_key,
            ca: file("ca.crt"),
            message: "failed to use the certificate in",
        },
        Unusable {
            certificate: file("server.crt"),
            key: file("ca.crt"),
            ca: file("ca.crt"),
            message: "failed to parse",
        },
        Unusable {
            certificate: file("server.key"),
            key: file("server.key"),
            ca: file("ca.crt"),
            message: "holds no certificate",
        },
    ] {
        let error = start(&certificate, &key, &ca).await?;
        assert!(error.starts_with("error: failed to load the server's certificate: "), "{error}");
        assert!(error.contains(message), "{error:?} should tell {message:?}");
        assert!(!error.contains("PRIVATE"), "{error}");
    }
    Ok(())
}
