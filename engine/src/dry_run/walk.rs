//! One chain (or one action by itself), followed as far as answers carry.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chains::{Advance, Input, Next, Program, Rehearsed, Use};
use futures::FutureExt;
use futures::future::BoxFuture;
use model::fact::{ExecutionRequested, Grant, Passed, StepResult};
use model::value::brief;
use model::{
    ActionRef, Call, ErrorKind, ExecutionId, ExecutionState, Fact, Journal, Origin, Outcome,
    PackName, Plan, Record, StepError, StepPath, Token, UndoReason, Value,
};
use serde_json::json;

use super::report::{DryRun, DryStep, End, How, Stopped};
use super::state::{Granted, State};
use crate::core::Core;
use crate::driver::run::context;
use crate::driver::single;
use crate::packs::{ActionKind, Generation, Pack, Resolved};
use crate::passed::Passing;
use crate::permissions::Rights;
use crate::secrets::{Fresh, Opened, Read, passed_on};
use crate::{emitting, random};

/// Deepest nesting of chains that run chains.
const MAX_DEPTH: usize = 16;

/// What is asked for.
pub(super) struct Asked {
    pub(super) action: ActionRef,
    pub(super) parameters: Value,
    /// Stands before the paths of its steps: the path of the step that runs it, and a slash.
    pub(super) prefix: String,
    /// What packs whose chains run it passed on to it.
    pub(super) passed: Vec<Passed>,
}

/// A chain on its way.
pub(super) struct Walk {
    pub(super) core: Arc<Core>,
    pub(super) generation: Arc<Generation>,
    pub(super) id: ExecutionId,
    pub(super) asked: Asked,
    /// The pack whose chain it is; none for an action that a person runs by itself.
    pub(super) pack: Option<Arc<Pack>>,
    program: Option<Program>,
    pub(super) request: ExecutionRequested,
    input: Arc<Input>,
    pub(super) journal: Arc<Journal>,
    /// Steps whose results nobody knows.
    pub(super) unseen: BTreeSet<StepPath>,
    pub(super) steps: Vec<DryStep>,
}

impl Walk {
    pub(super) fn new(core: &Arc<Core>, resolved: &Resolved, asked: Asked) -> Self {
        let id = random::execution();
        let (pack, program) = match resolved {
            Resolved::Chain { pack, .. } => {
                let action = pack.actions.get(asked.action.name());
                let program = action.and_then(|action| match &action.kind {
                    ActionKind::Chain(program) => Some(program.clone()),
                    ActionKind::Program(_) => None,
                });
                (Some(pack.clone()), program)
            }
            _ => (None, None),
        };
        let request = ExecutionRequested {
            action: asked.action.clone(),
            parameters: asked.parameters.clone(),
            origin: Origin::Manual,
            pack: resolved.version(),
            depth: 0,
            deadline: None,
            traceparent: None,
            tracestate: None,
            passed: asked.passed.clone(),
            doubted: false,
            at: core.now(),
        };
        let mut journal = Journal::default();
        journal.apply(&Fact::ExecutionRequested(request.clone()));
        let input = Input {
            execution: id.clone(),
            parameters: asked.parameters.clone(),
            config: pack.as_ref().map_or_else(|| json!({}), |pack| (*pack.config).clone()),
            context: context(&id, &journal, pack.as_deref()),
        };
        Self {
            core: core.clone(),
            generation: core.generation.load_full(),
            id,
            asked,
            pack,
            program,
            request,
            input: Arc::new(input),
            journal: Arc::new(journal),
            unseen: BTreeSet::new(),
            steps: Vec::new(),
        }
    }

    /// Who the steps are made for.
    pub(super) fn rights(&self) -> Rights {
        let passed = self.passing().to(&self.request);
        let (generation, environment) =
            (self.generation.clone(), self.core.environment.load_full());
        Rights::of(generation, environment, self.owner(), self.pack.as_ref()).on_behalf_of(passed)
    }

    /// What is passed on to the chain, and by it.
    pub(super) fn passing(&self) -> Passing<'_> {
        Passing { core: &self.core, generation: &self.generation, pinned: self.pack.as_ref() }
    }

    pub(super) fn owner(&self) -> Option<&PackName> {
        self.pack.as_ref().map(|pack| &pack.name)
    }

    /// Follows it.
    pub(super) fn walk<'a>(&'a mut self, state: &'a mut State) -> BoxFuture<'a, DryRun> {
        async move {
            if let Err(error) = self.read_settings(state) {
                return self.failed(error);
            }
            loop {
                let Rehearsed { advance, uses } = self.rehearse(state).await;
                let Advance { records, next } = advance;
                if !self.record(records, state) {
                    continue;
                }
                let fresh: Vec<_> = match next {
                    Next::Pending(steps) => {
                        let known = &self.journal.entries;
                        steps.into_iter().filter(|step| !known.contains_key(&step.path)).collect()
                    }
                    Next::Undo(reason) => {
                        let (position, at) = (self.journal.length, state.now);
                        self.apply(&Fact::UndoBegan { position, reason, at });
                        continue;
                    }
                    Next::Finished(outcome) => return self.finished(outcome, &uses, state),
                    Next::Continued(_, parameters) => {
                        let with = brief(&parameters, 400);
                        let why = format!("the chain goes on as a new run, with {with}");
                        return self.stopped(vec![Stopped { step: None, at: None, why }]);
                    }
                    Next::Broken(error) => return self.failed(error),
                };
                if fresh.is_empty() {
                    if self.settle_polls(state) {
                        continue;
                    }
                    let needed = self.needed(&uses);
                    return self.stopped(needed);
                }
                for step in fresh {
                    if let Some(why) = state.exhausted() {
                        return self.stopped(vec![Stopped { step: None, at: None, why }]);
                    }
                    self.step(step, state).await;
                }
            }
        }
        .boxed()
    }

    /// Gives the chain tokens for the secret settings of its pack.
    fn read_settings(&mut self, state: &mut State) -> Result<(), StepError> {
        let Some(pack) = self.pack.clone().filter(|pack| !pack.settings.is_empty()) else {
            return Ok(());
        };
        let Read { places, named, fresh } = state.read_settings(&pack.settings)?;
        self.grant(named, state);
        self.learn(&fresh, state);
        Arc::make_mut(&mut self.input).config = pack.config_with(&places);
        Ok(())
    }

    /// Takes note of new values, which are the chain's own.
    pub(super) fn learn(&mut self, fresh: &[Fresh], state: &mut State) {
        state.learn(fresh);
        let own = |one: &Fresh| (one.token.clone(), Grant::Kept { by: self.id.clone() });
        self.grant(fresh.iter().map(own).collect(), state);
    }

    /// Lets the chain use these.
    pub(super) fn grant(&mut self, tokens: BTreeMap<Token, Grant>, state: &State) {
        if !tokens.is_empty() {
            self.apply(&Fact::TokensGranted { tokens, at: state.now });
        }
    }

    /// What the chain may use of what is known.
    pub(super) fn opened(&self, state: &State) -> Arc<Opened> {
        Arc::new(state.opened.only(&self.journal.tokens))
    }

    async fn rehearse(&self, state: &State) -> Rehearsed {
        let Some(program) = self.program.clone() else {
            let first = StepPath::top(1);
            let unknown = self.unseen.contains(&first);
            let uses = unknown.then_some(Use { path: first, variable: None });
            let advance = single::advance(&self.request, &self.journal);
            return Rehearsed { advance, uses: uses.into_iter().collect() };
        };
        let (input, journal, unseen) =
            (self.input.clone(), self.journal.clone(), self.unseen.clone());
        let now = state.now;
        let rehearsed = self
            .core
            .evaluators
            .call(move |bench| bench.chains.rehearse(&program, &input, &journal, now, &unseen));
        rehearsed.await.unwrap_or_else(|panicked| {
            let error = StepError::new(ErrorKind::Internal, panicked.to_string());
            let advance = Advance { records: Vec::new(), next: Next::Broken(error) };
            Rehearsed { advance, uses: Vec::new() }
        })
    }

    pub(super) fn apply(&mut self, fact: &Fact) {
        Arc::make_mut(&mut self.journal).apply(fact);
    }

    /// Takes the chain's own doing in. False if an event was refused: the chain learns of it.
    fn record(&mut self, records: Vec<(StepPath, Record)>, state: &State) -> bool {
        for (path, record) in records {
            let refused = match &record {
                Record::Emit { kind, data } => {
                    let rights = self.rights();
                    let pinned = (self.pack.as_deref(), &rights);
                    emitting::refusal(&self.generation, pinned, &self.request, kind, data)
                }
                _ => None,
            };
            let mut step = DryStep::new(path.clone(), record.function(), How::Noted);
            (step.plan, step.result) = told(&record);
            step.error.clone_from(&refused);
            self.steps.push(step);
            let at = state.now;
            match (refused, record) {
                (Some(error), Record::Emit { kind, .. }) => {
                    let record = Record::EmitRefused { kind, error };
                    self.apply(&Fact::StepRecorded { path, record, at });
                    return false;
                }
                (_, record) => self.apply(&Fact::StepRecorded { path, record, at }),
            }
        }
        true
    }

    /// A chain that `step` runs, followed too.
    pub(super) async fn child(
        &mut self,
        asked: Asked,
        handed: Granted,
        state: &mut State,
    ) -> Result<DryRun, StepError> {
        if asked.prefix.matches('/').count() > MAX_DEPTH {
            let message = format!("a dry run follows chains at most {MAX_DEPTH} deep");
            return Err(StepError::new(ErrorKind::Rejected, message));
        }
        let resolved =
            self.core.library.resolve(&self.generation, self.pack.as_ref(), &asked.action)?;
        let mut child = Self::new(&self.core, &resolved, asked);
        child.grant(handed, state);
        let report = child.walk(state).await;
        let given = json!([&report.result, &report.error]);
        self.grant(passed_on(&given, &child.journal.tokens), state);
        Ok(report)
    }

    /// Ends a step, with its result where that is known.
    pub(super) fn finish(
        &mut self,
        path: &StepPath,
        result: Result<Option<Value>, StepError>,
        state: &State,
    ) {
        let result = match result {
            Ok(Some(value)) => StepResult::Done(value),
            Ok(None) => {
                self.unseen.insert(path.clone());
                StepResult::Done(Value::Null)
            }
            Err(error) => StepResult::Failed(error),
        };
        let (path, at) = (path.clone(), state.now);
        self.apply(&Fact::StepFinished { path, result, attempts: 1, at });
    }

    /// Intends a call, as the driver does.
    pub(super) fn intend(&mut self, path: &StepPath, call: Call, state: &State) {
        let (path, at) = (path.clone(), state.now);
        self.apply(&Fact::StepIntended { path, call, at });
    }

    /// Takes it that conditions of `poll` will hold which don't yet, where something was planned that
    /// may bring that about. False if there is none.
    fn settle_polls(&mut self, state: &State) -> bool {
        let open = self.journal.open().filter(|(_, entry)| matches!(entry.call, Call::Poll { .. }));
        let open: Vec<_> = open.filter(|_| state.changed).map(|(path, _)| path.clone()).collect();
        for path in &open {
            if let Some(step) = self.steps.iter_mut().find(|step| step.path == *path) {
                step.how = How::Planned;
                step.plan =
                    Some(Plan::new("waits until its condition holds, which it does not yet"));
                step.result = None;
            }
            self.finish(path, Ok(None), state);
        }
        !open.is_empty()
    }

    fn needed(&self, uses: &[Use]) -> Vec<Stopped> {
        let mut all: Vec<Stopped> = uses.iter().map(|one| self.needed_at(one)).collect();
        let polls =
            self.journal.open().filter(|(_, entry)| matches!(entry.call, Call::Poll { .. }));
        all.extend(polls.map(|(path, _)| Stopped {
            step: Some(format!("{}{path}", self.asked.prefix)),
            at: self.place(path),
            why: format!(
                "the condition of `poll` at step {path} does not hold for the present answer"
            ),
        }));
        all.dedup();
        all
    }

    fn needed_at(&self, Use { path, variable }: &Use) -> Stopped {
        let step = self.steps.iter().find(|step| step.path == *path);
        let of = step
            .and_then(|step| step.action.as_ref())
            .map_or_else(|| format!("step {path}"), |action| format!("`{action}` (step {path})"));
        let why = match variable {
            Some(name) => {
                format!("`{name}` holds what {of} would return, which its plan does not say")
            }
            None => {
                format!("the chain depends on what {of} would return, which its plan does not say")
            }
        };
        let step = Some(format!("{}{path}", self.asked.prefix));
        Stopped { step, at: self.place(path), why }
    }

    /// Where in the chain's text a step's call stands.
    fn place(&self, path: &StepPath) -> Option<String> {
        self.steps.iter().find(|step| step.path == *path)?.at.clone()
    }

    fn finished(&mut self, outcome: Outcome, uses: &[Use], state: &mut State) -> DryRun {
        let failed = outcome.state != ExecutionState::Succeeded;
        let known = uses.is_empty() && !failed;
        let nothing = self.program.is_none() && !known;
        let outcome = self.told_end(outcome, state);
        DryRun {
            end: if failed { End::Failed } else { End::Complete },
            result: outcome.result.filter(|_| !nothing),
            result_known: known,
            error: outcome.error,
            ..self.report()
        }
    }

    /// The same end with tokens in its result where the chain's file says that it is secret.
    fn told_end(&mut self, mut outcome: Outcome, state: &mut State) -> Outcome {
        let chain = self.pack.as_ref().and_then(|p| p.actions.get(self.asked.action.name()));
        let schema = chain.map(|chain| &chain.metadata.result);
        let Some(schema) = schema.filter(|schema| schema.some_secret().is_some()) else {
            return outcome;
        };
        let Some(result) = outcome.result.take() else { return outcome };
        let (told, fresh) = self.opened(state).told(result, schema);
        outcome.result = Some(told);
        self.learn(&fresh, state);
        outcome
    }

    fn failed(&mut self, error: StepError) -> DryRun {
        DryRun { end: End::Failed, error: Some(error), ..self.report() }
    }

    fn stopped(&mut self, stopped: Vec<Stopped>) -> DryRun {
        // A chain that failed before stops in one of its handlers.
        let error = self.journal.undo.as_ref().and_then(|undo| match &undo.reason {
            UndoReason::Failed(error) => Some(error.clone()),
            UndoReason::Cancelled | UndoReason::TimedOut => None,
        });
        let end = if error.is_some() { End::Failed } else { End::Stopped };
        DryRun { end, error, stopped, ..self.report() }
    }

    fn report(&mut self) -> DryRun {
        DryRun {
            action: self.asked.action.clone(),
            parameters: self.asked.parameters.clone(),
            end: End::Stopped,
            steps: std::mem::take(&mut self.steps),
            result: None,
            result_known: false,
            error: None,
            stopped: Vec::new(),
        }
    }
}

/// What is to be said of a record.
fn told(record: &Record) -> (Option<Plan>, Option<Value>) {
    match record {
        Record::Emit { kind, data } => {
            let change = model::Change::to(kind.as_str(), data.clone());
            (Some(Plan::new(format!("emits {kind}")).with(change)), None)
        }
        Record::Log(message) => (None, Some(message.clone().into())),
        Record::Now(time) => (None, Some(time.to_string().into())),
        _ => (None, None),
    }
}
