//! Reports of steps become facts.

use model::fact::StepResult;
use model::journal::Progress;
use model::{
    ActionRef, Call, Effect, ErrorKind, Fact, Performance, Policy, StepError, StepPath, Timestamp,
};

use super::page::Page;
use super::perform::Report;
use super::run::Run;
use crate::core::Trouble;
use crate::retry::{Verdict, default_attempts, verdict};

impl Run {
    /// Takes in how a step went.
    pub(super) async fn learn(&mut self, report: Report, page: &mut Page) -> Result<(), Trouble> {
        let now = self.core.now();
        let (path, performance, on_unknown, fresh) = match report {
            Report::Performed(path, performance, on_unknown, fresh) => {
                let keyless = (!fresh.is_empty()).then(|| self.keyless()).flatten();
                if let Some(error) = keyless {
                    (path, Performance::Unknown(error), on_unknown, Vec::new())
                } else {
                    self.grant_fresh(page, &fresh, now)?;
                    (path, performance, on_unknown, fresh)
                }
            }
            Report::NotBegun(path) => {
                self.not_begun(path, page, now);
                return Ok(());
            }
            // The next start finds out.
            Report::LeftOpen(_) => return Ok(()),
        };
        let Some(entry) = self.journal.entries.get(&path).cloned() else { return Ok(()) };
        let attempt = entry.progress.attempt;
        let performance = with_action(performance, entry.call.action().cloned());
        match entry.call {
            Call::Run { effect, policy, .. } => {
                let effect = on_unknown.ruled(effect);
                let verdict = verdict(performance, effect, &policy, &entry.progress, now);
                self.ruled(page, path, on_unknown.answered(verdict), attempt, now).await
            }
            Call::Poll { every, .. } => {
                let number = entry.answer.as_ref().map_or(0, |answer| answer.number) + 1;
                match performance {
                    Performance::Done(value) => {
                        let times = (every.after(number).after(now), now);
                        self.answered(page, path, value, &fresh, times).await
                    }
                    Performance::Failed(error) | Performance::Unknown(error) => {
                        let policy = Policy {
                            attempts: default_attempts(Effect::Read),
                            backoff: every,
                            only: Vec::new(),
                            timeout: None,
                            deadline: None,
                        };
                        let attempt = attempt + u32::from(entry.progress.failed.is_some());
                        let failed = Performance::Failed(error);
                        let progress = Progress { attempt, ..entry.progress };
                        let verdict = verdict(failed, Effect::Read, &policy, &progress, now);
                        self.ruled(page, path, verdict, attempt, now).await
                    }
                }
            }
            Call::Child { .. } | Call::Sleep { .. } => Ok(()),
        }
    }

    pub(super) async fn ruled(
        &mut self,
        page: &mut Page,
        path: StepPath,
        verdict: Verdict,
        attempts: u32,
        at: Timestamp,
    ) -> Result<(), Trouble> {
        let fact = match verdict {
            Verdict::Finish(Ok(value)) => {
                let result = StepResult::Done(self.core.bounded(value).await?);
                Fact::StepFinished { path, result, attempts, at }
            }
            Verdict::Finish(Err(error)) => {
                Fact::StepFinished { path, result: StepResult::Failed(error), attempts, at }
            }
            Verdict::Retry(error, next_at) => {
                Fact::AttemptFailed { path, attempt: attempts, error, next_at, at }
            }
            Verdict::Ask(error) => Fact::AttentionNeeded { path: Some(path), error, at },
        };
        self.note_telling(page, fact).await
    }

    /// The engine stopped before an attempt began: it is due at once at the next start.
    fn not_begun(&mut self, path: StepPath, page: &mut Page, at: Timestamp) {
        let Some(entry) = self.journal.entries.get(&path) else { return };
        let attempt = entry.progress.attempt;
        let error =
            StepError::new(ErrorKind::Unavailable, "Tripline stopped before the attempt began");
        self.note(page, Fact::AttemptFailed { path, attempt, error, next_at: at, at });
    }
}

fn with_action(performance: Performance, action: Option<ActionRef>) -> Performance {
    let name = |mut error: StepError| {
        error.action.clone_from(&action);
        error
    };
    match performance {
        Performance::Done(value) => Performance::Done(value),
        Performance::Failed(error) => Performance::Failed(name(error)),
        Performance::Unknown(error) => Performance::Unknown(name(error)),
    }
}
