//! The metrics behind TLS: only users who may get `/metrics` read them.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use cluster::{Options, run, wait};
use rustls::{
    ClientConfig, SupportedProtocolVersion,
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use support::{Certificate, Namespace, PATIENCE, TestCluster, handshake, release::NAME};

/// The TLS configuration of a program that trusts the server's CA, and shows no certificate.
fn tls_config(cluster: &TestCluster, version: &'static SupportedProtocolVersion) -> Result<Arc<ClientConfig>> {
    let certificate = Certificate { pair: None, ..Certificate::load(cluster.certificates())? };
    let mut config = certificate.tls_config(version)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Asks for the metrics, and returns the whole answer.
async fn scrape(address: &str, config: &Arc<ClientConfig>, token: Option<&str>) -> Result<String> {
    let authorization = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let request = format!("GET /metrics HTTP/1.1\r\nhost: localhost\r\n{authorization}\r\n");
    let exchange = async {
        let mut stream = handshake(address, config.clone()).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, anyhow::Error>(answer)
    };
    timeout(PATIENCE, exchange).await.context("no answer")?
}

#[tokio::test]
async fn only_users_who_may_get_the_path_read_the_metrics() -> Result<()> {
    let cluster = TestCluster::start_with(Options::default(), &["--set=metrics.secure=true"]).await?;
    let server = cluster.server().await?;
    let address = server.process.address("https-metrics")?.to_string();
    let config = tls_config(&cluster, &TLS13)?;
    let old = handshake(&address, tls_config(&cluster, &TLS12)?).await.err().context("TLS 1.2 is spoken")?;
    ensure!(old.to_string().contains("ProtocolVersion"), "{old:?}");

    let (status, hint) = cluster.http("/metrics").await?;
    ensure!(status == 404 && hint.contains("over TLS"), "{status}: {hint}");
    assert_eq!(cluster.http("/readyz").await?.0, 200);

    let monitoring = Namespace::new(&cluster, "monitoring").await?;
    monitoring.kubectl(&["create", "serviceaccount", "prometheus"]).await?;
    let token = monitoring.kubectl(&["create", "token", "prometheus"]).await?;
    let token = token.trim();
    for (name, token) in [("no token", None), ("a made-up token", Some("made-up"))] {
        let answer = scrape(&address, &config, token).await?;
        let is_refused = answer.starts_with("HTTP/1.1 401 ") && answer.contains("\r\nwww-authenticate: Bearer\r\n");
        ensure!(is_refused, "{name}: {answer}");
    }
    let denied = scrape(&address, &config, Some(token)).await?;
    let user = format!("user \"system:serviceaccount:{}:prometheus\" lacks the right to `get`", monitoring.name);
    ensure!(denied.starts_with("HTTP/1.1 403 ") && denied.contains(&user), "{denied}");

    let account = format!("--serviceaccount={}:prometheus", monitoring.name);
    let role = format!("--clusterrole={NAME}-{NAME}-metrics-reader");
    monitoring.kubectl(&["create", "clusterrolebinding", "prometheus", &role, &account]).await?;
    let metrics = wait::until("the metrics", PATIENCE, async || {
        let answer = scrape(&address, &config, Some(token)).await?;
        ensure!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        Ok(answer)
    })
    .await?;
    ensure!(metrics.contains("\n# HELP ") && metrics.ends_with("# EOF\n"), "{metrics}");

    let log = cluster.log(NAME, &server.pod)?;
    ensure!(!log.contains(token) && !log.contains("made-up"), "a token is in the log: {log}");
    run(cluster.helm().args(["test", NAME, "--namespace", NAME, "--timeout=1m"])).await.map(drop)
}
