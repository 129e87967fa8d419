//! Asking a cluster that cannot answer now until it does: what goes on there goes on meanwhile.
//!
//! An API server that has just begun refuses everybody until it has read who may do what. Of a right
//! that is missing then nobody knows for a while whether it really is.

use std::time::Duration;

use host::kubernetes::Failure;
use model::ErrorKind;
use tokio::time::{Instant, sleep};

use super::asked::Asked;

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a refusal may be that of a server which has just begun.
const BEGINNING: Duration = Duration::from_secs(20);

/// Whether the cluster may answer later: its API server is away or too busy, or credentials have
/// expired that somebody renews.
pub(super) fn passes(failure: &Failure) -> bool {
    use ErrorKind::{RateLimited, Timeout, Unauthenticated, Unavailable};
    matches!(failure.kind, Unavailable | Timeout | RateLimited | Unauthenticated)
}

/// Since when a cluster has refused what is asked again and again.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Whether the server may have just begun. Who is refused at the very first is taken at its word.
    may_pass: bool,
    since: Option<Instant>,
}

impl Refusal {
    /// None yet, of a step that an earlier process may have begun.
    pub(super) fn none(resumed: bool) -> Self {
        Self { may_pass: resumed, since: None }
    }

    /// The cluster answered otherwise: what it refuses from now on it may not refuse for long.
    pub(super) fn is_over(&mut self) {
        *self = Self::none(true);
    }

    /// Whether the cluster may answer later.
    pub(super) fn passes(&mut self, failure: &Failure) -> bool {
        if !failure.is_denied() {
            self.is_over();
            return passes(failure);
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        self.may_pass && since.elapsed() < BEGINNING
    }
}

/// What `ask` learns, however long that takes; it must do no harm twice. Who is cancelled drops it.
pub(super) async fn patiently<T, F>(asked: &Asked<'_>, ask: impl Fn() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut refusal = Refusal::none(asked.performing.resumed);
    loop {
        match ask().await {
            Err(failure) if refusal.passes(&failure) => sleep(PAUSE).await,
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
        answer = patiently(asked, ask) => answer,
        () = asked.performing.cancel.cancelled() => {
            let message = "it was given up before the cluster could be asked: what it began may go on";
            Err(Failure::unsent(ErrorKind::Cancelled, message))
        }
    }
}
