//! The procedures of docs/revoke.md: each ends with the thief refused, on open connections as well, within the time that
//! the page names.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use cluster::{Options, run, wait};
use contract::replicas::v1::{self, replicas_service_client::ReplicasServiceClient};
use k8s_openapi::ByteString;
use rcgen::{DnType, Issuer, KeyPair};
use replica_count_manager::pki::{Authority, DAY};
use rustls::{AlertDescription as Alert, Error as TlsError};
use serde_json::{Value, json};
use tokio::{process::Command, time::timeout};
use tonic::{Code, Status, Streaming};

use support::{
    CERTIFICATE_FILES, Certificate, Namespace, PATIENCE, RUN_PODS, StandaloneServer, TestCluster, User, connect,
    presented, release, server_flags,
};

/// The time that the page names for certificates. Our kubelet delivers a changed ConfigMap within a second; the page
/// names the real one's delay apart.
const REFUSED: Duration = Duration::from_secs(30);

/// The time that the page names for rights.
const UNAUTHORIZED: Duration = Duration::from_secs(20);

/// A thief with an open Watch.
struct Thief {
    address: String,
    certificate: Certificate,
    events: Streaming<v1::WatchReplicaCountsResponse>,
}

impl Thief {
    async fn watching(address: &str, certificate: Certificate, namespace: &str) -> Result<Self> {
        let events = wait::until("an open Watch", PATIENCE, async || {
            let mut client = ReplicasServiceClient::new(connect(address.to_owned(), &certificate)?);
            let request = v1::WatchReplicaCountsRequest { namespace: namespace.to_owned(), ..Default::default() };
            Ok(client.watch_replica_counts(request).await?.into_inner())
        })
        .await?;
        Ok(Self { address: address.to_owned(), certificate, events })
    }

    /// Waits until the open Watch ends, and returns the error.
    async fn end_of_watch(&mut self, within: Duration) -> Result<Status> {
        let end = async {
            loop {
                match self.events.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return Status::ok("the server ended the Watch"),
                    Err(status) => return status,
                }
            }
        };
        timeout(within, end).await.context("the Watch goes on")
    }

    /// Checks that the server refuses a new connection with this alert, even if the thief trusts whatever CA the server
    /// has now.
    async fn ensure_refused(&mut self, ca: &[u8], expected: Alert) -> Result<()> {
        self.certificate.ca = ca.to_vec();
        let config = Arc::new(self.certificate.tls_config(&rustls::version::TLS13)?);
        let error = presented::connect(&self.address, config).await?.err().context("it was accepted")?;
        let tls = error.get_ref().and_then(|error| error.downcast_ref::<TlsError>());
        ensure!(tls == Some(&TlsError::AlertReceived(expected)), "{error}");
        Ok(())
    }
}

/// Decodes the text under a key of an object.
fn decode(data: &Value, key: &str) -> Result<String> {
    let data: ByteString = serde_json::from_value(data[key].clone()).with_context(|| format!("no {key}"))?;
    Ok(String::from_utf8(data.0)?)
}

/// The certificate in a user's configuration, as a thief copies it.
fn copy(user: &User<'_>) -> Result<Certificate> {
    let entry = user.entry()?;
    let text = |key: &str| decode(&entry, key).map(String::into_bytes);
    Ok(Certificate { ca: text("caData")?, pair: Some((text("certificateData")?, text("keyData")?)) })
}

/// The files of the managed CA's Secret.
async fn ca_files(cluster: &TestCluster) -> Result<[String; 3]> {
    let get = ["get", "secret/replica-count-manager-ca", "--namespace", release::NAME, "--output=json"];
    let secret: Value = serde_json::from_str(&run(cluster.kubectl().args(get)).await?)?;
    let text = |key: &str| decode(&secret["data"], key);
    Ok([text("tls.crt")?, text("tls.key")?, text("ca.crt")?])
}

#[tokio::test]
async fn the_procedures_of_the_page_refuse_the_thief_and_the_victim_logs_in_again() -> Result<()> {
    let cluster = TestCluster::without_server(Options::default()).await?;
    cluster.install_managed(&["--set=replicaCount=1"]).await?;
    let shop = Namespace::new(&cluster, "shop").await?;
    let alice = User::new(&cluster, "alice")?;
    alice.grant_edit(&shop.name).await?;
    alice.grant_connect().await?;
    alice.grant_login().await?;
    alice.run(&["login"]).await?;
    let server = cluster.server().await?;
    let (address, pid) = (server.process.address("grpc")?.to_string(), server.process.pid()?);

    a_stolen_certificate(&cluster, &alice, &address, &shop.name).await?;
    a_stolen_ca_key(&cluster, &alice, &address, &shop.name).await?;
    a_departed_user(&cluster, &alice, &address, &shop.name).await?;
    assert_eq!(cluster.server().await?.process.pid()?, pid, "the server was restarted");
    Ok(())
}

/// "A client certificate is stolen".
async fn a_stolen_certificate(cluster: &TestCluster, alice: &User<'_>, address: &str, namespace: &str) -> Result<()> {
    let mut thief = Thief::watching(address, copy(alice)?, namespace).await?;
    let now = run(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"])).await?;
    let mut helm = cluster.helm();
    helm.args([
        "upgrade",
        release::NAME,
        release::CHART,
        "--namespace",
        release::NAME,
        RUN_PODS,
        "--set=replicaCount=1",
    ]);
    run(helm.arg(format!("--set=certificates.clients.notBefore={}", now.trim()))).await?;
    thief.end_of_watch(REFUSED).await?;
    let [_, _, ca] = ca_files(cluster).await?;
    thief.ensure_refused(ca.as_bytes(), Alert::CertificateRevoked).await?;

    let refused = alice.try_run(&["whoami"]).await?;
    ensure!(refused.stderr.contains("the client certificate was revoked"), "{refused:?}");
    ensure!(refused.stderr.contains("kubectl replicas login"), "{refused:?}");
    // The new certificate is accepted at once.
    alice.run(&["login"]).await?;
    ensure!(alice.run(&["whoami"]).await?.starts_with("User:    alice\n"), "whoami");
    thief.ensure_refused(ca.as_bytes(), Alert::CertificateRevoked).await
}

/// "The CA's key is stolen".
async fn a_stolen_ca_key(cluster: &TestCluster, alice: &User<'_>, address: &str, namespace: &str) -> Result<()> {
    let [certificate, key, _] = ca_files(cluster).await?;
    let stolen = Issuer::from_ca_cert_pem(&certificate, KeyPair::from_pem(&key)?)?;
    let mut params = presented::client_params("mallory");
    params.distinguished_name.push(DnType::OrganizationName, "replica-count-manager:admins");
    // The thief chooses the time, so the revocation time is no help.
    params.not_before = SystemTime::now().into();
    let key = KeyPair::generate()?;
    let pair = Some((params.signed_by(&key, &stolen)?.pem().into_bytes(), key.serialize_pem().into_bytes()));
    let forged = Certificate { ca: certificate.clone().into_bytes(), pair };
    let mut thief = Thief::watching(address, forged, namespace).await?;

    let secret = ["secret/replica-count-manager-ca", "replica-count-manager.io/new-ca=stolen"];
    let annotate = ["annotate", secret[0], secret[1], "--namespace", release::NAME];
    run(cluster.kubectl().args(annotate)).await?;
    thief.end_of_watch(REFUSED).await?;
    let [now, _, authorities] = ca_files(cluster).await?;
    assert_eq!(authorities, now, "the old CA is still trusted");
    ensure!(now != certificate, "it is the old CA");
    thief.ensure_refused(now.as_bytes(), Alert::UnknownCA).await?;

    let refused = alice.try_run(&["whoami"]).await?;
    ensure!(refused.code != Some(0) && refused.stderr.contains("not signed by the configured CA"), "{refused:?}");
    ensure!(refused.stderr.contains("kubectl replicas logout"), "{refused:?}");
    // The stolen CA vouches for nothing, so the login ends first.
    wait::until("a login that trusts the new CA", PATIENCE, async || {
        alice.run(&["logout"]).await?;
        alice.run(&["login"]).await?;
        alice.run(&["whoami"]).await
    })
    .await
    .map(drop)
}

/// "A user has left".
async fn a_departed_user(cluster: &TestCluster, alice: &User<'_>, address: &str, namespace: &str) -> Result<()> {
    let mut thief = Thief::watching(address, copy(alice)?, namespace).await?;
    run(cluster.kubectl().args(["delete", "rolebinding/alice", "--namespace", namespace])).await?;
    run(cluster.kubectl().args(["delete", "clusterrolebinding/alice"])).await?;
    let end = thief.end_of_watch(UNAUTHORIZED).await?;
    assert_eq!(end.code(), Code::PermissionDenied, "{end}");
    let mut client = ReplicasServiceClient::new(connect(address.to_owned(), &thief.certificate)?);
    let request = v1::ListReplicaCountsRequest { namespace: namespace.to_owned(), ..Default::default() };
    let refusal = client.list_replica_counts(request).await.err().context("it was accepted")?;
    assert_eq!(refusal.code(), Code::PermissionDenied, "{refusal}");
    Ok(())
}

/// A server with files of its own in a folder, which the test changes.
fn foreign_server(shop: &Namespace<'_>, folder: &Path, flags: &[&str]) -> Result<StandaloneServer> {
    let mut all = server_flags(shop, folder, CERTIFICATE_FILES).to_vec();
    all.extend(flags.iter().map(|&flag| flag.to_owned()));
    shop.cluster.standalone(all)
}

#[tokio::test]
async fn certificates_of_a_foreign_ca_are_revoked_by_a_time_and_by_the_end_of_the_ca() -> Result<()> {
    let shop = Namespace::shared("foreign-ca").await?;
    let [folder, other] = ["foreign", "other"].map(|name| shop.cluster.folder().join(format!("{}-{name}", shop.name)));
    release::make_certificates(&folder).await?;
    release::make_certificates(&other).await?;
    let time = folder.join("notBefore");
    fs::write(&time, "")?;
    let flag = format!("--clients-not-before-file={}", time.display());
    let server = foreign_server(&shop, &folder, &[&flag])?;
    let ca = fs::read(folder.join("ca/ca.crt"))?;

    let mut thief = Thief::watching(&server.grpc, Certificate::load(&folder)?, &shop.name).await?;
    // A time in the future is refused, and revokes nothing.
    fs::write(&time, "2999-01-01T00:00:00Z")?;
    wait::until("the refusal in the log", PATIENCE, async || {
        let log = server.log()?;
        ensure!(log.contains("2999-01-01T00:00:00Z is in the future"), "{log}");
        Ok(())
    })
    .await?;
    drop(Thief::watching(&server.grpc, Certificate::load(&folder)?, &shop.name).await?);
    fs::write(&time, run(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"])).await?)?;
    thief.end_of_watch(REFUSED).await?;
    thief.ensure_refused(&ca, Alert::CertificateRevoked).await?;

    // Without the time, the certificate counts again. Then its CA goes.
    fs::write(&time, "")?;
    let mut thief = Thief::watching(&server.grpc, Certificate::load(&folder)?, &shop.name).await?;
    fs::copy(other.join("ca/ca.crt"), folder.join("ca/ca.crt"))?;
    thief.end_of_watch(REFUSED).await?;
    thief.ensure_refused(&ca, Alert::UnknownCA).await?;
    let accepted = Certificate { ca: ca.clone(), ..Certificate::load(&other)? };
    Thief::watching(&server.grpc, accepted, &shop.name).await.map(drop)
}

#[tokio::test]
async fn a_foreign_ca_makes_no_administrators_unless_their_group_is_named() -> Result<()> {
    let shop = Namespace::shared("foreign-admins").await?;
    let folder = shop.cluster.certificates();
    let unnamed = foreign_server(&shop, folder, &["--reserved-names="])?;
    let named = foreign_server(&shop, folder, &["--reserved-names=replica-count-manager:admins"])?;
    let admin = Certificate::load(folder)?;
    drop(Thief::watching(&named.grpc, Certificate::load(folder)?, &shop.name).await?);
    unnamed.wait_until_listening().await?;
    wait::until("the refusal", PATIENCE, async || {
        let mut client = ReplicasServiceClient::new(connect(unnamed.grpc.clone(), &admin)?);
        let groups = client.get_server_info(v1::GetServerInfoRequest {}).await?.into_inner().groups;
        ensure!(groups == ["system:authenticated"], "{groups:?}");
        let request = v1::ListReplicaCountsRequest { namespace: shop.name.clone(), ..Default::default() };
        let refusal = client.list_replica_counts(request).await.err().context("it was accepted")?;
        ensure!(refusal.code() == Code::PermissionDenied, "{refusal}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_server_with_certificate_files_can_keep_a_ca_for_its_clients() -> Result<()> {
    let shop = Namespace::shared("clients-ca").await?;
    let folder = shop.cluster.certificates();
    let namespace = format!("--pod-namespace={}", shop.name);
    let server = foreign_server(&shop, folder, &["--client-ca=managed", "--ca-secret=clients", &namespace])?;
    let secret = wait::until("the Secret", PATIENCE, async || shop.get("secret/clients").await).await?;
    let ca = Authority::parse(decode(&secret["data"], "tls.crt")?, &decode(&secret["data"], "tls.key")?)?;
    let issued = ca.issue_client("admin", &["replica-count-manager:admins".to_owned()], DAY)?;
    let server_ca = fs::read_to_string(folder.join("ca/ca.crt"))?;
    let pair = Some((issued.certificate.into_bytes(), issued.key.into_bytes()));
    let admin = Certificate { ca: server_ca.clone().into_bytes(), pair };
    let Thief { address, .. } = Thief::watching(&server.grpc, admin, &shop.name).await?;
    // Login takes the CA of the server from here.
    let map = shop.get("configmap/clients").await?;
    assert_eq!(map["data"], json!({"ca.crt": server_ca}), "{map}");
    let config = Arc::new(Certificate::load(folder)?.tls_config(&rustls::version::TLS13)?);
    let error =
        presented::connect(&address, config).await?.err().context("a client of the server's CA was accepted")?;
    ensure!(error.to_string().contains("UnknownCA"), "{error}");
    Ok(())
}
