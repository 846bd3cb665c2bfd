//! The webhooks of the server's release: where they are, whether the API server calls them, and what the server says of
//! the writes that they saw.

use std::{fs, sync::Arc};

use anyhow::{Context, Result, ensure};
use cluster::{Options, run, wait};
use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    channel::{Certificate, handshake},
    constants::PATIENCE,
    manifests::Workload,
    metrics::{http, metric_total},
    namespace::Namespace,
    release,
    test_cluster::TestCluster,
};

/// The name of both webhook configurations.
pub const CONFIGURATION: &str = "replica-count-manager-replica-count-manager-admission";

/// Starts a cluster for one test with webhooks in a mode, and waits until the API server calls them.
pub async fn start(options: Options, mode: &str, flags: &[&str]) -> Result<TestCluster> {
    let server = release::program("replica-count-manager")?;
    let cluster = TestCluster::start_with_admission(options, &server, mode, flags).await?;
    wait_until_in_force(&cluster).await?;
    Ok(cluster)
}

/// Waits until the API server asks about a dry run of a changed count.
pub async fn wait_until_in_force(cluster: &TestCluster) -> Result<()> {
    let probe = Namespace::new(cluster, "probe").await?;
    probe.create(&Workload::deployment("web").replicas(1).without_pods()).await?;
    wait::until("the webhooks in force", PATIENCE, async || {
        let before = reviews(cluster).await?;
        probe.kubectl(&["scale", "deployment/web", "--replicas=2", "--dry-run=server"]).await?;
        ensure!(reviews(cluster).await? > before, "there was no review of a dry run");
        Ok(())
    })
    .await?;
    probe.kubectl(&["delete", "namespace", &probe.name, "--wait=false"]).await.map(drop)
}

/// The number of reviews that all server pods have answered. Only the leader answers.
pub async fn reviews(cluster: &TestCluster) -> Result<u64> {
    let mut total = 0;
    for server in cluster.servers_in(release::NAME).await? {
        let metrics = http(&server.process.address("http")?.to_string(), "/metrics").await?.1;
        total += metric_total(&metrics, "reviews_total")?;
    }
    Ok(total)
}

/// How often the API server let a write through without an answer of a webhook. On a loaded machine, an answer may take
/// longer than the API server waits.
pub async fn fail_opens(cluster: &TestCluster) -> Result<u64> {
    let metrics = run(cluster.kubectl().args(["get", "--raw=/metrics"])).await?;
    let counts = metrics.lines().filter(|line| line.starts_with("apiserver_admission_webhook_fail_open_count{"));
    counts.map(|line| Ok(line.rsplit(' ').next().context("no value")?.parse::<u64>()?)).sum()
}

/// How many calls of the webhooks the API server made so far: those that took at most a tenth of a second, and all.
pub async fn quick_calls(cluster: &TestCluster) -> Result<(u64, u64)> {
    let metrics = run(cluster.kubectl().args(["get", "--raw=/metrics"])).await?;
    let sum = |series: &str, bucket: &str| -> Result<u64> {
        let start = format!("apiserver_admission_webhook_admission_duration_seconds_{series}{{");
        let lines = metrics.lines().filter(|line| {
            line.starts_with(&start) && line.contains(".replica-count-manager.io\"") && line.contains(bucket)
        });
        lines.map(|line| Ok(line.rsplit(' ').next().context("no value")?.parse::<u64>()?)).sum()
    };
    Ok((sum("bucket", "le=\"0.1\"")?, sum("count", "")?))
}

/// A webhook configuration: `validating` or `mutating`.
pub async fn configuration(cluster: &TestCluster, kind: &str) -> Result<Value> {
    let get = ["get", &format!("{kind}webhookconfiguration"), CONFIGURATION, "--output=json"];
    Ok(serde_json::from_str(&run(cluster.kubectl().args(get)).await?)?)
}

/// The path with the secret that the leader has written into the validating configuration.
pub async fn secret_path(cluster: &TestCluster) -> Result<String> {
    let configuration = configuration(cluster, "validating").await?;
    let path = configuration.pointer("/webhooks/0/clientConfig/service/path").and_then(Value::as_str);
    let path = path.filter(|path| path.len() > 64).with_context(|| format!("no path in {configuration}"))?;
    Ok(path.to_owned())
}

/// The review that the API server would send before a user's write of a Deployment's count.
pub fn review(deployment: &Value, count: i64, user: &str) -> Value {
    let mut after = deployment.clone();
    after["spec"]["replicas"] = count.into();
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "00000000-0000-4000-8000-000000000000",
            "kind": {"group": "apps", "version": "v1", "kind": "Deployment"},
            "resource": {"group": "apps", "version": "v1", "resource": "deployments"},
            "name": deployment["metadata"]["name"], "namespace": deployment["metadata"]["namespace"],
            "operation": "UPDATE", "userInfo": {"username": user, "groups": ["system:authenticated"]},
            "object": after, "oldObject": deployment, "dryRun": false,
            "options": {"kind": "PatchOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "posted"},
        },
    })
}

/// Posts a body to the webhooks of a server, as anybody with a way to its port can, and returns the status and the answer.
pub async fn post(cluster: &TestCluster, address: &str, path: &str, body: Vec<u8>) -> Result<(u16, Value)> {
    let certificate = Certificate { ca: fs::read(cluster.certificates().join("ca/ca.crt"))?, pair: None };
    let mut config = certificate.tls_config(&rustls::version::TLS13)?;
    // As the API server, which speaks HTTP/1.1 to webhooks.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let exchange = async {
        let stream = handshake(address, Arc::new(config)).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let request = Request::post(path).header("host", "localhost").header("content-type", "application/json");
        let answer = sender.send_request(request.body(Full::<Bytes>::from(body))?).await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await?.to_bytes();
        connection.abort();
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    };
    timeout(PATIENCE, exchange).await.context("the webhooks do not answer")?
}

/// A drift, as the server has logged it in JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedDrift {
    /// The target, such as `deployment.apps/web in namespace shop`.
    pub target: String,
    /// The field manager.
    pub manager: String,
    /// The count before the drift.
    pub from: i64,
    /// The count that was written.
    pub to: i64,
    /// The user, if the server knows.
    pub user: Option<String>,
}

/// The drifts in a server's log of the format `json`, in their order.
pub fn logged_drifts(log: &str) -> Vec<LoggedDrift> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let drift = |line: Value| {
        let text = |field: &str| line[field].as_str().map(str::to_owned);
        Some(LoggedDrift {
            target: text("target")?,
            manager: text("manager")?,
            from: line["from"].as_i64()?,
            to: line["to"].as_i64()?,
            user: text("user").filter(|user| !user.is_empty()),
        })
    };
    lines.filter(|line| line["message"] == "drift").filter_map(drift).collect()
}
