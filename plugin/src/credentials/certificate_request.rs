//! CertificateSigningRequests: the plugin makes a key, and the server's signer signs a certificate for it.

use std::time::Duration;

use contract::names::CLIENT_SIGNER;
use k8s_openapi::{
    ByteString,
    api::certificates::v1::{
        CertificateSigningRequest, CertificateSigningRequestSpec, CertificateSigningRequestStatus,
    },
};
use kube::{
    Api, Client, ResourceExt,
    api::{ObjectMeta, PostParams},
};
use rcgen::{CertificateParams, DnType, KeyPair};
use tokio::time::{Instant, sleep};

use super::error::Error;
use crate::{
    kubernetes::{
        request::send,
        service::{self, PodPort, Server},
    },
    output, program,
};

/// The interval between two looks at a request. It is short, since approval is automatic by default.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// After this time a login shows what it waits for. An automatic approval would have come by then.
const NOTICE_AFTER: Duration = Duration::from_secs(5);

/// The options of a login.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoginOptions {
    /// The lifetime of the certificate to ask for. The server has a default.
    pub(crate) lifetime: Option<Duration>,
    /// The limit of the wait for a signature.
    pub(crate) timeout: Duration,
    /// Whether to leave out the notice to the waiting user.
    pub(crate) is_quiet: bool,
}

/// Gets a certificate of a server for the user of the kubeconfig, and returns it with its key. The API server decides who
/// that is.
pub(super) async fn request_certificate(
    client: &Client,
    server: &Server,
    limit: Duration,
    options: LoginOptions,
) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let key = KeyPair::generate().map_err(Error::Key)?;
    let requests: Api<CertificateSigningRequest> = Api::all(client.clone());
    let action = "create a certificatesigningrequest";
    let request = build_request(&key, options.lifetime)?;
    let created = send(limit, action, requests.create(&PostParams::default(), &request)).await;
    let name = created.map_err(Error::Request)?.name_any();
    let certificate = wait_for_certificate(&requests, &name, server, limit, options).await?;
    Ok((certificate, key.serialize_pem().into_bytes()))
}

fn build_request(key: &KeyPair, lifetime: Option<Duration>) -> Result<CertificateSigningRequest, Error> {
    let mut params = CertificateParams::default();
    // The signer takes only the key from the request. The API server adds the user.
    params.distinguished_name.push(DnType::CommonName, "kubectl-replicas");
    let pem = params.serialize_request(key).and_then(|request| request.pem()).map_err(Error::Key)?;
    Ok(CertificateSigningRequest {
        metadata: ObjectMeta { generate_name: Some("replica-count-manager-".to_owned()), ..ObjectMeta::default() },
        spec: CertificateSigningRequestSpec {
            signer_name: CLIENT_SIGNER.to_owned(),
            usages: Some(vec!["digital signature".to_owned(), "client auth".to_owned()]),
            expiration_seconds: lifetime.map(|lifetime| i32::try_from(lifetime.as_secs()).unwrap_or(i32::MAX)),
            request: ByteString(pem.into_bytes()),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    })
}

async fn wait_for_certificate(
    requests: &Api<CertificateSigningRequest>,
    name: &str,
    server: &Server,
    limit: Duration,
    options: LoginOptions,
) -> Result<Vec<u8>, Error> {
    let began = Instant::now();
    let mut needs_notice = !options.is_quiet;
    loop {
        let action = format!("get the certificatesigningrequest {name}");
        let status = send(limit, action, requests.get(name)).await.map_err(Error::Request)?.status.unwrap_or_default();
        if let Some(message) = find_refusal(&status) {
            return Err(Error::Refused { name: name.to_owned(), message });
        }
        if let Some(certificate) = status.certificate {
            return Ok(certificate.0);
        }
        if began.elapsed() > options.timeout {
            return Err(Error::NotSigned { name: name.to_owned(), after: options.timeout });
        }
        if needs_notice && began.elapsed() > NOTICE_AFTER {
            output::note(&program::in_text(&describe_wait(name, &server.ready_pods(limit).await)));
            needs_notice = false;
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// Says what a request waits for: for the server, if the caller may see that no pod of it is ready, or else for an
/// approval.
fn describe_wait(name: &str, pods: &Result<Vec<PodPort>, service::Error>) -> String {
    match pods {
        Err(error @ (service::Error::NoneReady { .. } | service::Error::NoPods { .. })) => {
            let hint = error.hint().unwrap_or_default();
            format!("waiting for the server, which signs the request {name}: {error}\nhint: {hint}")
        }
        _ => format!("waiting for approval: kubectl certificate approve {name}"),
    }
}

/// The message of a refusal, or else its reason or type.
fn find_refusal(status: &CertificateSigningRequestStatus) -> Option<String> {
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let refusal = conditions.iter().find(|condition| matches!(condition.type_.as_str(), "Denied" | "Failed"))?;
    let message = [&refusal.message, &refusal.reason].into_iter().flatten().find(|text| !text.is_empty());
    Some(message.unwrap_or(&refusal.type_).clone())
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_asks_for_client_authentication_and_the_lifetime() {
        let key = KeyPair::generate().unwrap();
        let spec = build_request(&key, Some(Duration::from_secs(3600))).unwrap().spec;
        assert_eq!((spec.signer_name.as_str(), spec.expiration_seconds), (CLIENT_SIGNER, Some(3600)));
        assert!(spec.usages.unwrap().contains(&"client auth".to_owned()));
        assert_eq!(build_request(&key, None).unwrap().spec.expiration_seconds, None);
    }

    #[test]
    fn a_refusal_keeps_its_message() {
        let status = |type_: &str, message: &str| -> CertificateSigningRequestStatus {
            let condition = serde_json::json!({"type": type_, "status": "True", "reason": "No", "message": message});
            serde_json::from_value(serde_json::json!({"conditions": [condition]})).unwrap()
        };
        assert_eq!(find_refusal(&status("Approved", "yes")), None);
        assert_eq!(find_refusal(&status("Denied", "ask me first")).as_deref(), Some("ask me first"));
        assert_eq!(find_refusal(&status("Failed", "")).as_deref(), Some("No"));
    }

    #[test]
    fn a_wait_for_the_server_is_not_called_one_for_an_approval() {
        let names = || ("server".to_owned(), "tools".to_owned());
        let no_pods = || {
            let (service, namespace) = names();
            service::Error::NoPods { service, namespace }
        };
        let none_ready = || {
            let (service, namespace) = names();
            service::Error::NoneReady { service, namespace, pods: "a is Pending".to_owned() }
        };
        let no_service = || {
            let (name, namespace) = names();
            service::Error::NoSuchService { namespace, name }
        };
        let server = "waiting for the server, which signs the request x: no pod of the Service server is ready: ";
        for (name, pods, start) in [
            ("no pods", Err(no_pods()), format!("{server}it has no pods\nhint: `kubectl -n tools get deployments`")),
            ("no ready pod", Err(none_ready()), format!("{server}a is Pending\nhint: ")),
            ("a ready pod", Ok(Vec::new()), "waiting for approval: kubectl certificate approve x".to_owned()),
            ("not known", Err(no_service()), "waiting for approval: kubectl certificate approve x".to_owned()),
        ] {
            let text = describe_wait("x", &pods);
            assert!(text.starts_with(&start), "{name}: {text}");
        }
    }
}
