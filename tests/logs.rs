//! The log in JSON: every line is an object, failures included.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use cluster::wait;
use contract::replicas::v1::{self, replicas_service_client::ReplicasServiceClient};
use serde_json::{Value, json};
use tokio::time::timeout;
use tonic::Code;

use support::{
    ApiProxy, CERTIFICATE_FILES, Certificate, Fault, Namespace, PATIENCE, connect, server_flags, shared_cluster,
};

/// Parses the lines of a log, and checks the fields that every line has.
fn lines(log: &str) -> Result<Vec<Value>> {
    let parse = |line| {
        let line: Value = serde_json::from_str(line).with_context(|| format!("{line} is not JSON"))?;
        for field in ["timestamp", "level", "message"] {
            ensure!(line[field].is_string(), "{line} has no {field}");
        }
        Ok(line)
    };
    log.lines().map(parse).collect()
}

#[tokio::test]
async fn every_line_of_a_json_log_is_an_object_with_the_common_fields() -> Result<()> {
    let cluster = shared_cluster().await?;
    let shop = Namespace::shared("logged").await?;
    let flags = server_flags(&shop, cluster.certificates(), CERTIFICATE_FILES);
    let server = cluster.standalone(flags.iter().map(String::as_str).chain(["--log-format=json"]))?;
    server.wait_until_listening().await?;
    shop.deployment("web", 1).await?;
    shop.set("web", 3).await?;
    shop.wait_for_replicas("deployment/web", 3).await?;
    let drift = wait::until("the drift in the log", PATIENCE, async || {
        // A change is a drift only after this server has observed the count.
        shop.kubectl(&["scale", "deployment/web", "--replicas=7"]).await?;
        let lines = lines(&server.log()?)?;
        lines.into_iter().find(|line| line["message"] == "drift").context("there is none")
    })
    .await?;
    let target = format!("deployment.apps/web in namespace {}", shop.name);
    for (field, value) in [
        ("level", json!("INFO")),
        ("target", json!(target)),
        ("manager", json!("kubectl")),
        ("subresource", json!("scale")),
        ("from", json!(3)),
        ("to", json!(7)),
    ] {
        assert_eq!(drift[field], value, "{drift}");
    }
    Ok(())
}

#[tokio::test]
async fn a_failed_start_is_logged_in_json() -> Result<()> {
    let cluster = shared_cluster().await?;
    let flags = ["--namespace=none", "--log-format=json", "--cert-file=/nowhere/tls.crt"];
    let server = cluster.standalone(flags)?;
    let end = wait::until("the end of the log", PATIENCE, async || {
        let lines = lines(&server.log()?)?;
        lines.into_iter().find(|line| line["level"] == "ERROR").context("no failure yet")
    })
    .await?;
    let error = end["error"].as_str().context("no error")?;
    assert!(error.contains("failed to read /nowhere/tls.crt"), "{end}");
    Ok(())
}

#[tokio::test]
async fn an_invalid_log_level_is_reported_in_plain_text() -> Result<()> {
    for level in ["kube=loud", "verbose", "info,kube", ""] {
        let flag = format!("--log-level={level}");
        let server = shared_cluster().await?.standalone(["--namespace=none", "--log-format=json", &flag])?;
        wait::until("the failure", PATIENCE, async || {
            let log = server.log()?;
            ensure!(log.contains("failed to use LOG_LEVEL"), "{log}");
            ensure!(log.contains("use error, warn, info, debug or trace"), "{log}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn audit_lines_are_written_at_the_level_of_errors() -> Result<()> {
    let cluster = shared_cluster().await?;
    let shop = Namespace::shared("audited").await?;
    shop.deployment("web", 1).await?;
    let flags = server_flags(&shop, cluster.certificates(), CERTIFICATE_FILES);
    let server = cluster.standalone(flags.iter().map(String::as_str).chain(["--log-level=error"]))?;
    let mut client =
        ReplicasServiceClient::new(connect(server.grpc.clone(), &Certificate::load(cluster.certificates())?)?);
    let target = v1::Target { namespace: shop.name.clone(), name: "web".to_owned(), ..Default::default() };
    let request = v1::SetReplicaCountRequest { target: Some(target), replicas: Some(3), ..Default::default() };
    wait::until("a Set", PATIENCE, async || Ok(client.clone().set_replica_count(request.clone()).await?)).await?;
    client.unset_replica_count(v1::UnsetReplicaCountRequest { target: request.target, ..Default::default() }).await?;
    let log = server.log()?;
    ensure!(log.contains("audit: set") && log.contains("audit: unset") && !log.contains("listening"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_write_whose_caller_has_gone_is_in_the_audit_log() -> Result<()> {
    let cluster = shared_cluster().await?;
    let shop = Namespace::shared("gone").await?;
    let proxy = ApiProxy::new(cluster, "127.0.0.1").await?.listen().await?;
    let flags = server_flags(&shop, cluster.certificates(), CERTIFICATE_FILES);
    let server = cluster.standalone_with_kubeconfig(proxy.kubeconfig(), flags)?;
    let client = ReplicasServiceClient::new(connect(server.grpc.clone(), &Certificate::load(cluster.certificates())?)?);
    let target = v1::Target { namespace: shop.name.clone(), name: "web".to_owned(), ..Default::default() };
    let get = v1::GetReplicaCountRequest { target: Some(target.clone()), ..Default::default() };
    let set = v1::SetReplicaCountRequest {
        target: Some(target),
        replicas: Some(3),
        allow_missing: true,
        ..Default::default()
    };
    wait::until("a server that serves", PATIENCE, async || match client.clone().get_replica_count(get.clone()).await {
        Err(status) if status.code() == Code::NotFound => Ok(()),
        other => bail!("{other:?}"),
    })
    .await?;
    // The write is stored at once, and its answer comes within seconds.
    let is_write = |path: &str| path.contains("/replicacounts") && path.contains("fieldManager");
    proxy.set(move |path| if is_write(path) { Fault::Slow(400) } else { Fault::None });
    let called = timeout(Duration::from_secs(1), client.clone().set_replica_count(set)).await;
    ensure!(called.is_err(), "the answer came too early for this test: {called:?}");
    shop.get("replicacount/deployment.web").await.context("nothing was written")?;
    wait::until("the audit line", PATIENCE, async || {
        let log = server.log()?;
        ensure!(log.contains("audit: set"), "{log}");
        Ok(())
    })
    .await
}
