//! What the cluster says about the server's admission webhooks: their configurations, their endpoint, and their answers.

use std::time::Duration;

use contract::{names::GROUP, replicas::v1::Target};
use k8s_openapi::api::{
    admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
    client::Body,
    core::{DynamicObject, Request, Status},
};
use serde_json::json;

use super::{cluster::Cluster, error::Error, request::send, service::Server, unready};

/// The most configurations or slices that are read. A cluster has a few dozen of the former.
const MAX_READ: u32 = 500;

/// What each warning of the server says.
const HELD: &str = "is held at";

/// A webhook of the server.
#[derive(Debug, PartialEq)]
pub(crate) struct Webhook {
    /// The configuration that it is part of, as kubectl names it:
    /// `validatingwebhookconfiguration/replica-count-manager-admission`.
    pub(crate) configuration: String,
    pub(crate) name: String,
    pub(crate) is_mutating: bool,
    /// The Service that it calls, in the server's namespace.
    pub(crate) service: String,
    /// The certificates that the API server trusts there, in PEM. Empty if there are none.
    pub(crate) bundle: Vec<u8>,
    /// Whether the leader has written the path that it calls.
    pub(crate) has_path: bool,
    /// What the API server does with a write if there is no answer: `Ignore` or `Fail`.
    pub(crate) failure_policy: String,
    /// How many seconds the API server waits for it.
    pub(crate) timeout: i32,
}

/// Lists the webhooks of a server, by their names and the namespace of their Service.
pub(crate) async fn webhooks(server: &Server, limit: Duration) -> Result<Vec<Webhook>, Error> {
    let params = ListParams::default().limit(MAX_READ);
    let validating: Api<ValidatingWebhookConfiguration> = Api::all(server.client());
    let validating = send(limit, "list validatingwebhookconfigurations", validating.list(&params)).await?;
    let mutating: Api<MutatingWebhookConfiguration> = Api::all(server.client());
    let mutating = send(limit, "list mutatingwebhookconfigurations", mutating.list(&params)).await?;
    let validating = validating.items.into_iter().flat_map(validating_webhooks);
    let all = validating.chain(mutating.items.into_iter().flat_map(mutating_webhooks));
    Ok(all.filter_map(|(webhook, namespace)| (namespace == server.namespace).then_some(webhook)).collect())
}

/// The webhooks of a configuration that have names of this project, each with the namespace of its Service.
fn validating_webhooks(configuration: ValidatingWebhookConfiguration) -> Vec<(Webhook, String)> {
    let configured = format!("validatingwebhookconfiguration/{}", configuration.name_any());
    let webhooks = configuration.webhooks.into_iter().flatten();
    webhooks
        .filter_map(|it| describe(&configured, it.name, it.client_config, it.failure_policy, it.timeout_seconds))
        .collect()
}

/// As [`validating_webhooks`].
fn mutating_webhooks(configuration: MutatingWebhookConfiguration) -> Vec<(Webhook, String)> {
    let configured = format!("mutatingwebhookconfiguration/{}", configuration.name_any());
    let webhooks = configuration.webhooks.into_iter().flatten();
    webhooks
        .filter_map(|it| describe(&configured, it.name, it.client_config, it.failure_policy, it.timeout_seconds))
        .map(|(webhook, namespace)| (Webhook { is_mutating: true, ..webhook }, namespace))
        .collect()
}

fn describe(
    configuration: &str,
    name: String,
    client: WebhookClientConfig,
    failure_policy: Option<String>,
    timeout: Option<i32>,
) -> Option<(Webhook, String)> {
    let service = client.service?;
    let webhook = Webhook {
        configuration: configuration.to_owned(),
        is_mutating: false,
        service: service.name,
        bundle: client.ca_bundle.map(|bundle| bundle.0).unwrap_or_default(),
        has_path: service.path.is_some_and(|path| path.len() > 1),
        failure_policy: failure_policy.unwrap_or_default(),
        timeout: timeout.unwrap_or_default(),
        name,
    };
    webhook.name.strip_suffix(GROUP)?.ends_with('.').then_some((webhook, service.namespace))
}

/// The addresses that a Service of the server leads to.
pub(crate) async fn endpoints(server: &Server, service: &str, limit: Duration) -> Result<Vec<String>, Error> {
    let slices: Api<EndpointSlice> = Api::namespaced(server.client(), &server.namespace);
    let params = ListParams::default().labels(&format!("kubernetes.io/service-name={service}")).limit(MAX_READ);
    let action = format!("list endpointslices in the namespace {}", server.namespace);
    let slices = send(limit, action, slices.list(&params)).await?;
    let is_ready = |ready: Option<bool>| ready.unwrap_or(true);
    let endpoints = slices.items.into_iter().flat_map(|slice| slice.endpoints);
    let ready = endpoints.filter(|it| is_ready(it.conditions.as_ref().and_then(|conditions| conditions.ready)));
    Ok(ready.flat_map(|endpoint| endpoint.addresses).collect())
}

/// What the API server says to a dry run that scales a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DryRun {
    /// A webhook of the server refuses it.
    Denied,
    /// It would be stored, and a webhook of the server warns of that.
    Warned,
    /// It would be stored.
    Allowed,
}

/// Scales a target as a dry run, with the rights of the kubeconfig. Nothing is stored.
pub(crate) async fn scale_dry_run(
    cluster: &Cluster,
    target: &Target,
    replicas: i32,
    limit: Duration,
) -> Result<DryRun, Error> {
    let client = cluster.client().await?;
    let resource = unready::resource(cluster, target, limit).await?;
    let objects: Api<DynamicObject> = Api::namespaced_with(client.clone(), &target.namespace, &resource);
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    let params = PatchParams::default().dry_run();
    let request = Request::new(objects.resource_url()).patch_subresource("scale", &target.name, &params, &patch);
    let answer = async {
        let request = request.map_err(kube::Error::BuildRequest)?;
        let (parts, body) = client.send(request.map(Body::from)).await?.into_parts();
        let warnings = parts.headers.get_all("warning").iter();
        let warnings: Vec<_> = warnings.map(|it| String::from_utf8_lossy(it.as_bytes()).into_owned()).collect();
        judge(parts.status.as_u16(), &warnings, &body.collect_bytes().await?)
    };
    let action = format!("patch {}/scale in the namespace {}", resource.plural, target.namespace);
    Ok(send(limit, action, answer).await?)
}

/// What an answer means: its code, its warnings and its body.
fn judge(code: u16, warnings: &[String], body: &[u8]) -> Result<DryRun, kube::Error> {
    if (200..300).contains(&code) {
        let is_warned = warnings.iter().any(|warning| warning.contains(HELD));
        return Ok(if is_warned { DryRun::Warned } else { DryRun::Allowed });
    }
    let status: Status = serde_json::from_slice(body).unwrap_or_else(|_| Status::failure("no reason is given", ""));
    match status.message.contains(&format!(".{GROUP}\" denied the request")) {
        true => Ok(DryRun::Denied),
        false => Err(kube::Error::Api(status.with_code(code).boxed())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_is_ours_by_its_name() {
        let configuration = |name: &str, service: serde_json::Value| {
            let client = json!({"service": service, "caBundle": "UEVN"});
            let webhook = json!({"name": name, "clientConfig": client, "failurePolicy": "Ignore", "timeoutSeconds": 1,
                                 "admissionReviewVersions": ["v1"], "sideEffects": "None"});
            let configuration = json!({"metadata": {"name": "x"}, "webhooks": [webhook]});
            serde_json::from_value(configuration).unwrap()
        };
        let service = || json!({"namespace": "ns", "name": "s", "path": "/secret/validate"});
        let found = validating_webhooks(configuration("scale.replica-count-manager.io", service()));
        let expected = Webhook {
            configuration: "validatingwebhookconfiguration/x".to_owned(),
            name: "scale.replica-count-manager.io".to_owned(),
            is_mutating: false,
            service: "s".to_owned(),
            bundle: b"PEM".to_vec(),
            has_path: true,
            failure_policy: "Ignore".to_owned(),
            timeout: 1,
        };
        assert_eq!(found, [(expected, "ns".to_owned())]);
        for (name, webhook, service) in [
            ("another project", "scale.example.com", service()),
            ("a name that only ends so", "not-replica-count-manager.io", service()),
            ("a URL", "scale.replica-count-manager.io", json!(null)),
        ] {
            assert!(validating_webhooks(configuration(webhook, service)).is_empty(), "{name}");
        }
        let pathless =
            validating_webhooks(configuration("x.replica-count-manager.io", json!({"namespace": "", "name": ""})));
        assert!(!pathless[0].0.has_path);
    }

    #[test]
    fn an_answer_to_a_dry_run_shows_what_the_webhook_does() {
        let warning = "299 - \"deployment.apps/web is held at 3: 4 will be put back\"".to_owned();
        let denied = "admission webhook \"scale.replica-count-manager.io\" denied the request: web is held at 3";
        let others = "admission webhook \"scale.example.com\" denied the request: no";
        let refusal = |message: &str| json!({"kind": "Status", "code": 403, "message": message}).to_string();
        for (name, code, warnings, body, expected) in [
            ("stored", 200, vec![], "{}".to_owned(), Some(DryRun::Allowed)),
            ("another warning", 200, vec!["299 - \"old\"".to_owned()], "{}".to_owned(), Some(DryRun::Allowed)),
            ("warned", 200, vec![warning], "{}".to_owned(), Some(DryRun::Warned)),
            ("denied", 403, vec![], refusal(denied), Some(DryRun::Denied)),
            ("denied by others", 403, vec![], refusal(others), None),
            ("forbidden", 403, vec![], refusal("deployments.apps \"web\" is forbidden"), None),
            ("no status", 502, vec![], "bad gateway".to_owned(), None),
        ] {
            let answer = judge(code, &warnings, body.as_bytes());
            assert_eq!(answer.as_ref().ok().copied(), expected, "{name}");
            let code_of = |error: &kube::Error| matches!(error, kube::Error::Api(status) if status.code == code);
            assert!(answer.as_ref().err().is_none_or(code_of), "{name}: {answer:?}");
        }
    }
}
