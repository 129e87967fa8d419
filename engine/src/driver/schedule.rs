//! Which open steps can be begun now, and when the next one can.

use model::fact::StepResult;
use model::{Call, Entry, ErrorKind, Journal, StepError, StepPath, Timestamp};

/// What can be done about an open step.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Due {
    /// Begin its next attempt; this is its number.
    Attempt(u32),
    /// Nobody knows how its latest attempt went: the engine died over it.
    CutOff,
    /// It is over.
    Over(StepResult),
    /// Look again at this time.
    At(Timestamp),
    /// Something else will say when: a child's end.
    Told(Option<Timestamp>),
}

/// What can be done about `entry` of `journal` at `now`. `fresh`: its intent was stored by this very
/// process and no attempt was begun.
pub(super) fn due(journal: &Journal, entry: &Entry, fresh: bool, now: Timestamp) -> Due {
    let extended = |limit: &Option<Timestamp>| limit.map(|limit| journal.extended(limit, entry.at));
    match &entry.call {
        Call::Sleep { until } if *until <= now => Due::Over(StepResult::Done(model::Value::Null)),
        Call::Sleep { until } => Due::At(*until),
        Call::Child { deadline, .. } => Due::Told(extended(deadline)),
        Call::Run { policy, .. } => attempt(entry, fresh, extended(&policy.deadline), now),
        Call::Poll { deadline, .. } => {
            let deadline = extended(deadline);
            let next = match (&entry.progress.failed, &entry.answer) {
                (Some((_, at)), _) => Some(*at),
                (None, Some(answer)) => Some(answer.next_at),
                (None, None) => None,
            };
            match next {
                _ if deadline.is_some_and(|deadline| deadline <= now) => {
                    Due::Over(too_late(entry, deadline))
                }
                Some(at) if at > now => Due::At(deadline.map_or(at, |deadline| at.min(deadline))),
                _ => Due::Attempt(entry.progress.attempt),
            }
        }
    }
}

fn attempt(entry: &Entry, fresh: bool, deadline: Option<Timestamp>, now: Timestamp) -> Due {
    let late = deadline.is_some_and(|deadline| deadline <= now);
    match &entry.progress.failed {
        Some(_) if late => Due::Over(too_late(entry, deadline)),
        Some((_, at)) if *at > now => Due::At(*at),
        Some(_) => Due::Attempt(entry.progress.attempt + 1),
        None if fresh && late => Due::Over(too_late(entry, deadline)),
        None if fresh => Due::Attempt(entry.progress.attempt),
        None => Due::CutOff,
    }
}

fn too_late(entry: &Entry, deadline: Option<Timestamp>) -> StepResult {
    let when = deadline.map(|at| format!(" at {at}")).unwrap_or_default();
    let last = entry
        .progress
        .failed
        .as_ref()
        .map(|(error, _)| format!("; the last attempt: {}", error.message));
    let message = format!("the step's deadline passed{when}{}", last.unwrap_or_default());
    let mut error = StepError::new(ErrorKind::Deadline, message);
    error.action = entry.call.action().cloned();
    error.attempts = entry.progress.attempt;
    StepResult::Failed(error)
}

/// The open steps that count now: all of them, or only handlers' once undo has begun.
pub(super) fn relevant(journal: &Journal) -> Vec<StepPath> {
    let undoing = journal.undo.is_some();
    journal
        .open()
        .filter(|(path, _)| !undoing || path.is_handler())
        .map(|(path, _)| path.clone())
        .collect()
}
