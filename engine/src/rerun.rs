//! An execution again: all of it, or from a step on, with what came before taken over.

mod beginning;

use std::sync::Arc;

use model::fact::{ExecutionRequested, StepResult};
use model::{
    ActionRef, Actor, Call, Effect, ExecutionId, ExecutionState, Fact, Journal, Origin, Record,
    StepPath, Stream, Timestamp, Value, Version,
};
use schemars::JsonSchema;
use serde::Serialize;
use store::ExecutionRow;

use self::beginning::Beginning;
use crate::ask::AskError;
use crate::driver::run::context;
use crate::engine::Engine;
use crate::going_on::latest_run;
use crate::packs::Pack;
use crate::random;

/// How an execution is to be repeated.
#[derive(Debug, Clone, Default)]
pub struct Repetition {
    /// The first step to make again; none: all of them.
    pub from: Option<StepPath>,
    /// Also where undo has begun: what is taken over is assumed to be in effect still; and all of it
    /// beside what has not ended, be it the execution itself or a run that it went on as.
    pub force: bool,
    /// Of requests that are named alike, the first one counts.
    pub name: Option<String>,
}

/// A repetition that was begun.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Repeated {
    /// The new execution.
    pub id: ExecutionId,
    /// What it takes for done because the one before did it.
    pub assumed: Vec<AssumedStep>,
}

/// A step that is not made again.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct AssumedStep {
    /// Its place.
    pub path: StepPath,
    /// What it did.
    pub action: ActionRef,
}

impl Engine {
    /// Repeats an execution as a new one. All of it: the action as it is active now, with the same
    /// parameters. From a step on: the content that the first one pinned, and the answers of the
    /// steps that don't follow that step; steps that are made again have keys of their own.
    pub async fn rerun(
        &self,
        actor: Actor,
        of: &ExecutionId,
        how: Repetition,
    ) -> Result<Repeated, AskError> {
        // Before its journal: that of one that had ended holds its end.
        let row = self.core.store.execution(of).await?;
        let row = row.ok_or_else(|| AskError::NoExecution(of.clone()))?;
        let journal = self.journal(of).await?;
        if let Some(from) = &how.from {
            has_step(of, &journal, from)?;
        }
        self.is_over(&row, &how).await?;
        let (request, taken_over, assumed) = match &how.from {
            None => (self.whole(of, &journal)?, Vec::new(), Vec::new()),
            Some(from) => self.part(of, &journal, (from, how.force)).await?,
        };
        let named = how.name.as_deref().map(|name| self.requested(&actor, name));
        let id = named.unwrap_or_else(random::execution);
        let mut beginning = Beginning::new(request, taken_over);
        if !journal.tokens.is_empty() {
            // They may stand in the parameters and in what is taken over.
            let (tokens, at) = (journal.tokens.clone(), self.core.now());
            beginning.grant(self.core.take_over(tokens, &id, at).await?, at);
            if how.from.is_some() && !journal.settings.is_empty() {
                // What is taken over was asked for with these.
                let tokens = journal.settings.clone();
                beginning.request.push(Fact::SettingsRead { tokens, at });
            }
        }
        let (engine, of) = (self.clone(), of.clone());
        let begun = self.core.impatient(async move {
            if !engine.store_beginning(actor, &id, beginning, how.name.is_some()).await? {
                engine.same_rerun(&id, &of, &how).await?;
            }
            engine.driver.submit(id.clone(), None);
            Ok(Repeated { id, assumed })
        });
        begun.await
    }

    /// Refuses what has not ended, or went on as a run that has not: a repetition would run beside it.
    async fn is_over(&self, row: &ExecutionRow, how: &Repetition) -> Result<(), AskError> {
        let beside = how.force && how.from.is_none();
        if !row.state.is_end() && !beside {
            return Err(AskError::Conflict(going_on(row, how.from.is_some())));
        }
        if how.force {
            return Ok(());
        }
        match latest_run(&*self.core.store, &row.id).await? {
            Some(latest) if !latest.state.is_end() => Err(AskError::Conflict(format!(
                "`{}` went on: it is `{}` now, which is {}, and a repetition would run beside it; cancel that one first, or use --force",
                row.id, latest.id, latest.state
            ))),
            _ => Ok(()),
        }
    }

    async fn journal(&self, id: &ExecutionId) -> Result<Journal, AskError> {
        let stream = Stream::Execution(id.clone());
        let (recorded, _) = self.core.store.read(&stream, Version::NONE).await?;
        if recorded.is_empty() {
            return Err(AskError::NoExecution(id.clone()));
        }
        Ok(Journal::of(recorded.iter().map(|recorded| &recorded.fact)))
    }

    /// Whether the execution that has this name already repeats the same from the same step on.
    async fn same_rerun(
        &self,
        id: &ExecutionId,
        of: &ExecutionId,
        how: &Repetition,
    ) -> Result<(), AskError> {
        let journal = self.journal(id).await?;
        let first = told(journal.inherited.last().map(|it| (&it.before, it.forced)));
        let asked = told(how.from.as_ref().map(|from| (from, how.force)));
        match journal.request.as_ref().map(|request| &request.origin) {
            Some(Origin::Rerun { of: other, .. }) if other == of && first == asked => Ok(()),
            Some(Origin::Rerun { of: other, .. }) if other == of => {
                Err(AskError::Conflict(format!(
                    "another request had this name: it started `{id}`, which repeats `{of}` {first}, not {asked}"
                )))
            }
            None => Err(AskError::Conflict(format!(
                "a request with this name is being answered: `{id}` is not complete yet; ask again"
            ))),
            _ => Err(AskError::Conflict(format!(
                "another request had this name: it started `{id}`, which repeats something else"
            ))),
        }
    }

    fn whole(&self, of: &ExecutionId, journal: &Journal) -> Result<Fact, AskError> {
        let request = request_of(of, journal)?;
        let generation = self.core.generation.load_full();
        let resolved = self.core.library.resolve(&generation, None, &request.action);
        let resolved = resolved.map_err(|error| AskError::NotFound(error.message))?;
        Ok(Fact::ExecutionRequested(ExecutionRequested {
            origin: origin(of, request),
            pack: resolved.version(),
            deadline: resolved.deadline(),
            at: self.core.now(),
            traceparent: Some(request.span(of)),
            doubted: false,
            ..request.clone()
        }))
    }

    async fn part(
        &self,
        of: &ExecutionId,
        journal: &Journal,
        (from, force): (&StepPath, bool),
    ) -> Result<(Fact, Vec<Fact>, Vec<AssumedStep>), AskError> {
        let request = request_of(of, journal)?;
        let pinned = self.pinned(request).await?;
        let at = self.core.now();
        let (copied, assumed) = taken_over(journal, from, at);
        if journal.undo.is_some() && !force {
            return Err(AskError::Conflict(undone(of, from, &assumed, &copied)));
        }
        if let Some(path) = in_doubt(journal, from).filter(|_| !force) {
            return Err(AskError::Conflict(format!(
                "nobody knows whether step {path} of `{of}` was done, and it would be made again: repeat from there or before, or, if doing it twice is harmless, use --force"
            )));
        }
        let request = Fact::ExecutionRequested(ExecutionRequested {
            origin: origin(of, request),
            at,
            traceparent: Some(request.span(of)),
            doubted: false,
            ..request.clone()
        });
        let mut taken_over = lineage(of, journal, (from, force), pinned.as_deref(), at);
        taken_over.extend(copied);
        Ok((request, taken_over, assumed))
    }

    async fn pinned(&self, request: &ExecutionRequested) -> Result<Option<Arc<Pack>>, AskError> {
        let Some(hash) = request.pack else { return Ok(None) };
        let pack = self.core.library.pack(&self.core.folders, hash).await;
        pack.map(Some).map_err(|error| {
            AskError::Conflict(format!("{}; repeat all of it instead", error.message))
        })
    }
}

/// From which step on something is repeated, in words.
fn told(from: Option<(&StepPath, bool)>) -> String {
    match from {
        None => "all of it".to_owned(),
        Some((step, false)) => format!("from step {step} on"),
        Some((step, true)) => format!("from step {step} on with `force`"),
    }
}

/// What a repetition of `of` is made for: whatever that was.
fn origin(of: &ExecutionId, request: &ExecutionRequested) -> Origin {
    Origin::Rerun { of: of.clone(), rule: request.origin.rule().cloned() }
}

fn has_step(of: &ExecutionId, journal: &Journal, step: &StepPath) -> Result<(), AskError> {
    let known = journal.entries.contains_key(step) || journal.records.contains_key(step);
    if step.is_handler() || !known {
        return Err(AskError::NotFound(format!(
            "`{of}` has no step {step}: see `tripline execution get {of}`"
        )));
    }
    Ok(())
}

/// Why what has not ended is not repeated, and what to do.
fn going_on(row: &ExecutionRow, in_part: bool) -> String {
    let (of, state) = (&row.id, row.state);
    let first = match state {
        ExecutionState::NeedsAttention => {
            format!("decide about it with `tripline execution resolve {of}`, or cancel it")
        }
        ExecutionState::Paused => {
            format!("let it go on with `tripline execution resume {of}`, or cancel it")
        }
        ExecutionState::Undoing => "wait for its end".to_owned(),
        _ => "cancel it, or wait for its end".to_owned(),
    };
    let why = match in_part {
        true => "what it did may change still".to_owned(),
        false => "a repetition would do beside it what it does, unsafe steps too".to_owned(),
    };
    let force = if in_part { "" } else { "; or, if that is harmless, use --force" };
    format!("`{of}` has not ended, it is {state}, and {why}: {first}{force}")
}

fn request_of<'a>(
    of: &ExecutionId,
    journal: &'a Journal,
) -> Result<&'a ExecutionRequested, AskError> {
    let gone = || AskError::NotFound(format!("the request of `{of}` is gone"));
    journal.request.as_ref().ok_or_else(gone)
}

/// Why what was undone is not repeated in part: what that would assume.
fn undone(of: &ExecutionId, from: &StepPath, assumed: &[AssumedStep], copied: &[Fact]) -> String {
    let done: Vec<String> = assumed.iter().map(|s| format!("{} {}", s.path, s.action)).collect();
    let answers = copied.iter().filter(|fact| is_answer(fact)).count() - done.len();
    let answers = match answers {
        0 => None,
        1 => Some("what one call was answered that changed nothing".to_owned()),
        more => Some(format!("what {more} calls were answered that changed nothing")),
    };
    let what = done.into_iter().chain(answers).collect::<Vec<_>>().join(", ");
    if what.is_empty() {
        return format!(
            "`{of}` was undone, and nothing comes before step {from}: it is assumed only that undo took back what its steps did, which are made again with the pack's content of then; repeat all of it, or, to keep that content, use --force"
        );
    }
    format!(
        "`{of}` was undone, so what came before step {from} may not hold any more: {what}; repeat all of it, or, if it holds, use --force"
    )
}

/// Whether a call that is taken over was answered by this: `undo` and `on_exit` ask nothing.
const fn is_answer(fact: &Fact) -> bool {
    match fact {
        Fact::StepRecorded { record, .. } => !matches!(record, Record::Undo | Record::OnExit),
        Fact::StepFinished { .. } => true,
        _ => false,
    }
}

/// An unsafe step beside `from` whose outcome was never known.
fn in_doubt<'a>(journal: &'a Journal, from: &StepPath) -> Option<&'a StepPath> {
    let doubtful = |call: &Call| matches!(call, Call::Run { effect: Effect::Unsafe, .. });
    let mut open = journal.open().filter(|(path, entry)| {
        path.does_not_follow(from) && doubtful(&entry.call) && entry.progress.failed.is_none()
    });
    open.next().map(|(path, _)| path)
}

/// Whose steps the new execution begins with.
fn lineage(
    of: &ExecutionId,
    journal: &Journal,
    (from, forced): (&StepPath, bool),
    pack: Option<&Pack>,
    at: Timestamp,
) -> Vec<Fact> {
    let own = context(of, journal, pack);
    let first: Value = journal.inherited.first().map_or(own, |first| first.context.clone());
    let fact = |of: &ExecutionId, before: &StepPath, forced: bool| Fact::JournalInherited {
        of: of.clone(),
        before: before.clone(),
        context: first.clone(),
        forced,
        at,
    };
    let earlier = journal.inherited.iter().map(|inherited| {
        // What is made again now was not taken over from anybody.
        let cut = from.does_not_follow(&inherited.before);
        fact(&inherited.of, if cut { from } else { &inherited.before }, inherited.forced)
    });
    earlier.chain([fact(of, from, forced)]).collect()
}

/// The calls that don't follow `from` and are over, in the order in which they were made.
fn taken_over(journal: &Journal, from: &StepPath, at: Timestamp) -> (Vec<Fact>, Vec<AssumedStep>) {
    let mut made: Vec<(model::Sequence, Vec<Fact>)> = Vec::new();
    let mut assumed = Vec::new();
    for (path, entry) in journal.entries.iter().filter(|(path, _)| path.does_not_follow(from)) {
        let Some(finished) = &entry.finished else { continue };
        if let (Some(action), StepResult::Done(_)) = (changes(&entry.call), &finished.result) {
            assumed.push(AssumedStep { path: path.clone(), action: action.clone() });
        }
        let (path, call) = (path.clone(), entry.call.clone());
        let (result, attempts) = (finished.result.clone(), finished.attempts);
        let intended = Fact::StepIntended { path: path.clone(), call, at };
        made.push((
            entry.intended,
            vec![intended, Fact::StepFinished { path, result, attempts, at }],
        ));
    }
    let records = journal.records.iter().filter(|(path, _)| path.does_not_follow(from));
    made.extend(records.map(|(path, (sequence, record))| {
        let (path, record): (StepPath, Record) = (path.clone(), record.clone());
        (*sequence, vec![Fact::StepRecorded { path, record, at }])
    }));
    made.sort_by_key(|(sequence, _)| *sequence);
    (made.into_iter().flat_map(|(_, facts)| facts).collect(), assumed)
}

/// The action of a call that may have changed something.
fn changes(call: &Call) -> Option<&ActionRef> {
    match call {
        Call::Run { effect: Effect::Read, .. } | Call::Poll { .. } | Call::Sleep { .. } => None,
        Call::Run { action, .. } | Call::Child { action, .. } => Some(action),
    }
}
