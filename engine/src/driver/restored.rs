//! After a restore: what the lost server may have done after its last backup, nobody wrote down.

use model::{Call, Effect, Entry, ErrorKind, ExecutionId, StepError, Timestamp, event};
use store::Restored;

use super::run::Run;
use crate::core::Trouble;

impl Run {
    /// Whether an attempt of an unsafe step may have been made before the state was restored.
    /// An attempt that was not due by then was not made; nor was one of work that began since.
    pub(super) async fn perhaps_done(&self, entry: &Entry) -> Result<Option<StepError>, Trouble> {
        let Some(Restored { taken_at, at }) = self.core.restored else { return Ok(None) };
        let is_unsafe = matches!(&entry.call, Call::Run { effect: Effect::Unsafe, .. });
        let due = entry.progress.failed.as_ref().is_none_or(|(_, due)| *due < at);
        if !is_unsafe || !due || !self.goes_back(taken_at).await? {
            return Ok(None);
        }
        let message = format!(
            "the state was restored from a backup of {taken_at}: whether this was done after that is unknown"
        );
        let mut error = StepError::new(ErrorKind::Unavailable, message);
        error.attempts = entry.progress.attempt;
        Ok(Some(error))
    }

    /// Whether a server that was lost before a restore may have made what this execution makes.
    pub(super) async fn is_doubted(&self) -> Result<bool, Trouble> {
        match self.core.restored {
            Some(Restored { taken_at, .. }) => self.goes_back(taken_at).await,
            None => Ok(false),
        }
    }

    /// Whether anything that led to this execution was there at `taken`, or may have been told before
    /// the restore: it may have gone on.
    async fn goes_back(&self, taken: Timestamp) -> Result<bool, Trouble> {
        if self.journal.request.as_ref().is_some_and(|request| request.doubted) {
            return Ok(true);
        }
        // Requests of earlier versions don't say it: what they followed from does while it is kept.
        let store = &self.core.store;
        let mut id = root(&self.id);
        for _ in 0..=event::MAX_DEPTH {
            let Some(row) = store.execution(&id).await? else { return Ok(false) };
            if row.requested_at <= taken {
                return Ok(true);
            }
            let Some(key) = row.origin.event() else { return Ok(false) };
            let Some(event) = store.event(key).await? else { return Ok(false) };
            if event.accepted_at <= taken || event.retold {
                return Ok(true);
            }
            let Some(cause) = event.envelope.cause else { return Ok(false) };
            id = root(&cause.execution);
        }
        Ok(true)
    }
}

/// The execution that has no caller.
fn root(id: &ExecutionId) -> ExecutionId {
    let callers =
        std::iter::successors(Some(id.clone()), |id| id.parent().map(|(parent, _)| parent));
    callers.last().unwrap_or_else(|| id.clone())
}
