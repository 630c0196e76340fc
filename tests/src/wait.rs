//! Waiting with an end.

use std::fmt::Display;
use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Calls `probe` until it says `Ok`, at most for `limit`; then fails with `what` and the last reason.
///
/// A probe that hangs is cut off after five seconds, and counts as a failure.
pub async fn until<T, E, F, Fut>(what: &str, limit: Duration, mut probe: F) -> Result<T>
where
    E: Display,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let start = Instant::now();
    let mut pause = Duration::from_millis(10);
    loop {
        let reason = match tokio::time::timeout(Duration::from_secs(5), probe()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer within 5 s".to_owned(),
        };
        if start.elapsed() >= limit {
            bail!("waited {} s for {what}: {reason}", limit.as_secs());
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(250));
    }
}
