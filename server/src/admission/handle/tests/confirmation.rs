//! Whether a count is still held, by the API server and by the watch.

use tokio::time::sleep;

use super::*;

/// A time that Kubernetes stores and our types cannot hold.
const END: &str = "9999-12-31T00:00:00Z";

#[tokio::test(start_paused = true)]
async fn the_guard_confirms_with_the_api_server_and_without_an_answer_with_the_watch() {
    for (name, stored, is_held) in [
        ("the same", Stored::Metadata(json!({"uid": "u"})), true),
        ("deleted, which the index does not know yet", Stored::Gone, false),
        ("another one of the same name", Stored::Metadata(json!({"uid": "v"})), false),
        ("a newer spec", Stored::Metadata(json!({"uid": "u", "generation": 2})), false),
        ("being deleted", Stored::Metadata(json!({"uid": "u", "deletionTimestamp": "2026-01-01T00:00:00Z"})), false),
        ("being deleted at an odd time", Stored::Metadata(json!({"uid": "u", "deletionTimestamp": END})), false),
        ("with an odd owner", Stored::Metadata(json!({"uid": "u", "managedFields": [{"time": END}]})), true),
        ("no answer in time", Stored::NoAnswer, true),
    ] {
        let (reviewer, mut attempts) = reviewer_with(AdmissionMode::Guard, Rights::Granted, stored);
        let began = Instant::now();
        let scale = response(&reviewer, Endpoint::Validate, ReviewBuilder::scale(3, 7).by("bob")).await;
        assert_eq!(scale["allowed"], !is_held, "{name}");
        assert_eq!(attempts.try_recv().is_ok(), is_held, "{name}: an attempt");
        assert_eq!(user_of(&reviewer, 7) == known("bob"), !is_held, "{name}: a write that is stored is recorded");
        let object = response(&reviewer, Endpoint::Mutate, ReviewBuilder::update(3, 8).by("bob")).await;
        assert_eq!((object["patch"].is_string(), object["warnings"].is_array()), (is_held, is_held), "{name}");
        assert!(began.elapsed() < 3 * CONFIRMATION_TIMEOUT, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_watch_has_the_last_word_while_the_api_server_is_slow() {
    for (name, replicas) in [("deleted", None), ("set again", Some(7))] {
        let (reviewer, mut attempts) = reviewer_with(AdmissionMode::Guard, Rights::Granted, Stored::NoAnswer);
        let change = async {
            sleep(CONFIRMATION_TIMEOUT / 2).await;
            fixtures::set_replica_count(&reviewer.index, "web", replicas);
        };
        let review = ReviewBuilder::scale(3, 7).by("bob");
        let (scale, ()) = tokio::join!(response(&reviewer, Endpoint::Validate, review), change);
        assert_eq!(scale, json!({"uid": "r", "allowed": true}), "{name}");
        assert!(attempts.try_recv().is_err(), "{name}");
    }
}
