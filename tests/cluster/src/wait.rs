//! Waits for conditions instead of sleeping.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::time::{Instant, sleep, timeout_at};

/// The pause between two attempts. It is short enough for fast tests, and long enough not to load a machine of two
/// cores.
const PAUSE: Duration = Duration::from_millis(25);

/// Repeats `attempt` until it succeeds, and returns its value.
///
/// # Errors
///
/// If no attempt succeeds within `within`. The error names `what` was awaited, and its cause is the error of the last
/// attempt. An attempt that hangs is cancelled at the deadline.
pub async fn until<T, F, Fut>(what: &str, within: Duration, mut attempt: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let deadline = Instant::now() + within;
    let mut last = anyhow!("the first attempt did not end");
    loop {
        match timeout_at(deadline, attempt()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => last = error,
            Err(_) => {}
        }
        if Instant::now() + PAUSE >= deadline {
            return Err(last).with_context(|| format!("gave up waiting for {what} after {within:?}"));
        }
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn returns_the_first_success() -> Result<()> {
        let mut attempts = 0;
        let value = until("the third attempt", Duration::from_secs(1), || {
            attempts += 1;
            let seen = attempts;
            async move { if seen == 3 { Ok(seen) } else { Err(anyhow!("only {seen}")) } }
        });
        assert_eq!(value.await?, 3);
        Ok(())
    }

    #[tokio::test]
    async fn names_what_was_awaited_and_the_last_state() {
        let result: Result<()> =
            until("two pods", Duration::from_millis(60), || async { Err(anyhow!("1 of 2")) }).await;
        let message = result.map_err(|error| format!("{error:#}")).unwrap_err();
        assert_eq!(message, "gave up waiting for two pods after 60ms: 1 of 2");
    }

    #[tokio::test]
    async fn cuts_off_an_attempt_that_hangs() {
        let result: Result<()> = until("an answer", Duration::from_millis(60), std::future::pending).await;
        assert!(result.is_err());
    }
}
