//! Finds out how the API server serves a kind, and where in its objects the counts are.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion,
};
use kube::{
    Api, Client,
    core::ApiResource,
    discovery::{self, ApiGroup, Scope},
    error::DiscoveryError,
};
use tokio::time::timeout;
use tracing::debug;

use crate::resources::{FieldPath, GroupKind, ReadyPath, TargetKind};

/// How long the API server may take for all that is asked.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a kind cannot be managed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such kind.
    #[error("the API server serves no kind {} in the group {}", .0.kind, .0.group)]
    NotServed(GroupKind),
    /// A kind of objects that cannot be scaled.
    #[error("{0} cannot be scaled: it has no scale subresource, or no namespace")]
    NotScalable(GroupKind),
    /// A kind whose definition names a field that no object can have.
    #[error("{0} cannot be scaled: its definition puts the count too deep into its objects")]
    TooDeep(GroupKind),
    /// The API server did not answer.
    #[error("failed to look up the kind {0}: no answer within {TIMEOUT:?}")]
    NoAnswer(GroupKind),
    /// The API server did not say.
    #[error("failed to look up the kind {kind}")]
    Unknown {
        /// The kind.
        kind: GroupKind,
        /// Why.
        source: Box<kube::Error>,
    },
}

impl Error {
    /// The reason in one word, for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotServed(_) => "KindNotServed",
            Self::NotScalable(_) | Self::TooDeep(_) => "KindNotScalable",
            Self::NoAnswer(_) | Self::Unknown { .. } => "KindUnknown",
        }
    }
}

/// Finds a kind, in the version that its group prefers among those that can be scaled.
///
/// # Errors
///
/// When there is no such kind, it cannot be scaled, or the API server does not answer.
pub async fn find(client: &Client, kind: &GroupKind) -> Result<TargetKind, Error> {
    if let Some(known) = TargetKind::apps().into_iter().find(|known| known.group_kind == *kind) {
        return Ok(known);
    }
    timeout(TIMEOUT, look_up(client, kind)).await.unwrap_or_else(|_| Err(Error::NoAnswer(kind.clone())))
}

async fn look_up(client: &Client, kind: &GroupKind) -> Result<TargetKind, Error> {
    let group = match discovery::group(client, &kind.group).await {
        Ok(group) => group,
        Err(kube::Error::Discovery(DiscoveryError::MissingApiGroup(_))) => return Err(Error::NotServed(kind.clone())),
        Err(source) => return Err(Error::Unknown { kind: kind.clone(), source: Box::new(source) }),
    };
    let resource = scalable(&group, kind)?;
    let (replicas, ready) = match definition(client, kind, &resource).await? {
        Some(version) => paths(&version),
        None => default_paths(),
    };
    if replicas.is_too_deep() {
        return Err(Error::TooDeep(kind.clone()));
    }
    Ok(TargetKind { group_kind: kind.clone(), version: resource.version, plural: resource.plural, replicas, ready })
}

fn scalable(group: &ApiGroup, kind: &GroupKind) -> Result<ApiResource, Error> {
    let mut served = false;
    // Preferred first; the rest come by their stability.
    for version in group.preferred_version().into_iter().chain(group.versions()) {
        for (resource, capabilities) in group.versioned_resources(version) {
            if resource.kind == *kind.kind {
                served = true;
                let scales = capabilities.subresources.iter().any(|(subresource, _)| subresource.plural == "scale");
                if scales && capabilities.scope == Scope::Namespaced {
                    return Ok(resource);
                }
            }
        }
    }
    Err(if served { Error::NotScalable(kind.clone()) } else { Error::NotServed(kind.clone()) })
}

/// The definition of a custom resource in a version; `None` if it is none, or may not be read.
async fn definition(
    client: &Client,
    kind: &GroupKind,
    resource: &ApiResource,
) -> Result<Option<CustomResourceDefinitionVersion>, Error> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    match definitions.get_opt(&format!("{}.{}", resource.plural, resource.group)).await {
        Ok(definition) => Ok(definition
            .and_then(|definition| definition.spec.versions.into_iter().find(|one| one.name == resource.version))),
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            debug!(%kind, "the definition may not be read: its count is taken to be at .spec.replicas");
            Ok(None)
        }
        Err(source) => Err(Error::Unknown { kind: kind.clone(), source: Box::new(source) }),
    }
}

/// Where custom resources say that their counts are. Most tell their ready replicas where those of `apps` do, which no
/// definition says; a schema without that field leaves the replicas that there are.
fn paths(version: &CustomResourceDefinitionVersion) -> (FieldPath, ReadyPath) {
    let scale = version.subresources.as_ref().and_then(|subresources| subresources.scale.as_ref());
    let Some(scale) = scale else { return default_paths() };
    let schema = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
    let status = schema.and_then(|schema| schema.properties.as_ref()?.get("status")?.properties.as_ref());
    let ready = match status.is_some_and(|status| status.contains_key("readyReplicas")) {
        true => ReadyPath { absent: Some(0), ..default_paths().1 },
        false => ReadyPath { path: FieldPath::new(&scale.status_replicas_path), absent: None },
    };
    (FieldPath::new(&scale.spec_replicas_path), ready)
}

/// What is taken of a kind that says nothing: the fields of nearly every kind. Whether an absent count of ready replicas
/// means none, only a definition could tell.
fn default_paths() -> (FieldPath, ReadyPath) {
    (FieldPath::replicas(), ReadyPath { path: FieldPath::new(".status.readyReplicas"), absent: None })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn version(subresources: Value, status: Value) -> CustomResourceDefinitionVersion {
        serde_json::from_value(json!({
            "name": "v1", "served": true, "storage": true, "subresources": subresources,
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"status": {"properties": status}}}},
        }))
        .unwrap()
    }

    #[test]
    fn a_definition_says_where_the_counts_are() {
        let odd = json!({"scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.members"}});
        let ready = |path: &str, absent| ReadyPath { path: FieldPath::new(path), absent };
        for (subresources, status, replicas, expected) in [
            (json!({}), json!({}), ".spec.replicas", ready(".status.readyReplicas", None)),
            (odd.clone(), json!({}), ".spec.size", ready(".status.members", None)),
            (odd, json!({"readyReplicas": {}}), ".spec.size", ready(".status.readyReplicas", Some(0))),
        ] {
            assert_eq!(paths(&version(subresources, status)), (FieldPath::new(replicas), expected));
        }
    }
}
