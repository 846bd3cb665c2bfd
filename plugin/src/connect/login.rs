//! Getting a client certificate: a key of our own, a CertificateSigningRequest, and the CA that the Service names.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    ByteString,
    api::{
        certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec, CertificateSigningRequestStatus},
        core::v1::ConfigMap,
    },
};
use kube::{
    Api, Client, ResourceExt,
    api::{ObjectMeta, PostParams},
};
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio::time::{Instant, sleep};
use x509_parser::{
    oid_registry::OID_USERID,
    prelude::{FromDer, X509Certificate},
};

use super::{
    api::{self, ask},
    service::Server,
};
use crate::{
    config::{Material, file::Credentials},
    time::limit as words,
};

/// The server's signer.
const SIGNER: &str = "replica-count-manager.io/client";

/// How often a request is looked at.
const PERIOD: Duration = Duration::from_millis(250);

/// When somebody who waits is told what for.
const TOLD_AFTER: Duration = Duration::from_secs(5);

/// What helps where nobody gets a certificate by a request.
const ELSEWHERE: &str = "get a client certificate from whoever installed the server: `kubectl replicas config import` \
                         takes it over";

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Authority(api::Error),
    #[error(transparent)]
    Request(#[from] api::Error),
    #[error("the server {service} in the namespace {namespace} does not sign certificates")]
    NotManaged { service: String, namespace: String },
    #[error("the request {name} was refused: {message}")]
    Refused { name: String, message: String },
    #[error("the request {name} was not signed within {}", words(*after))]
    NotSigned { name: String, after: Duration },
    #[error("failed to make a key and a request")]
    Key(#[source] rcgen::Error),
    #[error("the certificate cannot be read")]
    Unreadable,
    #[error("it would name {new} from now on, not {old}")]
    OtherUser { old: String, new: String },
}

impl Error {
    /// What to do about it.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Authority(error) if error.is_forbidden() => Some(
                "ask an administrator for the role of those who connect, in the server's namespace (the chart's \
                 access.connect)"
                    .to_owned(),
            ),
            Self::Request(error) if error.is_forbidden() => Some(format!(
                "an administrator allows it with the chart's access.login, or: kubectl create clusterrolebinding NAME \
                 --clusterrole=replica-count-manager-login --user=NAME\n  or {ELSEWHERE}"
            )),
            Self::Authority(error) | Self::Request(error) => error.hint(),
            Self::NotManaged { .. } => Some(ELSEWHERE.to_owned()),
            Self::NotSigned { name, .. } => Some(format!(
                "`kubectl describe csr {name}` shows how far it came. If requests have to be approved, log in again and \
                 have that done meanwhile: `kubectl replicas login` shows the command, and waits for --timeout"
            )),
            Self::Refused { name, .. } => {
                Some(format!("`kubectl describe csr {name}` shows the request; ask an administrator of the cluster"))
            }
            Self::OtherUser { new, .. } => {
                Some(format!("to be {new}, log in again: kubectl replicas login; until then, nothing changes"))
            }
            Self::Key(_) | Self::Unreadable => None,
        }
    }
}

/// How to ask for a certificate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    /// How long it should last; the server's default if nothing is said.
    pub(crate) lifetime: Option<Duration>,
    /// How long to wait until it is signed.
    pub(crate) patience: Duration,
    /// Whether to say what is waited for.
    pub(crate) is_quiet: bool,
}

/// Whom a certificate names, and when it is valid.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// The user.
    pub(crate) user: String,
    begins: Timestamp,
    /// When it ends.
    pub(crate) ends: Timestamp,
}

impl Holder {
    /// Reads a certificate in PEM.
    pub(crate) fn of(certificate: &[u8]) -> Option<Self> {
        let der = CertificateDer::from_pem_slice(certificate).ok()?;
        let (_, certificate) = X509Certificate::from_der(&der).ok()?;
        let subject = certificate.subject();
        let mut names = subject.iter_common_name().chain(subject.iter_by_oid(&OID_USERID));
        let user = names.find_map(|name| name.as_str().ok()).unwrap_or_default().to_owned();
        let time = |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp()).ok();
        let validity = certificate.validity();
        Some(Self { user, begins: time(validity.not_before)?, ends: time(validity.not_after)? })
    }

    /// Reads the certificate that is configured, if it is a login's.
    pub(super) fn configured(material: Option<&Material>) -> Option<Self> {
        match material? {
            Material::Inline(certificate) => Self::of(certificate),
            Material::File(_) | Material::Taken { .. } => None,
        }
    }

    /// Whether less than a third of its life is left.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        let (life, left) = (self.ends.duration_since(self.begins), self.ends.duration_since(now));
        left * 3 < life
    }
}

/// Gets a certificate for the user of the kubeconfig. Whom it names, the API server decides.
pub(super) async fn credentials(
    client: &Client,
    server: &Server,
    limit: Duration,
    wish: Wish,
) -> Result<Credentials, Error> {
    let ca = authority(client, server, limit).await?;
    let key = KeyPair::generate().map_err(Error::Key)?;
    let requests: Api<CertificateSigningRequest> = Api::all(client.clone());
    let action = "create a certificatesigningrequest";
    let request = request(&key, wish.lifetime)?;
    let filed = ask(limit, action, requests.create(&PostParams::default(), &request)).await?;
    let certificate = signed(&requests, &filed.name_any(), limit, wish).await?;
    Ok(Credentials { ca, certificate, key: key.serialize_pem().into_bytes() })
}

/// Reads the CA that the Service names.
async fn authority(client: &Client, server: &Server, limit: Duration) -> Result<Vec<u8>, Error> {
    let not_managed = || Error::NotManaged { service: server.name.clone(), namespace: server.namespace.clone() };
    let name = server.ca_config_map().await.map_err(Error::Authority)?.ok_or_else(not_managed)?;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &server.namespace);
    let action = format!("get the configmap {name} in the namespace {}", server.namespace);
    let map = ask(limit, action, maps.get(&name)).await.map_err(Error::Authority)?;
    let ca = map.data.and_then(|mut data| data.remove("ca.crt")).ok_or_else(not_managed)?;
    Ok(ca.into_bytes())
}

fn request(key: &KeyPair, lifetime: Option<Duration>) -> Result<CertificateSigningRequest, Error> {
    let mut params = CertificateParams::default();
    // Nothing of it is taken but the key.
    params.distinguished_name.push(DnType::CommonName, "kubectl-replicas");
    let pem = params.serialize_request(key).and_then(|request| request.pem()).map_err(Error::Key)?;
    Ok(CertificateSigningRequest {
        metadata: ObjectMeta { generate_name: Some("replica-count-manager-".to_owned()), ..ObjectMeta::default() },
        spec: CertificateSigningRequestSpec {
            signer_name: SIGNER.to_owned(),
            usages: Some(vec!["digital signature".to_owned(), "client auth".to_owned()]),
            expiration_seconds: lifetime.map(|lifetime| i32::try_from(lifetime.as_secs()).unwrap_or(i32::MAX)),
            request: ByteString(pem.into_bytes()),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    })
}

/// Waits until a request is signed.
async fn signed(
    requests: &Api<CertificateSigningRequest>,
    name: &str,
    limit: Duration,
    wish: Wish,
) -> Result<Vec<u8>, Error> {
    let began = Instant::now();
    let mut is_told = wish.is_quiet;
    loop {
        let action = format!("get the certificatesigningrequest {name}");
        let status = ask(limit, action, requests.get(name)).await?.status.unwrap_or_default();
        if let Some(message) = refusal(&status) {
            return Err(Error::Refused { name: name.to_owned(), message });
        }
        if let Some(certificate) = status.certificate {
            return Ok(certificate.0);
        }
        if began.elapsed() > wish.patience {
            return Err(Error::NotSigned { name: name.to_owned(), after: wish.patience });
        }
        if !is_told && began.elapsed() > TOLD_AFTER {
            eprintln!("waiting for approval: kubectl certificate approve {name}");
            is_told = true;
        }
        sleep(PERIOD).await;
    }
}

fn refusal(status: &CertificateSigningRequestStatus) -> Option<String> {
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let refusal = conditions.iter().find(|condition| matches!(condition.type_.as_str(), "Denied" | "Failed"))?;
    let said = [&refusal.message, &refusal.reason].into_iter().flatten().find(|text| !text.is_empty());
    Some(said.unwrap_or(&refusal.type_).clone())
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(hours: i64) -> Holder {
        let begins = Timestamp::from_second(1_000_000).unwrap();
        Holder { user: "alice".to_owned(), begins, ends: begins + Duration::from_secs(hours.unsigned_abs() * 3600) }
    }

    #[test]
    fn the_last_third_of_its_life_is_the_time_to_renew() {
        let holder = holder(24);
        let after = |hours: u64| holder.begins + Duration::from_secs(hours * 3600);
        for (hours, due) in [(0, false), (15, false), (17, true), (23, true), (25, true)] {
            assert_eq!(holder.is_due(after(hours)), due, "{hours}");
        }
    }

    #[test]
    fn a_request_asks_for_client_authentication_and_what_is_wished() {
        let key = KeyPair::generate().unwrap();
        let spec = request(&key, Some(Duration::from_secs(3600))).unwrap().spec;
        assert_eq!((spec.signer_name.as_str(), spec.expiration_seconds), (SIGNER, Some(3600)));
        assert!(spec.usages.unwrap().contains(&"client auth".to_owned()));
        assert_eq!(request(&key, None).unwrap().spec.expiration_seconds, None);
    }

    #[test]
    fn a_refusal_is_told_in_the_words_of_who_refused() {
        let status = |type_: &str, message: &str| -> CertificateSigningRequestStatus {
            let condition = serde_json::json!({"type": type_, "status": "True", "reason": "No", "message": message});
            serde_json::from_value(serde_json::json!({"conditions": [condition]})).unwrap()
        };
        assert_eq!(refusal(&status("Approved", "yes")), None);
        assert_eq!(refusal(&status("Denied", "ask me first")).as_deref(), Some("ask me first"));
        assert_eq!(refusal(&status("Failed", "")).as_deref(), Some("No"));
    }

    #[test]
    fn a_certificate_tells_its_holder() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "alice");
        let pem = params.self_signed(&key).unwrap().pem();
        assert_eq!(Holder::of(pem.as_bytes()).unwrap().user, "alice");
        assert_eq!(Holder::of(b"x"), None);
    }
}
