//! Two replicas, of which the leader makes corrections. Each test starts its own cluster.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Error, Result, ensure};
use cluster::{Component, Options, run, wait};
use contract::replicas::v1;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use replica_count_manager::leader::{LEASE_DURATION, RENEW_DEADLINE};
use rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use support::{
    CERTIFICATE_FILES, Namespace, PATIENCE, Server, TestCluster, http,
    manifests::names,
    metric,
    namespace::ExpectedEvent,
    release::NAME,
    server_flags,
    two_replicas::{client_of, create_managed, is_leader, leader_and_standby, start, target},
};

/// The time that the next leader has for all corrections after the Lease has expired.
const SOON: Duration = Duration::from_secs(2);

async fn set(cluster: &TestCluster, server: &Server, shop: &Namespace<'_>, name: &str, replicas: i32) -> Result<()> {
    let request =
        v1::SetReplicaCountRequest { target: target(shop, name), replicas: Some(replicas), ..Default::default() };
    client_of(cluster, server)?.set_replica_count(request).await?;
    Ok(())
}

async fn generation(shop: &Namespace<'_>, name: &str) -> Result<i64> {
    shop.get(&format!("deployment/{name}")).await?["metadata"]["generation"].as_i64().context("no generation")
}

/// The time of the last log line with these words.
fn logged(server: &Server, words: &str) -> Result<Timestamp> {
    let log = std::fs::read_to_string(server.process.log().context("no log")?)?;
    let line = log.lines().rfind(|line| line.contains(words)).with_context(|| format!("no {words:?} in {log}"))?;
    Ok(line.split_whitespace().next().context("no time")?.parse()?)
}

#[tokio::test]
async fn all_replicas_serve_and_the_next_leader_corrects_drifts_after_a_kill() -> Result<()> {
    let cluster = start(Options::default()).await?;
    let shop = Namespace::new(&cluster, "killed").await?;
    let names = names("web", 12);
    create_managed(&shop, &names).await?;
    let (leader, standby) = leader_and_standby(&cluster).await?;
    for (server, replicas) in [(&standby, 2), (&leader, 1)] {
        set(&cluster, server, &shop, "web-0", replicas).await?;
        shop.wait_for_replicas("deployment/web-0", replicas.into()).await?;
        let mut client = client_of(&cluster, server)?;
        let get = v1::GetReplicaCountRequest { target: target(&shop, "web-0"), ..Default::default() };
        client.get_replica_count(get).await?;
        let list = client.list_replica_counts(v1::ListReplicaCountsRequest::default()).await?.into_inner();
        assert_eq!(list.replica_counts.len(), names.len());
        assert_eq!(http(&server.process.address("http")?.to_string(), "/readyz").await?.0, 200);
    }
    let count = |count: &Value| count["status"]["changes"][0]["to"] == 1 && count["status"]["observed"] == 1;
    shop.wait_for_replica_count("deployment.web-0", "the change in the status", count).await?;
    let mut before = Vec::new();
    for name in &names {
        before.push(generation(&shop, name).await?);
    }

    let killed = Instant::now();
    leader.process.kill()?;
    shop.kubectl(&["scale", "deployments", "--all", "--replicas=2"]).await?;
    wait::until("all Deployments put back", PATIENCE, async || {
        let list = shop.get("deployments").await?;
        let away = list["items"].as_array().into_iter().flatten().filter(|item| item["spec"]["replicas"] != 1).count();
        ensure!(away == 0, "{away} are not");
        Ok(())
    })
    .await?;
    let took = killed.elapsed();
    ensure!(took < LEASE_DURATION + SOON, "it took {took:?}");
    // The leader has renewed the Lease within the deadline, and the standby waits for the rest of its duration.
    ensure!(took > LEASE_DURATION - RENEW_DEADLINE, "the other did not wait: {took:?}");
    for (name, before) in names.iter().zip(before) {
        shop.wait_for_drifts(&format!("deployment.{name}"), 1).await?;
        assert_eq!(
            generation(&shop, name).await?,
            before + 2,
            "{name}: one write by kubectl and one by the next leader"
        );
    }
    assert_eq!(leader_and_standby(&cluster).await?.0.pod, standby.pod);
    Ok(())
}

#[tokio::test]
async fn a_stopping_leader_hands_over_at_once() -> Result<()> {
    let cluster = start(Options::default()).await?;
    let shop = Namespace::new(&cluster, "stopped").await?;
    create_managed(&shop, &["web".to_owned()]).await?;
    let (leader, standby) = leader_and_standby(&cluster).await?;
    let before = generation(&shop, "web").await?;
    leader.process.terminate()?;
    shop.kubectl(&["scale", "deployment/web", "--replicas=2"]).await?;
    let status = shop.wait_for_drifts("deployment.web", 1).await?;
    assert_eq!(status["lastDrift"]["manager"], "kubectl", "{status}");
    assert_eq!(generation(&shop, "web").await?, before + 2);
    let (stopping, released, leading) =
        (logged(&leader, "stopping")?, logged(&leader, "lease released")?, logged(&standby, "leading")?);
    let took = leading.duration_since(stopping);
    ensure!(took.as_millis() < 1000 && leading >= released - Duration::from_millis(50), "it took {took}");
    assert_eq!(leader_and_standby(&cluster).await?.0.pod, standby.pod);
    Ok(())
}

/// A webhook that delays corrections of a namespace to one count. It lets them through when it is dropped.
struct Hold {
    listener: TcpListener,
    tls: TlsAcceptor,
}

impl Hold {
    async fn new(shop: &Namespace<'_>, replicas: i32) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let own = rcgen::generate_simple_self_signed([address.ip().to_string()])?;
        let webhook = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "hold"},
            "webhooks": [{
                "name": "hold.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "timeoutSeconds": 30, "failurePolicy": "Ignore",
                "clientConfig": {"url": format!("https://{address}/"), "caBundle": ByteString(own.cert.pem().into())},
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": shop.name}},
                "rules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"],
                           "resources": ["deployments/scale"]}],
                "matchConditions": [{"name": "to", "expression": format!("object.spec.replicas == {replicas}")}],
            }],
        });
        shop.kubectl_with(&["create", "--filename=-"], &webhook.to_string()).await?;
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).map_err(Error::msg)?;
        let config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.into()], key)?;
        Ok(Self { listener, tls: Arc::new(config).into() })
    }

    /// Waits for a correction, and completes the TLS handshake, because the API server waits longer for an answer than
    /// for a handshake. The correction continues when the stream is dropped.
    async fn correction(&self) -> Result<TlsStream<TcpStream>> {
        Ok(self.tls.accept(self.listener.accept().await?.0).await?)
    }
}

#[tokio::test]
async fn a_late_write_of_a_paused_leader_is_corrected_and_is_not_a_drift() -> Result<()> {
    let cluster = start(Options::default()).await?;
    let shop = Namespace::new(&cluster, "paused").await?;
    create_managed(&shop, &["web".to_owned()]).await?;
    let (paused, standby) = leader_and_standby(&cluster).await?;
    let hold = Hold::new(&shop, 1).await?;
    // The API server uses a new webhook only after a moment. A dry run does not change the count.
    wait::until("the webhook in force", PATIENCE, async || {
        let mut scale = cluster.kubectl();
        scale.args(["scale", "deployment/web", "--replicas=1", "--dry-run=server", "--request-timeout=1s"]);
        ensure!(!scale.args(["--namespace", &shop.name]).output().await?.status.success(), "it is not yet");
        Ok(())
    })
    .await?;
    while let Ok(accepted) = tokio::time::timeout(Duration::from_millis(1), hold.listener.accept()).await {
        accepted?;
    }
    let before = generation(&shop, "web").await?;
    shop.kubectl(&["scale", "deployment/web", "--replicas=7"]).await?;
    let held = tokio::time::timeout(PATIENCE, hold.correction()).await.context("no correction")??;
    paused.process.pause()?;

    set(&cluster, &standby, &shop, "web", 5).await?;
    shop.wait_for_replicas("deployment/web", 5).await?;
    assert!(is_leader(&standby).await?);
    drop((held, hold));
    wait::until("the late write, and its correction", PATIENCE, async || {
        let (web, written) = (shop.replicas("deployment/web").await?, generation(&shop, "web").await? - before);
        ensure!((web, written) == (5, 4), "after {written} writes it is at {web}");
        Ok(())
    })
    .await?;
    paused.process.resume()?;
    wait::until("the one that was paused to know", PATIENCE, async || {
        ensure!(!is_leader(&paused).await?, "it believes that it leads");
        Ok(())
    })
    .await?;
    let status = shop.wait_for_drifts("deployment.web", 1).await?;
    assert_eq!(status["lastDrift"]["manager"], "kubectl", "{status}");

    shop.kubectl(&["scale", "deployment/web", "--replicas=7"]).await?;
    shop.wait_for_drifts("deployment.web", 2).await?;
    assert_eq!(generation(&shop, "web").await? - before, 6, "the replicas do not undo each other's writes");
    assert_eq!(leader_and_standby(&cluster).await?.0.pod, standby.pod);
    Ok(())
}

#[tokio::test]
async fn no_replica_leads_without_an_api_server_and_one_leads_after_its_return() -> Result<()> {
    let cluster = start(Options::default()).await?;
    let shop = Namespace::new(&cluster, "gone").await?;
    create_managed(&shop, &["web".to_owned()]).await?;
    let (leader, standby) = leader_and_standby(&cluster).await?;
    let api_server = cluster.control_plane.component(Component::ApiServer);
    let killed = Instant::now();
    api_server.kill().await?;
    wait::until("no leader", PATIENCE, async || {
        ensure!(!is_leader(&leader).await? && !is_leader(&standby).await?, "one leads");
        Ok(())
    })
    .await?;
    ensure!(killed.elapsed() < LEASE_DURATION, "it took {:?}", killed.elapsed());
    api_server.start().await?;
    shop.kubectl(&["scale", "deployment/web", "--replicas=2"]).await?;
    shop.wait_for_drifts("deployment.web", 1).await?;
    let (next, other) = leader_and_standby(&cluster).await?;
    ensure!(next.process.pid()? != other.process.pid()?);
    Ok(())
}

#[tokio::test]
async fn a_lease_with_times_that_cannot_be_read_is_mended_by_its_holder() -> Result<()> {
    let cluster = start(Options::default()).await?;
    let shop = Namespace::new(&cluster, "odd-lease").await?;
    create_managed(&shop, &["web".to_owned()]).await?;
    let (leader, _) = leader_and_standby(&cluster).await?;
    let odd = "9999-12-31T23:59:59";
    let patch = json!([
        {"op": "replace", "path": "/spec/renewTime", "value": format!("{odd}.000000Z")},
        {"op": "replace", "path": "/metadata/managedFields/0/time", "value": format!("{odd}Z")},
    ])
    .to_string();
    let lease = ["lease", NAME, "--namespace", NAME];
    let term = async || {
        let terms = "--output=jsonpath={.spec.leaseTransitions} {.spec.acquireTime}";
        run(cluster.kubectl().arg("get").args(lease).arg(terms)).await
    };
    let before = term().await?;
    run(cluster.kubectl().arg("patch").args(lease).args(["--type=json", "--patch", &patch])).await?;
    wait::until("a mended Lease", PATIENCE, async || {
        let json = ["--output=json", "--show-managed-fields"];
        let stored = run(cluster.kubectl().arg("get").args(lease).args(json)).await?;
        ensure!(!stored.contains(odd), "{stored}");
        Ok(())
    })
    .await?;
    shop.kubectl(&["scale", "deployment/web", "--replicas=2"]).await?;
    shop.wait_for_drifts("deployment.web", 1).await?;
    assert_eq!(leader_and_standby(&cluster).await?.0.pod, leader.pod);
    assert_eq!(term().await?, before, "no term has ended");
    Ok(())
}

#[tokio::test]
async fn a_server_of_another_release_that_leads_too_is_reported_until_it_is_gone() -> Result<()> {
    let cluster = TestCluster::start(Options::default()).await?;
    let shop = Namespace::new(&cluster, "second").await?;
    let pod_namespace = format!("--pod-namespace={}", shop.name);
    let flags = server_flags(&shop, cluster.certificates(), CERTIFICATE_FILES);
    // The first flag is the only namespace.
    let certificates = flags.iter().skip(1).map(String::as_str);
    let all = ["--namespace=", "--lease=second", "--pod-name=second", &pod_namespace];
    let other = cluster.standalone(certificates.chain(all))?;
    let reported = async |metrics: Result<(u16, String)>, others: u64| -> Result<()> {
        let reported = metric(&metrics?.1, "other_servers")?;
        ensure!(reported == others, "{reported} others are reported");
        Ok(())
    };
    wait::until("the reports", 2 * PATIENCE, async || {
        reported(cluster.http("/metrics").await, 1).await?;
        reported(http(&other.http, "/metrics").await, 1).await
    })
    .await?;
    let log = other.log()?;
    let own = format!("the server with the Lease {NAME}/{NAME} manages all namespaces too");
    ensure!(log.contains("another server manages the same targets") && log.contains(&own), "{log}");
    let note = format!("the Lease {}/second", shop.name);
    ExpectedEvent { namespace: NAME, kind: "Pod", reason: "OtherServer", note: &note }.wait(&cluster).await?;
    drop(other);
    wait::until("no report", 2 * PATIENCE, async || reported(cluster.http("/metrics").await, 0).await).await
}
