//! Steps are begun: new ones, those whose time has come, those that a former process left open.

use std::sync::Arc;

use actions::Performing;
use model::fact::StepResult;
use model::journal::Progress;
use model::{
    Call, Effect, Entry, ErrorKind, Fact, IdempotencyKey, Performance, StepError, StepPath,
    Timestamp, TraceContext,
};

use super::page::Page;
use super::perform::{Job, Report};
use super::run::Run;
use super::schedule::{Due, due, relevant};
use crate::core::Trouble;
use crate::fair::Permit;
use crate::packs::OnUnknown;
use crate::retry::{Verdict, after_death, death};
use crate::secrets::Opened;
use crate::spans::attempt_place;

/// Which attempt it is.
#[derive(Debug, Clone, Copy)]
struct Times {
    attempt: u32,
    /// So many attempts before it the engine's own end cut off.
    cut_off: u32,
    /// Whether it takes up what the last of those began.
    resumed: bool,
}

impl Run {
    /// Begins what can be begun. True if a step is over, so that the chain can be advanced; and
    /// the time at which to look again.
    pub(super) async fn schedule(
        &mut self,
        page: &mut Page,
    ) -> Result<(bool, Option<Timestamp>), Trouble> {
        if self.rests() {
            return Ok((false, None));
        }
        let ending = self.ending().is_some();
        let mut next = self.deadline().filter(|_| !ending && self.journal.undo.is_none());
        let mut again = false;
        if ending {
            next = self.settle();
        }
        next = next.into_iter().chain(self.paced.filter(|_| !ending)).min();
        for path in relevant(&self.journal) {
            if self.flight.contains(&path) || page.jobs.iter().any(|(job, _)| job.path == path) {
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
                    let error = death(entry.progress.attempt);
                    again |= self.cut_off(page, path, &entry, ending, error).await?;
                }
                _ if ending => {}
                Due::Over(result) => {
                    let attempts = entry.progress.attempt;
                    self.note(page, Fact::StepFinished { path, result, attempts, at: now });
                    again = true;
                }
                Due::At(at) => next = Some(next.map_or(at, |next| next.min(at))),
                Due::Attempt(attempt) => {
                    if let Some(error) = self.perhaps_done(&entry).await? {
                        again |= self.cut_off(page, path, &entry, ending, error).await?;
                        continue;
                    }
                    let cut_off = entry.progress.cut_off;
                    let times = Times { attempt, cut_off, resumed: false };
                    again |= self.begin(page, path, &entry, times).await?;
                }
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

    /// Nobody can tell how this step's latest attempt went: the engine died over it. True if the
    /// step is over.
    async fn cut_off(
        &mut self,
        page: &mut Page,
        path: StepPath,
        entry: &Entry,
        ending: bool,
        mut error: StepError,
    ) -> Result<bool, Trouble> {
        let at = self.core.now();
        let Call::Run { effect, .. } = entry.call else { return Ok(false) };
        let Progress { attempt, cut_off, lost, .. } = entry.progress;
        let cut_off = if lost { cut_off } else { cut_off + 1 };
        let opened = self.opened().await?;
        // What finds again what it began begins nothing twice, whatever its effect, and also where all is
        // to end.
        let resumed = self.resumes(entry).await;
        let effect = if resumed { Effect::Idempotent } else { effect };
        let times = Times { attempt, cut_off, resumed: false };
        let job = match effect {
            Effect::Unsafe => self.job(&path, entry, times, opened).await,
            Effect::Read | Effect::Idempotent => None,
        };
        let on_unknown = job.as_ref().map_or(OnUnknown::Ask, |job| job.on_unknown);
        error.action = entry.call.action().cloned();
        if let Some(mut job) = job.filter(|job| job.verify.is_some()) {
            self.note_cut_off(page, &path, entry, cut_off);
            job.only_verify = Some(error);
            if let Some(place) = self.place(&job) {
                page.jobs.push((job, place));
            }
            return Ok(false);
        }
        let verdict = after_death(error, on_unknown.ruled(effect), attempt, cut_off, at);
        match on_unknown.answered(verdict) {
            Verdict::Retry(..) if ending && !resumed => {
                let error = StepError::new(ErrorKind::Cancelled, "cut off, then cancelled");
                let result = StepResult::Failed(error);
                self.note(page, Fact::StepFinished { path, result, attempts: attempt, at });
                Ok(true)
            }
            Verdict::Retry(..) => {
                let times = Times { attempt: attempt + 1, cut_off, resumed };
                self.begin(page, path, entry, times).await
            }
            verdict => {
                self.note_cut_off(page, &path, entry, cut_off);
                self.ruled(page, path, verdict, attempt, at).await?;
                Ok(true)
            }
        }
    }

    /// Whether performing the step again finds what the attempt that was cut off began.
    async fn resumes(&self, entry: &Entry) -> bool {
        let Call::Run { action, version, .. } = &entry.call else { return false };
        let performer = self.core.library.performer(&self.core, action, *version).await;
        performer.is_some_and(|performer| performer.action.resumes())
    }

    /// Notes that the latest attempt was cut off, unless that is known.
    fn note_cut_off(&mut self, page: &mut Page, path: &StepPath, entry: &Entry, cut_off: u32) {
        if !entry.progress.lost {
            let at = self.core.now();
            self.note(page, Fact::AttemptCutOff { path: path.clone(), cut_off, at });
        }
    }

    /// Begins the attempt of these `times`, if there is a place for it; any but the first is stored
    /// before. True if it can never be performed, so that the step is over.
    async fn begin(
        &mut self,
        page: &mut Page,
        path: StepPath,
        entry: &Entry,
        times: Times,
    ) -> Result<bool, Trouble> {
        let Times { attempt, cut_off, .. } = times;
        if self.places.waits(&path) {
            return Ok(false);
        }
        let at = self.core.now();
        let opened = self.opened().await?;
        let Some(job) = self.job(&path, entry, times, opened).await else {
            let result = StepResult::Failed(content_is_gone(entry));
            self.note(page, Fact::StepFinished { path, result, attempts: attempt, at });
            return Ok(true);
        };
        let Some(place) = self.place(&job) else { return Ok(false) };
        if attempt > entry.progress.attempt {
            self.note(page, Fact::AttemptStarted { path, attempt, cut_off, at });
        }
        if let Some(error) = self.unstorable(&job) {
            let failed = Performance::Failed(error);
            let report = Report::Performed(job.path, failed, OnUnknown::Ask, Vec::new());
            self.learn(report, page).await?;
            return Ok(true);
        }
        page.jobs.push((job, place));
        Ok(false)
    }

    /// Why what it would change is not done: its answer may hold secrets, and could not be stored.
    fn unstorable(&self, job: &Job) -> Option<StepError> {
        let changes = job.effect != Effect::Read && !job.performing.resumed;
        let answer = job.action.result(&job.performing.parameters);
        let keeps = changes && answer.some_secret().is_some();
        keeps.then(|| self.keyless()).flatten()
    }

    /// The place of an attempt, once it has one.
    fn place(&mut self, job: &Job) -> Option<Permit> {
        self.has_place(&job.path, job.program).then(|| self.places.take(&job.path))?
    }

    /// Whether the step at `path` has its place; if not, it is waited for from now on.
    pub(super) fn has_place(&mut self, path: &StepPath, program: bool) -> bool {
        let permits = if program { &self.core.programs } else { &self.core.steps };
        self.places.reserve(path, permits, &self.lane)
    }

    /// The performance of `entry`'s call, by the content it was resolved to.
    async fn job(
        &self,
        path: &StepPath,
        entry: &Entry,
        times: Times,
        opened: Arc<Opened>,
    ) -> Option<Job> {
        let Times { attempt, cut_off, resumed } = times;
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
        let step_span = self.span_of_step(path).filter(|_| self.core.spans.are_sent());
        let opened = opened.deriving(parameters);
        let performing = Performing {
            parameters: parameters.clone(),
            key: IdempotencyKey::new(&self.id, path),
            attempt,
            run: run(entry, attempt.saturating_sub(cut_off)),
            resumed,
            timeout,
            pack: self.owner(),
            hosts: self.rights().hosts(),
            log: self.core.folders.log(&self.id, path),
            redactor: opened.redactor().clone(),
            trace: step_span.map(|step| TraceContext {
                parent: attempt_place(step, attempt),
                state: self.journal.request.as_ref().and_then(|own| own.tracestate.clone()),
            }),
            cancel: self.core.killing.child_token(),
            stopping: self.core.stopping.clone(),
        };
        Some(Job {
            path: path.clone(),
            action: performed.action,
            performing,
            timeout,
            effect,
            on_unknown: performed.on_unknown,
            verify: performed.verify,
            program: performed.program,
            declared: version.is_some(),
            only_verify: None,
            step_span,
            opened,
            // They touch nothing outside, and show what they get.
            plain: matches!(action.pack(), "core" | "datastore" | "template"),
        })
    }
}

/// Counts what is begun anew: answers of a poll, and attempts that nothing cut off.
fn run(entry: &Entry, counted: u32) -> u32 {
    let answers = entry.answer.as_ref().map_or(0, |answer| answer.number);
    answers.saturating_mul(1_000).saturating_add(counted.max(1))
}

fn content_is_gone(entry: &Entry) -> StepError {
    let message = "the action's content is gone from the state folder";
    let mut error = StepError::new(ErrorKind::NotFound, message);
    error.action = entry.call.action().cloned();
    error
}
