//! The objects of one watch that cannot be read: each counts in a metric until it is fixed or deleted, and the log names
//! it. The others are not affected.

mod events;

use std::collections::HashMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::time::Instant;
use tracing::warn;

pub(super) use self::events::UnreadableEvents;
use super::watch_source::WatchSource;
use crate::{
    resources::Unreadable,
    telemetry::{FailureLog, Unreadables},
};

/// The longest reason in the log, in characters. A reason can quote a text of the object.
const MAX_REASON: usize = 512;

/// The objects of one watch that cannot be read.
pub(super) struct UnreadableObjects {
    source: WatchSource,
    metric: Unreadables,
    objects: HashMap<ObjectName, Known>,
    /// The number of the current list, or of the last one.
    list: u64,
    lines: FailureLog,
}

/// The namespace and the name of an object.
type ObjectName = (String, String);

/// An unreadable object.
struct Known {
    resource_version: String,
    /// How many versions of it could not be read in a row.
    versions: u32,
    /// The number of the latest list when the object was last recorded.
    list: u64,
}

impl UnreadableObjects {
    /// Knows no object yet.
    pub(super) fn new(source: WatchSource, metric: Unreadables) -> Self {
        metric.set(&source, 0);
        Self { source, metric, objects: HashMap::new(), list: 0, lines: FailureLog::default() }
    }

    /// Begins a list.
    pub(super) fn begin_list(&mut self) {
        self.list += 1;
    }

    /// Records an object that cannot be read. A new version of it is logged within the bounds of [`FailureLog`]. Returns
    /// how many versions could not be read in a row, if this one was logged.
    pub(super) fn record(&mut self, object: &Unreadable) -> Option<u32> {
        let ObjectMeta { name, namespace, resource_version, .. } = &*object.metadata;
        let resource_version = resource_version.clone().unwrap_or_default();
        let namespace = namespace.clone().unwrap_or_default();
        let key = (namespace.clone(), name.clone().unwrap_or_default());
        let before = self.objects.get(&key);
        let is_new = before.is_none_or(|before| before.resource_version != resource_version);
        let versions = before.map_or(0, |before| before.versions).saturating_add(is_new.into());
        self.objects.insert(key, Known { resource_version, versions, list: self.list });
        self.count();
        if !is_new || !self.lines.admits_of(&namespace, versions, Instant::now()) {
            return None;
        }
        let reason: String = object.reason.chars().take(MAX_REASON).collect();
        warn!(kind = %self.source, namespace, name, reason, "object cannot be read and is left alone");
        Some(versions)
    }

    /// Reports the lines that were left out, once their window has ended.
    pub(super) async fn report_left_out(&self) {
        let more = self.lines.left_out().await;
        warn!(kind = %self.source, more, "further objects cannot be read: lines about them were left out");
    }

    /// Forgets an object, because it can be read or is deleted. Returns whether it could not be read before: then the
    /// state before is unknown.
    pub(super) fn forget(&mut self, namespace: &str, name: &str) -> bool {
        let was_unreadable =
            !self.objects.is_empty() && self.objects.remove(&(namespace.to_owned(), name.to_owned())).is_some();
        if was_unreadable {
            self.count();
        }
        was_unreadable
    }

    /// Forgets the objects that the list did not contain.
    pub(super) fn complete_list(&mut self) {
        self.objects.retain(|_, known| known.list == self.list);
        self.count();
    }

    fn count(&self) {
        self.metric.set(&self.source, self.objects.len());
    }
}

impl Drop for UnreadableObjects {
    /// A watch that has ended knows no objects.
    fn drop(&mut self) {
        self.metric.set(&self.source, 0);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// An object of a namespace, at a version.
    fn object(namespace: &str, name: &str, version: u32) -> Unreadable {
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            resource_version: Some(version.to_string()),
            ..ObjectMeta::default()
        };
        Unreadable { metadata: metadata.into(), scale_target_ref: Value::Null, reason: "odd".to_owned() }
    }

    #[test]
    fn unreadable_objects_are_logged_and_counted_until_they_are_fixed_or_gone() {
        let metric = Unreadables::default();
        let count = || metric.get(&WatchSource::ReplicaCounts);
        let mut objects = UnreadableObjects::new(WatchSource::ReplicaCounts, metric.clone());
        objects.begin_list();
        assert_eq!(objects.record(&object("shop", "a", 1)), Some(1), "first");
        assert_eq!(objects.record(&object("shop", "b", 1)), Some(1), "another");
        objects.complete_list();
        assert_eq!(objects.record(&object("shop", "a", 1)), None, "the same version");
        assert_eq!(objects.record(&object("shop", "a", 2)), Some(2), "a later version");
        assert_eq!(count(), 2);
        objects.begin_list();
        assert_eq!(objects.record(&object("shop", "a", 2)), None, "listed again");
        objects.complete_list();
        assert_eq!(count(), 1, "b is gone");
        assert!(!objects.forget("shop", "c"), "c was readable");
        assert_eq!(count(), 1, "c was readable");
        assert!(objects.forget("shop", "a"), "a is fixed");
        assert_eq!(count(), 0, "a is fixed");
        assert_eq!(objects.record(&object("shop", "a", 2)), Some(1), "odd again");
        drop(objects);
        assert_eq!(count(), 0, "the watch has ended");
    }

    #[tokio::test(start_paused = true)]
    async fn an_editor_who_makes_objects_unreadable_again_and_again_leaves_lines_to_others() {
        let mut objects = UnreadableObjects::new(WatchSource::ReplicaCounts, Unreadables::default());
        let changed: Vec<_> =
            (1..=100).filter_map(|version| objects.record(&object("hostile", "a", version))).collect();
        assert_eq!(changed, [1, 2, 4, 8, 16, 32, 64], "each time its versions have doubled");
        let mut toggled = 0;
        for version in 0..100 {
            toggled += usize::from(objects.record(&object("hostile", "b", version)).is_some());
            objects.forget("hostile", "b");
        }
        assert_eq!(toggled, 8, "half of the lines of a minute are for one namespace");
        assert_eq!(objects.record(&object("shop", "a", 1)), Some(1), "others have the rest");
        objects.report_left_out().await;
        assert_eq!(objects.record(&object("hostile", "b", 1)), Some(1), "the next minute");
    }
}
