//! One request for each of several targets: a failure of one does not stop the others.

use std::cell::Cell;

use futures::{StreamExt, future, pin_mut, stream};

use crate::{
    error::{Error, explain},
    output::{self, Lines},
};

/// How many requests are under way at once: enough to hide the round trips, too few to crowd a server.
pub(super) const AT_ONCE: usize = 8;

/// Sends the requests, prints the line of each that went well, tells of the others, and returns the values.
///
/// The results come in the order of the requests. The error of a single one is the command's own. When nothing further
/// can succeed no more requests are sent; those under way come to their ends, so that each that was done is shown.
pub(super) async fn run<R, T, F: Future<Output = (String, Result<(String, T), Error>)>>(
    lines: &mut Lines,
    requests: Vec<R>,
    done: &'static str,
    send: impl Fn(R) -> F,
) -> (Vec<T>, Result<(), Error>) {
    let all = requests.len();
    let ended = Cell::new(false);
    let requests = stream::iter(requests).take_while(|_| future::ready(!ended.get()));
    let results = requests.map(send).buffered(AT_ONCE);
    pin_mut!(results);
    let mut values = Vec::with_capacity(all);
    let (mut failed, mut end) = (0, None);
    while let Some((name, result)) = results.next().await {
        match result {
            Ok((line, value)) => {
                values.push(value);
                lines.print(&line);
            }
            Err(error) if all == 1 || ends_all(&error) => {
                ended.set(true);
                end.get_or_insert(error);
            }
            Err(error) => {
                tell(&name, &error);
                failed += 1;
            }
        }
    }
    (values, end.map_or_else(|| finish(failed, all, done), Err))
}

/// Tells of the failure of one of several targets.
pub(super) fn tell(name: &str, error: &Error) {
    let says_which = error.to_string().contains(name);
    let subject = if says_which { "error".to_owned() } else { format!("error: {name}") };
    output::note(&explain(&subject, error));
}

/// Whether nothing further can succeed, since there is no connection.
pub(super) fn ends_all(error: &Error) -> bool {
    matches!(error, Error::Connect(error) if !error.is_of_one_call())
}

/// The end of a command over several targets.
pub(super) fn finish(failed: usize, all: usize, done: &'static str) -> Result<(), Error> {
    match failed {
        0 => Ok(()),
        failed => Err(Error::Incomplete { failed, all, done }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic::Status;

    use super::*;
    use crate::connect::{self, CallError, Refusal};

    type Outcome = Result<(String, u8), Error>;

    fn refused() -> Outcome {
        Err(Refusal(Box::new(Status::internal("broken"))).into())
    }

    fn unanswered() -> Error {
        connect::Error::from(CallError::TimedOut { limit: Duration::from_secs(1) }).into()
    }

    fn disconnected() -> Outcome {
        Err(connect::Error::ServerName { name: String::new() }.into())
    }

    async fn outcome(results: Vec<Outcome>) -> (Vec<u8>, Result<(), Error>) {
        run(&mut Lines::default(), results, "set", |result| future::ready(("web".to_owned(), result))).await
    }

    #[tokio::test]
    async fn one_failure_does_not_stop_the_others() {
        for failure in [refused(), Err(unanswered()), Err(unanswered().of_write("web", "set"))] {
            let (values, end) = outcome(vec![Ok((String::new(), 1)), failure, Ok((String::new(), 3))]).await;
            assert_eq!(values, [1, 3]);
            assert_eq!(end.unwrap_err().to_string(), "1 of 3 targets could not be set");
        }
    }

    #[tokio::test]
    async fn the_failure_of_a_single_target_is_its_own() {
        let (_, end) = outcome(vec![refused()]).await;
        assert_eq!(end.unwrap_err().to_string(), "broken");
    }

    #[test]
    fn a_write_without_an_answer_may_have_been_made() {
        let text = explain("error", &unanswered().of_write("deployment.apps/web", "set"));
        assert!(text.starts_with("error: deployment.apps/web may have been set, or not"), "{text}");
        assert!(text.contains("no answer within 1s") && text.contains("kubectl replicas list"), "{text}");
    }

    #[tokio::test]
    async fn without_a_connection_nothing_more_is_sent_but_what_is_under_way_counts() {
        let mut results = vec![disconnected()];
        results.extend((1..20).map(|value| Ok((String::new(), value))));
        let (values, end) = outcome(results).await;
        assert!(matches!(end, Err(Error::Connect(_))));
        assert_eq!(values, (1..u8::try_from(AT_ONCE).unwrap()).collect::<Vec<_>>());
    }
}
