//! What the API server asks: an AdmissionReview, read as far as it matters.

use contract::names::CORE_GROUP;
use json_patch::jsonptr::PointerBuf;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::object::{Metadata, count_in};
use crate::{
    resources::{FieldPath, GROUP, GroupKind, TargetKey, TargetKind, Uid, beginning},
    tls::Identity,
};

/// The longest user and field manager that are kept, in bytes. Kubernetes bounds a field manager to 128.
const MAX_NAME: usize = 512;

#[derive(Deserialize)]
struct AdmissionReview<'a> {
    #[serde(borrow)]
    request: Request<'a>,
}

/// The request of an AdmissionReview (admission.k8s.io/v1).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request<'a> {
    /// The UID of the request, which the answer repeats.
    pub(super) uid: String,
    kind: RequestKind,
    resource: RequestResource,
    #[serde(default)]
    sub_resource: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: String,
    operation: String,
    user_info: UserInfo,
    #[serde(default, borrow)]
    object: Option<&'a RawValue>,
    #[serde(default, borrow)]
    old_object: Option<&'a RawValue>,
    #[serde(default)]
    dry_run: Option<bool>,
    #[serde(default)]
    options: Option<Options>,
}

#[derive(Debug, Deserialize)]
struct RequestKind {
    #[serde(default)]
    group: String,
    version: String,
    kind: String,
}

#[derive(Debug, Deserialize)]
struct RequestResource {
    #[serde(default)]
    group: String,
    resource: String,
}

#[derive(Debug, Deserialize)]
struct UserInfo {
    #[serde(default)]
    username: String,
    #[serde(default)]
    groups: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Options {
    #[serde(default)]
    field_manager: String,
}

/// The state of an object that a write leads to, and the one before.
#[derive(Debug)]
pub(super) struct States<'a> {
    /// The object as it will be stored.
    pub(super) object: &'a RawValue,
    /// The object before. `None` if it is created.
    pub(super) old: Option<&'a RawValue>,
    /// The UID. Empty if the object is created and has none yet.
    pub(super) uid: Uid,
    /// The resource version before; 0 if the object is created.
    pub(super) before: u64,
}

/// A write of a target's count.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CountWrite {
    /// The target.
    pub(super) key: TargetKey,
    /// Its UID. Empty if it is created and has none yet.
    pub(super) uid: Uid,
    /// Its resource version before; 0 if it is created.
    pub(super) before: u64,
    /// The count before, in replicas. `None` if it is created, or has no count.
    pub(super) from: Option<i32>,
    /// The count that the write asks for, in replicas. `None` if it has none.
    pub(super) to: Option<i32>,
    /// Whether it is created.
    pub(super) is_created: bool,
    /// Whether the write is one of `/scale`.
    pub(super) is_scale: bool,
    /// Whether another object decides its count, as a Deployment does for its ReplicaSets.
    pub(super) is_controlled: bool,
    /// Where a patch stores another count in the object. `None` for `/scale`, or if a parent object of the count is
    /// missing: the kind may require further fields in it.
    pub(super) pointer: Option<PointerBuf>,
}

impl<'a> Request<'a> {
    /// Reads the body of a review.
    ///
    /// # Errors
    ///
    /// When it is no AdmissionReview with a request.
    pub(super) fn read(body: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice::<AdmissionReview<'_>>(body).map(|review| review.request)
    }

    /// Whether nothing will be stored.
    pub(super) fn is_dry_run(&self) -> bool {
        self.dry_run == Some(true)
    }

    /// Whether it is about the subresource `scale`.
    pub(super) fn is_scale(&self) -> bool {
        self.sub_resource == "scale"
    }

    /// Whether it is about a `ReplicaCount`, and not about its status.
    pub(super) fn is_of_replica_count(&self) -> bool {
        let is_of_spec = self.sub_resource.is_empty() || self.is_scale();
        self.resource.group == GROUP && self.resource.resource == "replicacounts" && is_of_spec
    }

    /// The kind of the object, if the request is about the object itself.
    pub(super) fn group_kind(&self) -> Option<GroupKind> {
        let group = if self.kind.group.is_empty() { CORE_GROUP } else { &self.kind.group };
        self.sub_resource.is_empty().then(|| GroupKind::new(&self.kind.kind, group))
    }

    /// Whether the resource of the request is that of a kind. A request for `/scale` does not say which kind it is about.
    pub(super) fn is_of_resource(&self, kind: &TargetKind) -> bool {
        self.resource.resource == kind.plural && self.resource.group == kind.group_kind.api_group()
    }

    /// The namespace of the object.
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Whether the user is a member of one of these groups.
    pub(super) fn is_by_member_of(&self, groups: &[String]) -> bool {
        self.user_info.groups.iter().flatten().any(|group| groups.contains(group))
    }

    /// Who makes the request.
    pub(super) fn caller(&self) -> Identity {
        Identity { user: self.user_info.username.clone(), groups: self.user_info.groups.clone().unwrap_or_default() }
    }

    /// The name of the user, as far as it is kept.
    pub(super) fn user(&self) -> &str {
        beginning(&self.user_info.username, MAX_NAME)
    }

    /// The field manager that the request names, as far as it is kept.
    pub(super) fn manager(&self) -> &str {
        self.options.as_ref().map_or("", |options| beginning(&options.field_manager, MAX_NAME))
    }

    /// The states of a create or an update.
    pub(super) fn states(&self) -> Option<States<'a>> {
        let object = self.object?;
        let old = match &*self.operation {
            "CREATE" => None,
            "UPDATE" => Some(self.old_object?),
            _ => return None,
        };
        let metadata = Metadata::of(old.unwrap_or(object));
        let before = if old.is_some() { metadata.version() } else { 0 };
        Some(States { object, old, uid: metadata.uid(), before })
    }

    /// The write of a count that it asks for. `None` if it is no create or update of a target, if it is outdated, or if
    /// the path of the count in this version is unknown. The API server calls the mutating webhooks before it compares
    /// the versions, and then refuses an outdated write, or calls again.
    pub(super) fn count_write(&self, kind: &TargetKind) -> Option<CountWrite> {
        let States { object, old, uid, before } = self.states()?;
        let (metadata, is_scale) = (Metadata::of(object), self.is_scale());
        if old.is_some() && !is_scale && ![0, before].contains(&metadata.version()) {
            return None;
        }
        let name = if self.name.is_empty() { metadata.name() } else { &self.name };
        let key = TargetKey::new(&self.namespace, &kind.group_kind.group, &kind.group_kind.kind, name).ok()?;
        let replicas = FieldPath::replicas();
        // A Scale has the count at its own place, and leaves out a 0.
        let path = if is_scale { &replicas } else { kind.replicas_in(&self.kind.version)? };
        let found = count_in(object, path);
        let absent = is_scale.then_some(0);
        Some(CountWrite {
            key,
            uid,
            before,
            from: old.and_then(|old| count_in(old, path).count.or(absent)),
            to: found.count.or(absent),
            is_created: old.is_none(),
            is_scale,
            is_controlled: kind.group_kind.is_left_to_controllers() && metadata.is_controlled(),
            pointer: (!is_scale && found.has_place).then(|| path.pointer()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;
    use crate::admission::fixtures::ReviewBuilder;

    fn write(review: &Value) -> Option<CountWrite> {
        let body = review.to_string();
        Request::read(body.as_bytes()).unwrap().count_write(&TargetKind::apps()[0])
    }

    /// The UID, the version before, the counts, and whether a patch can store another.
    type Found = (&'static str, u64, Option<i32>, Option<i32>, bool);

    #[test]
    fn a_write_of_a_count_is_read() {
        struct Row {
            name: &'static str,
            review: Value,
            expected: Option<Found>,
        }
        for row in [
            Row {
                name: "an update",
                review: ReviewBuilder::update(3, 7).build(),
                expected: Some(("u", 10, Some(3), Some(7), true)),
            },
            Row {
                name: "a create",
                review: ReviewBuilder::create(7).build(),
                expected: Some(("u", 0, None, Some(7), true)),
            },
            Row {
                name: "through /scale",
                review: ReviewBuilder::scale(3, 7).build(),
                expected: Some(("u", 10, Some(3), Some(7), false)),
            },
            Row {
                name: "a 0 through /scale, which is absent",
                review: ReviewBuilder::scale(3, 0).build(),
                expected: Some(("u", 10, Some(3), Some(0), false)),
            },
            Row {
                name: "without a count",
                review: ReviewBuilder::update(3, 7).with("/request/object/spec", json!({})).build(),
                expected: Some(("u", 10, Some(3), None, true)),
            },
            Row {
                name: "of another version, in which the count may be elsewhere",
                review: ReviewBuilder::update(3, 7).with("/request/kind/version", json!("v2")).build(),
                expected: None,
            },
            Row {
                name: "a deletion",
                review: ReviewBuilder::update(3, 7).with("/request/operation", json!("DELETE")).build(),
                expected: None,
            },
            Row {
                name: "without the object before",
                review: ReviewBuilder::update(3, 7).with("/request/oldObject", Value::Null).build(),
                expected: None,
            },
            Row {
                name: "a name that no target has",
                review: ReviewBuilder::update(3, 7).with("/request/name", json!("_")).build(),
                expected: None,
            },
        ] {
            let found = write(&row.review);
            let found = found.map(|write| (write.uid, write.before, write.from, write.to, write.pointer.is_some()));
            let expected = row.expected.map(|(uid, before, from, to, kept)| (Uid::from(uid), before, from, to, kept));
            assert_eq!(found, expected, "{}", row.name);
        }
    }

    #[test]
    fn a_count_is_patched_only_where_an_object_has_its_place() {
        for (name, spec, expected) in [
            ("an object", json!({}), Some("/spec/replicas")),
            ("null", Value::Null, None),
            ("a list", json!([]), None),
            ("a text", json!("x"), None),
            ("a number", json!(3), None),
        ] {
            let review = ReviewBuilder::update(3, 7).with("/request/object/spec", spec).build();
            let pointer = write(&review).unwrap().pointer;
            assert_eq!(pointer.as_ref().map(|pointer| pointer.as_str()), expected, "{name}");
        }
    }

    #[test]
    fn each_version_has_its_count_at_its_own_path() {
        let [deployment, ..] = TargetKind::apps();
        let other_replicas = BTreeMap::from([("v1beta1".to_owned(), FieldPath::new(".spec.pool.size"))]);
        let kind = TargetKind { other_replicas, ..deployment };
        let spec = |count: i32| json!({"replicas": count, "pool": {"size": count + 10}});
        for (version, expected) in [
            ("v1", Some((Some(3), Some(7), "/spec/replicas"))),
            ("v1beta1", Some((Some(13), Some(17), "/spec/pool/size"))),
            ("v1alpha1", None),
        ] {
            let review = ReviewBuilder::update(3, 7)
                .with("/request/kind/version", json!(version))
                .with("/request/oldObject/spec", spec(3))
                .with("/request/object/spec", spec(7))
                .build()
                .to_string();
            let write = Request::read(review.as_bytes()).unwrap().count_write(&kind);
            let found = write.map(|write| (write.from, write.to, write.pointer.unwrap().as_str().to_owned()));
            let expected = expected.map(|(from, to, pointer)| (from, to, pointer.to_owned()));
            assert_eq!(found, expected, "{version}");
        }
    }

    #[test]
    fn an_outdated_write_is_left_to_the_api_server() {
        let (update, scale) = (|| ReviewBuilder::update(3, 7), || ReviewBuilder::scale(3, 7));
        for (name, review, version, is_read) in [
            ("on the stored version", update(), "10", true),
            ("on any version", update(), "", true),
            ("on an older version", update(), "9", false),
            ("on a version that the API server does not know yet", update(), "11", false),
            ("a creation", ReviewBuilder::create(7), "9", true),
            ("through /scale, which is reviewed after the versions are compared", scale(), "9", true),
        ] {
            let review = review.with("/request/object/metadata/resourceVersion", json!(version)).build();
            assert_eq!(write(&review).is_some(), is_read, "{name}");
        }
    }

    #[test]
    fn the_user_the_manager_and_a_dry_run_are_read() {
        let review = ReviewBuilder::update(3, 7)
            .with("/request/options", json!({"fieldManager": "kubectl-edit"}))
            .with("/request/dryRun", json!(true))
            .build()
            .to_string();
        let request = Request::read(review.as_bytes()).unwrap();
        assert_eq!((request.user(), request.manager(), request.is_dry_run()), ("alice", "kubectl-edit", true));
        assert_eq!(request.caller().groups, ["developers"]);
        let is_member =
            |groups: &[&str]| request.is_by_member_of(&groups.iter().map(|one| (*one).into()).collect::<Vec<_>>());
        assert_eq!([is_member(&["on-call", "developers"]), is_member(&["on-call"])], [true, false]);
        let long = ReviewBuilder::update(3, 7).with("/request/userInfo/username", json!("é".repeat(1000))).build();
        assert_eq!(Request::read(long.to_string().as_bytes()).unwrap().user().len(), MAX_NAME);
    }

    #[test]
    fn what_is_no_review_is_refused() {
        for body in ["", "null", "{}", "[]", r#"{"request": null}"#, r#"{"request": {"uid": 1}}"#] {
            assert!(Request::read(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn a_replica_set_of_a_deployment_is_controlled() {
        let owners = json!([{"kind": "Deployment", "name": "web", "controller": true}]);
        let object =
            json!({"metadata": {"name": "web", "uid": "u", "ownerReferences": owners}, "spec": {"replicas": 1}});
        let review = ReviewBuilder::create(7).with("/request/object", object).build().to_string();
        let request = Request::read(review.as_bytes()).unwrap();
        for (kind, expected) in [(&TargetKind::apps()[2], true), (&TargetKind::apps()[0], false)] {
            assert_eq!(request.count_write(kind).unwrap().is_controlled, expected, "{}", kind.plural);
        }
    }
}
