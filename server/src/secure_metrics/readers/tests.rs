use std::net::Ipv4Addr;

use futures::future::join_all;
use hyper::header::HeaderValue;
use tokio::time::{advance, sleep};

use super::*;
use crate::secure_metrics::fixtures::{Answering, ApiServer};

/// The address of a peer.
fn peer(host: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, host).into()
}

/// The headers of a request with these credentials.
fn headers(credentials: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in credentials {
        headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
    }
    headers
}

#[tokio::test(start_paused = true)]
async fn only_the_token_of_a_user_with_the_right_is_accepted() {
    struct Row<'a> {
        name: &'static str,
        credentials: &'a [&'a str],
        answering: Answering,
        expected: Result<(), Refusal>,
        /// How often the API server is asked.
        questions: usize,
    }
    use Answering::{Fail, Hang, Nonsense, Properly, Revoked, Undecided};
    let long = format!("Bearer {}", "x".repeat(MAX_TOKEN + 1));
    let refused = |name, credentials, answering, refusal, questions| Row {
        name,
        credentials,
        answering,
        expected: Err(refusal),
        questions,
    };
    let allowed = |name, credentials| Row { name, credentials, answering: Properly, expected: Ok(()), questions: 2 };
    for Row { name, credentials, answering, expected, questions } in [
        refused("no header", &[], Properly, Refusal::NoToken, 0),
        refused("another scheme", &["Basic reader"], Properly, Refusal::NoToken, 0),
        refused("a scheme alone", &["Bearer "], Properly, Refusal::NoToken, 0),
        refused("two tokens", &["Bearer reader", "Bearer reader"], Properly, Refusal::NoToken, 0),
        refused("a long token", &[&long], Properly, Refusal::LongToken(MAX_TOKEN), 0),
        refused("a made-up token", &["Bearer made-up"], Properly, Refusal::UnknownToken, 1),
        refused("a user without the right", &["Bearer other"], Properly, Refusal::Forbidden("other".to_owned()), 2),
        refused("a user without it any more", &["Bearer reader"], Revoked, Refusal::Forbidden("reader".to_owned()), 2),
        allowed("a user with the right", &["Bearer reader"]),
        allowed("a scheme in small letters", &["bearer  reader"]),
        refused("a silent API server", &["Bearer reader"], Hang, Refusal::Unanswered, 1),
        refused("a failing API server", &["Bearer reader"], Fail(500), Refusal::Unanswered, 1),
        refused("a busy API server", &["Bearer reader"], Fail(429), Refusal::Unanswered, 1),
        refused("an authorizer that fails", &["Bearer reader"], Undecided, Refusal::Unanswered, 2),
        refused("an answer without a status", &["Bearer reader"], Nonsense, Refusal::Unanswered, 1),
        refused("a server without its rights", &["Bearer reader"], Fail(403), Refusal::MayNotAsk, 1),
    ] {
        let api_server = ApiServer::new(answering);
        let (readers, begun) = (api_server.readers(), Instant::now());
        assert_eq!(readers.check(&headers(credentials), peer(1)).await, expected, "{name}");
        assert_eq!(api_server.asked.lock().len(), questions, "{name}");
        assert!(begun.elapsed() <= CHECK_TIME, "{name}: {:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_holds_for_ten_seconds_and_a_failure_is_none() {
    let api_server = ApiServer::new(Answering::Hang);
    let (readers, reader) = (api_server.readers(), headers(&["Bearer reader"]));
    assert_eq!(readers.check(&reader, peer(1)).await, Err(Refusal::Unanswered));
    *api_server.answering.lock() = Answering::Properly;
    assert_eq!(readers.check(&reader, peer(1)).await, Ok(()));
    for (age, answering, expected) in [
        (9, Answering::Revoked, Ok(())),
        (0, Answering::Hang, Ok(())),
        (1, Answering::Revoked, Err(Refusal::Forbidden("reader".to_owned()))),
        (9, Answering::Properly, Err(Refusal::Forbidden("reader".to_owned()))),
        (1, Answering::Properly, Ok(())),
        (10, Answering::Fail(500), Err(Refusal::Unanswered)),
    ] {
        advance(Duration::from_secs(age)).await;
        *api_server.answering.lock() = answering;
        assert_eq!(readers.check(&reader, peer(1)).await, expected, "{age} s later, {answering:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_so_many_tokens_are_checked_at_once() {
    let api_server = ApiServer::new(Answering::Hang);
    let (readers, begun) = (api_server.readers(), Instant::now());
    let tokens: Vec<_> = (0..=MAX_CHECKS).map(|number| headers(&[&format!("Bearer {number}")])).collect();
    let addresses = (1..).flat_map(|host| [peer(host); MAX_CHECKS_OF_ADDRESS]);
    let results = join_all(tokens.iter().zip(addresses).map(|(token, peer)| readers.check(token, peer))).await;
    let (last, first) = results.split_last().unwrap();
    assert_eq!(*last, Err(Refusal::TooManyTokens));
    assert!(first.iter().all(|result| *result == Err(Refusal::Unanswered)), "{first:?}");
    assert_eq!((begun.elapsed(), api_server.asked.lock().len()), (CHECK_TIME, MAX_CHECKS));

    *api_server.answering.lock() = Answering::Properly;
    let reader = headers(&["Bearer reader"]);
    let results = join_all((0..=MAX_CHECKS).map(|_| readers.check(&reader, peer(1)))).await;
    assert!(results.iter().all(Result::is_ok), "those that wait get a place, or the answer to another: {results:?}");
}

#[tokio::test(start_paused = true)]
async fn slow_checks_of_one_address_leave_places_to_others() {
    let api_server = ApiServer::new(Answering::Hang);
    let readers = api_server.readers();
    let tokens: Vec<_> = (0..MAX_CHECKS).map(|number| headers(&[&format!("Bearer {number}")])).collect();
    let flood = join_all(tokens.iter().map(|token| readers.check(token, peer(1))));
    let reader = async {
        sleep(QUEUE_TIME / 2).await;
        assert_eq!(api_server.asked.lock().len(), MAX_CHECKS_OF_ADDRESS);
        *api_server.answering.lock() = Answering::Properly;
        readers.check(&headers(&["Bearer reader"]), peer(2)).await
    };
    let (results, read) = tokio::join!(flood, reader);
    assert_eq!(read, Ok(()));
    let (checked, waiting) = results.split_at(MAX_CHECKS_OF_ADDRESS);
    assert!(checked.iter().all(|result| *result == Err(Refusal::Unanswered)), "{checked:?}");
    assert!(waiting.iter().all(|result| *result == Err(Refusal::TooManyTokens)), "{waiting:?}");
}
