//! One request for each of several targets: a failure of one does not stop the others.

use futures::{Stream, StreamExt, pin_mut};

use crate::{
    error::{Error, explain},
    output,
};

/// How many requests are under way at once: enough to hide the round trips, too few to crowd a server.
pub(super) const AT_ONCE: usize = 8;

/// Prints the line of each target that went well, tells of the others, and returns the values.
///
/// The results come in the order of the targets. The error of a single target is the command's own.
pub(super) async fn run<T>(
    results: impl Stream<Item = (String, Result<(String, T), Error>)>,
    all: usize,
    done: &'static str,
) -> (Vec<T>, Result<(), Error>) {
    pin_mut!(results);
    let mut values = Vec::with_capacity(all);
    let mut failed = 0;
    while let Some((name, result)) = results.next().await {
        let written = result.and_then(|(line, value)| {
            values.push(value);
            output::data(&line)
        });
        match written {
            Ok(()) => {}
            Err(error) if all == 1 || ends_all(&error) => return (values, Err(error)),
            Err(error) => {
                tell(&name, &error);
                failed += 1;
            }
        }
    }
    (values, finish(failed, all, done))
}

/// Tells of the failure of one of several targets.
pub(super) fn tell(name: &str, error: &Error) {
    let says_which = error.to_string().contains(name);
    let subject = if says_which { "error".to_owned() } else { format!("error: {name}") };
    output::note(&explain(&subject, error));
}

/// Whether nothing further can succeed: there is no connection, or nobody reads.
pub(super) fn ends_all(error: &Error) -> bool {
    matches!(error, Error::Connect(_) | Error::Output(_))
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
    use futures::stream;
    use tonic::Status;

    use super::*;
    use crate::connect::Refusal;

    type Outcome = Result<(String, u8), Error>;

    fn refused() -> Outcome {
        Err(Refusal(Box::new(Status::internal("broken"))).into())
    }

    async fn outcome(results: Vec<Outcome>) -> (Vec<u8>, Result<(), Error>) {
        let all = results.len();
        run(stream::iter(results).map(|result| ("web".to_owned(), result)), all, "set").await
    }

    #[tokio::test]
    async fn one_failure_does_not_stop_the_others() {
        let (values, end) = outcome(vec![Ok((String::new(), 1)), refused(), Ok((String::new(), 3))]).await;
        assert_eq!(values, [1, 3]);
        assert_eq!(end.unwrap_err().to_string(), "1 of 3 targets could not be set");
    }

    #[tokio::test]
    async fn the_failure_of_a_single_target_is_its_own() {
        let (_, end) = outcome(vec![refused()]).await;
        assert_eq!(end.unwrap_err().to_string(), "broken");
    }

    #[tokio::test]
    async fn a_connection_that_is_lost_ends_it() {
        let lost = Err(Error::Output(std::io::ErrorKind::BrokenPipe.into()));
        let (values, end) = outcome(vec![lost, Ok((String::new(), 2))]).await;
        assert!(values.is_empty() && matches!(end, Err(Error::Output(_))));
    }
}
