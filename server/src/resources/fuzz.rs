//! Every object that the API server sends.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::{FieldOwners, FieldPath, ReplicaCount, ReplicaCountState, Target, TargetKind, TargetState, field_owners};
use crate::index::example;

/// What means something in these objects.
const WORDS: [&str; 12] = [
    "null",
    "[]",
    "{}",
    "{\"f:replicas\":{}}",
    "\"f:spec\":",
    "\"Apply\"",
    "\"scale\"",
    "\"replica-count-manager\"",
    "\"2026-01-01T00:00:00Z\"",
    "\"-9999-01-01T00:00:00Z\"",
    "\"replicas\":1,",
    "\"controller\":true,",
];

fn entry(manager: &str, subresource: Value, fields: Value) -> Value {
    json!({"manager": manager, "operation": if subresource.is_null() { "Apply" } else { "Update" },
           "subresource": subresource, "time": "2026-01-01T00:00:00Z", "apiVersion": "apps/v1",
           "fieldsType": "FieldsV1", "fieldsV1": fields})
}

fn managed_fields() -> Value {
    let replicas = json!({"f:metadata": {"f:labels": {".": {}}}, "f:spec": {"f:replicas": {}, "f:template": {}}});
    json!([entry("helm", Value::Null, replicas.clone()), entry("kubectl", "scale".into(), replicas)])
}

fn target() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": "web-1", "namespace": "shop", "uid": "u", "resourceVersion": "7", "labels": {"app": "web"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "y",
                                 "controller": true}],
            "managedFields": managed_fields(), "deletionTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"replicas": 3, "selector": {}}, "status": {"readyReplicas": 2, "replicas": 3},
    })
}

/// Whether both ways of reading owners are bound to agree: the API server writes nothing but objects into FieldsV1.
fn is_regular(entries: &[ManagedFieldsEntry]) -> bool {
    let is_object = |value: Option<&Value>| value.is_none_or(Value::is_object);
    entries.iter().all(|entry| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
        let spec = fields.and_then(|fields| fields.get("f:spec"));
        is_object(fields) && is_object(spec) && is_object(spec.and_then(|spec| spec.get("f:replicas")))
    })
}

#[test]
fn both_ways_of_reading_owners_agree() {
    fuzz::target("managedFields").seeds([managed_fields().to_string()]).words(WORDS).bytes(|input| {
        let mut slim = serde_json::Deserializer::from_slice(input);
        let slim = field_owners::deserialize(&mut slim).and_then(|owners| slim.end().map(|()| owners));
        let Ok(slim) = slim else { return false };
        match serde_json::from_slice::<Vec<ManagedFieldsEntry>>(input) {
            Ok(whole) if is_regular(&whole) => assert_eq!(slim, FieldOwners::of(&whole, &FieldPath::replicas())),
            _ => {}
        }
        true
    });
}

#[test]
fn both_ways_of_reading_targets_agree() {
    let kind = TargetKind::apps()[2].clone();
    fuzz::target("targets").seeds([target().to_string()]).words(WORDS).bytes(|input| {
        let slim = serde_json::from_slice::<Target>(input);
        let Ok(whole) = serde_json::from_slice::<DynamicObject>(input) else { return slim.is_ok() };
        let state = TargetState::of(&whole, &kind);
        let Ok(slim) = slim else { return true };
        assert_eq!(
            (&slim.state.uid, slim.state.resource_version, &slim.state.labels, &slim.state.controller),
            (&state.uid, state.resource_version, &state.labels, &state.controller)
        );
        true
    });
}

#[test]
fn a_replica_count_is_written_as_it_is_read() {
    let seed = serde_json::to_vec(&example::count()).unwrap();
    fuzz::target("ReplicaCount").seeds([seed]).words(WORDS).bytes(|input| {
        let Ok(count) = serde_json::from_slice::<ReplicaCount>(input) else { return false };
        // Not compared with what was read: Kubernetes' times are written in whole seconds.
        let written = serde_json::to_value(&count).unwrap();
        let again: ReplicaCount = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(serde_json::to_value(again).unwrap(), written);
        let now = "2026-01-01T12:00:00Z".parse().unwrap();
        let _ = (count.target(), count.spec.desired(now), ReplicaCountState::from(count));
        true
    });
}

#[test]
fn a_field_is_owned_once_it_is_added_where_it_is_to_be() {
    let fields = json!({"f:spec": {"f:size": {}, "f:a/b": {"f:c~d": {}}}, "f:status": {}});
    let seeds = [".spec.replicas", ".spec.pool.size", ".spec.a/b.c~d.e"].map(|path| format!("{path}|{fields}"));
    fuzz::target("field paths").seeds(seeds).words([".", "~", "/", "|", "f:", "{}"]).text(|text| {
        let (path, fields) = text.split_once('|').unwrap_or((text, "{}"));
        let path = FieldPath::new(path);
        assert_eq!(FieldPath::new(&path.to_string()), path);
        if path.is_too_deep() {
            return true;
        }
        assert!(path.is_owned(&path.only()));
        let Ok(mut fields) = serde_json::from_str::<Value>(fields) else { return false };
        let _ = path.count_in(&fields);
        let (pointer, value) = path.to_own(&fields);
        let patch = json!([{"op": "add", "path": pointer, "value": value}]);
        // A field that holds no object takes no other field; the API server refuses the patch then.
        if json_patch::patch(&mut fields, &serde_json::from_value::<json_patch::Patch>(patch).unwrap()).is_ok() {
            assert!(path.is_owned(&fields), "{path} {fields}");
        }
        true
    });
}
