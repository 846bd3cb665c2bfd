//! What the server writes into the configurations of its webhooks: the path, and the CA if the server manages it.

use anyhow::{Context, Result};
use json_patch::{AddOperation, Patch, PatchOperation, TestOperation, jsonptr::PointerBuf};
use k8s_openapi::{
    ByteString,
    api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
};
use kube::{
    Api, Client,
    api::{self, PatchParams},
    core::{ApiResource, DynamicObject},
};
use serde_json::{Value, json};

use super::{paths::Secret, review::Endpoint};
use crate::resources::{FIELD_MANAGER, Lenient};

/// The configuration of one sort of webhooks.
pub(super) struct Configuration {
    configurations: Api<Lenient<DynamicObject>>,
    name: String,
    /// The Service of the webhooks. Webhooks of another one get no path.
    service: Value,
    endpoint: Endpoint,
}

impl Configuration {
    /// The configuration with this name, for webhooks of a Service.
    pub(super) fn new(client: &Client, endpoint: Endpoint, name: &str, namespace: &str, service: &str) -> Self {
        let kind = match endpoint {
            Endpoint::Validate => ApiResource::erase::<ValidatingWebhookConfiguration>(&()),
            Endpoint::Mutate => ApiResource::erase::<MutatingWebhookConfiguration>(&()),
        };
        Self {
            configurations: Api::all_with(client.clone(), &kind),
            name: name.to_owned(),
            service: json!({"namespace": namespace, "name": service}),
            endpoint,
        }
    }

    /// The webhooks that it is for.
    pub(super) fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// Writes the path and the CA, unless they are there. Without a CA, the configuration keeps its own.
    ///
    /// # Errors
    ///
    /// When a request fails, or somebody has changed the configuration at the same time.
    pub(super) async fn publish(&self, secret: &Secret, ca: Option<&[u8]>) -> Result<()> {
        let name = &self.name;
        let sort = match self.endpoint {
            Endpoint::Validate => "ValidatingWebhookConfiguration",
            Endpoint::Mutate => "MutatingWebhookConfiguration",
        };
        let read = async { anyhow::Ok(self.configurations.get(name).await?.read()?) };
        let stored = read.await.with_context(|| format!("failed to read the {sort} {name}"))?;
        let ca = ca.map(|ca| json!(ByteString(ca.to_vec())));
        let path = secret.path(self.endpoint);
        let Some(patch) = patch_of(&stored, &self.service, &path, ca.as_ref()) else { return Ok(()) };
        let patch: api::Patch<()> = api::Patch::Json(patch);
        let written = self.configurations.patch(name, &PatchParams::apply(FIELD_MANAGER), &patch).await;
        written.map(drop).with_context(|| format!("failed to write the {sort} {name}"))
    }
}

/// The patch that gives the webhooks of a Service this path and this CA. `None` if they have them.
///
/// It tests that the configuration has not changed since it was read. Webhooks are addressed by their place. And a patch of
/// a leader whose term is over may arrive after the next leader has written another path.
fn patch_of(stored: &DynamicObject, service: &Value, path: &str, ca: Option<&Value>) -> Option<Patch> {
    let mut changes = Vec::new();
    for (index, webhook) in stored.data["webhooks"].as_array().into_iter().flatten().enumerate() {
        let client = &webhook["clientConfig"];
        if ["namespace", "name"].iter().any(|key| client["service"][key] != service[key]) {
            continue;
        }
        let add = |tokens: &[&str], value: &Value| {
            let mut path = PointerBuf::from_tokens(["webhooks"]);
            path.push_back(index);
            path.append(PointerBuf::from_tokens(tokens.iter().copied()));
            PatchOperation::Add(AddOperation { path, value: value.clone() })
        };
        if client["service"]["path"] != path {
            changes.push(add(&["clientConfig", "service", "path"], &path.into()));
        }
        if let Some(ca) = ca.filter(|ca| client["caBundle"] != **ca) {
            changes.push(add(&["clientConfig", "caBundle"], ca));
        }
    }
    if changes.is_empty() {
        return None;
    }
    let path = PointerBuf::from_tokens(["metadata", "resourceVersion"]);
    changes.insert(0, PatchOperation::Test(TestOperation { path, value: json!(stored.metadata.resource_version) }));
    Some(Patch(changes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook(name: &str, service: &str, path: Option<&str>, ca: Option<&str>) -> Value {
        let mut client = json!({"service": {"namespace": "rcm", "name": service, "port": 443}});
        if let Some(path) = path {
            client["service"]["path"] = path.into();
        }
        if let Some(ca) = ca {
            client["caBundle"] = ca.into();
        }
        json!({"name": name, "clientConfig": client, "failurePolicy": "Ignore"})
    }

    #[test]
    fn a_webhook_of_the_service_gets_the_path_and_the_ca() {
        struct Row {
            name: &'static str,
            before: Value,
            ca: Option<&'static str>,
            /// `None` if there is nothing to write.
            after: Option<Value>,
        }
        let own = |path, ca| webhook("a", "own", path, ca);
        let others = webhook("b", "other", None, None);
        for Row { name, before, ca, after } in [
            Row {
                name: "as the chart makes it",
                before: json!([own(None, None)]),
                ca: Some("new"),
                after: Some(json!([own(Some("/new"), Some("new"))])),
            },
            Row {
                name: "an old path and an old CA",
                before: json!([own(Some("/old"), Some("old"))]),
                ca: Some("new"),
                after: Some(json!([own(Some("/new"), Some("new"))])),
            },
            Row {
                name: "a CA that others write",
                before: json!([own(Some("/old"), Some("old"))]),
                ca: None,
                after: Some(json!([own(Some("/new"), Some("old"))])),
            },
            Row { name: "all there", before: json!([own(Some("/new"), Some("new"))]), ca: Some("new"), after: None },
            Row {
                name: "the webhook of another Service learns no path",
                before: json!([others.clone(), own(None, None)]),
                ca: Some("new"),
                after: Some(json!([others.clone(), own(Some("/new"), Some("new"))])),
            },
            Row { name: "no webhook", before: json!([]), ca: Some("new"), after: None },
            Row { name: "a URL", before: json!([{"name": "a", "clientConfig": {"url": "x"}}]), ca: None, after: None },
            Row { name: "nothing", before: Value::Null, ca: Some("new"), after: None },
        ] {
            let (service, ca) = (json!({"namespace": "rcm", "name": "own"}), ca.map(Value::from));
            let of_version = |version: &str| json!({"metadata": {"resourceVersion": version}, "webhooks": before});
            let stored = serde_json::from_value(of_version("7")).unwrap();
            let patched = patch_of(&stored, &service, "/new", ca.as_ref()).map(|patch| {
                let [mut object, mut newer] = ["7", "8"].map(of_version);
                json_patch::patch(&mut object, &patch).unwrap();
                assert!(json_patch::patch(&mut newer, &patch).is_err(), "{name}: somebody has written it since");
                object["webhooks"].take()
            });
            assert_eq!(patched, after, "{name}");
        }
    }
}
