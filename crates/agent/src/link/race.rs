//! Trying one server after the other without waiting long for any.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep;

/// Makes the attempts in order and gives the first that succeeds; the others are dropped. The next
/// begins when one fails, or after `patience`, beside those that are still under way. None
/// succeeded: the last error, none where there was nothing to attempt.
pub(super) async fn race<A, T, E>(
    attempts: impl IntoIterator<Item = A>,
    patience: Duration,
) -> Result<T, Option<E>>
where
    A: Future<Output = Result<T, E>>,
{
    let mut waiting = attempts.into_iter();
    let mut running = FuturesUnordered::new();
    let mut failed = None;
    running.extend(waiting.next());
    while !running.is_empty() {
        // Cancel-safe: what runs stays in the set, and a wait cut short only begins anew.
        tokio::select! {
            biased;
            ended = running.next() => match ended {
                Some(Ok(won)) => return Ok(won),
                Some(Err(error)) => {
                    failed = Some(error);
                    running.extend(waiting.next());
                }
                None => {}
            },
            () = sleep(patience) => running.extend(waiting.next()),
        }
    }
    Err(failed)
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::future::BoxFuture;

    use super::*;

    type Attempt = BoxFuture<'static, Result<u8, &'static str>>;

    #[tokio::test]
    async fn the_first_that_succeeds_wins_past_dead_and_silent_ones() {
        let attempts: Vec<Attempt> = vec![
            Box::pin(pending()),
            Box::pin(ready(Err("refused"))),
            Box::pin(pending()),
            Box::pin(ready(Ok(3))),
            Box::pin(async { panic!("nobody needed this one") }),
        ];
        assert_eq!(race(attempts, Duration::from_millis(1)).await, Ok(3));
    }

    #[tokio::test]
    async fn failures_do_not_wait_and_the_last_is_told() {
        let attempts: Vec<Attempt> =
            vec![Box::pin(ready(Err("first"))), Box::pin(ready(Err("last")))];
        assert_eq!(race(attempts, Duration::MAX).await, Err(Some("last")));
        let none: Vec<Attempt> = Vec::new();
        assert_eq!(race(none, Duration::ZERO).await, Err(None));
    }
}
