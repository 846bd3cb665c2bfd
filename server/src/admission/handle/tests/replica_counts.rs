//! Reviews of writes of ReplicaCounts.

use super::*;

#[tokio::test]
async fn a_write_of_a_replica_count_has_its_user() {
    let (reviewer, _attempts) = reviewer(AdmissionMode::Record, Rights::Granted);
    let object = |replicas: i32| {
        let mut object = serde_json::to_value(full_replica_count()).unwrap();
        object["spec"]["replicas"] = replicas.into();
        object
    };
    let parsed =
        |replicas: i32| -> ReplicaCountSpec { serde_json::from_value(object(replicas)["spec"].clone()).unwrap() };
    let spec = |replicas: i32| Content::of_spec(Some(&parsed(3)), &parsed(replicas));
    let user = |content| reviewer.reviews.user_of(&"u".into(), 7, content, Instant::now());
    let applied = ReviewBuilder::replica_count(&object(5), &object(3));
    let answer = response(&reviewer, Endpoint::Validate, applied.by("bob")).await;
    assert_eq!((answer["allowed"] == true, user(spec(5))), (true, known("bob")));
    assert_eq!(user(spec(6)), ReviewedUser::Unknown);
    let set = |user: &str| ReviewBuilder::replica_count(&object(8), &object(3)).by(user);
    response(&reviewer, Endpoint::Validate, set("rcm")).await;
    assert_eq!(user(spec(8)), ReviewedUser::Unknown, "by this server, for a user whom the object names");
    response(&reviewer, Endpoint::Validate, set("bob")).await;
    assert_eq!(user(spec(8)), ReviewedUser::Several, "and by bob, whose write was refused");
}

#[tokio::test]
async fn a_first_spec_has_its_user() {
    let (reviewer, _attempts) = reviewer(AdmissionMode::Record, Rights::Granted);
    let object = serde_json::to_value(full_replica_count()).unwrap();
    response(&reviewer, Endpoint::Validate, ReviewBuilder::replica_count(&object, &Value::Null).by("bob")).await;
    let content = Content::of_spec(None, &full_replica_count().spec);
    assert_eq!(reviewer.reviews.user_of(&"u".into(), 0, content, Instant::now()), known("bob"));
}

#[tokio::test]
async fn a_replica_count_that_is_scaled_has_its_user_whatever_the_index_knows() {
    for (name, index) in [("the same version", fixtures::index()), ("nothing yet", Index::default())] {
        let (reviewer, _attempts) = reviewer(AdmissionMode::Record, Rights::Granted);
        let reviewer = Reviewer { index: Arc::new(index), ..reviewer };
        let metadata = json!({"name": "deployment.web", "uid": "u", "resourceVersion": "7"});
        for replicas in [6, 0] {
            let scale = |spec: Value| json!({"metadata": metadata.clone(), "spec": spec});
            // A Scale leaves out a 0.
            let after = if replicas == 0 { json!({}) } else { json!({"replicas": replicas}) };
            let scaled = ReviewBuilder::replica_count(&scale(after), &scale(json!({"replicas": 3})))
                .with("/request/subResource", json!("scale"));
            response(&reviewer, Endpoint::Validate, scaled.by("carol")).await;
            let before = full_replica_count().spec;
            let content = Content::of_spec(Some(&before), &ReplicaCountSpec { replicas, ..before.clone() });
            let user = reviewer.reviews.user_of(&"u".into(), 7, content, Instant::now());
            assert_eq!(user, known("carol"), "{name}, {replicas}");
        }
    }
}
