mod confirmation;
mod creations;
mod replica_counts;

use hyper::{Request as HttpRequest, Response as HttpResponse};
use kube::{Client, client::Body};
use serde_json::{Value, json};

use super::*;
use crate::{
    admission::fixtures::ReviewBuilder,
    index::fixtures,
    resources::fixtures::full_replica_count,
    reviews::{Probed, ReviewedUser},
};

/// What the API server says about rights.
#[derive(Clone, Copy)]
enum Rights {
    Granted,
    Missing,
    NoAnswer,
}

/// What the API server has of the `ReplicaCount` of `web`.
#[derive(Clone)]
enum Stored {
    Metadata(Value),
    Gone,
    NoAnswer,
}

/// A reviewer whose index holds `web` at 3 for alice, and has `db`, which is not held. And the way of its attempts.
fn reviewer(mode: AdmissionMode, rights: Rights) -> (Reviewer, mpsc::Receiver<TargetAttempt>) {
    reviewer_with(mode, rights, Stored::Metadata(json!({"uid": "u"})))
}

fn reviewer_with(mode: AdmissionMode, rights: Rights, stored: Stored) -> (Reviewer, mpsc::Receiver<TargetAttempt>) {
    let answer = tower::service_fn(move |request: HttpRequest<Body>| {
        let stored = stored.clone();
        async move {
            let is_of_rights = request.uri().path().ends_with("/subjectaccessreviews");
            let (code, answer) = match (is_of_rights, rights, stored) {
                (true, Rights::NoAnswer, _) | (false, _, Stored::NoAnswer) => std::future::pending().await,
                (true, rights, _) => {
                    let status = json!({"allowed": matches!(rights, Rights::Granted)});
                    (200_u16, json!({"metadata": {}, "spec": {}, "status": status}))
                }
                (false, _, Stored::Metadata(metadata)) => (200, json!({"metadata": metadata})),
                (false, _, Stored::Gone) => {
                    (404, json!({"status": "Failure", "message": "gone", "reason": "NotFound", "code": 404}))
                }
            };
            let body = Body::from(answer.to_string().into_bytes());
            Ok::<_, tower::BoxError>(HttpResponse::builder().status(code).body(body)?)
        }
    });
    let client = Client::new(answer, "default");
    let (attempts, received) = mpsc::channel(1);
    let reviewer = Reviewer {
        mode,
        users: UserNames::Name,
        max_replicas: 100,
        index: Arc::new(fixtures::index()),
        reviews: Arc::default(),
        attempts,
        authorizer: Authorizer::new(client.clone(), None),
        client,
        account: "rcm".to_owned(),
        exempt_groups: vec!["on-call".to_owned()],
        metrics: Arc::default(),
    };
    fixtures::hold(&reviewer.index, "web", 3, "alice", "load test");
    (reviewer, received)
}

async fn response(reviewer: &Reviewer, endpoint: Endpoint, review: ReviewBuilder) -> Value {
    let answer = handle(review.build().to_string().as_bytes(), endpoint, reviewer).await;
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    answer["response"].clone()
}

fn user_of(reviewer: &Reviewer, count: i32) -> ReviewedUser {
    reviewer.reviews.user_of(&"u".into(), 10, Content::Count(count), Instant::now())
}

fn known(user: &str) -> ReviewedUser {
    ReviewedUser::Known(user.into())
}

#[tokio::test]
async fn each_mode_answers_a_write_of_a_held_target() {
    struct Row {
        mode: AdmissionMode,
        /// Whether `/scale` is allowed, and whether there is a warning.
        scale: (bool, bool),
        /// Whether the mutating webhook patches the object, and whether there is a warning.
        object: (bool, bool),
        user: ReviewedUser,
    }
    for row in [
        Row { mode: AdmissionMode::Record, scale: (true, false), object: (false, false), user: known("bob") },
        Row { mode: AdmissionMode::Warn, scale: (true, true), object: (false, false), user: known("bob") },
        Row { mode: AdmissionMode::Guard, scale: (false, false), object: (true, true), user: ReviewedUser::Unknown },
    ] {
        let (reviewer, _attempts) = reviewer(row.mode, Rights::Missing);
        let mode = row.mode.label();
        let scale = response(&reviewer, Endpoint::Validate, ReviewBuilder::scale(3, 7).by("bob")).await;
        assert_eq!(scale["uid"], "r", "{mode}");
        assert_eq!((scale["allowed"] == true, scale["warnings"].is_array()), row.scale, "{mode}");
        assert_eq!(user_of(&reviewer, 7), row.user, "{mode}");
        let object = response(&reviewer, Endpoint::Mutate, ReviewBuilder::update(3, 8).by("bob")).await;
        assert_eq!(object["allowed"], true, "{mode}");
        assert_eq!((object["patch"].is_string(), object["warnings"].is_array()), row.object, "{mode}");
        assert_eq!(user_of(&reviewer, 8), ReviewedUser::Unknown, "{mode}: the validating webhook comes after it");
    }
}

#[tokio::test]
async fn nothing_is_recorded_of_targets_that_are_not_held_and_of_users_if_that_is_asked_for() {
    let held = || ReviewBuilder::scale(3, 7);
    for (name, users, review, expected) in [
        ("held", UserNames::Name, held(), known("alice")),
        ("not held", UserNames::Name, held().with("/request/name", json!("db")), ReviewedUser::Unknown),
        ("a dry run", UserNames::Name, held().dry_run(), ReviewedUser::Unknown),
        ("no users", UserNames::None, held(), ReviewedUser::Unknown),
        ("without a name", UserNames::Name, held().by(""), ReviewedUser::Unknown),
        (
            "in a namespace that cannot be",
            UserNames::Name,
            held().with("/request/namespace", json!("x".repeat(64))),
            ReviewedUser::Unknown,
        ),
    ] {
        let (mut reviewer, _attempts) = reviewer(AdmissionMode::Record, Rights::Granted);
        reviewer.users = users;
        response(&reviewer, Endpoint::Validate, review).await;
        assert_eq!(user_of(&reviewer, 7), expected, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_holder_is_named_to_those_who_may_see_the_replica_count() {
    for (name, rights, is_named) in [
        ("may see it", Rights::Granted, true),
        ("may not", Rights::Missing, false),
        ("no answer in time", Rights::NoAnswer, false),
    ] {
        let (reviewer, _attempts) = reviewer(AdmissionMode::Guard, rights);
        let began = Instant::now();
        let denied = response(&reviewer, Endpoint::Validate, ReviewBuilder::scale(3, 7).by("bob")).await;
        assert!(began.elapsed() < 2 * RIGHT_TIMEOUT, "{name}");
        let holder = if is_named { " by alice (load test)" } else { "" };
        let message =
            format!("deployment.apps/web is held at 3{holder}; change it with: kubectl replicas set web COUNT");
        assert_eq!(denied["status"]["message"], message, "{name}");
    }
}

#[tokio::test]
async fn a_uid_that_no_object_has_is_not_kept() {
    for (length, expected) in [(128, known("bob")), (129, ReviewedUser::Unknown)] {
        let (reviewer, _attempts) = reviewer(AdmissionMode::Record, Rights::Granted);
        let (uid, full) = ("x".repeat(length), serde_json::to_value(full_replica_count()).unwrap());
        let mut object = full.clone();
        object["metadata"]["uid"] = uid.as_str().into();
        response(&reviewer, Endpoint::Validate, ReviewBuilder::replica_count(&object, &object).by("bob")).await;
        let spec: ReplicaCountSpec = serde_json::from_value(full["spec"].clone()).unwrap();
        let user = reviewer.reviews.user_of(&Uid::from(&*uid), 7, Content::of_spec(Some(&spec), &spec), Instant::now());
        assert_eq!(user, expected, "{length}");
    }
}

#[tokio::test]
async fn the_writes_of_exempt_groups_are_recorded_and_let_through() {
    for mode in [AdmissionMode::Warn, AdmissionMode::Guard] {
        let (reviewer, mut attempts) = reviewer(mode, Rights::Granted);
        let exempt =
            |review: ReviewBuilder| review.by("carol").with("/request/userInfo/groups", json!(["a", "on-call"]));
        reviewer.reviews.begin_probe("u".into());
        for (name, endpoint, review) in [
            ("through /scale", Endpoint::Validate, ReviewBuilder::scale(3, 7)),
            ("an update", Endpoint::Validate, ReviewBuilder::update(3, 8)),
            ("an update, which is not patched", Endpoint::Mutate, ReviewBuilder::update(3, 9)),
            ("a dry run", Endpoint::Mutate, ReviewBuilder::update(3, 9).dry_run()),
        ] {
            let answer = response(&reviewer, endpoint, exempt(review)).await;
            assert_eq!(answer, json!({"uid": "r", "allowed": true}), "{name}");
        }
        assert!(attempts.try_recv().is_err());
        assert_eq!([7, 8].map(|count| user_of(&reviewer, count)), [known("carol"), known("carol")]);
        assert!(reviewer.reviews.end_probe(&"u".into()).is_mutated, "the server may be in an exempt group itself");
    }
}

#[tokio::test]
async fn prevented_changes_reach_enforcement_and_never_block_a_review() {
    let (reviewer, mut attempts) = reviewer(AdmissionMode::Guard, Rights::Missing);
    let scale = || ReviewBuilder::scale(3, 7).by("bob");
    response(&reviewer, Endpoint::Validate, scale().dry_run()).await;
    assert!(attempts.try_recv().is_err(), "a dry run is no attempt");
    let outdated = ReviewBuilder::update(3, 7).with("/request/object/metadata/resourceVersion", json!("9"));
    assert_eq!(response(&reviewer, Endpoint::Mutate, outdated).await, json!({"uid": "r", "allowed": true}));
    assert!(attempts.try_recv().is_err(), "a write that the API server refuses as outdated is no attempt");
    response(
        &reviewer,
        Endpoint::Mutate,
        ReviewBuilder::update(3, 7).with("/request/options/fieldManager", json!("helm")),
    )
    .await;
    let TargetAttempt { key, attempt } = attempts.try_recv().unwrap();
    assert_eq!((&*key.name, &*attempt.user, &*attempt.manager), ("web", "alice", "helm"));
    assert_eq!((attempt.from, attempt.to, &*attempt.verdict), (Some(3), Some(7), "kept"));
    for _ in 0..3 {
        assert_eq!(response(&reviewer, Endpoint::Validate, scale()).await["allowed"], false);
    }
    assert_eq!(&*attempts.try_recv().unwrap().attempt.verdict, "denied");
    assert_eq!(reviewer.metrics.admission.attempts_lost.get(), 2, "the others found no room");
}

#[tokio::test]
async fn a_dry_run_shows_which_webhooks_are_in_force() {
    let update = || ReviewBuilder::update(3, 7);
    for (name, endpoint, review, expected) in [
        ("of /scale", Endpoint::Validate, ReviewBuilder::scale(3, 7), (true, false)),
        ("of the object, validated", Endpoint::Validate, update(), (false, false)),
        ("of the object", Endpoint::Mutate, update(), (false, true)),
        (
            "in a version whose path of the count is unknown",
            Endpoint::Mutate,
            update().with("/request/kind/version", json!("v1beta1")),
            (false, false),
        ),
        (
            "of an object without a place for the count",
            Endpoint::Mutate,
            update().with("/request/object/spec", Value::Null),
            (false, false),
        ),
    ] {
        let (reviewer, _attempts) = reviewer(AdmissionMode::Guard, Rights::Missing);
        reviewer.reviews.begin_probe("u".into());
        response(&reviewer, endpoint, review.dry_run()).await;
        let (is_validated, is_mutated) = expected;
        assert_eq!(reviewer.reviews.end_probe(&"u".into()), Probed { is_validated, is_mutated }, "{name}");
    }
}

#[tokio::test]
async fn nothing_is_said_of_a_count_whose_path_is_unknown() {
    for (name, endpoint, review) in [
        ("an update", Endpoint::Mutate, ReviewBuilder::update(3, 7)),
        ("an update, validated", Endpoint::Validate, ReviewBuilder::update(3, 7)),
        ("a creation, validated", Endpoint::Validate, ReviewBuilder::create(7)),
    ] {
        let (reviewer, mut attempts) = reviewer(AdmissionMode::Guard, Rights::Granted);
        let review = review.with("/request/kind/version", json!("v1beta1"));
        assert_eq!(response(&reviewer, endpoint, review).await, json!({"uid": "r", "allowed": true}), "{name}");
        assert!(attempts.try_recv().is_err(), "{name}");
        assert_eq!(user_of(&reviewer, 7), ReviewedUser::Unknown, "{name}");
    }
}

#[tokio::test]
async fn what_is_no_review_is_answered_without_a_verdict() {
    let (reviewer, _attempts) = reviewer(AdmissionMode::Guard, Rights::Missing);
    let answer: Value = serde_json::from_slice(&handle(b"nonsense", Endpoint::Validate, &reviewer).await).unwrap();
    assert_eq!(answer["response"], json!({"uid": "", "allowed": true}));
    let pod = ReviewBuilder::update(3, 7).with("/request/kind/kind", json!("Pod"));
    assert_eq!(response(&reviewer, Endpoint::Validate, pod).await, json!({"uid": "r", "allowed": true}));
}
