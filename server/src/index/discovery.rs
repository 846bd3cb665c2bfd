//! Finds out how the API server serves a kind, and which fields of its objects hold the counts.

use std::time::Duration;

use kube::{
    Api, Client,
    core::ApiResource,
    discovery::{self, ApiGroup, Scope},
    error::DiscoveryError,
};
use tokio::time::timeout;
use tracing::debug;

use super::definition::{Definition, DefinitionVersion};
use crate::resources::{FieldPath, GroupKind, ReadyPath, TargetKind, reasons};

/// How long the whole look-up of a kind can take. It consists of a few small requests.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a kind cannot be managed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The API server serves no such kind.
    #[error("the API server serves no kind {} in the group {}", .0.kind, .0.group)]
    NotServed(GroupKind),
    /// Objects of the kind have no scale subresource or no namespace.
    #[error("{0} cannot be scaled: it has no scale subresource, or no namespace")]
    NotScalable(GroupKind),
    /// The path to the count is too deep: the JSON reader refuses such objects.
    #[error("{0} cannot be scaled: its definition puts the count too deep into its objects")]
    TooDeep(GroupKind),
    /// The API server did not answer in time.
    #[error("failed to look up the kind {0}: no answer within {TIMEOUT:?}")]
    NoAnswer(GroupKind),
    /// The API server answered with an error.
    #[error("failed to look up the kind {kind}")]
    Unknown { kind: GroupKind, source: Box<kube::Error> },
}

impl Error {
    /// The reason of the condition that reports this error.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::NotServed(_) => reasons::KIND_NOT_SERVED,
            Self::NotScalable(_) | Self::TooDeep(_) => reasons::KIND_NOT_SCALABLE,
            Self::NoAnswer(_) | Self::Unknown { .. } => reasons::KIND_UNKNOWN,
        }
    }
}

/// Finds a kind. Its version is the one that the group prefers among those that can be scaled.
///
/// # Errors
///
/// When there is no such kind, it cannot be scaled, or the API server does not answer.
pub(crate) async fn find(client: &Client, kind: &GroupKind) -> Result<TargetKind, Error> {
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
    let resource = find_scalable(&group, kind)?;
    let (replicas, ready) = match read_definition(client, kind, &resource).await? {
        Some(version) => paths_in(&version),
        None => default_paths(),
    };
    if replicas.is_too_deep() {
        return Err(Error::TooDeep(kind.clone()));
    }
    Ok(TargetKind { group_kind: kind.clone(), version: resource.version, plural: resource.plural, replicas, ready })
}

fn find_scalable(group: &ApiGroup, kind: &GroupKind) -> Result<ApiResource, Error> {
    let mut is_served = false;
    // The preferred version comes first. kube orders the others by their stability.
    for version in group.preferred_version().into_iter().chain(group.versions()) {
        for (resource, capabilities) in group.versioned_resources(version) {
            if resource.kind == *kind.kind {
                is_served = true;
                let is_scalable =
                    capabilities.subresources.iter().any(|(subresource, _)| subresource.plural == "scale");
                if is_scalable && capabilities.scope == Scope::Namespaced {
                    return Ok(resource);
                }
            }
        }
    }
    Err(if is_served { Error::NotScalable(kind.clone()) } else { Error::NotServed(kind.clone()) })
}

/// Reads the CRD of a kind, in the version of the resource. `None` if the kind has no CRD, or if the server's account
/// may not read it.
async fn read_definition(
    client: &Client,
    kind: &GroupKind,
    resource: &ApiResource,
) -> Result<Option<DefinitionVersion>, Error> {
    let definitions: Api<Definition> = Api::all(client.clone());
    match definitions.get_opt(&format!("{}.{}", resource.plural, resource.group)).await {
        Ok(definition) => Ok(definition.and_then(|definition| {
            definition.spec.versions.into_iter().find(|version| version.name == resource.version)
        })),
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            debug!(%kind, "the definition may not be read: its count is taken to be at .spec.replicas");
            Ok(None)
        }
        Err(source) => Err(Error::Unknown { kind: kind.clone(), source: Box::new(source) }),
    }
}

/// The fields with the counts, according to a CRD.
///
/// A CRD does not say which field holds the ready replicas. Most kinds have `.status.readyReplicas`, as the group
/// `apps` has. If the schema has no such field, `statusReplicasPath` with the number of all replicas takes its place.
fn paths_in(version: &DefinitionVersion) -> (FieldPath, ReadyPath) {
    let Some(scale) = version.scale() else { return default_paths() };
    let ready = match version.has_status_field("readyReplicas") {
        true => ReadyPath { absent: Some(0), ..default_paths().1 },
        false => ReadyPath { path: FieldPath::new(&scale.status_replicas_path), absent: None },
    };
    (FieldPath::new(&scale.spec_replicas_path), ready)
}

/// The fields with the counts where no CRD names them. Nearly every kind has these fields. Only a CRD could say whether
/// an absent number of ready replicas means 0, so it counts as unknown.
fn default_paths() -> (FieldPath, ReadyPath) {
    (FieldPath::replicas(), ReadyPath { path: FieldPath::new(".status.readyReplicas"), absent: None })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn version(subresources: Value, status: Value) -> DefinitionVersion {
        serde_json::from_value(json!({
            "name": "v1", "served": true, "storage": true, "subresources": subresources,
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"status": {"properties": status}}}},
        }))
        .unwrap()
    }

    #[test]
    fn a_definition_names_the_fields_of_the_counts() {
        let odd = json!({"scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.members"}});
        let ready = |path: &str, absent| ReadyPath { path: FieldPath::new(path), absent };
        struct Row {
            name: &'static str,
            subresources: Value,
            status: Value,
            replicas: &'static str,
            ready: ReadyPath,
        }
        for row in [
            Row {
                name: "no scale subresource",
                subresources: json!({}),
                status: json!({}),
                replicas: ".spec.replicas",
                ready: ready(".status.readyReplicas", None),
            },
            Row {
                name: "no readyReplicas in the schema",
                subresources: odd.clone(),
                status: json!({}),
                replicas: ".spec.size",
                ready: ready(".status.members", None),
            },
            Row {
                name: "readyReplicas in the schema",
                subresources: odd,
                status: json!({"readyReplicas": {}}),
                replicas: ".spec.size",
                ready: ready(".status.readyReplicas", Some(0)),
            },
        ] {
            let paths = paths_in(&version(row.subresources, row.status));
            assert_eq!(paths, (FieldPath::new(row.replicas), row.ready), "{}", row.name);
        }
    }
}
