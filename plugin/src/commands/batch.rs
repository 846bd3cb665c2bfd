//! Requests for several targets. A failure of one does not stop the others.

use std::cell::Cell;

use futures::{StreamExt, future, pin_mut, stream};

use crate::{
    error::{Error, explain},
    output::{self, Lines},
};

/// The number of concurrent requests: enough to hide the round trips, and too few to overload a server.
pub(super) const AT_ONCE: usize = 8;

/// Sends the requests, prints a line for each success, reports each failure, and returns the values of the successes.
///
/// The results come in the order of the requests. The error of a single request becomes the error of the command. When
/// the connection is lost, it sends no more requests, but waits for those under way to show their results.
pub(super) async fn run<R, T, F: Future<Output = (String, Result<(String, T), Error>)>>(
    lines: &mut Lines,
    requests: Vec<R>,
    done: &'static str,
    send: impl Fn(R) -> F,
) -> (Vec<T>, Result<(), Error>) {
    let all = requests.len();
    let is_over = Cell::new(false);
    let requests = stream::iter(requests).take_while(|_| future::ready(!is_over.get()));
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
            Err(error) if all == 1 || is_of_connection(&error) => {
                is_over.set(true);
                end.get_or_insert(error);
            }
            Err(error) => {
                report(&name, &error);
                failed += 1;
            }
        }
    }
    (values, end.map_or_else(|| finish(failed, all, done), Err))
}

/// Reports the failure of one of several targets.
pub(super) fn report(name: &str, error: &Error) {
    let has_name = error.to_string().contains(name);
    let subject = if has_name { "error".to_owned() } else { format!("error: {name}") };
    output::note(&explain(&subject, error));
}

/// Whether the connection is lost, so that no other request can succeed.
pub(super) fn is_of_connection(error: &Error) -> bool {
    match error {
        Error::Call(error) => error.is_of_connection(),
        error => matches!(error, Error::Kubernetes(_) | Error::Credentials(_) | Error::Session(_)),
    }
}

/// The result of a command for several targets.
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
    use crate::session::{self, CallError, Refusal};

    type Outcome = Result<(String, u8), Error>;

    fn refused() -> Outcome {
        Err(CallError::Refused(Refusal(Box::new(Status::internal("broken")))).into())
    }

    fn unanswered() -> CallError {
        CallError::TimedOut { limit: Duration::from_secs(1) }
    }

    fn disconnected() -> Outcome {
        Err(session::Error::ServerName { name: String::new() }.into())
    }

    async fn outcome(results: Vec<Outcome>) -> (Vec<u8>, Result<(), Error>) {
        run(&mut Lines::default(), results, "set", |result| future::ready(("web".to_owned(), result))).await
    }

    #[tokio::test]
    async fn one_failure_does_not_stop_the_others() {
        for failure in [refused(), Err(unanswered().into()), Err(Error::of_write(unanswered(), "web", "set"))] {
            let (values, end) = outcome(vec![Ok((String::new(), 1)), failure, Ok((String::new(), 3))]).await;
            assert_eq!(values, [1, 3]);
            assert_eq!(end.unwrap_err().to_string(), "1 of 3 targets could not be set");
        }
    }

    #[tokio::test]
    async fn the_failure_of_a_single_target_is_the_error_of_the_command() {
        let (_, end) = outcome(vec![refused()]).await;
        assert_eq!(end.unwrap_err().to_string(), "broken");
    }

    #[test]
    fn a_write_without_an_answer_may_have_been_made() {
        let text = explain("error", &Error::of_write(unanswered(), "deployment.apps/web", "set"));
        assert!(text.starts_with("error: deployment.apps/web may have been set, or not"), "{text}");
        assert!(text.contains("no answer within 1s") && text.contains("kubectl replicas list"), "{text}");
    }

    #[tokio::test]
    async fn without_a_connection_no_more_is_sent_but_requests_under_way_count() {
        let mut results = vec![disconnected()];
        results.extend((1..20).map(|value| Ok((String::new(), value))));
        let (values, end) = outcome(results).await;
        assert!(matches!(end, Err(Error::Session(_))));
        assert_eq!(values, (1..u8::try_from(AT_ONCE).unwrap()).collect::<Vec<_>>());
    }
}
