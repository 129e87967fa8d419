//! A turn: the chain is advanced as far as it goes, and what it asks is stored, then begun.

use std::collections::BTreeMap;
use std::sync::Arc;

use chains::{Advance, Next, Program, Step};
use model::fact::{ExecutionRequested, Grant, StepResult};
use model::{
    Actor, Call, ErrorKind, Fact, Origin, Outcome, Record, StepError, StepPath, Stream, Timestamp,
    Token, UndoReason, Version,
};
use store::{Appended, Write};

use super::ask::{Intention, Lookup};
use super::bounds;
use super::datastore::planned;
use super::page::Page;
use super::result::Unstorable;
use super::run::{Run, Runs};
use super::schedule::relevant;
use super::single;
use crate::arrival::Arrival;
use crate::core::Trouble;
use crate::decide::decide;
use crate::emitting;
use crate::evaluators::{Kept, Workbench};
use crate::notices;
use crate::pages::Sides;
use crate::secrets::Granted;
use crate::suspects::{Mark, REFUSED_AT};

/// How long steps under way may go on once the execution is to end.
const SETTLE: model::Duration = model::Duration::from_secs(30);
/// From so many steps on it costs less to keep an evaluation than to make it again.
const KEPT_FROM: usize = 50;
/// How long an undo or exit handler may take, from its first step.
const HANDLER_LIMIT: model::Duration = model::Duration::from_secs(15 * 60);

impl Run {
    /// Advances, stores, begins; answers when to look again.
    pub(super) async fn turn(&mut self, mut page: Page) -> Result<Option<Timestamp>, Trouble> {
        let mut next = None;
        if !self.core.stopping.is_cancelled() {
            loop {
                self.decide(&mut page).await?;
                let (again, at) = self.schedule(&mut page).await?;
                next = at;
                if !again {
                    break;
                }
            }
        }
        self.store(&mut page, Actor::engine()).await?;
        self.warn();
        self.places.give_up_unwanted();
        for (job, place) in page.jobs {
            self.fresh.remove(&job.path);
            self.flight.begin(&self.core, job, place);
        }
        Ok(next)
    }

    /// Says once that the journal comes near its bounds.
    fn warn(&mut self) {
        if !self.warned && bounds::is_near(self.journal.steps(), self.bytes) {
            self.warned = true;
            let (steps, bytes) = (self.journal.steps(), self.bytes);
            tracing::warn!(execution = %self.id, steps, bytes, "the journal comes near its bounds");
        }
    }

    /// Advances the chain until it waits for something or has ended.
    async fn decide(&mut self, page: &mut Page) -> Result<(), Trouble> {
        while !self.rests() {
            let now = self.core.now();
            if let Some(reason) = self.ending() {
                if !self.settled() {
                    return Ok(());
                }
                let position = self.journal.length;
                self.note(page, Fact::UndoBegan { position, reason, at: now });
                continue;
            }
            if self.bytes > bounds::MAX_JOURNAL_BYTES && self.journal.undo.is_none() {
                let reason = UndoReason::Failed(bounds::journal_too_large(self.bytes));
                let position = self.journal.length;
                self.note(page, Fact::UndoBegan { position, reason, at: now });
                continue;
            }
            if self.paced.is_some_and(|until| until > now) && self.journal.undo.is_none() {
                return Ok(());
            }
            self.paced = None;
            let asked = match self.asked.take() {
                Some(steps) => Some(steps),
                None => self.evaluate(page, now).await?,
            };
            if let Some(steps) = asked
                && !self.intend(page, &steps).await?
            {
                self.asked = Some(steps);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Evaluates the chain once: what it waits for, or nothing where it has ended or begins undo.
    async fn evaluate(
        &mut self,
        page: &mut Page,
        now: Timestamp,
    ) -> Result<Option<Vec<Step>>, Trouble> {
        if let Some(error) = self.forbidden() {
            self.finish(page, Outcome::failed(error)).await?;
            return Ok(None);
        }
        if let Err(error) = self.read_settings(page, now).await? {
            self.finish(page, Outcome::failed(error)).await?;
            return Ok(None);
        }
        let Advance { records, next } = self.advance(now).await;
        for (path, record) in records {
            if !self.record(page, path, record, now).await? {
                // What the chain made of the event's success is void: it is evaluated anew.
                self.kept = None;
                return Ok(None);
            }
        }
        self.close_polls(page, &next, now);
        match next {
            Next::Pending(steps) => return Ok(Some(steps)),
            Next::Undo(reason) => {
                let position = self.journal.length;
                self.note(page, Fact::UndoBegan { position, reason, at: now });
            }
            Next::Finished(outcome) => self.finish(page, outcome).await?,
            Next::Continued(outcome, parameters) => {
                self.continue_as(page, outcome, parameters).await?;
            }
            Next::Broken(error) => {
                self.note_telling(page, Fact::AttentionNeeded { path: None, error, at: now })
                    .await?;
            }
        }
        Ok(None)
    }

    /// A poll that has an answer and is not asked for any more is over: the answer satisfied the
    /// chain.
    fn close_polls(&mut self, page: &mut Page, next: &Next, at: Timestamp) {
        let pending: &[Step] = match next {
            Next::Pending(steps) => steps,
            Next::Undo(_) | Next::Finished(_) | Next::Continued(..) => &[],
            Next::Broken(_) => return,
        };
        for path in relevant(&self.journal) {
            let asked = pending.iter().any(|step| step.path == path);
            let answer = self.journal.entries.get(&path).and_then(|entry| entry.answer.as_ref());
            if let Some(answer) = answer.filter(|_| !asked) {
                let (result, attempts) = (StepResult::Done(answer.value.clone()), answer.number);
                self.note(page, Fact::StepFinished { path, result, attempts, at });
            }
        }
    }

    pub(super) async fn finish(
        &mut self,
        page: &mut Page,
        outcome: Outcome,
    ) -> Result<(), Trouble> {
        let handler_errors = outcome.handler_errors.clone();
        let mut outcome = match self.told_end(page, outcome).await? {
            Ok(outcome) => outcome,
            Err(Unstorable::TooLong(error)) => Outcome { handler_errors, ..Outcome::failed(error) },
            Err(Unstorable::Keyless(error)) => {
                // Told to go on, it is evaluated anew.
                self.kept = None;
                let at = self.core.now();
                let held = Fact::AttentionNeeded { path: None, error, at };
                return self.note_telling(page, held).await;
            }
        };
        self.hold_result(&outcome).await;
        if let Some(result) = outcome.result.take() {
            outcome.result = Some(self.core.bounded(result).await?);
        }
        let at = self.core.now();
        self.note_telling(page, Fact::ExecutionFinished { outcome, at }).await
    }

    async fn advance(&mut self, now: Timestamp) -> Advance {
        let broken = |error| Advance { records: Vec::new(), next: Next::Broken(error) };
        let program = match (&self.runs, &self.journal.request) {
            (Runs::Nothing(error), _) => return broken(error.clone()),
            (Runs::Single, Some(request)) => return single::advance(request, &self.journal),
            (Runs::Single, None) => {
                return broken(StepError::new(ErrorKind::Internal, "no request"));
            }
            (Runs::Chain(program), _) => program.clone(),
        };
        let mark = Mark { execution: self.id.clone(), length: self.journal.length };
        let deaths = self.core.suspects.deaths(&mark);
        if deaths >= REFUSED_AT {
            let message = format!(
                "evaluating this chain ended Tripline {deaths} times in a row: it is not evaluated again by itself"
            );
            return broken(StepError::new(ErrorKind::Internal, message));
        }
        let core = self.core.clone();
        let _alone = match deaths {
            0 => None,
            _ => Some(core.alone.lock().await),
        };
        let advanced = if let Some(kept) = self.take_kept(&program) {
            let advanced = kept.advance(self.journal.clone(), now, mark).await;
            advanced.map(|(advance, kept)| {
                self.kept = kept;
                advance
            })
        } else {
            let (input, journal) = (self.input.clone(), self.journal.clone());
            let evaluate = move |bench: &mut Workbench| {
                let chains = &mut bench.chains;
                let advance = || chains.advance_shared(&program, &input, &journal, now);
                bench.slot.marked(&mark, advance)
            };
            core.evaluators.call(evaluate).await
        };
        advanced.unwrap_or_else(|panicked| {
            broken(StepError::new(ErrorKind::Internal, panicked.to_string()))
        })
    }

    /// The evaluation that is kept of a chain that has made many steps, or the beginning of one.
    fn take_kept(&mut self, program: &Program) -> Option<Kept> {
        let kept = self.kept.take();
        if self.journal.undo.is_some() || self.journal.steps() < KEPT_FROM {
            return None;
        }
        kept.or_else(|| self.core.evaluators.keep(program.clone(), self.input.clone()))
    }

    /// Whether nothing may begin: it has ended, or somebody holds it or must say something first.
    pub(super) fn rests(&self) -> bool {
        let journal = &self.journal;
        journal.outcome.is_some() || journal.attention.is_some() || journal.paused.is_some()
    }

    /// Why the chain is to end before it does by itself.
    pub(super) fn ending(&self) -> Option<UndoReason> {
        if self.journal.undo.is_some() {
            return None;
        }
        match self.journal.cancel_requested {
            Some(_) => Some(UndoReason::Cancelled),
            None => {
                self.deadline().filter(|at| *at <= self.core.now()).map(|_| UndoReason::TimedOut)
            }
        }
    }

    /// When the execution must end, undo apart.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let request = self.journal.request.as_ref()?;
        let start = self.journal.started_at.unwrap_or(request.at);
        request.deadline.map(|length| self.journal.extended(length.after(start), start))
    }

    /// When steps under way are told to end, once the execution is to end.
    pub(super) fn settle_by(&self) -> Option<Timestamp> {
        let since = self.journal.cancel_requested.or_else(|| self.deadline())?;
        Some(SETTLE.after(since))
    }

    /// Whether nothing is under way any more, neither steps nor children, nor in doubt.
    fn settled(&self) -> bool {
        let unsettled = self.journal.open().any(|(path, entry)| match &entry.call {
            Call::Child { .. } => true,
            Call::Run { effect: model::Effect::Unsafe, .. } => {
                entry.progress.failed.is_none() && !self.fresh.contains(path)
            }
            Call::Run { .. } | Call::Sleep { .. } | Call::Poll { .. } => false,
        });
        self.flight.is_empty() && !unsettled
    }

    /// Notes a record; an emitted event, and what rules make of it, go into the same commit. False
    /// if the event is refused, which is noted in its place.
    async fn record(
        &mut self,
        page: &mut Page,
        path: StepPath,
        record: Record,
        at: Timestamp,
    ) -> Result<bool, Trouble> {
        let Record::Emit { kind, data } = &record else {
            self.note(page, Fact::StepRecorded { path, record, at });
            return Ok(true);
        };
        let Some(request) = self.journal.request.clone() else { return Ok(true) };
        let generation = self.core.generation.load_full();
        let rights = self.rights();
        let pinned = (self.pinned.as_deref(), &rights);
        if let Some(error) = emitting::refusal(&generation, pinned, &request, kind, data) {
            let looped = notices::too_deep(&request);
            let notice = looped.and_then(|_| {
                notices::loop_detected(&self.core, &self.id, &request, kind.as_str())
            });
            let sides = match notice {
                Some(notice) => self.told(page, &generation, notice).await?,
                None => Sides::default(),
            };
            let record = Record::EmitRefused { kind: kind.clone(), error };
            self.note_with(page, Fact::StepRecorded { path, record, at }, sides);
            return Ok(false);
        }
        let told = (kind.clone(), data.clone());
        let event = emitting::event(&self.core, &self.id, &request, &path, told, at);
        let retold = self.is_doubted().await?;
        let decided = decide(&self.core, Arrival::of(event, retold), None).await?;
        page.begun.add(&decided.writes);
        self.note_with(page, Fact::StepRecorded { path, record, at }, decided.into_sides());
        Ok(true)
    }

    /// Notes the intents of new steps, as far as there is room for them. True if one of them is
    /// over at once, so that the chain can be advanced again.
    async fn intend(&mut self, page: &mut Page, steps: &[Step]) -> Result<bool, Trouble> {
        let mut over = false;
        for Step { path, ask, .. } in steps {
            if self.journal.entries.contains_key(path) || self.places.waits(path) {
                continue;
            }
            let path = path.clone();
            let core = self.core.clone();
            let generation = core.generation.load();
            let now = core.now();
            let opened = self.opened().await?;
            let lookup = Lookup {
                opened: &opened,
                library: &core.library,
                generation: &generation,
                pinned: self.pinned.as_ref(),
                rights: self.rights(),
                now,
                bound: self.handler_limit(&path, now),
            };
            let (intention, mut fresh) = lookup.intention(ask.clone());
            let (intention, mut handed) = self.handing(self.keepable(intention, &mut fresh));
            match intention {
                Intention::Call(call) => {
                    let program = is_program(&lookup, &call);
                    if program.is_none_or(|program| self.has_place(&path, program)) {
                        handed.extend(self.grant_fresh(page, &fresh, now)?);
                        self.intend_one(page, path, call, now, handed);
                    }
                }
                Intention::Refused(call, error) => {
                    self.grant_fresh(page, &fresh, now)?;
                    let intended = Fact::StepIntended { path: path.clone(), call, at: now };
                    let result = StepResult::Failed(error);
                    let finished = Fact::StepFinished { path, result, attempts: 0, at: now };
                    // Apart from its end, the call would be one to make after a kill.
                    self.note_all(page, vec![intended, finished], Sides::default());
                    over = true;
                }
                Intention::Datastore(call) => {
                    self.store(page, Actor::engine()).await?;
                    self.datastore(&path, &call).await?;
                    over = true;
                }
                Intention::Secrets(call) => {
                    self.grant_fresh(page, &fresh, now)?;
                    self.store(page, Actor::engine()).await?;
                    self.secret_step(&path, &call).await?;
                    over = true;
                }
            }
        }
        Ok(over)
    }

    /// `handed`: what a child is granted.
    fn intend_one(
        &mut self,
        page: &mut Page,
        path: StepPath,
        call: Call,
        at: Timestamp,
        handed: BTreeMap<Token, Grant>,
    ) {
        let mut sides = Vec::new();
        if let Call::Child { action, parameters, version, .. } = &call {
            let child = self.id.child(&path);
            let own = self.journal.request.as_ref();
            let generation = self.core.generation.load();
            let passed = own.map(|own| self.passing(&generation).on(own, action, parameters));
            let request = ExecutionRequested {
                action: action.clone(),
                parameters: parameters.clone(),
                origin: Origin::Step { parent: self.id.clone(), path: path.clone() },
                pack: Some(*version),
                depth: own.map_or(0, |own| own.depth),
                deadline: None,
                at,
                traceparent: self.span_of_step(&path),
                tracestate: own.and_then(|own| own.tracestate.clone()),
                passed: passed.unwrap_or_default(),
                doubted: own.is_some_and(|own| own.doubted),
            };
            let granted = Granted::fact(handed, at);
            let facts = std::iter::once(Fact::ExecutionRequested(request)).chain(granted);
            sides.push(Write::new(Stream::Execution(child.clone()), Some(Version::NONE), facts));
            page.begun.executions.push((child, self.lane.clone()));
        } else {
            self.fresh.insert(path.clone());
        }
        self.note_with(page, Fact::StepIntended { path, call, at }, sides.into());
    }

    /// Performs a datastore step: entry and step in one commit, planned again on a conflict.
    async fn datastore(&mut self, path: &StepPath, call: &Call) -> Result<(), Trouble> {
        let pack = self.owner().map(|pack| pack.to_string()).unwrap_or_default();
        loop {
            let plan = planned(&self.core, &pack, path, call).await?;
            let writes = plan.change.into_iter().collect();
            match self.append(writes, plan.facts.clone(), Actor::engine()).await? {
                Appended::Committed { .. } => {
                    let journal = Arc::make_mut(&mut self.journal);
                    plan.facts.iter().for_each(|fact| journal.apply(fact));
                    return Ok(());
                }
                Appended::Conflict { stream: Stream::Key(_), .. } => {}
                Appended::Conflict { stream, actual } => {
                    return Err(Trouble::Overtaken { stream, actual });
                }
            }
        }
    }

    /// When the handler that makes the call at `path` must be over.
    fn handler_limit(&self, path: &StepPath, now: Timestamp) -> Option<Timestamp> {
        if !path.is_handler() {
            return None;
        }
        let registered = |record: &Record| matches!(record, Record::Undo | Record::OnExit);
        let mut handlers =
            self.journal.records.iter().filter(|(_, (_, record))| registered(record));
        let prefix = handlers.find(|(at, _)| path.starts_with(&at.handler()))?.0.handler();
        let first = self.journal.entries.iter().find(|(at, _)| at.starts_with(&prefix));
        Some(HANDLER_LIMIT.after(first.map_or(now, |(_, entry)| entry.at)))
    }
}

/// Whether the call is performed by a program on this machine; none where nothing is performed.
fn is_program(lookup: &Lookup<'_>, call: &Call) -> Option<bool> {
    match call {
        // What is built in has no version.
        Call::Run { version: None, .. } | Call::Poll { version: None, .. } => Some(false),
        Call::Run { action, .. } | Call::Poll { action, .. } => {
            let found = lookup.library.resolve(lookup.generation, lookup.pinned, action);
            Some(found.is_ok_and(|resolved| resolved.is_local_program()))
        }
        Call::Child { .. } | Call::Sleep { .. } => None,
    }
}
