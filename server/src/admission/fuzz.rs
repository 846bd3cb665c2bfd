//! Mutations of reviews.

use json_patch::{AddOperation, Patch, PatchOperation};
use serde_json::{Value, json};

use super::{
    fixtures::ReviewBuilder,
    held::Held,
    request::Request,
    response::Response,
    review::{Endpoint, Verdict, review},
    texts::text,
};
use crate::{resources::TargetKind, reviews::AdmissionMode};

#[test]
fn every_review_has_an_answer() {
    let set = json!({"metadata": {"uid": "u", "resourceVersion": "7"}, "spec": {"replicas": 3}});
    let seeds = [
        ReviewBuilder::update(3, 7),
        ReviewBuilder::create(7),
        ReviewBuilder::scale(3, 0),
        ReviewBuilder::update(3, 7).with("/request/object/spec", json!([])),
        ReviewBuilder::replica_count(&set, &Value::Null),
    ];
    let words = ["null", "-1", "9223372036854775807", "\"scale\"", "\"CREATE\"", "\"dryRun\":true,", "\"replicas\":7,"];
    let held = Held { desired: 3, set_by: "alice".into(), reason: "load\ntest".into(), until: None, is_refused: false };
    let kinds = TargetKind::built_in();
    fuzz::target("AdmissionReview").seeds(seeds.map(|seed| seed.build().to_string())).words(words).bytes(|input| {
        let Ok(request) = Request::read(input) else { return false };
        let _ = (request.is_of_replica_count(), request.group_kind(), request.caller(), request.states());
        for kind in kinds {
            let Some(write) = request.count_write(kind) else { continue };
            for endpoint in [Endpoint::Validate, Endpoint::Mutate] {
                let verdict = review(AdmissionMode::Guard, endpoint, &write, Some(&held));
                let said = text(verdict, &write, &held, true);
                assert!(said.iter().all(|said| !said.contains('\n')));
                assert_eq!(said.is_some(), verdict != Verdict::Allowed);
                if let (Verdict::Kept, Some(pointer)) = (verdict, write.pointer.clone()) {
                    let answer = Response::patched(&request.uid, said, pointer, held.desired).into_body();
                    assert!(serde_json::from_slice::<Value>(&answer).is_ok());
                }
            }
        }
        // As the API server writes it: no object has a name twice.
        if let Ok(review) = serde_json::from_slice::<Value>(input) {
            every_patch_applies(&review.to_string(), kinds);
        }
        true
    });
}

/// Asserts that the patch of a count applies to the object of a review, and stores the count.
fn every_patch_applies(review: &str, kinds: &[TargetKind]) {
    let Ok(request) = Request::read(review.as_bytes()) else { return };
    for kind in kinds {
        let pointer = request.count_write(kind).and_then(|write| write.pointer);
        let (Some(path), Some(states)) = (pointer, request.states()) else { continue };
        let value = json!(3);
        let mut object: Value = serde_json::from_str(states.object.get()).unwrap();
        json_patch::patch(&mut object, &Patch(vec![PatchOperation::Add(AddOperation { path, value })])).unwrap();
        assert_eq!(kind.replicas.count_in(&object), Some(3));
    }
}
