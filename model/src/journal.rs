//! The journal of one execution: its facts, folded so that a chain can be replayed against it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::fact::{ExecutionRequested, Grant, StepResult};
use crate::{
    Actor, Call, ExecutionId, Fact, Outcome, Record, Resolution, StepError, StepPath, Timestamp,
    Token, UndoReason, Value,
};

/// The place of a fact in its execution's stream, from 1: the journal's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequence(pub u64);

/// What is known of one execution.
#[derive(Debug, Clone, Default)]
pub struct Journal {
    /// The request, once read.
    pub request: Option<ExecutionRequested>,
    /// The calls that something outside answers.
    pub entries: BTreeMap<StepPath, Entry>,
    /// The calls that the chain answered itself.
    pub records: BTreeMap<StepPath, (Sequence, Record)>,
    /// The secrets' tokens that the execution may use.
    pub tokens: BTreeMap<Token, Grant>,
    /// Those that stand in its configuration, by their places there.
    pub settings: BTreeMap<String, Token>,
    /// Whose steps it began with, the first of them first.
    pub inherited: Vec<Inherited>,
    /// The run of the same chain that it goes on from.
    pub continues: Option<ExecutionId>,
    /// Who asked for the first of the runs that went on as it.
    pub first_by: Option<Actor>,
    /// How many runs before it went on one after the other without time between.
    pub in_a_row: u32,
    /// How many of these, the last ones, made no step.
    pub idle: u32,
    /// Set once undo has begun.
    pub undo: Option<UndoBegan>,
    /// Set once somebody asked for the end.
    pub cancel_requested: Option<Timestamp>,
    /// Since when somebody holds it.
    pub paused: Option<Timestamp>,
    /// Whether it is held because the execution that runs it is.
    pub paused_with_parent: bool,
    /// The step (or, with `None`, the chain itself) a person must decide about, and why.
    pub attention: Option<(Option<StepPath>, StepError)>,
    /// When a person was asked or held it, and it went on: limits of time stand still meanwhile.
    pub stops: Vec<(Timestamp, Option<Timestamp>)>,
    /// The time of the first call, or of the end of a chain that made none.
    pub started_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// The number of facts folded so far.
    pub length: Sequence,
}

/// Steps that another execution made: see [`Fact::JournalInherited`].
#[derive(Debug, Clone, PartialEq)]
pub struct Inherited {
    /// That execution.
    pub of: ExecutionId,
    /// The earliest step that was not taken over.
    pub before: StepPath,
    /// What its chain saw as `execution`.
    pub context: Value,
    /// Whether somebody wanted it whatever speaks against it.
    pub forced: bool,
}

/// The cut that undo makes: see [`Fact::UndoBegan`].
#[derive(Debug, Clone, PartialEq)]
pub struct UndoBegan {
    /// Entries and answers after it don't count for the chain itself.
    pub position: Sequence,
    /// Why.
    pub reason: UndoReason,
    /// When.
    pub at: Timestamp,
}

/// One call and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What was asked.
    pub call: Call,
    /// When.
    pub at: Timestamp,
    /// Where in the journal.
    pub intended: Sequence,
    /// How its performances went so far.
    pub progress: Progress,
    /// The latest answer of a poll.
    pub answer: Option<Answer>,
    /// How it ended.
    pub finished: Option<Finished>,
}

/// Attempts of one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// The number of the latest attempt that was begun, from 1.
    pub attempt: u32,
    /// How many attempts the engine's own death cut off; these don't count against the policy.
    pub cut_off: u32,
    /// Whether the latest attempt is one of these.
    pub lost: bool,
    /// Why the latest attempt failed, and when the next is due: set between two attempts.
    pub failed: Option<(StepError, Timestamp)>,
}

/// The latest answer of a poll.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Its number, from 1.
    pub number: u32,
    /// What the action returned.
    pub value: Value,
    /// Tokens that go with it: see [`Fact::PollAnswered`].
    pub own: BTreeSet<Token>,
    /// When to ask again if it does not satisfy the chain.
    pub next_at: Timestamp,
    /// Where in the journal.
    pub sequence: Sequence,
}

/// The end of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// How.
    pub result: StepResult,
    /// After how many attempts.
    pub attempts: u32,
    /// When.
    pub at: Timestamp,
    /// Where in the journal.
    pub sequence: Sequence,
}

impl Entry {
    fn new(call: Call, at: Timestamp, intended: Sequence) -> Self {
        let progress = Progress::first();
        Self { call, at, intended, progress, answer: None, finished: None }
    }
}

impl Progress {
    const fn first() -> Self {
        Self { attempt: 1, cut_off: 0, lost: false, failed: None }
    }
}

impl Journal {
    /// The journal of these facts of one execution's stream.
    pub fn of<'a>(facts: impl IntoIterator<Item = &'a Fact>) -> Self {
        let mut journal = Self::default();
        facts.into_iter().for_each(|fact| journal.apply(fact));
        journal
    }

    /// Takes in the stream's next fact. Facts of other kinds of streams change nothing.
    pub fn apply(&mut self, fact: &Fact) {
        self.length.0 += 1;
        let sequence = self.length;
        self.started_at = self.started_at.or_else(|| fact.begun_at());
        match fact {
            Fact::ExecutionRequested(request) => self.request = Some(request.clone()),
            Fact::StepIntended { path, call, at } => {
                self.entries.insert(path.clone(), Entry::new(call.clone(), *at, sequence));
            }
            Fact::StepRecorded { path, record, .. } => {
                self.records.insert(path.clone(), (sequence, record.clone()));
            }
            Fact::AttemptFailed { path, attempt, error, next_at, .. } => {
                self.progress(path, |progress| {
                    progress.attempt = *attempt;
                    progress.failed = Some((error.clone(), *next_at));
                });
            }
            Fact::AttemptStarted { path, attempt, cut_off, .. } => {
                self.progress(path, |progress| {
                    let (attempt, cut_off) = (*attempt, *cut_off);
                    *progress = Progress { attempt, cut_off, lost: false, failed: None };
                });
            }
            Fact::AttemptCutOff { path, cut_off, .. } => {
                self.progress(path, |progress| {
                    progress.cut_off = *cut_off;
                    progress.lost = true;
                });
            }
            Fact::PollAnswered { path, answer, value, own, next_at, .. } => {
                if let Some(entry) = self.entries.get_mut(path) {
                    let (number, value, next_at) = (*answer, value.clone(), *next_at);
                    let own = own.clone();
                    if let Some(last) = &entry.answer {
                        last.own.difference(&own).for_each(|gone| _ = self.tokens.remove(gone));
                    }
                    entry.answer = Some(Answer { number, value, own, next_at, sequence });
                    entry.progress = Progress::first();
                }
            }
            Fact::StepFinished { path, result, attempts, at } => {
                if let Some(entry) = self.entries.get_mut(path) {
                    let (result, attempts, at) = (result.clone(), *attempts, *at);
                    entry.finished = Some(Finished { result, attempts, at, sequence });
                }
            }
            Fact::AttentionNeeded { path, error, at } => {
                self.attention = Some((path.clone(), error.clone()));
                self.stand_still(*at);
            }
            Fact::StepResolved { path, resolution, at } => {
                self.resolve(path.as_ref(), resolution, *at);
            }
            Fact::CancelRequested { at, .. } => {
                self.cancel_requested.get_or_insert(*at);
                self.paused = None;
                self.go_on(*at);
            }
            Fact::ExecutionPaused { with_parent, at, .. } => {
                if self.paused.is_none() {
                    self.paused = Some(*at);
                    self.paused_with_parent = *with_parent;
                }
                self.stand_still(*at);
            }
            Fact::ExecutionResumed { at } => {
                self.paused = None;
                self.go_on(*at);
            }
            Fact::JournalInherited { of, before, context, forced, .. } => {
                let (of, before, context) = (of.clone(), before.clone(), context.clone());
                self.inherited.push(Inherited { of, before, context, forced: *forced });
            }
            Fact::ExecutionContinues { of, in_a_row, idle, by, .. } => {
                self.continues = Some(of.clone());
                self.first_by.clone_from(by);
                (self.in_a_row, self.idle) = (*in_a_row, *idle);
            }
            Fact::UndoBegan { position, reason, at } => {
                self.undo =
                    Some(UndoBegan { position: *position, reason: reason.clone(), at: *at });
            }
            Fact::TokensGranted { tokens, .. } => {
                self.tokens
                    .extend(tokens.iter().map(|(token, grant)| (token.clone(), grant.clone())));
            }
            Fact::SettingsRead { tokens, .. } => self.settings.clone_from(tokens),
            Fact::ExecutionFinished { outcome, .. } => self.outcome = Some(outcome.clone()),
            _ => {}
        }
    }

    fn stand_still(&mut self, at: Timestamp) {
        if !matches!(self.stops.last(), Some((_, None))) {
            self.stops.push((at, None));
        }
    }

    /// Ends the standstill, unless there is another reason for it.
    fn go_on(&mut self, at: Timestamp) {
        if let Some((_, end @ None)) = self.stops.last_mut()
            && self.attention.is_none()
            && self.paused.is_none()
        {
            *end = Some(at);
        }
    }

    fn progress(&mut self, path: &StepPath, change: impl FnOnce(&mut Progress)) {
        if let Some(entry) = self.entries.get_mut(path) {
            change(&mut entry.progress);
        }
    }

    fn resolve(&mut self, path: Option<&StepPath>, resolution: &Resolution, at: Timestamp) {
        self.attention = None;
        self.go_on(at);
        let sequence = self.length;
        let Some(entry) = path.and_then(|path| self.entries.get_mut(path)) else { return };
        let result = match resolution {
            Resolution::Done(value) => StepResult::Done(value.clone()),
            Resolution::Fail(message) => {
                let mut error = StepError::new(crate::ErrorKind::Failed, message.clone());
                error.action = entry.call.action().cloned();
                error.attempts = entry.progress.attempt;
                StepResult::Failed(error)
            }
            Resolution::Retry => {
                let error =
                    StepError::new(crate::ErrorKind::Internal, "to be tried again on request");
                entry.progress.failed = Some((error, at));
                return;
            }
        };
        let attempts = entry.progress.attempt;
        entry.finished = Some(Finished { result, attempts, at, sequence });
    }

    /// Whether the chain, replayed, may see what was stored at `sequence` for `path`: after undo
    /// has begun the chain itself sees nothing later than the cut; its handlers see everything.
    pub fn visible(&self, path: &StepPath, sequence: Sequence) -> bool {
        match &self.undo {
            Some(undo) if !path.is_handler() => sequence <= undo.position,
            _ => true,
        }
    }

    /// The call stored at `path`, as far as the chain may see it.
    pub fn entry(&self, path: &StepPath) -> Option<&Entry> {
        self.entries.get(path).filter(|entry| self.visible(path, entry.intended))
    }

    /// The record stored at `path`, as far as the chain may see it.
    pub fn record(&self, path: &StepPath) -> Option<&Record> {
        let (sequence, record) = self.records.get(path)?;
        self.visible(path, *sequence).then_some(record)
    }

    /// How the call at `path` ended, as far as the chain may see it.
    pub fn result(&self, path: &StepPath) -> Option<&StepResult> {
        let finished = self.entries.get(path)?.finished.as_ref()?;
        self.visible(path, finished.sequence).then_some(&finished.result)
    }

    /// The latest answer of the poll at `path`, as far as the chain may see it.
    pub fn answer(&self, path: &StepPath) -> Option<&Answer> {
        let answer = self.entries.get(path)?.answer.as_ref()?;
        self.visible(path, answer.sequence).then_some(answer)
    }

    /// The execution that made the call at `path`: `own`, or one whose steps it began with.
    pub fn maker<'a>(&'a self, own: &'a ExecutionId, path: &StepPath) -> &'a ExecutionId {
        let inherited = self.inherited.iter().find(|from| path.does_not_follow(&from.before));
        inherited.map_or(own, |from| &from.of)
    }

    /// The calls that are not over, in the order of their paths.
    pub fn open(&self) -> impl Iterator<Item = (&StepPath, &Entry)> {
        self.entries.iter().filter(|(_, entry)| entry.finished.is_none())
    }

    /// `limit`, a time set at `since`, moved on by as long as a person was waited for since then.
    pub fn extended(&self, limit: Timestamp, since: Timestamp) -> Timestamp {
        let stood_still = self.stops.iter().filter_map(|(from, to)| {
            let length = (*to)?.duration_since((*from).max(since));
            u64::try_from(length.as_millis()).ok()
        });
        crate::Duration::from_millis(stood_still.sum()).after(limit)
    }

    /// The number of journaled calls.
    pub fn steps(&self) -> usize {
        self.entries.len() + self.records.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn limits_of_time_stand_still_while_a_person_is_asked() {
        let error = StepError::new(crate::ErrorKind::Timeout, "lost");
        let asked =
            |second| Fact::AttentionNeeded { path: None, error: error.clone(), at: at(second) };
        let told = |second| Fact::StepResolved {
            path: None,
            resolution: Resolution::Retry,
            at: at(second),
        };
        let journal = Journal::of(&[asked(10), told(15), asked(20), told(40)]);
        assert_eq!(journal.extended(at(50), at(0)), at(75));
        assert_eq!(journal.extended(at(50), at(30)), at(60));
        assert_eq!(journal.extended(at(50), at(45)), at(50));
    }

    #[test]
    fn after_undo_began_the_chain_sees_nothing_later_but_its_handlers_do() {
        let sleep = Call::Sleep { until: at(9) };
        let step = |n: u32| StepPath::top(n);
        let handler = step(1).handler().join(1);
        let done = |path: &StepPath| Fact::StepFinished {
            path: path.clone(),
            result: StepResult::Done(Value::Null),
            attempts: 1,
            at: at(3),
        };
        let intend = |path: &StepPath| Fact::StepIntended {
            path: path.clone(),
            call: sleep.clone(),
            at: at(1),
        };
        let cut =
            Fact::UndoBegan { position: Sequence(2), reason: UndoReason::Cancelled, at: at(2) };
        let journal = Journal::of(&[
            intend(&step(2)),
            intend(&step(3)),
            cut,
            done(&step(2)),
            intend(&handler),
            done(&handler),
        ]);
        assert!(journal.entry(&step(2)).is_some());
        assert!(journal.result(&step(2)).is_none(), "the result came late");
        assert!(journal.result(&handler).is_some());
        assert_eq!(journal.open().count(), 1);
    }
}
