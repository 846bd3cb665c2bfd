use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::join_all;
use tokio::{sync::Semaphore, task::JoinSet, time::advance};

use super::*;
use crate::grpc::fixtures::user;

const FRESH: Duration = Duration::from_secs(10);

fn get(name: &str) -> Action {
    Action::on_replica_counts("get", "shop", name)
}

/// Counts questions, and answers them when it may.
#[derive(Clone)]
struct Answers {
    asked: Arc<AtomicUsize>,
    may_answer: Arc<Semaphore>,
}

impl Answers {
    fn new(answers: usize) -> Self {
        Self { asked: Arc::default(), may_answer: Arc::new(Semaphore::new(answers)) }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    async fn ask(self) -> Result<bool, kube::Error> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        drop(self.may_answer.acquire().await);
        Ok(true)
    }
}

#[tokio::test(start_paused = true)]
async fn equal_questions_are_asked_once() {
    let (reviews, answers, alice) = (Reviews::default(), Answers::new(1), user("alice"));
    let (action, ask) = (get("a"), || answers.clone().ask());
    for result in join_all((0..100).map(|_| reviews.answer(&alice, &action, FRESH, ask))).await {
        assert!(result.unwrap().allowed);
    }
    assert_eq!(answers.asked(), 1, "at once");
    reviews.answer(&alice, &action, FRESH, ask).await.unwrap();
    assert_eq!(answers.asked(), 1, "while the answer is fresh");
    advance(FRESH).await;
    reviews.answer(&alice, &action, FRESH, ask).await.unwrap();
    assert_eq!(answers.asked(), 2, "after that");
    reviews.answer(&user("bob"), &action, FRESH, ask).await.unwrap();
    assert_eq!(answers.asked(), 3, "another user");
}

#[tokio::test(start_paused = true)]
async fn a_question_goes_on_for_the_others_when_one_gives_up() {
    let (reviews, answers, alice) = (Reviews::default(), Answers::new(0), user("alice"));
    let (action, ask) = (get("a"), || answers.clone().ask());
    let first = tokio::time::timeout(Duration::from_secs(1), reviews.answer(&alice, &action, FRESH, ask));
    let second = reviews.answer(&alice, &action, FRESH, ask);
    let answer = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        answers.may_answer.add_permits(1);
    };
    let (first, second, ()) = tokio::join!(first, second, answer);
    assert!(first.is_err() && second.is_ok_and(|answer| answer.allowed));
    assert_eq!(answers.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn reviews_under_way_are_bounded_and_a_user_leaves_places_to_others() {
    let (reviews, answers) = (Arc::new(Reviews::default()), Answers::new(0));
    let mut asking = JoinSet::new();
    let mut ask = |name: &str, count: usize| {
        for number in 0..count {
            let (reviews, answers, user) = (reviews.clone(), answers.clone(), user(name));
            asking.spawn(async move {
                reviews
                    .answer(&user, &get(&number.to_string()), FRESH, || answers.ask())
                    .await
                    .map_err(|(error, _)| error)
            });
        }
    };
    let settle = async || {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    };
    ask("alice", 100);
    settle().await;
    assert_eq!(answers.asked(), MAX_REVIEWS_OF_USER, "of one user");
    ask("bob", 1);
    settle().await;
    assert_eq!(answers.asked(), MAX_REVIEWS_OF_USER + 1, "another user has not to wait");
    for number in 0..10 {
        ask(&format!("user-{number}"), 10);
    }
    settle().await;
    assert_eq!(answers.asked(), MAX_REVIEWS, "in all");
    // None of them is answered, so the others get no place in time.
    let results = asking.join_all().await;
    let too_many = results.iter().filter(|result| matches!(result, Err(Error::TooManyReviews))).count();
    let unanswered = results.iter().filter(|result| matches!(result, Err(Error::Unreachable(_)))).count();
    assert_eq!((too_many, unanswered), (201 - MAX_REVIEWS, MAX_REVIEWS));
}

#[tokio::test]
async fn the_answers_that_are_kept_are_bounded() {
    struct Row {
        name: &'static str,
        bound: usize,
        users: usize,
        questions: usize,
        /// The most answers that are kept then.
        most: usize,
    }
    for Row { name, bound, users, questions, most } in [
        Row { name: "one user", bound: MAX_ANSWERS, users: 1, questions: 2000, most: MAX_ANSWERS / PART_OF_USER },
        Row { name: "many users", bound: 1024, users: 20, questions: 1024 / PART_OF_USER, most: 1024 },
        Row { name: "more users than answers", bound: MAX_ANSWERS, users: 5000, questions: 1, most: MAX_ANSWERS },
        Row { name: "one user and a lower bound", bound: 256, users: 1, questions: 2000, most: 32 },
    ] {
        let (reviews, answers) = (Reviews::keeping(bound), Answers::new(1));
        for at in 0..users {
            let user = user(&format!("user-{at}"));
            for question in 0..questions {
                let ask = || answers.clone().ask();
                reviews.answer(&user, &get(&question.to_string()), FRESH, ask).await.unwrap();
            }
        }
        let kept: usize = reviews.users.lock().values().map(|user| user.entries.len()).sum();
        assert!((1..=most).contains(&kept), "{name}: {kept}");
        assert!(reviews.users.lock().len() <= bound, "{name}");
    }
}

#[tokio::test]
async fn one_user_displaces_no_answers_about_others() {
    let (reviews, answers) = (Reviews::default(), Answers::new(1));
    let ask = || answers.clone().ask();
    reviews.answer(&user("bob"), &get("a"), FRESH, ask).await.unwrap();
    for question in 0..5000 {
        reviews.answer(&user("alice"), &get(&question.to_string()), FRESH, ask).await.unwrap();
    }
    let asked = answers.asked();
    reviews.answer(&user("bob"), &get("a"), FRESH, ask).await.unwrap();
    assert_eq!(answers.asked(), asked);
}

#[tokio::test]
async fn nothing_is_kept_about_a_caller_with_a_huge_certificate() {
    let (reviews, answers) = (Reviews::default(), Answers::new(1));
    for at in 0..10 {
        let groups = vec!["x".repeat(MAX_IDENTITY)];
        let caller = Arc::new(Identity { user: format!("user-{at}"), groups });
        reviews.answer(&caller, &get("a"), FRESH, || answers.clone().ask()).await.unwrap();
    }
    let users = reviews.users.lock();
    assert_eq!((users.len(), users.values().map(|user| user.entries.len()).sum::<usize>()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn old_answers_are_forgotten_and_reviews_under_way_are_not() {
    struct Row {
        name: &'static str,
        /// How many questions are answered.
        answered: usize,
        /// How old the question is, in seconds.
        age: u64,
        is_kept: bool,
    }
    for row in [
        Row { name: "a fresh answer", answered: 1, age: 9, is_kept: true },
        Row { name: "an old answer", answered: 1, age: 10, is_kept: false },
        Row { name: "no answer yet", answered: 0, age: 1, is_kept: true },
    ] {
        let (reviews, answers, alice) = (Reviews::default(), Answers::new(row.answered), user("alice"));
        let action = get("a");
        let mut asking = Box::pin(reviews.answer(&alice, &action, FRESH, || answers.clone().ask()));
        assert_eq!(asking.as_mut().now_or_never().is_some(), row.answered > 0, "{}", row.name);
        advance(Duration::from_secs(row.age)).await;
        reviews.forget(FRESH);
        assert_eq!(reviews.users.lock().contains_key("alice"), row.is_kept, "{}", row.name);
    }
}
