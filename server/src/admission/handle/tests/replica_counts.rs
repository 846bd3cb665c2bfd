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
    let spec = |replicas: i32| {
        let spec: ReplicaCountSpec = serde_json::from_value(object(replicas)["spec"].clone()).unwrap();
        Content::of_spec(&spec)
    };
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
async fn a_replica_count_that_is_scaled_is_found_by_its_name() {
    // The index has the object of the fixture, at version 7.
    for (name, object, version, expected) in [
        ("the known one", "deployment.web", 7_u64, known("carol")),
        ("another version", "deployment.web", 6, ReviewedUser::Unknown),
        ("another target", "deployment.db", 7, ReviewedUser::Unknown),
        ("a kind that no ReplicaCount has", "statefulset.web", 7, ReviewedUser::Unknown),
        ("a name that the CRD does not allow", "web", 7, ReviewedUser::Unknown),
    ] {
        let (reviewer, _attempts) = reviewer(AdmissionMode::Record, Rights::Granted);
        let reviewer = Reviewer { index: Arc::new(fixtures::index()), ..reviewer };
        let metadata = json!({"name": object, "uid": "u", "resourceVersion": version.to_string()});
        let scale = |replicas: i32| json!({"metadata": metadata.clone(), "spec": {"replicas": replicas}});
        let scaled = ReviewBuilder::replica_count(&scale(6), &scale(3))
            .with("/request/subResource", json!("scale"))
            .with("/request/name", json!(object));
        response(&reviewer, Endpoint::Validate, scaled.by("carol")).await;
        let spec = ReplicaCountSpec { replicas: 6, ..full_replica_count().spec };
        let user = reviewer.reviews.user_of(&"u".into(), version, Content::of_spec(&spec), Instant::now());
        assert_eq!(user, expected, "{name}");
    }
}

#[test]
fn the_name_of_a_replica_count_says_its_target() {
    let (apps, argo, core) = ("apps", "argoproj.io", "core");
    for (name, kind, group, target) in [
        ("deployment.web", "Deployment", apps, Some("web")),
        ("deployment.web.v2", "Deployment", apps, Some("web.v2")),
        ("rollout.argoproj.io.web", "Rollout", argo, Some("web")),
        ("rollout.argoproj.io.web", "Rollout", "argoproj", Some("io.web")),
        ("rollout.argoproj.io.web", "ROLLOUT", argo, Some("web")),
        ("replicationcontroller.core.web", "ReplicationController", core, Some("web")),
        ("deployment.web", "StatefulSet", apps, None),
        ("deploymentconfig.web", "Deployment", apps, None),
        ("rollout.web", "Rollout", argo, None),
        ("deployment.", "Deployment", apps, None),
        ("deployment.-", "Deployment", apps, None),
        ("", "Deployment", apps, None),
    ] {
        let found = target_of("shop", name, &GroupKind::new(kind, group));
        assert_eq!(found.as_ref().map(|key| &*key.name), target, "{name} of {kind}.{group}");
        let again = found.map(|key| (key.replica_count_name(), key.kind));
        let expected = target.map(|_| (name.to_owned(), GroupKind::new(kind, group)));
        assert_eq!(again, expected, "{name} of {kind}.{group}");
    }
}
