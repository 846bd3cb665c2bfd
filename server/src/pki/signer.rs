//! Signs the certificates of clients: CertificateSigningRequests for our own signer, which no cluster signs by itself.
//!
//! The API server writes into each request who made it. That, and the key, is all that is taken from it: the certificate
//! says who its holder is, and RBAC decides what they may do. Every replica signs; the API server takes the first.

use std::{pin::pin, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use clap::Args;
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

use super::{managed::Managed, params};
use crate::telemetry;

/// The name of the signer.
const SIGNER: &str = contract::names::CLIENT_SIGNER;

/// The group that the API server gives to everybody; the server adds it by itself.
const AUTHENTICATED: &str = "system:authenticated";

/// What a request may ask its certificate to be for, beside client authentication.
const USAGES: [&str; 2] = ["digital signature", "key encipherment"];

/// How long the writes for one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Whether and how to sign the certificates of clients.
#[derive(Args, Clone, Debug)]
pub struct SignerArgs {
    /// Sign CertificateSigningRequests for replica-count-manager.io/client; needs managed certificates
    #[arg(long, env, default_value_t = false, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub sign_clients: bool,

    /// Approve every well-formed one; otherwise `kubectl certificate approve` does
    #[arg(long, env, default_value_t = false, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub approve_clients: bool,

    /// Longest life of a client certificate, in hours
    #[arg(long, env, default_value_t = 24, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=8760))]
    pub client_hours: u32,
}

/// Signs requests.
pub struct Signer {
    requests: Api<CertificateSigningRequest>,
    managed: Arc<Managed>,
    args: SignerArgs,
}

/// What to do about a request.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Nothing: it is done, refused, or waits for somebody's approval.
    Leave,
    Approve,
    Sign,
    /// It is not well-formed.
    Fail(String),
}

impl Signer {
    /// With the account of a client.
    pub fn new(client: Client, managed: Arc<Managed>, args: SignerArgs) -> Self {
        Self { requests: Api::all(client), managed, args }
    }

    /// Signs for as long as it is polled.
    pub async fn run(self) {
        let config = watcher::Config::default().fields(&format!("spec.signerName={SIGNER}"));
        let mut events = pin!(watcher::watcher(self.requests.clone(), config).default_backoff());
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Apply(request) | Event::InitApply(request)) => self.handle(request).await,
                Ok(_) => {}
                Err(error) => warn!(error = telemetry::chain(&error), "requests for certificates cannot be watched"),
            }
        }
    }

    /// One that fails is left until it changes, or the watch lists again.
    async fn handle(&self, request: CertificateSigningRequest) {
        let (name, user) = (request.name_any(), request.spec.username.clone().unwrap_or_default());
        let step = step(&request, self.args.approve_clients);
        let told = format!("{step:?}");
        let done = async {
            match step {
                Step::Leave => Ok(()),
                Step::Approve => self.approve(request).await,
                Step::Sign => self.sign(request).await,
                Step::Fail(problem) => self.fail(request, problem).await,
            }
        };
        match timeout(TIMEOUT, done).await {
            Ok(Ok(())) if told == "Leave" => {}
            Ok(Ok(())) => info!(request = name, user, step = told, "audit: certificate request"),
            Ok(Err(error)) => {
                warn!(request = name, user, step = told, error = format!("{error:#}"), "certificate request failed")
            }
            Err(_) => warn!(request = name, user, step = told, "certificate request took too long"),
        }
    }

    async fn approve(&self, mut request: CertificateSigningRequest) -> Result<()> {
        add_condition(&mut request, "Approved", "AutoApproved", "RBAC decides what its holder may do");
        let name = request.name_any();
        let approved: Result<CertificateSigningRequest, _> =
            self.requests.replace_subresource("approval", &name, &params(), &request).await;
        settled(approved)
    }

    async fn sign(&self, mut request: CertificateSigningRequest) -> Result<()> {
        let CertificateSigningRequestSpec { request: text, username, groups, expiration_seconds, .. } = &request.spec;
        let text = std::str::from_utf8(&text.0).context("the request is not PEM")?;
        let groups: Vec<_> = groups.iter().flatten().filter(|group| *group != AUTHENTICATED).cloned().collect();
        let longest = Duration::from_secs(u64::from(self.args.client_hours) * 60 * 60);
        let asked = expiration_seconds.and_then(|seconds| seconds.try_into().ok()).map(Duration::from_secs);
        let lifetime = asked.map_or(longest, |asked| asked.min(longest));
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
        settled(self.requests.replace_status(&request.name_any(), &params(), &request).await)
    }
}

/// Decides about a request. It is approved only if it is well-formed, and signed only if it is approved, by whomever.
fn step(request: &CertificateSigningRequest, approve: bool) -> Step {
    let status = request.status.clone().unwrap_or_default();
    let has = |type_: &str| status.conditions.iter().flatten().any(|condition| condition.type_ == type_);
    if request.spec.signer_name != SIGNER || status.certificate.is_some() || has("Denied") || has("Failed") {
        return Step::Leave;
    }
    match check(&request.spec) {
        Err(problem) => Step::Fail(format!("{problem:#}")),
        Ok(()) if has("Approved") => Step::Sign,
        Ok(()) if approve => Step::Approve,
        Ok(()) => Step::Leave,
    }
}

/// Whether a request asks for what this signer gives: a certificate for client authentication, and nothing else.
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

/// What another replica has done first is done.
fn settled<T>(written: Result<T, kube::Error>) -> Result<()> {
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
        request.spec.signer_name = SIGNER.to_owned();
        request.spec.username = Some("alice".to_owned());
        request.spec.usages = Some(usages.iter().map(|&usage| usage.to_owned()).collect());
        conditions.iter().for_each(|type_| add_condition(&mut request, type_, "", ""));
        request
    }

    #[test]
    fn only_what_is_approved_and_well_formed_is_signed() {
        let client = ["digital signature", "client auth"];
        for (request, approve, expected) in [
            (request(&client, &[]), true, Step::Approve),
            (request(&client, &[]), false, Step::Leave),
            (request(&client, &["Approved"]), false, Step::Sign),
            (request(&client, &["Denied"]), true, Step::Leave),
            (request(&client, &["Approved", "Failed"]), true, Step::Leave),
        ] {
            assert_eq!(step(&request, approve), expected, "{request:?}");
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
    fn requests_for_other_signers_and_those_that_are_done_are_left_alone() {
        let mut other = request(&["client auth"], &["Approved"]);
        other.spec.signer_name = "kubernetes.io/kube-apiserver-client".to_owned();
        assert_eq!(step(&other, true), Step::Leave);
        let mut done = request(&["client auth"], &["Approved"]);
        done.status.get_or_insert_default().certificate = Some(ByteString(vec![1]));
        assert_eq!(step(&done, true), Step::Leave);
        let mut nobody = request(&["client auth"], &["Approved"]);
        nobody.spec.username = None;
        assert!(matches!(step(&nobody, true), Step::Fail(_)));
    }
}
