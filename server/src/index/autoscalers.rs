//! Which targets an autoscaler scales.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::{Resource, core::ObjectMeta};
use serde::Deserialize;

use crate::resources::{Repair, TargetKey};

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
    /// The key of its target. `None` if the target cannot be managed.
    pub(super) fn target(&self) -> Option<TargetKey> {
        let target = &self.spec.scale_target_ref;
        let (group, _version) = target.api_version.split_once('/')?;
        TargetKey::new(self.metadata.namespace.as_deref()?, group, &target.kind, &target.name).ok()
    }
}

/// All autoscalers, with their targets.
#[derive(Default)]
pub(super) struct Autoscalers {
    targets: BTreeMap<AutoscalerKey, TargetKey>,
    names: BTreeMap<TargetKey, BTreeSet<Arc<str>>>,
}

impl Autoscalers {
    /// The name of a target's autoscaler, the first in alphabetical order if there are several.
    pub(super) fn first_of(&self, target: &TargetKey) -> Option<Arc<str>> {
        self.names.get(target)?.first().cloned()
    }

    /// Stores the target of an autoscaler, or removes the autoscaler. Returns the targets that this concerns.
    pub(super) fn set(&mut self, autoscaler: AutoscalerKey, target: Option<TargetKey>) -> Vec<TargetKey> {
        let before = match target.clone() {
            Some(target) => self.targets.insert(autoscaler.clone(), target),
            None => self.targets.remove(&autoscaler),
        };
        if before == target {
            return Vec::new();
        }
        if let Some(before) = &before
            && let Some(names) = self.names.get_mut(before)
            && names.remove(&autoscaler.1)
            && names.is_empty()
        {
            self.names.remove(before);
        }
        if let Some(target) = &target {
            self.names.entry(target.clone()).or_default().insert(autoscaler.1);
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
    fn an_object_that_cannot_be_managed_is_not_a_target() {
        assert_eq!(autoscaler("v1", "web").target(), None);
        assert_eq!(autoscaler("apps/v1", "_").target(), None);
    }
}
