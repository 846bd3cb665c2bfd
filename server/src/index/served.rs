//! The kinds that the API server serves, read from aggregated discovery.

use std::collections::{BTreeMap, BTreeSet};

use contract::names::CORE_GROUP;
use serde::Deserialize;

use crate::resources::GroupKind;

/// The kind of the document. An API server without aggregated discovery answers with a document of another kind.
const DOCUMENT: &str = "APIGroupDiscoveryList";

/// The kinds that the API server serves, and in which versions.
#[derive(Debug, Default)]
pub(super) struct ServedKinds {
    /// The versions in which a kind has a scale subresource and a namespace, the preferred one first.
    scalable: BTreeMap<GroupKind, Vec<ServedVersion>>,
    others: BTreeSet<GroupKind>,
    /// The groups with a stale version: its aggregated API server does not answer, so its kinds may be missing.
    stale: BTreeSet<Box<str>>,
}

/// A version of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServedVersion {
    /// The version, such as `v1`.
    pub(super) version: String,
    /// The resource, such as `rollouts`.
    pub(super) plural: String,
}

/// Why a kind has no version that could be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absence {
    NotServed,
    NotScalable,
    /// The group has an API server of its own, which does not answer.
    Unreachable,
}

impl ServedKinds {
    /// Reads the document. `None` if it is of another kind.
    pub(super) fn read(body: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        let document: Document = serde_json::from_slice(body)?;
        if document.kind != DOCUMENT {
            return Ok(None);
        }
        let mut served = Self::default();
        for Group { metadata, versions } in document.items {
            for version in versions {
                if version.freshness == "Stale" {
                    served.stale.insert(metadata.name.clone().into());
                }
                served.add(&metadata.name, version);
            }
        }
        Ok(Some(served))
    }

    fn add(&mut self, group: &str, Version { version, resources, .. }: Version) {
        for resource in resources {
            let Some(kind) = &resource.response_kind else { continue };
            let kind = GroupKind::new(&kind.kind, group);
            let has_scale = resource.subresources.iter().any(|subresource| subresource.subresource == "scale");
            if has_scale && resource.scope == "Namespaced" {
                let served = ServedVersion { version: version.clone(), plural: resource.resource };
                self.scalable.entry(kind).or_default().push(served);
            } else {
                self.others.insert(kind);
            }
        }
    }

    /// The versions of a kind that can be scaled: the preferred one, and then the others.
    pub(super) fn find(&self, kind: &GroupKind) -> Result<(&ServedVersion, &[ServedVersion]), Absence> {
        if let Some((preferred, others)) = self.scalable.get(kind).and_then(|versions| versions.split_first()) {
            Ok((preferred, others))
        } else if self.stale.contains(&kind.group) {
            Err(Absence::Unreachable)
        } else if self.others.contains(kind) || &*kind.group == CORE_GROUP {
            // The document does not list the core group, of which only ReplicationControllers can be scaled.
            Err(Absence::NotScalable)
        } else {
            Err(Absence::NotServed)
        }
    }
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    items: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    metadata: Metadata,
    #[serde(default)]
    versions: Vec<Version>,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

#[derive(Deserialize)]
struct Version {
    version: String,
    #[serde(default)]
    freshness: String,
    #[serde(default)]
    resources: Vec<Resource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    resource: String,
    response_kind: Option<ResponseKind>,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    subresources: Vec<Subresource>,
}

#[derive(Deserialize)]
struct ResponseKind {
    #[serde(default)]
    kind: String,
}

#[derive(Deserialize)]
struct Subresource {
    subresource: String,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn resource(kind: &str, scope: &str, subresources: &[&str]) -> Value {
        let subresources: Vec<_> = subresources.iter().map(|name| json!({"subresource": name})).collect();
        json!({"resource": format!("{}s", kind.to_lowercase()), "responseKind": {"kind": kind}, "scope": scope,
               "subresources": subresources})
    }

    #[test]
    fn each_kind_has_its_versions_or_a_reason_why_it_has_none() {
        let document = json!({"kind": DOCUMENT, "items": [
            {"metadata": {"name": "a.example"}, "versions": [
                {"version": "v2", "freshness": "Current", "resources": [
                    resource("Widget", "Namespaced", &["status", "scale"]), resource("Plain", "Namespaced", &["status"]),
                    resource("Wide", "Cluster", &["scale"]), {"resource": "odd"}]},
                {"version": "v1", "resources": [
                    resource("Widget", "Namespaced", &["scale"]), resource("Old", "Namespaced", &["scale"])]},
            ]},
            {"metadata": {"name": "b.example"}, "versions": [
                {"version": "v2", "freshness": "Stale"},
                {"version": "v1", "resources": [resource("Widget", "Namespaced", &["scale"])]},
            ]},
        ]});
        let served = ServedKinds::read(document.to_string().as_bytes()).unwrap().unwrap();
        struct Row {
            kind: &'static str,
            group: &'static str,
            versions: Result<&'static [&'static str], Absence>,
        }
        for Row { kind, group, versions } in [
            Row { kind: "Widget", group: "a.example", versions: Ok(&["v2", "v1"]) },
            Row { kind: "Old", group: "a.example", versions: Ok(&["v1"]) },
            Row { kind: "Plain", group: "a.example", versions: Err(Absence::NotScalable) },
            Row { kind: "Wide", group: "a.example", versions: Err(Absence::NotScalable) },
            Row { kind: "ConfigMap", group: "core", versions: Err(Absence::NotScalable) },
            Row { kind: "Gone", group: "a.example", versions: Err(Absence::NotServed) },
            Row { kind: "Widget", group: "b.example", versions: Ok(&["v1"]) },
            Row { kind: "Gadget", group: "b.example", versions: Err(Absence::Unreachable) },
        ] {
            let found = served.find(&GroupKind::new(kind, group));
            let found = found.map(|(preferred, others)| {
                std::iter::once(preferred).chain(others).map(|version| &*version.version).collect::<Vec<_>>()
            });
            assert_eq!(found, versions.map(<[_]>::to_vec), "{kind}.{group}");
        }
    }

    #[test]
    fn another_document_is_told_apart() {
        assert!(ServedKinds::read(br#"{"kind": "APIGroupList", "groups": []}"#).unwrap().is_none());
        assert!(ServedKinds::read(b"<html>").is_err());
    }
}
