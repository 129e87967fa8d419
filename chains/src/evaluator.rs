//! One evaluation of a chain, from the program's start to where it waits or ends.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use expr::{to_dynamic, to_value};
use model::journal::UndoBegan;
use model::{
    ErrorKind, ExecutionState, Hash, Journal, Outcome, StepError, StepPath, Timestamp, UndoReason,
    Value,
};
use rhai::{Dynamic, Engine, Scope};

use crate::advance::{Advance, Input, Next};
use crate::calls::{self, PROVIDED};
use crate::compiled::{Compiled, Imports};
use crate::coverage::{self, Lines};
use crate::handlers::{self, Unfinished};
use crate::host::{Answers, Host, Pass, Stop};
use crate::limits::CACHED_PROGRAMS;
use crate::program::Program;
use crate::raise::uncaught;
use crate::replay;
use crate::unseen::{self, Use};

/// Evaluates chains on one thread: an engine and the compiled forms of recent programs.
///
/// The thread needs a stack of [`EVALUATOR_STACK_BYTES`](crate::EVALUATOR_STACK_BYTES).
pub struct Evaluator {
    engine: Engine,
    host: Rc<Host>,
    imports: Imports,
    programs: BTreeMap<Hash, (u64, Rc<Compiled>)>,
    uses: u64,
    /// The lines it ran, where somebody wants to know.
    covered: Option<Rc<RefCell<Lines>>>,
}

impl Default for Evaluator {
    fn default() -> Self {
        Self::new()
    }
}

/// One evaluation in a dry run.
#[derive(Debug, Clone, PartialEq)]
pub struct Rehearsed {
    /// What came of it.
    pub advance: Advance,
    /// Where the chain needs a result that nobody has; it goes no further there. Of a chain that has
    /// ended: what it returns holds one.
    pub uses: Vec<Use>,
}

/// What an evaluation begins with, beside the program and its input.
struct Begin<'a> {
    journal: Arc<Journal>,
    now: Timestamp,
    /// The steps that a dry run planned.
    unseen: &'a BTreeSet<StepPath>,
    answers: Option<Answers>,
}

/// How the program itself ended, handlers apart.
enum Ended {
    Returned(Value),
    Failed(StepError),
    Waiting,
    Mismatch(StepError),
    Continued(Value),
}

impl Evaluator {
    /// An evaluator with an empty cache.
    pub fn new() -> Self {
        Self::with(None)
    }

    /// The same, which notes the lines that it runs: slower, and for tests of packs only.
    pub fn covering() -> Self {
        Self::with(Some(Rc::default()))
    }

    fn with(covered: Option<Rc<RefCell<Lines>>>) -> Self {
        let host = Rc::new(Host::default());
        let imports = Imports::default();
        let mut engine = calls::engine(&host);
        engine.set_module_resolver(imports.clone());
        if let Some(lines) = &covered {
            coverage::listen(&mut engine, &host, lines);
        }
        Self { engine, host, imports, programs: BTreeMap::new(), uses: 0, covered }
    }

    /// The lines that ran so far; none unless it is [covering](Self::covering).
    pub fn covered(&self) -> Lines {
        self.covered.as_ref().map(|lines| lines.borrow().clone()).unwrap_or_default()
    }

    /// Evaluates `program` against `journal` as far as its answers carry.
    ///
    /// The same arguments give the same answer, `now` apart, which only `now()` and `sleep` see.
    pub fn advance(
        &mut self,
        program: &Program,
        input: &Input,
        journal: &Journal,
        now: Timestamp,
    ) -> Advance {
        self.advance_shared(program, input, &Arc::new(journal.clone()), now)
    }

    /// The same for a journal that is shared: a long one is not copied for each evaluation.
    pub fn advance_shared(
        &mut self,
        program: &Program,
        input: &Input,
        journal: &Arc<Journal>,
        now: Timestamp,
    ) -> Advance {
        self.rehearse(program, input, journal, now, &BTreeSet::new()).advance
    }

    /// The same, where the evaluation stays where it waits and goes on from there with what `answers`
    /// brings, instead of being made anew from the start. What it asks for on the way goes to
    /// `answers`; this is the last of it. Not for a chain that is undone.
    pub fn advance_on(
        &mut self,
        program: &Program,
        input: &Input,
        journal: Arc<Journal>,
        now: Timestamp,
        answers: Answers,
    ) -> Advance {
        let begin = Begin { journal, now, unseen: &BTreeSet::new(), answers: Some(answers) };
        self.guarded(program, input, begin).advance
    }

    /// The same in a dry run, which has planned the steps in `unseen` and does not know their
    /// results: `journal` holds that they are done, with any value. Where the chain uses such a
    /// result, it waits.
    pub fn rehearse(
        &mut self,
        program: &Program,
        input: &Input,
        journal: &Arc<Journal>,
        now: Timestamp,
        unseen: &BTreeSet<StepPath>,
    ) -> Rehearsed {
        let begin = Begin { journal: journal.clone(), now, unseen, answers: None };
        self.guarded(program, input, begin)
    }

    fn guarded(&mut self, program: &Program, input: &Input, begin: Begin<'_>) -> Rehearsed {
        // rhai panics on some broken invariants of its own; what it left behind is thrown away.
        let attempt = AssertUnwindSafe(|| self.try_advance(program, input, begin));
        catch_unwind(attempt).unwrap_or_else(|_| {
            *self = Self::with(self.covered.take());
            broken(StepError::new(ErrorKind::Internal, "the evaluation of the chain panicked"))
        })
    }

    fn try_advance(&mut self, program: &Program, input: &Input, begin: Begin<'_>) -> Rehearsed {
        let compiled = match self.compiled(program) {
            Ok(compiled) => compiled,
            Err(error) => return broken(error),
        };
        let file = &program.source().file;
        self.imports.0.replace(compiled.libs.clone());
        let Begin { journal, now, unseen, answers } = begin;
        let mut pass = Pass::new(input, journal, now, file);
        if !unseen.is_empty() {
            pass = pass.rehearsing(unseen, compiled.direct(&self.engine, program.source()));
        }
        self.host.begin(pass, answers);
        let ended = self.run(&compiled, input, file);
        let next = self.go_on(ended, file);
        let Some(mut pass) = self.host.end() else { return broken(lost()) };
        let uses = std::mem::take(&mut pass.uses);
        Rehearsed { advance: conclude(next, pass), uses }
    }

    /// The program's compiled form, from the cache where it is.
    fn compiled(&mut self, program: &Program) -> Result<Rc<Compiled>, StepError> {
        self.uses += 1;
        let hash = program.hash();
        if let Some((used, compiled)) = self.programs.get_mut(&hash) {
            *used = self.uses;
            return Ok(compiled.clone());
        }
        let compiled = Compiled::new(&self.engine, &self.imports, program.source());
        let compiled = compiled.map_err(|wrong| {
            let shown = wrong.first().map(ToString::to_string).unwrap_or_default();
            StepError::new(ErrorKind::Internal, format!("the program does not compile: {shown}"))
        })?;
        let compiled = Rc::new(compiled);
        if self.programs.len() >= CACHED_PROGRAMS {
            let oldest = self.programs.iter().min_by_key(|(_, (used, _))| *used);
            if let Some(oldest) = oldest.map(|(hash, _)| *hash) {
                self.programs.remove(&oldest);
            }
        }
        self.programs.insert(hash, (self.uses, compiled.clone()));
        Ok(compiled)
    }

    fn run(&self, compiled: &Compiled, input: &Input, file: &str) -> Ended {
        let mut scope = match self.scope(input) {
            Ok(scope) => scope,
            Err(error) => return Ended::Failed(error),
        };
        let result = self.engine.eval_ast_with_scope::<Dynamic>(&mut scope, &compiled.ast);
        match (self.host.take_stop(), result) {
            (Some(Stop::Waiting), _) => Ended::Waiting,
            (Some(Stop::Limit(error)), _) => Ended::Failed(error),
            (Some(Stop::Mismatch(error)), _) => Ended::Mismatch(error),
            (Some(Stop::Continue(parameters)), _) => Ended::Continued(parameters),
            (None, Ok(value)) if self.host.has_unseen() => {
                unseen::returned(&self.host, &value);
                returned(&unseen::described(value))
            }
            (None, Ok(value)) => returned(&value),
            (None, Err(error)) if unseen::is_about(&self.host, &error) => {
                unseen::blamed(&self.host);
                Ended::Waiting
            }
            (None, Err(error)) => Ended::Failed(uncaught(error, file)),
        }
    }

    /// What the chain is given: as constants of the program, and provided to its functions.
    fn scope(&self, input: &Input) -> Result<Scope<'static>, StepError> {
        let mut scope = Scope::new();
        let values = [&input.parameters, &input.config, &input.context];
        for (name, value) in PROVIDED.into_iter().zip(values) {
            let value = to_dynamic(value).map_err(|error| {
                let message = format!("`{name}` cannot be given to the chain: {error}");
                StepError::new(ErrorKind::Failed, message)
            })?;
            // Outside of an evaluation there is nobody to provide it to.
            let _ = self.host.with(|pass| pass.provide(name, &value));
            scope.push_constant_dynamic(name, value);
        }
        Ok(scope)
    }

    /// What follows from the program's end: handlers, or the end of the execution.
    fn go_on(&self, ended: Ended, file: &str) -> Next {
        let Ok(journal) = self.host.with(|pass| pass.journal.clone()) else {
            return Next::Broken(lost());
        };
        if let Some(undo) = &journal.undo {
            return match ended {
                Ended::Mismatch(error) => Next::Broken(error),
                Ended::Returned(value) if had_succeeded(&journal, undo) => {
                    self.handle(Outcome::succeeded(value), file)
                }
                // It ended well, and what was to follow is not wanted any more.
                Ended::Continued(_) if had_succeeded(&journal, undo) => {
                    self.handle(Outcome::succeeded(Value::Null), file)
                }
                _ => self.handle(undone(&undo.reason), file),
            };
        }
        match ended {
            Ended::Mismatch(error) => Next::Broken(error),
            Ended::Waiting => Next::Pending(Vec::new()),
            Ended::Returned(value) => self.handle(Outcome::succeeded(value), file),
            Ended::Continued(parameters) => {
                match self.handle(Outcome::succeeded(Value::Null), file) {
                    Next::Finished(outcome) => Next::Continued(outcome, parameters),
                    next => next,
                }
            }
            Ended::Failed(error) => {
                let handled = self.host.with(|pass| !pass.registrations.is_empty());
                if handled.unwrap_or(false) {
                    Next::Undo(UndoReason::Failed(error))
                } else {
                    Next::Finished(Outcome::failed(error))
                }
            }
        }
    }

    fn handle(&self, outcome: Outcome, file: &str) -> Next {
        let taken = self.host.with(|pass| {
            pass.pending.clear();
            std::mem::take(&mut pass.registrations)
        });
        let Ok(registrations) = taken else { return Next::Broken(lost()) };
        match handlers::run(&self.engine, &self.host, file, registrations, outcome) {
            Ok(outcome) => Next::Finished(outcome),
            Err(Unfinished::Waiting) => Next::Pending(Vec::new()),
            Err(Unfinished::Mismatch(error)) => Next::Broken(error),
        }
    }
}

/// Puts what the pass gathered into the answer.
fn conclude(next: Next, mut pass: Pass) -> Advance {
    let next = match next {
        Next::Pending(_) => Next::Pending(pass.take_pending()),
        Next::Finished(outcome) => match unreached(&outcome, &pass) {
            Some(error) => Next::Broken(error),
            None => Next::Finished(outcome),
        },
        Next::Continued(outcome, parameters) => match unreached(&outcome, &pass) {
            Some(error) => Next::Broken(error),
            None => Next::Continued(outcome, parameters),
        },
        next @ (Next::Undo(_) | Next::Broken(_)) => next,
    };
    let records = if matches!(next, Next::Broken(_)) { Vec::new() } else { pass.records };
    Advance { records, next }
}

/// A call in the journal that the program did not make. One that ran into a bound stopped in the
/// middle of its branches, so nothing can be said of it.
fn unreached(outcome: &Outcome, pass: &Pass) -> Option<StepError> {
    let limited = outcome.error.as_ref().is_some_and(|error| error.kind == ErrorKind::Limit);
    if limited { None } else { replay::unreached(pass) }
}

fn returned(value: &Dynamic) -> Ended {
    match to_value(value) {
        Ok(value) => Ended::Returned(value),
        Err(error) => {
            let message = format!("the chain's result cannot be stored: {error}");
            Ended::Failed(StepError::new(ErrorKind::Failed, message))
        }
    }
}

/// Whether exit handlers had begun before the cut: then the chain had ended well, and handlers
/// cannot be cancelled.
fn had_succeeded(journal: &Journal, undo: &UndoBegan) -> bool {
    let entries = journal.entries.iter().map(|(at, entry)| (at, entry.intended));
    let records = journal.records.iter().map(|(at, (sequence, _))| (at, *sequence));
    entries.chain(records).any(|(at, sequence)| at.is_handler() && sequence <= undo.position)
}

/// The outcome of an execution whose handlers run for `reason`.
fn undone(reason: &UndoReason) -> Outcome {
    let error = match reason {
        UndoReason::Failed(error) => error.clone(),
        UndoReason::Cancelled => {
            StepError::new(ErrorKind::Cancelled, "the execution was cancelled")
        }
        UndoReason::TimedOut => {
            StepError::new(ErrorKind::Deadline, "the execution's deadline passed")
        }
    };
    let state: ExecutionState = reason.end();
    Outcome { error: Some(error), ..Outcome::of(state) }
}

fn lost() -> StepError {
    StepError::new(ErrorKind::Internal, "the state of the evaluation was lost")
}

fn broken(error: StepError) -> Rehearsed {
    let advance = Advance { records: Vec::new(), next: Next::Broken(error) };
    Rehearsed { advance, uses: Vec::new() }
}
