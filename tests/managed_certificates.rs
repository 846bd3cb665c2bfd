//! Certificates that the server manages itself: creation, sharing, renewal, restoration and damage.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use cluster::wait;
use contract::replicas::v1::{self, replicas_service_client::ReplicasServiceClient};
use replica_count_manager::pki::{Authority, DAY};
use serde_json::{Value, json};
use tonic::transport::Channel;

use support::{
    Certificate, CertificateRotation, Namespace, PATIENCE, StandaloneServer, connect, http, metric,
    namespace::ExpectedEvent, presented::certificate_request, served_certificate,
};

const NAME: &str = "ca";

/// The flags of a server that manages this namespace and runs in it.
fn namespace_flags(shop: &Namespace<'_>) -> [String; 2] {
    ["namespace", "pod-namespace"].map(|flag| format!("--{flag}={}", shop.name))
}

fn server(shop: &Namespace<'_>) -> Result<StandaloneServer> {
    let [namespace, pod_namespace] = namespace_flags(shop);
    let (pod, secret) = ("--pod-name=server", format!("--ca-secret={NAME}"));
    let managed = ["--certificates=managed", "--server-names=localhost"];
    shop.cluster.standalone([&*namespace, &pod_namespace, pod, &secret].into_iter().chain(managed))
}

/// Waits for the Secret, and returns its files.
async fn secret(shop: &Namespace<'_>) -> Result<[String; 3]> {
    let secret = wait::until("the Secret", PATIENCE, async || shop.get(&format!("secret/{NAME}")).await).await?;
    let text = |key: &str| -> Result<String> {
        let encoded = secret["data"][key].as_str().with_context(|| format!("no {key}"))?;
        let decoded: k8s_openapi::ByteString = serde_json::from_value(json!(encoded))?;
        Ok(String::from_utf8(decoded.0)?)
    };
    Ok([text("tls.crt")?, text("tls.key")?, text("ca.crt")?])
}

/// An administrator's certificate of the CA in the Secret. It trusts only this CA.
async fn admin(shop: &Namespace<'_>) -> Result<Certificate> {
    let [certificate, key, _] = secret(shop).await?;
    let ca = Authority::parse(certificate.clone(), &key)?;
    let issued = ca.issue_client("admin", &["replica-count-manager:admins".to_owned()], DAY)?;
    let pair = Some((issued.certificate.into_bytes(), issued.key.into_bytes()));
    Ok(Certificate { ca: certificate.into_bytes(), pair })
}

/// Waits until a server answers a client, and returns the channel.
async fn wait_for_answer(server: &StandaloneServer, certificate: &Certificate) -> Result<Channel> {
    wait::until("an answer", PATIENCE, async || {
        let channel = connect(server.grpc.clone(), certificate)?;
        ReplicasServiceClient::new(channel.clone())
            .list_replica_counts(v1::ListReplicaCountsRequest::default())
            .await?;
        Ok(channel)
    })
    .await
}

#[tokio::test]
async fn servers_that_start_at_once_share_one_ca_and_keep_its_key_secret() -> Result<()> {
    let shop = Namespace::shared("managed").await?;
    let servers = [server(&shop)?, server(&shop)?, server(&shop)?];
    let certificate = admin(&shop).await?;
    for server in &servers {
        wait_for_answer(server, &certificate).await?;
    }
    let [ca, key, _] = secret(&shop).await?;
    let map = shop.get(&format!("configmap/{NAME}")).await?;
    assert_eq!(map["data"], json!({"ca.crt": ca}), "{map}");
    let secret_part = key.lines().nth(1).context("a key has lines")?.to_owned();
    for server in &servers {
        let log = server.log()?;
        assert!(!log.contains(&secret_part) && !log.contains("PRIVATE"), "{log}");
    }
    Ok(())
}

#[tokio::test]
async fn a_deleted_secret_is_restored_unchanged() -> Result<()> {
    let shop = Namespace::shared("deleted-ca").await?;
    let server = server(&shop)?;
    let certificate = admin(&shop).await?;
    wait_for_answer(&server, &certificate).await?;
    let before = secret(&shop).await?;
    shop.kubectl(&["delete", &format!("secret/{NAME}"), &format!("configmap/{NAME}")]).await?;
    assert_eq!(secret(&shop).await?, before);
    wait::until("the ConfigMap", PATIENCE, async || shop.get(&format!("configmap/{NAME}")).await).await?;
    wait_for_answer(&server, &certificate).await.map(drop)
}

#[tokio::test]
async fn a_damaged_secret_is_reported_and_changes_nothing() -> Result<()> {
    let shop = Namespace::shared("damaged-ca").await?;
    let server = server(&shop)?;
    let certificate = admin(&shop).await?;
    wait_for_answer(&server, &certificate).await?;
    let before = served_certificate(&server.grpc, &certificate).await?;
    let [_, key, _] = secret(&shop).await?;
    let write = async |key: &str| {
        let patch = json!({"stringData": {"tls.key": key}}).to_string();
        shop.kubectl(&["patch", &format!("secret/{NAME}"), "--type=merge", &format!("--patch={patch}")]).await
    };
    let reported = async |reason: &str, note: &str| {
        ExpectedEvent { namespace: &shop.name, kind: "Pod", reason, note }.wait(shop.cluster).await
    };
    write("damaged").await?;
    wait::until("the failure in metrics and log", PATIENCE, async || {
        let (_, metrics) = http(&server.http, "/metrics").await?;
        let failures = metric(&metrics, "certificate_reload_failures_total")?;
        ensure!(failures > 0, "{metrics}");
        let log = server.log()?;
        ensure!(log.contains("keeping the previous one") && log.contains("holds no usable CA"), "{log}");
        Ok(())
    })
    .await?;
    reported("CertificateUnusable", "holds no usable CA").await?;
    assert_eq!(served_certificate(&server.grpc, &certificate).await?, before);
    wait_for_answer(&server, &certificate).await?;
    write(&key).await?;
    reported("CertificateUsable", "can be used again").await?;
    // An administrator can request a new CA.
    rotate(&shop).await
}

/// Requests a new CA, and waits for it.
async fn rotate(shop: &Namespace<'_>) -> Result<()> {
    let [before, ..] = secret(shop).await?;
    // A time that the server's types cannot hold is no reason to miss the request.
    let patch = json!([
        {"op": "replace", "path": "/metadata/managedFields/0/time", "value": "9999-12-31T00:00:00Z"},
        {"op": "add", "path": "/metadata/annotations", "value": {"replica-count-manager.io/new-ca": "please"}},
    ])
    .to_string();
    shop.kubectl(&["patch", &format!("secret/{NAME}"), "--type=json", "--patch", &patch]).await?;
    wait::until("the new CA", PATIENCE, async || {
        let [now, _, authorities] = secret(shop).await?;
        ensure!(now != before && authorities.contains(&before) && authorities.contains(&now), "it is the old one");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_server_replaces_its_ca_under_load_without_failed_calls() -> Result<()> {
    let shop = Namespace::shared("rotated-ca").await?;
    let server = server(&shop)?;
    // This client always trusts only the old CA, like a user who has copied it.
    let certificate = Arc::new(admin(&shop).await?);
    wait_for_answer(&server, &certificate).await?;
    let rotation = CertificateRotation::begin(&shop, &server.grpc, certificate).await?;
    rotate(&shop).await?;
    rotation.wait_until_in_force().await?;
    // A client with a certificate of the new CA, which trusts only the new CA, can connect too.
    wait_for_answer(&server, &admin(&shop).await?).await?;
    rotation.assert_unnoticed().await
}

/// A certificate request as the plugin makes it. The administrator impersonates its user.
struct Request<'a> {
    name: &'a str,
    usage: &'a str,
    user: &'a str,
    /// A condition type, or `certificate`.
    until: &'a str,
}

impl Request<'_> {
    /// Creates the request, waits for its result, and returns it.
    async fn make(&self, shop: &Namespace<'_>) -> Result<Value> {
        let request = certificate_request(self.name, "replica-count-manager.io/client", self.usage)?;
        let (user, group) = (format!("--as={}", self.user), "--as-group=sre");
        let everybody = "--as-group=system:authenticated";
        let admins = "--as-group=system:masters";
        let create = ["create", "--filename=-", &user, group, everybody, admins];
        shop.kubectl_with(&create, &request.to_string()).await?;
        wait_for_result(shop, self.name, self.until).await
    }
}

async fn wait_for_result(shop: &Namespace<'_>, name: &str, until: &str) -> Result<Value> {
    wait::until(&format!("{until} of {name}"), PATIENCE, async || {
        let request = shop.get(&format!("csr/{name}")).await?;
        let conditions = request.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
        let there = match until {
            "certificate" => request.pointer("/status/certificate").is_some(),
            type_ => conditions.iter().any(|condition| condition["type"] == type_),
        };
        ensure!(there, "{request}");
        Ok(request)
    })
    .await
}

#[tokio::test]
async fn a_certificate_request_is_signed_only_for_its_requester() -> Result<()> {
    let shop = Namespace::shared("signer").await?;
    let [namespace, pod_namespace] = namespace_flags(&shop);
    let signer = ["--certificates=managed", "--ca-secret=ca", "--sign-clients=true", "--approve-clients=true"];
    let _server = shop.cluster.standalone([&*namespace, &pod_namespace].into_iter().chain(signer))?;
    let arn = "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_PlatformEngineers_0123456789abcdef/alice";
    for (name, user) in [("signed-alice", "alice"), ("signed-arn", arn)] {
        let signed = Request { name, usage: "client auth", user, until: "certificate" }.make(&shop).await?;
        let certificate: k8s_openapi::ByteString = serde_json::from_value(signed["status"]["certificate"].clone())?;
        let der = pem::parse(certificate.0)?;
        let identity = replica_count_manager::tls::Identity::of(&der.contents().into()).context("no identity")?;
        assert_eq!(identity.user, user);
        assert_eq!(identity.groups, ["sre", "replica-count-manager:admins", "system:authenticated"]);
    }
    let refused = Request { name: "refused", usage: "server auth", user: "alice", until: "Failed" }.make(&shop).await?;
    assert!(refused.to_string().contains("usages must hold"), "{refused}");
    for name in ["signed-alice", "signed-arn", "refused"] {
        shop.kubectl(&["delete", "csr", name]).await?;
    }
    Ok(())
}
