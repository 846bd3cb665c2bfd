//! A table of client certificates with their outcomes.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use contract::replicas::v1;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, date_time_ymd,
};
use rustls::{
    AlertDescription as Alert, Error as TlsError, HandshakeKind,
    client::Resumption,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tonic::Code;

use support::{
    dial,
    presented::{PresentedCertificate, TestCa, client_params, connect},
    shared_cluster,
};

/// The outcome of a connection.
#[derive(Debug)]
enum Outcome {
    /// The client is the user of its certificate.
    Accepted,
    /// The server ends the handshake with this alert.
    Refused(Alert),
    /// The server ends the connection while it still receives the certificate. Its alert may arrive or not.
    CutOff,
    /// The handshake succeeds, and the server refuses every call about counts.
    NoCalls,
}

use Outcome::{Accepted, CutOff, NoCalls, Refused};

/// A client certificate, and the outcome of a connection with it.
struct Row {
    name: &'static str,
    make: fn(&TestCa) -> Result<PresentedCertificate>,
    outcome: Outcome,
}

const TABLE: &[Row] = &[
    Row { name: "none", make: |_| Ok(PresentedCertificate::none()), outcome: Refused(Alert::CertificateRequired) },
    Row { name: "ours", make: |ca| ca.sign(client_params("mallory")), outcome: Accepted },
    Row {
        name: "of another CA",
        make: |_| other_ca("another CA")?.sign(client_params("mallory")),
        outcome: Refused(Alert::UnknownCA),
    },
    Row { name: "self-signed", make: self_signed, outcome: Refused(Alert::UnknownCA) },
    Row { name: "expired", make: |ca| ca.sign(valid(2000, 2020)), outcome: Refused(Alert::CertificateExpired) },
    Row { name: "not yet valid", make: |ca| ca.sign(valid(2100, 2101)), outcome: Refused(Alert::CertificateExpired) },
    Row {
        name: "for servers only",
        make: |ca| ca.sign(server_only()),
        outcome: Refused(Alert::UnsupportedCertificate),
    },
    Row { name: "for no usage in particular", make: |ca| ca.sign(any_usage()), outcome: Accepted },
    Row {
        name: "a CA's, as a leaf",
        make: |ca| ca.sign(authority("mallory")),
        outcome: Refused(Alert::CertificateUnknown),
    },
    Row { name: "through an intermediate", make: through_intermediate, outcome: Accepted },
    Row { name: "ours, with another key", make: with_another_key, outcome: Refused(Alert::DecryptError) },
    Row {
        name: "P-384",
        make: |ca| ca.sign_key(client_params("mallory"), &KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?),
        outcome: Accepted,
    },
    Row {
        name: "Ed25519",
        make: |ca| ca.sign_key(client_params("mallory"), &KeyPair::generate_for(&PKCS_ED25519)?),
        outcome: Accepted,
    },
    Row {
        name: "of a user that Kubernetes reserves",
        make: |ca| ca.sign(client_params("system:kube-controller-manager")),
        outcome: Refused(Alert::AccessDenied),
    },
    Row {
        name: "of a service account, which only the managed CA may name",
        make: |ca| ca.sign(client_params("system:serviceaccount:kube-system:default")),
        outcome: Refused(Alert::AccessDenied),
    },
    // Otherwise it could list.
    Row { name: "in the group system:masters", make: |ca| ca.sign(in_group("system:masters")), outcome: Accepted },
    Row { name: "with an empty CN", make: |ca| ca.sign(client_params("")), outcome: NoCalls },
    Row { name: "without a CN", make: |ca| ca.sign(without_name()), outcome: NoCalls },
    Row { name: "of 40 KB", make: |ca| ca.sign(of_size(40_000)), outcome: Accepted },
    Row { name: "of 100 KB", make: |ca| ca.sign(of_size(100_000)), outcome: CutOff },
];

/// The name of the CA of the certificates command.
const OUR_CA: &str = "replica-count-manager CA";

#[tokio::test]
async fn the_server_accepts_and_refuses_the_expected_client_certificates() -> Result<()> {
    let cluster = shared_cluster().await?;
    let ca = TestCa::load(cluster.certificates())?;
    let mut wrong = Vec::new();
    for Row { name, make, outcome: expected } in TABLE {
        let config = Arc::new(make(&ca)?.tls_config(&cluster.certificates().join("ca/ca.crt"))?);
        if let Err(error) = check(cluster.grpc_address(), config, expected).await {
            wrong.push(format!("{name}: expected {expected:?}: {error:#}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The refused clients have not harmed the server.
    cluster.client()?.get_server_info(v1::GetServerInfoRequest {}).await?;
    Ok(())
}

async fn check(address: &str, config: Arc<rustls::ClientConfig>, expected: &Outcome) -> Result<()> {
    let connected = connect(address, config.clone()).await?;
    if let Refused(alert) = expected {
        let error = connected.err().context("it was accepted")?;
        let tls = error.get_ref().and_then(|error| error.downcast_ref::<TlsError>());
        ensure!(tls == Some(&TlsError::AlertReceived(*alert)), "{error}");
        return Ok(());
    }
    if matches!(expected, CutOff) {
        return connected.err().context("it was accepted").map(drop);
    }
    connected?;
    let mut client = v1::replicas_service_client::ReplicasServiceClient::new(dial(address.to_owned(), config));
    let user = client.get_server_info(v1::GetServerInfoRequest {}).await?.into_inner().user;
    let refusal = client.list_replica_counts(v1::ListReplicaCountsRequest::default()).await.err();
    let refusal = refusal.context("it may list")?;
    ensure!(refusal.code() == Code::PermissionDenied, "{refusal}");
    if matches!(expected, NoCalls) {
        ensure!(user.is_empty(), "it is {user:?}");
        ensure!(refusal.message().starts_with("the client certificate names no user"), "{refusal}");
    } else {
        ensure!(user == "mallory", "it is {user:?}");
        ensure!(refusal.message().contains("mallory"), "{refusal}");
    }
    Ok(())
}

#[tokio::test]
async fn no_tls_session_is_resumed() -> Result<()> {
    let cluster = shared_cluster().await?;
    let ca = TestCa::load(cluster.certificates())?;
    let mut config = ca.sign(client_params("mallory"))?.tls_config(&cluster.certificates().join("ca/ca.crt"))?;
    config.resumption = Resumption::in_memory_sessions(8);
    config.enable_early_data = true;
    let config = Arc::new(config);
    for _ in 0..3 {
        let stream = connect(cluster.grpc_address(), config.clone()).await??;
        let session = stream.get_ref().1;
        assert_eq!(session.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(session.tls13_tickets_received(), 0);
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_does_not_offer_http_2_is_refused() -> Result<()> {
    let cluster = shared_cluster().await?;
    let ca = TestCa::load(cluster.certificates())?;
    for protocols in [vec![], vec![b"http/1.1".to_vec()]] {
        let mut config = ca.sign(client_params("mallory"))?.tls_config(&cluster.certificates().join("ca/ca.crt"))?;
        config.alpn_protocols = protocols;
        assert!(connect(cluster.grpc_address(), Arc::new(config)).await?.is_err());
    }
    Ok(())
}

fn other_ca(name: &str) -> Result<TestCa> {
    let (key, params) = (KeyPair::generate()?, authority(name));
    let certificate = params.self_signed(&key)?.der().clone();
    Ok(TestCa { certificate, issuer: Issuer::new(params, key) })
}

fn self_signed(_: &TestCa) -> Result<PresentedCertificate> {
    let key = KeyPair::generate()?;
    let certificate = client_params(OUR_CA).self_signed(&key)?.der().clone();
    PresentedCertificate::chain(vec![certificate], &private(&key)?)
}

fn through_intermediate(ca: &TestCa) -> Result<PresentedCertificate> {
    let (key, params) = (KeyPair::generate()?, authority("an intermediate"));
    let certificate = params.signed_by(&key, &ca.issuer)?.der().clone();
    let intermediate = TestCa { certificate, issuer: Issuer::new(params, key) };
    let key = KeyPair::generate()?;
    let leaf = client_params("mallory").signed_by(&key, &intermediate.issuer)?.der().clone();
    PresentedCertificate::chain(vec![leaf, intermediate.certificate], &private(&key)?)
}

fn with_another_key(ca: &TestCa) -> Result<PresentedCertificate> {
    let certificate: CertificateDer<'_> = client_params("mallory").signed_by(&KeyPair::generate()?, &ca.issuer)?.into();
    PresentedCertificate::chain(vec![certificate], &private(&KeyPair::generate()?)?)
}

fn private(key: &KeyPair) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)
}

fn authority(name: &str) -> CertificateParams {
    with(named(name), |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))
}

fn valid(from: i32, to: i32) -> CertificateParams {
    with(client_params("mallory"), |params| {
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
    })
}

fn server_only() -> CertificateParams {
    with(client_params("mallory"), |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth])
}

fn any_usage() -> CertificateParams {
    named("mallory")
}

fn without_name() -> CertificateParams {
    with(client_params(""), |params| params.distinguished_name = DistinguishedName::new())
}

fn of_size(bytes: usize) -> CertificateParams {
    let filler = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![0; bytes]);
    with(client_params("mallory"), |params| params.custom_extensions = vec![filler])
}

fn in_group(group: &str) -> CertificateParams {
    with(client_params("mallory"), |params| params.distinguished_name.push(DnType::OrganizationName, group))
}

fn named(name: &str) -> CertificateParams {
    with(client_params(name), |params| params.extended_key_usages.clear())
}

fn with(mut params: CertificateParams, change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    change(&mut params);
    params
}
