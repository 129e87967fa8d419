//! Work that somebody asks for and waits for.
//!
//! Who waits may go away at any moment: a client hangs up, a sensor is ended. That cuts the waiting and
//! never the work. Cut in between, a commit would be made whose consequences (executions, what is known
//! of tokens, secrets, rules) nobody takes up before the next start.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::core::{Core, Trouble};

/// How long who waits for an answer is kept waiting while the store takes nothing.
const PATIENCE: Duration = Duration::from_secs(5);

tokio::task_local! {
    /// Of who waits for this task's work.
    static ASKER: Asker;
}

/// Somebody who waits for an answer.
struct Asker {
    /// When he is told that the store takes nothing.
    until: Instant,
    /// Where he is told; gone once he was.
    tell: Mutex<Option<oneshot::Sender<()>>>,
}

impl Asker {
    fn tell(&self) -> Option<oneshot::Sender<()>> {
        self.tell.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn was_told(&self) -> bool {
        self.tell.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

/// Whether who waits for this task's work is told before `then` that the store takes nothing.
pub(crate) fn is_too_late(then: Instant) -> bool {
    ASKER.try_with(|asker| then > asker.until) == Ok(true)
}

/// Whether who waited for this task's work was told that the store takes nothing: no more is appended.
pub(crate) fn was_told() -> bool {
    ASKER.try_with(Asker::was_told) == Ok(true)
}

/// Tells who waits for this task's work that the store takes nothing; false if he was told before.
pub(crate) fn tell() -> bool {
    let told = ASKER.try_with(Asker::tell).ok().flatten();
    // He may have gone.
    told.map(|told| told.send(())).is_some()
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
    /// store is at is waited for, however slow it is: what it has taken is to be begun, also where it says so
    /// only after whoever asked was told otherwise.
    pub(crate) async fn impatient<T, E>(
        &self,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Trouble> + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let asker = Asker { until: Instant::now() + PATIENCE, tell: Mutex::new(Some(tell)) };
        tokio::select! {
            biased;
            done = self.whole(ASKER.scope(asker, work)) => done,
            Ok(()) = told => Err(Trouble::Busy.into()),
        }
    }
}
