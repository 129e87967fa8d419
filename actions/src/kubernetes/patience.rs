//! Asking a cluster that cannot answer now until it does: what goes on there goes on meanwhile.

use std::time::Duration;

use host::kubernetes::Failure;
use model::ErrorKind;
use tokio::time::sleep;

use super::asked::Asked;

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// Whether the cluster may answer later: its API server is away or too busy, or credentials have
/// expired that somebody renews.
pub(super) fn passes(failure: &Failure) -> bool {
    use ErrorKind::{RateLimited, Timeout, Unauthenticated, Unavailable};
    matches!(failure.kind, Unavailable | Timeout | RateLimited | Unauthenticated)
}

/// What `ask` learns, however long that takes; it must do no harm twice. Who is cancelled drops it.
pub(super) async fn patiently<T, F>(ask: impl Fn() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    loop {
        match ask().await {
            Err(failure) if passes(&failure) => sleep(PAUSE).await,
            answer => return answer,
        }
    }
}

/// What a step asks first. Of one that an earlier process began something may run: that the cluster
/// cannot be asked says nothing of it.
pub(super) async fn at_first<T, F>(asked: &Asked<'_>, ask: impl Fn() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    if !asked.performing.resumed {
        return ask().await;
    }
    tokio::select! {
        biased;
        answer = patiently(ask) => answer,
        () = asked.performing.cancel.cancelled() => {
            let message = "it was given up before the cluster could be asked: what it began may go on";
            Err(Failure::unsent(ErrorKind::Cancelled, message))
        }
    }
}
