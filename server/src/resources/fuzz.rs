//! Mutations of the objects that the API server sends.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::{
    FieldOwners, FieldPath, Lenient, Operation, ReplicaCount, ReplicaCountState, Target, TargetKind, TargetState,
    field_owners,
    fixtures::{TargetBuilder, full_replica_count, managed_fields_entry},
};

/// Texts that have a meaning in these objects.
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

fn managed_fields() -> Value {
    json!([
        managed_fields_entry("helm", Operation::Apply, None),
        managed_fields_entry("kubectl", Operation::Update, Some("scale")),
    ])
}

fn target() -> Value {
    TargetBuilder::new("web-1")
        .labels(json!({"app": "web"}))
        .controlled_by("Deployment", "web")
        .applied_by("helm")
        .scaled_by("kubectl")
        .metadata(json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}))
        .object()
}

/// Whether both ways of reading owners must agree. The API server writes only objects into `FieldsV1`.
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
        let whole = serde_json::from_slice::<Lenient<DynamicObject>>(input).map(Lenient::read);
        let Ok(Ok(whole)) = whole else { return slim.is_ok() };
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
    let seed = serde_json::to_vec(&full_replica_count()).unwrap();
    fuzz::target("ReplicaCount").seeds([seed]).words(WORDS).bytes(|input| {
        // Only what is no JSON makes a whole list unreadable.
        let Ok(count) = serde_json::from_slice::<Lenient<ReplicaCount>>(input) else {
            assert!(serde_json::from_slice::<Value>(input).is_err());
            return false;
        };
        let Ok(count) = count.read() else { return false };
        // The result is not compared with the input, because Kubernetes' times are written in whole seconds.
        let written = serde_json::to_value(&count).unwrap();
        let again: ReplicaCount = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(serde_json::to_value(again).unwrap(), written);
        let now = "2026-01-01T12:00:00Z".parse().unwrap();
        let _ = (count.target(), count.spec.desired(now), ReplicaCountState::from(count));
        true
    });
}

#[test]
fn a_field_is_owned_after_its_patch_was_applied() {
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
        // The patch fails if a field on the way is not an object. The API server refuses it then.
        if json_patch::patch(&mut fields, &serde_json::from_value::<json_patch::Patch>(patch).unwrap()).is_ok() {
            assert!(path.is_owned(&fields), "{path} {fields}");
        }
        true
    });
}
