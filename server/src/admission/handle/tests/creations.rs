//! Reviews of creations of held targets that do not exist.

use tokio::time::sleep;

use super::*;
use crate::resources::fixtures::deployment_key;

/// A creation of the Deployment `new`.
fn create(count: i32) -> ReviewBuilder {
    ReviewBuilder::create(count).with("/request/name", json!("new"))
}

/// A reviewer whose index holds `new` at 9, and has no such target.
fn reviewer_of_new() -> Reviewer {
    let (reviewer, _attempts) = reviewer(AdmissionMode::Guard, Rights::Granted);
    fixtures::hold(&reviewer.index, "new", 9, "alice", "sale");
    reviewer
}

/// Whether a creation is kept, and whether there is a warning, by the mutating webhook.
async fn is_kept(reviewer: &Reviewer, review: ReviewBuilder) -> (bool, bool) {
    let answer = response(reviewer, Endpoint::Mutate, review).await;
    assert_eq!(answer["allowed"], true);
    (answer["patch"].is_string(), answer["warnings"].is_array())
}

#[tokio::test(start_paused = true)]
async fn a_creation_that_fails_because_its_count_is_kept_is_let_through_the_next_time() {
    let reviewer = reviewer_of_new();
    assert_eq!(is_kept(&reviewer, create(3)).await, (true, true));
    sleep(Duration::from_millis(900)).await;
    assert_eq!(is_kept(&reviewer, create(3)).await, (true, true), "its target may still show up");
    sleep(Duration::from_millis(100)).await;
    assert_eq!(is_kept(&reviewer, create(3)).await, (false, false), "none has shown up");
    let warned = response(&reviewer, Endpoint::Validate, create(3)).await;
    let text = "deployment.apps/new is held at 9 by alice (sale): 3 will be put back; \
                change it with: kubectl replicas set new COUNT";
    assert_eq!(warned, json!({"uid": "r", "allowed": true, "warnings": [text]}));
}

#[tokio::test(start_paused = true)]
async fn a_creation_that_succeeds_is_kept_the_next_time() {
    let reviewer = reviewer_of_new();
    assert_eq!(is_kept(&reviewer, create(3)).await, (true, true));
    // Enforcement sees the target before it is deleted again.
    reviewer.reviews.forget_creations_of(&deployment_key("new"));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(is_kept(&reviewer, create(3)).await, (true, true));
}

#[tokio::test(start_paused = true)]
async fn neither_a_dry_run_nor_the_creation_of_a_known_target_opens_the_guard() {
    let reviewer = reviewer_of_new();
    assert_eq!(is_kept(&reviewer, create(3).dry_run()).await, (true, true));
    let existing = || ReviewBuilder::create(7);
    assert_eq!(is_kept(&reviewer, existing()).await, (true, true));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(is_kept(&reviewer, create(3).dry_run()).await, (false, false), "it would fail again");
    assert_eq!(is_kept(&reviewer, create(3)).await, (true, true), "after a dry run");
    fixtures::remove_target(&reviewer.index, "web");
    assert_eq!(is_kept(&reviewer, existing()).await, (true, true), "it was there when it was created");
}
