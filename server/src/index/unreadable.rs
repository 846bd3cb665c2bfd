//! The objects of one watch that cannot be read: each is one line of the log and counts in a metric until it is fixed
//! or deleted. The others are not affected.

mod events;

use std::collections::HashMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tracing::warn;

pub(super) use self::events::UnreadableEvents;
use super::watch_source::WatchSource;
use crate::{resources::Unreadable, telemetry::Unreadables};

/// The longest reason in the log, in characters. A reason can quote a text of the object.
const MAX_REASON: usize = 512;

/// The objects of one watch that cannot be read.
pub(super) struct UnreadableObjects {
    source: WatchSource,
    metric: Unreadables,
    objects: HashMap<ObjectName, Known>,
    /// The number of the current list, or of the last one.
    list: u64,
}

/// The namespace and the name of an object.
type ObjectName = (String, String);

/// An unreadable object that is in the log.
struct Known {
    resource_version: String,
    /// The number of the latest list when the object was last recorded.
    list: u64,
}

impl UnreadableObjects {
    /// Knows no object yet.
    pub(super) fn new(source: WatchSource, metric: Unreadables) -> Self {
        metric.set(&source, 0);
        Self { source, metric, objects: HashMap::new(), list: 0 }
    }

    /// Begins a list.
    pub(super) fn begin_list(&mut self) {
        self.list += 1;
    }

    /// Records an object that cannot be read, and logs it unless this version of it is in the log. Returns whether it
    /// was logged.
    pub(super) fn record(&mut self, object: &Unreadable) -> bool {
        let ObjectMeta { name, namespace, resource_version, .. } = &*object.metadata;
        let version = resource_version.clone().unwrap_or_default();
        let key = (namespace.clone().unwrap_or_default(), name.clone().unwrap_or_default());
        let before = self.objects.insert(key, Known { resource_version: version.clone(), list: self.list });
        self.count();
        let is_new = before.is_none_or(|before| before.resource_version != version);
        if is_new {
            let reason: String = object.reason.chars().take(MAX_REASON).collect();
            warn!(kind = %self.source, namespace, name, reason, "object cannot be read and is left alone");
        }
        is_new
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

    fn object(name: &str, version: &str) -> Unreadable {
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            resource_version: Some(version.to_owned()),
            ..ObjectMeta::default()
        };
        Unreadable { metadata: metadata.into(), scale_target_ref: Value::Null, reason: "odd".to_owned() }
    }

    #[test]
    fn each_version_of_an_unreadable_object_is_logged_once() {
        let metric = Unreadables::default();
        let count = || metric.get(&WatchSource::ReplicaCounts);
        let mut objects = UnreadableObjects::new(WatchSource::ReplicaCounts, metric.clone());
        objects.begin_list();
        assert!(objects.record(&object("a", "1")), "first");
        assert!(objects.record(&object("b", "1")), "another");
        objects.complete_list();
        assert!(!objects.record(&object("a", "1")), "the same version");
        assert!(objects.record(&object("a", "2")), "a later version");
        assert_eq!(count(), 2);
        objects.begin_list();
        assert!(!objects.record(&object("a", "2")), "listed again");
        objects.complete_list();
        assert_eq!(count(), 1, "b is gone");
        assert!(!objects.forget("", "c"), "c was readable");
        assert_eq!(count(), 1, "c was readable");
        assert!(objects.forget("", "a"), "a is fixed");
        assert_eq!(count(), 0, "a is fixed");
        assert!(objects.record(&object("a", "2")), "odd again");
        drop(objects);
        assert_eq!(count(), 0, "the watch has ended");
    }
}
