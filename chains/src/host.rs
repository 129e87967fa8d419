//! The state of one evaluation, shared with the functions that scripts call.
//!
//! A script that must wait is ended by an error that `catch` does not see. rhai wraps it into one
//! that `catch` does see when it passes through a native function (`list.map(|x| run(…))`), so the
//! error alone decides nothing: the *latch* does. While it is set, no operation is executed and
//! every host function refuses; who evaluates reads the latch, never the error.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use model::{
    Entry, ErrorKind, ExecutionId, IdempotencyKey, Journal, Location, Record, StepError, StepPath,
    Timestamp,
};
use rhai::{Dynamic, EvalAltResult, NativeCallContext, Position, Scope};

use crate::advance::{Advance, Input, Next, Step};
use crate::direct::Direct;
use crate::handlers::Registration;
use crate::limits::{MAX_STEPS, MEASURED_EVERY, OPERATIONS};
use crate::memory;
use crate::raise::{Answer, Raised, wrong};
use crate::unseen::Use;

/// Why an evaluation goes no further.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Stop {
    /// Calls are waiting for their answers.
    Waiting,
    /// A bound was reached.
    Limit(StepError),
    /// The journal does not fit the program.
    Mismatch(StepError),
    /// A new run goes on with these parameters.
    Continue(model::Value),
}

/// Takes what an evaluation asks for, and brings the journal with the answers and the time by then;
/// nothing: the evaluation ends there. The journal is not shared by the evaluation meanwhile.
pub type Answers = Box<dyn FnMut(Advance) -> Option<(Arc<Journal>, Timestamp)>>;

/// What the functions of an engine know; empty between evaluations.
#[derive(Default)]
pub(crate) struct Host {
    latched: Cell<bool>,
    stop: RefCell<Option<Stop>>,
    operations: Cell<u64>,
    measured: Cell<u64>,
    pass: RefCell<Option<Pass>>,
    answers: RefCell<Option<Answers>>,
}

/// One evaluation.
pub(crate) struct Pass {
    pub(crate) journal: Arc<Journal>,
    pub(crate) execution: ExecutionId,
    pub(crate) now: Timestamp,
    pub(crate) file: Rc<str>,
    level: Level,
    steps: usize,
    restriction: Option<&'static str>,
    provided: Vec<(&'static str, Dynamic)>,
    /// Paths at which the journal holds what the program asked for, or will once `records` are stored.
    pub(crate) visited: Vec<StepPath>,
    pub(crate) records: Vec<(StepPath, Record)>,
    pub(crate) pending: Vec<Step>,
    pub(crate) registrations: Vec<Registration>,
    /// Steps that a dry run only planned, and whose results it does not know.
    pub(crate) unseen: BTreeSet<StepPath>,
    /// The calls whose results the program looks at on the spot.
    direct: Rc<Direct>,
    /// Where the program needs one of these results.
    pub(crate) uses: Vec<Use>,
}

/// A level of step paths: the program itself, a branch, or a handler.
#[derive(Clone, Default)]
struct Level {
    prefix: Option<StepPath>,
    last: u32,
}

/// A point of an evaluation to which it can go back.
pub(crate) struct Mark {
    operations: u64,
    steps: usize,
    visited: usize,
    registrations: usize,
}

/// What a program finds in its journal at a path.
pub(crate) enum Found<'a> {
    Nothing,
    Entry(&'a Entry),
    Record(&'a Record),
}

impl Pass {
    pub(crate) fn new(input: &Input, journal: Arc<Journal>, now: Timestamp, file: &str) -> Self {
        Self {
            journal,
            execution: input.execution.clone(),
            now,
            file: file.into(),
            level: Level::default(),
            steps: 0,
            restriction: None,
            provided: Vec::new(),
            visited: Vec::new(),
            records: Vec::new(),
            pending: Vec::new(),
            registrations: Vec::new(),
            unseen: BTreeSet::new(),
            direct: Rc::default(),
            uses: Vec::new(),
        }
    }

    /// The same in a dry run that does not know the results of these steps, of a program that looks
    /// at `direct` on the spot.
    pub(crate) fn rehearsing(self, unseen: &BTreeSet<StepPath>, direct: Rc<Direct>) -> Self {
        Self { unseen: unseen.clone(), direct, ..self }
    }

    /// Keeps a variable for functions, which see none around them.
    pub(crate) fn provide(&mut self, name: &'static str, value: &Dynamic) {
        self.provided.push((name, value.clone().into_read_only().into_shared()));
    }

    /// The variable that is provided under `name`.
    pub(crate) fn provided(&self, name: &str) -> Option<Dynamic> {
        self.provided.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }

    /// What names the call at `path` for good: one that was taken over from another execution keeps
    /// its name.
    pub(crate) fn key(&self, path: &StepPath) -> IdempotencyKey {
        IdempotencyKey::new(self.journal.maker(&self.execution, path), path)
    }

    /// Whether this is a branch or a handler, and not the chain itself.
    pub(crate) const fn is_nested(&self) -> bool {
        self.level.prefix.is_some()
    }

    /// Notes what the chain answers itself.
    pub(crate) fn record(&mut self, path: &StepPath, record: &Record) {
        self.visited.push(path.clone());
        self.records.push((path.clone(), record.clone()));
    }

    /// What waits for an answer, in the order of paths.
    pub(crate) fn take_pending(&mut self) -> Vec<Step> {
        self.pending.sort_by(|a, b| a.path.cmp(&b.path));
        std::mem::take(&mut self.pending)
    }

    fn next_path(&mut self) -> StepPath {
        self.steps += 1;
        self.level.last += 1;
        match &self.level.prefix {
            Some(prefix) => prefix.join(self.level.last),
            None => StepPath::top(self.level.last),
        }
    }

    /// Whether calls at `path` only repeat what is journaled: those of a chain that is undone.
    fn only_replays(&self, path: &StepPath) -> bool {
        self.journal.undo.is_some() && !path.is_handler()
    }
}

impl Host {
    /// Starts an evaluation, which gets its answers while it waits if there is somebody to ask.
    pub(crate) fn begin(&self, pass: Pass, answers: Option<Answers>) {
        self.clear();
        self.pass.replace(Some(pass));
        self.answers.replace(answers);
    }

    /// Ends it.
    pub(crate) fn end(&self) -> Option<Pass> {
        self.clear();
        self.answers.take();
        self.pass.take()
    }

    /// Forgets why it stopped, and how much was spent: before a handler.
    pub(crate) fn clear(&self) {
        self.operations.set(0);
        self.measured.set(0);
        self.take_stop();
    }

    /// What stopped the evaluation, which may go on afterwards.
    pub(crate) fn take_stop(&self) -> Option<Stop> {
        self.latched.set(false);
        self.stop.take()
    }

    /// Sets the latch; the first reason counts.
    pub(crate) fn stop(&self, stop: Stop) -> Raised {
        self.latched.set(true);
        self.stop.borrow_mut().get_or_insert(stop);
        terminated()
    }

    /// Counts an operation; true if there may be no more.
    pub(crate) fn is_over(&self) -> bool {
        let operations = self.operations.get() + 1;
        self.operations.set(operations);
        if operations > OPERATIONS && !self.latched.get() {
            let message = format!(
                "the chain used more than {OPERATIONS} operations: move heavy computing into an action"
            );
            let _ = self.stop(Stop::Limit(StepError::new(ErrorKind::Limit, message)));
        }
        self.latched.get()
    }

    /// Measures what the variables of the running function hold, where it is time to.
    pub(crate) fn measure(&self, scope: &Scope<'_>) -> Answer<()> {
        if self.operations.get() < self.measured.get() + MEASURED_EVERY {
            return Ok(());
        }
        self.measured.set(self.operations.get());
        match memory::excess(scope) {
            Some(error) => Err(self.stop(Stop::Limit(error))),
            None => Ok(()),
        }
    }

    /// Runs `work` on the state of the evaluation. It must not call into a script.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Pass) -> T) -> Answer<T> {
        match self.pass.borrow_mut().as_mut() {
            Some(pass) => Ok(work(pass)),
            None => Err(wrong(
                ErrorKind::Rejected,
                "a library is loaded once for many executions: call this inside one of its functions",
            )),
        }
    }

    /// The path of the next call, if calls are allowed here.
    pub(crate) fn step(&self, function: &str) -> Answer<StepPath> {
        if self.latched.get() {
            return Err(terminated());
        }
        let (path, steps, restriction) = self.with(|pass| match pass.restriction {
            Some(restriction) => (None, pass.steps, restriction),
            None => (Some(pass.next_path()), pass.steps, ""),
        })?;
        if steps > MAX_STEPS {
            let message = format!(
                "the chain makes more than {MAX_STEPS} calls: give parts of its work to chains of their own, or go on in a new run with `continue_as`"
            );
            return Err(self.stop(Stop::Limit(StepError::new(ErrorKind::Limit, message))));
        }
        path.ok_or_else(|| wrong(ErrorKind::Rejected, format!("`{function}` {restriction}")))
    }

    /// Reads the journal at `path` and notes that the program was there.
    pub(crate) fn look<T>(&self, path: &StepPath, read: impl FnOnce(Found<'_>) -> T) -> Answer<T> {
        self.with(|pass| {
            let found = match (pass.journal.entry(path), pass.journal.record(path)) {
                (Some(entry), _) => Found::Entry(entry),
                (None, Some(record)) => Found::Record(record),
                (None, None) => Found::Nothing,
            };
            // A call that waited looks again.
            if !matches!(found, Found::Nothing) && pass.visited.last() != Some(path) {
                pass.visited.push(path.clone());
            }
            read(found)
        })
    }

    /// Whether there are steps whose results nobody has: in dry runs only.
    pub(crate) fn has_unseen(&self) -> bool {
        self.with(|pass| !pass.unseen.is_empty()).unwrap_or(false)
    }

    /// Whether the script looks at this call's result on the spot.
    pub(crate) fn is_looked_at(&self, context: &NativeCallContext<'_>) -> Answer<bool> {
        let position = context.call_position();
        self.with(|pass| {
            let file = context.call_source().unwrap_or(&pass.file);
            pass.direct.get(file).is_some_and(|calls| calls.contains(&position))
        })
    }

    /// Whether a call at `path` may be made for the first time.
    pub(crate) fn may_begin(&self, path: &StepPath) -> Answer<bool> {
        self.with(|pass| !pass.only_replays(path))
    }

    /// Waits for answers to this call beside those that wait already.
    pub(crate) fn wait_for(&self, step: Step) -> Answer<()> {
        self.with(|pass| pass.pending.push(step))?;
        self.wait()
    }

    /// Waits for answers: there are some where it comes back, else the evaluation stops here. A branch
    /// always stops: the others may have something to ask too.
    pub(crate) fn wait(&self) -> Answer<()> {
        let nested = self.with(|pass| pass.is_nested())?;
        let answers = if nested { None } else { self.answers.take() };
        let Some(mut answers) = answers else { return Err(self.stop(Stop::Waiting)) };
        let asked = self.with(|pass| {
            pass.journal = Arc::default();
            let next = Next::Pending(pass.take_pending());
            Advance { records: std::mem::take(&mut pass.records), next }
        })?;
        let Some((journal, now)) = answers(asked) else { return Err(self.stop(Stop::Waiting)) };
        self.answers.replace(Some(answers));
        self.with(|pass| (pass.journal, pass.now) = (journal, now))
    }

    /// Where the evaluation stands.
    pub(crate) fn mark(&self) -> Answer<Mark> {
        let operations = self.operations.get();
        self.with(|pass| Mark {
            operations,
            steps: pass.steps,
            visited: pass.visited.len(),
            registrations: pass.registrations.len(),
        })
    }

    /// Goes back, to evaluate once more what came since then.
    pub(crate) fn rewind(&self, mark: &Mark) -> Answer<()> {
        self.operations.set(mark.operations);
        self.measured.set(self.measured.get().min(mark.operations));
        self.with(|pass| {
            pass.steps = mark.steps;
            pass.visited.truncate(mark.visited);
            pass.registrations.truncate(mark.registrations);
        })
    }

    /// Runs `work` as a level of its own below `prefix`.
    pub(crate) fn below<T>(&self, prefix: StepPath, work: impl FnOnce() -> T) -> Answer<T> {
        let inner = Level { prefix: Some(prefix), last: 0 };
        let outer = self.with(|pass| std::mem::replace(&mut pass.level, inner))?;
        let result = work();
        self.with(|pass| pass.level = outer)?;
        Ok(result)
    }

    /// Runs `work` while calls of the host are refused with this text after the function's name.
    pub(crate) fn restricted<T>(
        &self,
        restriction: &'static str,
        work: impl FnOnce() -> T,
    ) -> Answer<T> {
        let outer = self.with(|pass| pass.restriction.replace(restriction))?;
        let result = work();
        self.with(|pass| pass.restriction = outer)?;
        Ok(result)
    }

    /// Where in a file the script makes this call.
    pub(crate) fn place(&self, context: &NativeCallContext<'_>) -> Option<Location> {
        let position = context.call_position();
        let own = || self.with(|pass| pass.file.to_string()).unwrap_or_default();
        let file = context.call_source().map_or_else(own, ToOwned::to_owned);
        let line = position.line()?;
        Some(Location { file, line, column: position.position().unwrap_or(0) })
    }
}

fn terminated() -> Raised {
    EvalAltResult::ErrorTerminated(Dynamic::UNIT, Position::NONE).into()
}
