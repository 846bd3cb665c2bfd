//! Signs the certificates of clients: CertificateSigningRequests for our own signer name, which Kubernetes' own signers
//! leave alone.
//!
//! The API server records in each request the user who made it, and the user's groups. The certificate takes these and
//! the request's key, nothing else: it says who its holder is, and RBAC decides what the holder may do. Every replica
//! signs. The API server accepts the first certificate.

use std::{pin::pin, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use clap::Args;
use contract::names::CLIENT_SIGNER;
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::{
    ByteString,
    api::certificates::v1::{
        CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestSpec,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{
    Api, Client, ResourceExt,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event},
    },
};
use tokio::time::timeout;
use tracing::{info, warn};

use super::managed::ManagedCertificates;
use crate::{runtime::client::post_params, telemetry};

/// The group that the API server gives to every authenticated user. Certificates need not name it: servers add it.
const AUTHENTICATED: &str = "system:authenticated";

/// The usages that a request may name beside client authentication.
const USAGES: [&str; 2] = ["digital signature", "key encipherment"];

/// The longest time that the writes for one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Whether and how to sign the certificates of clients.
#[derive(Args, Clone, Debug)]
pub struct SignerArgs {
    /// Sign CertificateSigningRequests for replica-count-manager.io/client; requires managed certificates
    #[arg(long, env, default_value_t = false, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub(crate) sign_clients: bool,

    /// Approve every well-formed one; otherwise approve them with `kubectl certificate approve`
    #[arg(long, env, default_value_t = false, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub(crate) approve_clients: bool,

    /// Longest life of a client certificate, in hours
    #[arg(long, env, default_value_t = 24, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=8760))]
    pub(crate) client_hours: u32,
}

/// Approves and signs requests.
pub(crate) struct Signer {
    requests: Api<CertificateSigningRequest>,
    managed: Arc<ManagedCertificates>,
    args: SignerArgs,
}

/// The next step for a request.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// It is done, denied, or waits for an approval.
    Leave,
    Approve,
    Sign,
    /// It is not well-formed, for this reason.
    Fail(String),
}

impl Signer {
    pub(crate) fn new(client: Client, managed: Arc<ManagedCertificates>, args: SignerArgs) -> Self {
        Self { requests: Api::all(client), managed, args }
    }

    /// Signs for as long as it is polled.
    pub(crate) async fn run(self) {
        let config = watcher::Config::default().fields(&format!("spec.signerName={CLIENT_SIGNER}"));
        let mut events = pin!(watcher::watcher(self.requests.clone(), config).default_backoff());
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Apply(request) | Event::InitApply(request)) => self.handle(request).await,
                Ok(_) => {}
                Err(error) => warn!(error = telemetry::chain(&error), "requests for certificates cannot be watched"),
            }
        }
    }

    /// Takes the next step for a request. If that fails, the request waits until it changes or the watch lists again.
    async fn handle(&self, request: CertificateSigningRequest) {
        let (name, user) = (request.name_any(), request.spec.username.clone().unwrap_or_default());
        let step = step(&request, self.args.approve_clients);
        let step_name = format!("{step:?}");
        let done = async {
            match step {
                Step::Leave => Ok(()),
                Step::Approve => self.approve(request).await,
                Step::Sign => self.sign(request).await,
                Step::Fail(problem) => self.fail(request, problem).await,
            }
        };
        match timeout(TIMEOUT, done).await {
            Ok(Ok(())) if step_name == "Leave" => {}
            Ok(Ok(())) => info!(request = name, user, step = step_name, "audit: certificate request"),
            Ok(Err(error)) => {
                warn!(
                    request = name,
                    user,
                    step = step_name,
                    error = format!("{error:#}"),
                    "certificate request failed"
                )
            }
            Err(_) => warn!(request = name, user, step = step_name, "certificate request took too long"),
        }
    }

    async fn approve(&self, mut request: CertificateSigningRequest) -> Result<()> {
        add_condition(&mut request, "Approved", "AutoApproved", "RBAC decides what its holder may do");
        let name = request.name_any();
        let approved: Result<CertificateSigningRequest, _> =
            self.requests.replace_subresource("approval", &name, &post_params(), &request).await;
        accept_done(approved)
    }

    async fn sign(&self, mut request: CertificateSigningRequest) -> Result<()> {
        let CertificateSigningRequestSpec { request: text, username, groups, expiration_seconds, .. } = &request.spec;
        let text = std::str::from_utf8(&text.0).context("the request is not PEM")?;
        let groups: Vec<_> = groups.iter().flatten().filter(|group| *group != AUTHENTICATED).cloned().collect();
        let longest = Duration::from_secs(u64::from(self.args.client_hours) * 60 * 60);
        let requested = expiration_seconds.and_then(|seconds| seconds.try_into().ok()).map(Duration::from_secs);
        let lifetime = requested.map_or(longest, |requested| requested.min(longest));
        let user = username.as_deref().unwrap_or_default();
        let signed = self.managed.with_authority(|ca| ca.sign_request(text, user, &groups, lifetime));
        let certificate = match signed {
            Ok(certificate) => certificate,
            Err(error) => return self.fail(request, format!("{error:#}")).await,
        };
        request.status.get_or_insert_default().certificate = Some(ByteString(certificate.into_bytes()));
        self.store(request).await
    }

    async fn fail(&self, mut request: CertificateSigningRequest, problem: String) -> Result<()> {
        add_condition(&mut request, "Failed", "NotWellFormed", &problem);
        self.store(request).await
    }

    async fn store(&self, request: CertificateSigningRequest) -> Result<()> {
        accept_done(self.requests.replace_status(&request.name_any(), &post_params(), &request).await)
    }
}

/// Decides the next step. A request is approved only if it is well-formed, and signed only if it is approved.
fn step(request: &CertificateSigningRequest, approve: bool) -> Step {
    let status = request.status.clone().unwrap_or_default();
    let has = |type_: &str| status.conditions.iter().flatten().any(|condition| condition.type_ == type_);
    if request.spec.signer_name != CLIENT_SIGNER || status.certificate.is_some() || has("Denied") || has("Failed") {
        return Step::Leave;
    }
    match check(&request.spec) {
        Err(problem) => Step::Fail(format!("{problem:#}")),
        Ok(()) if has("Approved") => Step::Sign,
        Ok(()) if approve => Step::Approve,
        Ok(()) => Step::Leave,
    }
}

/// Checks that a request is for client authentication and nothing else, and names a user.
fn check(spec: &CertificateSigningRequestSpec) -> Result<()> {
    let usages = spec.usages.as_deref().unwrap_or_default();
    ensure!(usages.iter().any(|usage| usage == "client auth"), "usages must hold \"client auth\"");
    let foreign = usages.iter().find(|usage| *usage != "client auth" && !USAGES.contains(&usage.as_str()));
    ensure!(foreign.is_none(), "usages must not hold {:?}", foreign.map(String::as_str).unwrap_or_default());
    ensure!(spec.username.as_ref().is_some_and(|user| !user.is_empty()), "the request names no user");
    Ok(())
}

fn add_condition(request: &mut CertificateSigningRequest, type_: &str, reason: &str, message: &str) {
    let now = Some(Time(Timestamp::now()));
    let condition = CertificateSigningRequestCondition {
        type_: type_.to_owned(),
        status: "True".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_update_time: now.clone(),
        last_transition_time: now,
    };
    request.status.get_or_insert_default().conditions.get_or_insert_default().push(condition);
}

/// Treats a request that another replica has finished, or somebody has deleted, as done.
fn accept_done<T>(written: Result<T, kube::Error>) -> Result<()> {
    match written {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    fn request(usages: &[&str], conditions: &[&str]) -> CertificateSigningRequest {
        let mut request = CertificateSigningRequest::default();
        request.spec.signer_name = CLIENT_SIGNER.to_owned();
        request.spec.username = Some("alice".to_owned());
        request.spec.usages = Some(usages.iter().map(|&usage| usage.to_owned()).collect());
        conditions.iter().for_each(|type_| add_condition(&mut request, type_, "", ""));
        request
    }

    #[test]
    fn only_what_is_approved_and_well_formed_is_signed() {
        let client = ["digital signature", "client auth"];
        struct Row {
            conditions: &'static [&'static str],
            approve: bool,
            expected: Step,
        }
        for Row { conditions, approve, expected } in [
            Row { conditions: &[], approve: true, expected: Step::Approve },
            Row { conditions: &[], approve: false, expected: Step::Leave },
            Row { conditions: &["Approved"], approve: false, expected: Step::Sign },
            Row { conditions: &["Denied"], approve: true, expected: Step::Leave },
            Row { conditions: &["Approved", "Failed"], approve: true, expected: Step::Leave },
        ] {
            assert_eq!(step(&request(&client, conditions), approve), expected, "{conditions:?} {approve}");
        }
        for usages in [&["server auth", "client auth"][..], &["digital signature"], &[], &["client auth", "cert sign"]]
        {
            for conditions in [&[][..], &["Approved"]] {
                let step = step(&request(usages, conditions), true);
                assert!(matches!(step, Step::Fail(_)), "{usages:?} {conditions:?}: {step:?}");
            }
        }
    }

    #[test]
    fn requests_for_other_signers_and_finished_ones_are_left_alone() {
        let mut other = request(&["client auth"], &["Approved"]);
        other.spec.signer_name = "kubernetes.io/kube-apiserver-client".to_owned();
        assert_eq!(step(&other, true), Step::Leave);
        let mut done = request(&["client auth"], &["Approved"]);
        done.status.get_or_insert_default().certificate = Some(ByteString(vec![1]));
        assert_eq!(step(&done, true), Step::Leave);
        let mut without_user = request(&["client auth"], &["Approved"]);
        without_user.spec.username = None;
        assert!(matches!(step(&without_user, true), Step::Fail(_)));
    }
}
