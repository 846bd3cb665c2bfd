//! Which targets an autoscaler scales.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use contract::names::CORE_GROUP;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::{Resource, core::ObjectMeta};
use serde::Deserialize;

use crate::resources::{GroupKind, Repair, TargetKey};

/// The part of a HorizontalPodAutoscaler that the server needs.
#[derive(Clone, Debug, Deserialize, Resource)]
#[resource(inherit = HorizontalPodAutoscaler)]
pub(super) struct Autoscaler {
    metadata: ObjectMeta,
    spec: AutoscalerSpec,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AutoscalerSpec {
    scale_target_ref: AutoscalerTarget,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AutoscalerTarget {
    #[serde(default)]
    api_version: String,
    kind: String,
    name: String,
}

/// The namespace and the name of an autoscaler.
pub(super) type AutoscalerKey = (Arc<str>, Arc<str>);

/// The key of an autoscaler. `None` if it has no name or namespace, which the API server never sends.
pub(super) fn autoscaler_key(metadata: &ObjectMeta) -> Option<AutoscalerKey> {
    Some((metadata.namespace.as_deref()?.into(), metadata.name.as_deref()?.into()))
}

impl Repair for Autoscaler {}

impl Autoscaler {
    /// The key of its target, with the kind as it is written. `None` if the target cannot be managed, or the controller
    /// of autoscalers does not scale it.
    pub(super) fn target(&self) -> Option<TargetKey> {
        let target = &self.spec.scale_target_ref;
        let group = group_of(&target.api_version)?;
        TargetKey::new(self.metadata.namespace.as_deref()?, group, &target.kind, &target.name).ok()
    }
}

/// The group of an apiVersion, as the controller of autoscalers reads it (`schema.ParseGroupVersion`). It does not use
/// the version. `None` if there is no such group.
fn group_of(api_version: &str) -> Option<&str> {
    match api_version.split_once('/').unwrap_or(("", api_version)) {
        (_, version) if version.contains('/') => None,
        ("", _) => Some(CORE_GROUP),
        (CORE_GROUP, _) => None,
        (group, _) => Some(group),
    }
}

/// Whether the HorizontalPodAutoscaler controller takes the kind that is written in an autoscaler for this kind. It
/// knows each kind by its name and by its name in lower case, and by no other spelling (client-go's
/// `NewDiscoveryRESTMapper`, Kubernetes 1.37).
pub(super) fn is_spelling_of(written: &GroupKind, kind: &GroupKind) -> bool {
    let lower_case = || kind.kind.bytes().map(|c| c.to_ascii_lowercase());
    written.group == kind.group && (written.kind == kind.kind || written.kind.bytes().eq(lower_case()))
}

/// The name of an autoscaler, and the kind that it scales, as it is written.
type WrittenKind = (Arc<str>, GroupKind);

/// All autoscalers, with their targets. The kinds of the targets are as they are written.
#[derive(Default)]
pub(super) struct Autoscalers {
    targets: BTreeMap<AutoscalerKey, TargetKey>,
    /// The names of the autoscalers of each target, by the namespace and the name of the target.
    names: BTreeMap<(Arc<str>, Arc<str>), BTreeSet<WrittenKind>>,
}

impl Autoscalers {
    /// The name of a target's autoscaler, the first in alphabetical order if there are several.
    pub(super) fn first_of(&self, target: &TargetKey) -> Option<Arc<str>> {
        let autoscalers = self.names.get(&(target.namespace.clone(), target.name.clone()))?;
        let (name, _) = autoscalers.iter().find(|(_, written)| is_spelling_of(written, &target.kind))?;
        Some(name.clone())
    }

    /// Stores the target of an autoscaler, or removes the autoscaler. Returns the targets that this concerns, with
    /// their kinds as they are written.
    pub(super) fn set(&mut self, autoscaler: AutoscalerKey, target: Option<TargetKey>) -> Vec<TargetKey> {
        let before = match target.clone() {
            Some(target) => self.targets.insert(autoscaler.clone(), target),
            None => self.targets.remove(&autoscaler),
        };
        if before == target {
            return Vec::new();
        }
        let place = |target: &TargetKey| (target.namespace.clone(), target.name.clone());
        if let Some(before) = &before
            && let Some(names) = self.names.get_mut(&place(before))
            && names.remove(&(autoscaler.1.clone(), before.kind.clone()))
            && names.is_empty()
        {
            self.names.remove(&place(before));
        }
        if let Some(target) = &target {
            self.names.entry(place(target)).or_default().insert((autoscaler.1, target.kind.clone()));
        }
        before.into_iter().chain(target).collect()
    }

    /// The keys of all known autoscalers.
    pub(super) fn keys(&self) -> BTreeSet<AutoscalerKey> {
        self.targets.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn autoscaler(api_version: &str, name: &str) -> Autoscaler {
        serde_json::from_value(json!({
            "metadata": {"namespace": "shop", "name": "hpa"},
            "spec": {"scaleTargetRef": {"apiVersion": api_version, "kind": "Deployment", "name": name}},
        }))
        .unwrap()
    }

    #[test]
    fn a_target_knows_its_autoscalers_as_they_come_and_go() {
        let web = autoscaler("apps/v1", "web");
        let (key, target) = (autoscaler_key(web.meta()).unwrap(), web.target().unwrap());
        let mut all = Autoscalers::default();
        assert_eq!(all.set(key.clone(), Some(target.clone())), vec![target.clone()]);
        assert_eq!(all.set(key.clone(), Some(target.clone())), []);
        let second = (key.0.clone(), "another".into());
        all.set(second.clone(), Some(target.clone()));
        assert_eq!(all.first_of(&target).as_deref(), Some("another"));
        assert_eq!(all.keys(), BTreeSet::from([key.clone(), second.clone()]));
        all.set(second, None);
        let api = autoscaler("apps/v1", "api").target().unwrap();
        assert_eq!(all.set(key.clone(), Some(api.clone())), [target.clone(), api.clone()]);
        assert_eq!((all.first_of(&target), all.first_of(&api).as_deref()), (None, Some("hpa")));
        all.set(key, None);
        assert_eq!(all.first_of(&api), None);
    }

    #[test]
    fn a_target_is_recognised_by_every_spelling_that_the_controller_resolves() {
        struct Row {
            name: &'static str,
            /// The apiVersion and the kind as they are written.
            written: (&'static str, &'static str),
            /// The group and the kind of the target.
            target: (&'static str, &'static str),
            is_scaled: bool,
        }
        let deployment = ("apps", "Deployment");
        let controller = (CORE_GROUP, "ReplicationController");
        for row in [
            Row { name: "usual", written: ("apps/v1", "Deployment"), target: deployment, is_scaled: true },
            Row { name: "lower case", written: ("apps/v1", "deployment"), target: deployment, is_scaled: true },
            Row { name: "upper case", written: ("apps/v1", "DEPLOYMENT"), target: deployment, is_scaled: false },
            Row { name: "mixed case", written: ("apps/v1", "dePloyment"), target: deployment, is_scaled: false },
            Row { name: "plural", written: ("apps/v1", "deployments"), target: deployment, is_scaled: false },
            Row { name: "old version", written: ("apps/v1beta2", "Deployment"), target: deployment, is_scaled: true },
            Row { name: "no such version", written: ("apps/x", "deployment"), target: deployment, is_scaled: true },
            Row { name: "a group alone", written: ("apps/", "Deployment"), target: deployment, is_scaled: true },
            Row { name: "a version alone", written: ("apps", "Deployment"), target: deployment, is_scaled: false },
            Row { name: "another group", written: ("x.io/v1", "Deployment"), target: deployment, is_scaled: false },
            Row {
                name: "a group in upper case",
                written: ("Apps/v1", "Deployment"),
                target: deployment,
                is_scaled: false,
            },
            Row { name: "two slashes", written: ("apps/v1/", "Deployment"), target: deployment, is_scaled: false },
            Row { name: "core", written: ("v1", "ReplicationController"), target: controller, is_scaled: true },
            Row { name: "core lower", written: ("v1", "replicationcontroller"), target: controller, is_scaled: true },
            Row { name: "nothing", written: ("", "ReplicationController"), target: controller, is_scaled: true },
            Row { name: "a slash", written: ("/", "ReplicationController"), target: controller, is_scaled: true },
            Row { name: "no group", written: ("/v1", "ReplicationController"), target: controller, is_scaled: true },
            Row {
                name: "our name",
                written: ("core/v1", "ReplicationController"),
                target: controller,
                is_scaled: false,
            },
            Row { name: "apps", written: ("apps/v1", "ReplicationController"), target: controller, is_scaled: false },
        ] {
            let written: Autoscaler = serde_json::from_value(json!({
                "metadata": {"namespace": "shop", "name": "hpa"},
                "spec": {"scaleTargetRef": {"apiVersion": row.written.0, "kind": row.written.1, "name": "web"}},
            }))
            .unwrap();
            let mut all = Autoscalers::default();
            all.set(autoscaler_key(written.meta()).unwrap(), written.target());
            let target = TargetKey::new("shop", row.target.0, row.target.1, "web").unwrap();
            assert_eq!(all.first_of(&target).is_some(), row.is_scaled, "{}", row.name);
        }
    }

    #[test]
    fn an_object_that_cannot_be_managed_is_not_a_target() {
        assert_eq!(autoscaler("apps/v1", "_").target(), None);
        assert_eq!(autoscaler("apps/v1", "").target(), None);
    }
}
