//! The labels of the objects that the server makes for itself, by which they can be deleted after its release.

use std::{collections::BTreeMap, convert::Infallible, str::FromStr};

use kube::core::ObjectMeta;

/// Tells Argo CD that these objects are not in Git on purpose. It may track its objects by the label
/// `app.kubernetes.io/instance`, and would then prune ours.
const ARGO_CD: [(&str, &str); 2] =
    [("argocd.argoproj.io/compare-options", "IgnoreExtraneous"), ("argocd.argoproj.io/sync-options", "Prune=false")];

/// Labels, as names and values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectLabels(BTreeMap<String, String>);

impl FromStr for ObjectLabels {
    type Err = Infallible;

    /// Reads `name=value,…`. The API server refuses objects with a label that it does not accept.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
        Ok(Self(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }
}

impl ObjectLabels {
    /// These labels and another one.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.0.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Adds the labels to an object. Returns whether this changes it.
    pub(crate) fn add_to(&self, metadata: &mut ObjectMeta) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let annotations = ARGO_CD.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let is_relabelled = add(metadata.labels.get_or_insert_default(), self.0.clone());
        let is_reannotated = add(metadata.annotations.get_or_insert_default(), annotations);
        is_relabelled || is_reannotated
    }
}

/// Adds entries to a map. Returns whether this changes it.
fn add(map: &mut BTreeMap<String, String>, entries: impl IntoIterator<Item = (String, String)>) -> bool {
    entries.into_iter().fold(false, |is_changed, (name, value)| {
        let before = map.insert(name, value.clone());
        is_changed || before != Some(value)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_are_added_where_they_are_missing() {
        let labels: ObjectLabels = "app.kubernetes.io/name=rcm,app.kubernetes.io/instance=123".parse().unwrap();
        let own = json!({"app.kubernetes.io/name": "rcm", "app.kubernetes.io/instance": "123"});
        let annotations = json!({"argocd.argoproj.io/compare-options": "IgnoreExtraneous",
                                 "argocd.argoproj.io/sync-options": "Prune=false"});
        let complete = json!({"labels": own, "annotations": annotations});
        let mut other = complete.clone();
        other["labels"]["team"] = json!("x");
        let mut changed = complete.clone();
        changed["labels"]["app.kubernetes.io/name"] = json!("y");
        for (name, before, after, is_changed) in [
            ("none yet", json!({}), &complete, true),
            ("labels alone", json!({"labels": own}), &complete, true),
            ("all", complete.clone(), &complete, false),
            ("another label", other.clone(), &other, false),
            ("another value", changed, &complete, true),
        ] {
            let mut metadata: ObjectMeta = serde_json::from_value(before).unwrap();
            assert_eq!(labels.add_to(&mut metadata), is_changed, "{name}");
            assert_eq!(serde_json::to_value(metadata).unwrap(), *after, "{name}");
        }
        let mut metadata = ObjectMeta::default();
        assert!(!"".parse::<ObjectLabels>().unwrap().add_to(&mut metadata));
        assert_eq!(metadata, ObjectMeta::default());
    }
}
