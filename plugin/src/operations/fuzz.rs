//! The operation log.

use std::path::Path;

use contract::replicas::v1::ReplicaCount;
use jiff::Timestamp;

use super::{Cluster, last, log, reversal};

const LOG: &str = r#"{"version":1,"operations":[
{"number":1,"at":"2026-11-23T18:00:00Z","command":"set web 3","context":"prod","cluster":{"uid":"a","address":"https://x"},
"targets":[{"namespace":"shop","group":"apps","kind":"Deployment","name":"web","before":{"unmanaged":[2]},
"after":{"managed":{"spec":{"replicas":3,"originalReplicas":2,"reason":"sale","override":{"replicas":9,
"until":"2026-11-23T19:00:00Z","thenUnset":true}},"setBy":"alice","resourceVersion":"7"}}}]},
{"number":2,"at":"2026-11-23T18:00:01Z","command":"undo","cluster":{"address":"x"},"user":"bob","undoes":1,
"targets":[{"namespace":"shop","group":"apps","kind":"Deployment","name":"api","before":"unknown","after":"unknown"}]}]}"#;

#[test]
fn an_operation_of_a_log_is_undone_or_refused() {
    let words = ["\"unknown\"", "{\"unmanaged\":[]}", "null", "\"undoes\":2,", "-1", "\"version\":2"];
    fuzz::target("operation logs").seeds([LOG]).words(words).bytes(|bytes| {
        let Ok(operations) = log::parse(Path::new("operations.json"), bytes) else { return false };
        let undone = last::Undone::of(&operations);
        for operation in &operations {
            assert!(undone.count(operation) <= operation.targets.len());
            for change in &operation.targets {
                let _ = reversal::of(change, &ReplicaCount::default(), Timestamp::UNIX_EPOCH);
            }
        }
        let cluster = Cluster { uid: None, address: "https://x".to_owned() };
        if let Some(found) = last::find(&operations, &cluster, "alice") {
            assert!(found.undoes.is_none() && !found.targets.is_empty());
        }
        true
    });
}
