//! Work that somebody asks for and waits for.
//!
//! Who waits may go away at any moment: a client hangs up, a sensor is ended. That cuts the waiting and
//! never the work. Cut in between, a commit would be made whose consequences (executions, what is known
//! of tokens, secrets, rules) nobody takes up before the next start.

use std::time::Duration;

use tokio::time::Instant;

use crate::core::{Core, Trouble};

/// How long who waits for an answer is kept waiting while the store takes nothing.
const PATIENCE: Duration = Duration::from_secs(5);

tokio::task_local! {
    /// When who waits for an answer is told that the store takes nothing.
    static UNTIL: Instant;
}

/// Whether who waits for this task's work is told before `then` that the store takes nothing.
pub(crate) fn is_too_late(then: Instant) -> bool {
    UNTIL.try_with(|until| then > *until) == Ok(true)
}

impl Core {
    /// Does `work` to its end, as a task of its own: dropping this ends the waiting alone.
    pub(crate) async fn whole<T, E>(
        &self,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Trouble> + Send + 'static,
    {
        let done = self.tasks.spawn(work).await;
        done.unwrap_or_else(|error| Err(Trouble::Broken(error.to_string()).into()))
    }

    /// The same for somebody who waits for its answer: a store in trouble is not waited out. What the
    /// store is at is waited for, however slow it is: what it has taken is to be begun.
    pub(crate) async fn impatient<T, E>(
        &self,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Trouble> + Send + 'static,
    {
        self.whole(UNTIL.scope(Instant::now() + PATIENCE, work)).await
    }
}
