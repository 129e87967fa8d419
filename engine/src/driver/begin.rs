//! Steps are begun: new ones, those whose time has come, those that a former process left open.

use actions::Performing;
use model::fact::StepResult;
use model::{Call, Effect, Entry, ErrorKind, Fact, IdempotencyKey, StepError, StepPath, Timestamp};

use super::perform::Job;
use super::run::{Page, Run};
use super::schedule::{Due, due, relevant};
use crate::core::Trouble;
use crate::packs::OnUnknown;
use crate::retry::{Verdict, after_death};

impl Run {
    /// Begins what can be begun. True if a step is over, so that the chain can be advanced; and
    /// the time at which to look again.
    pub(super) async fn schedule(
        &mut self,
        page: &mut Page,
    ) -> Result<(bool, Option<Timestamp>), Trouble> {
        if self.journal.outcome.is_some() || self.journal.attention.is_some() {
            return Ok((false, None));
        }
        let ending = self.ending().is_some();
        let mut next = self.deadline().filter(|_| !ending && self.journal.undo.is_none());
        let mut again = false;
        if ending {
            next = self.settle();
        }
        for path in relevant(&self.journal) {
            if self.flight.contains(&path) || page.jobs.iter().any(|job| job.path == path) {
                continue;
            }
            let Some(entry) = self.journal.entries.get(&path).cloned() else { continue };
            let now = self.core.now();
            match due(&self.journal, &entry, self.fresh.contains(&path), now) {
                Due::Told(deadline) => {
                    let over = self.child(page, &path, deadline, ending).await?;
                    again |= over;
                    if let Some(at) = deadline.filter(|at| !over && *at > now) {
                        next = Some(next.map_or(at, |next| next.min(at)));
                    }
                }
                Due::CutOff => {
                    self.cut_off(page, path, &entry, ending).await?;
                    again = true;
                }
                _ if ending => {}
                Due::Over(result) => {
                    let attempts = entry.progress.attempt;
                    self.note(page, Fact::StepFinished { path, result, attempts, at: now });
                    again = true;
                }
                Due::At(at) => next = Some(next.map_or(at, |next| next.min(at))),
                Due::Attempt(attempt) => self.begin(page, path, &entry, attempt).await?,
            }
        }
        Ok((again, next))
    }

    /// Tells steps under way to end once their time to settle is over; answers when that is.
    fn settle(&mut self) -> Option<Timestamp> {
        let by = self.settle_by()?;
        if by > self.core.now() {
            return (!self.flight.is_empty()).then_some(by);
        }
        self.flight.cancel();
        None
    }

    /// The engine died over this step.
    async fn cut_off(
        &mut self,
        page: &mut Page,
        path: StepPath,
        entry: &Entry,
        ending: bool,
    ) -> Result<(), Trouble> {
        let now = self.core.now();
        let Call::Run { effect, .. } = &entry.call else { return Ok(()) };
        let verdict = after_death(*effect, entry.progress.attempt, entry.progress.cut_off, now);
        if let Verdict::Ask(error) = &verdict
            && let Some(mut job) = self.job(&path, entry, entry.progress.attempt).await
            && (job.verify.is_some() || job.on_unknown != OnUnknown::Ask)
        {
            job.only_verify = Some(error.clone());
            page.jobs.push(job);
            return Ok(());
        }
        if ending && !matches!(verdict, Verdict::Ask(_)) {
            let result =
                StepResult::Failed(StepError::new(ErrorKind::Cancelled, "cut off, then cancelled"));
            self.note(
                page,
                Fact::StepFinished { path, result, attempts: entry.progress.attempt, at: now },
            );
            return Ok(());
        }
        match verdict {
            Verdict::Retry(..) => {
                let (attempt, cut_off) = (entry.progress.attempt + 1, entry.progress.cut_off + 1);
                self.note(
                    page,
                    Fact::AttemptStarted { path: path.clone(), attempt, cut_off, at: now },
                );
                self.push_job(page, path, entry, attempt).await;
                Ok(())
            }
            verdict => self.ruled(page, path, verdict, entry.progress.attempt, now).await,
        }
    }

    /// Begins attempt number `attempt`; any but the first is stored before.
    async fn begin(
        &mut self,
        page: &mut Page,
        path: StepPath,
        entry: &Entry,
        attempt: u32,
    ) -> Result<(), Trouble> {
        if attempt > entry.progress.attempt {
            let cut_off = entry.progress.cut_off;
            let at = self.core.now();
            self.note(page, Fact::AttemptStarted { path: path.clone(), attempt, cut_off, at });
        }
        self.push_job(page, path, entry, attempt).await;
        Ok(())
    }

    async fn push_job(&mut self, page: &mut Page, path: StepPath, entry: &Entry, attempt: u32) {
        if let Some(job) = self.job(&path, entry, attempt).await {
            page.jobs.push(job);
        } else {
            let mut error = StepError::new(
                ErrorKind::NotFound,
                "the action's content is gone from the state folder",
            );
            error.action = entry.call.action().cloned();
            let at = self.core.now();
            let result = StepResult::Failed(error);
            self.note(page, Fact::StepFinished { path, result, attempts: attempt, at });
        }
    }

    /// The performance of `entry`'s call, by the content it was resolved to.
    async fn job(&self, path: &StepPath, entry: &Entry, attempt: u32) -> Option<Job> {
        let (action, parameters, version, timeout, limit, effect) = match &entry.call {
            Call::Run { action, parameters, version, policy, effect } => {
                (action, parameters, version, policy.timeout, policy.deadline, *effect)
            }
            Call::Poll { action, parameters, version, timeout, deadline, .. } => {
                (action, parameters, version, *timeout, *deadline, Effect::Read)
            }
            Call::Child { .. } | Call::Sleep { .. } => return None,
        };
        let left = limit.map(|limit| {
            let limit = self.journal.extended(limit, entry.at);
            let left = limit.duration_since(self.core.now()).as_millis();
            model::Duration::from_millis(u64::try_from(left).unwrap_or(0).max(1))
        });
        let timeout = timeout.into_iter().chain(left).min();
        let performed = self.core.library.performer(&self.core, action, *version).await?;
        let performing = Performing {
            parameters: parameters.clone(),
            key: IdempotencyKey::new(&self.id, path),
            attempt,
            pack: self.owner(),
            log: self.core.folders.log(&self.id, path),
            cancel: self.core.killing.child_token(),
        };
        Some(Job {
            path: path.clone(),
            lane: self.lane.clone(),
            action: performed.action,
            performing,
            timeout,
            effect,
            on_unknown: performed.on_unknown,
            verify: performed.verify,
            program: performed.program,
            only_verify: None,
        })
    }
}
