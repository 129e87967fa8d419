//! Answers from the journal, and the error when it does not fit the program.

use std::collections::BTreeSet;

use model::fact::StepResult;
use model::value::brief;
use model::{Call, Entry, ErrorKind, Journal, Map, Record, StepError, StepPath, Value, token};

use crate::advance::Ask;
use crate::host::{Found, Pass};

/// What the journal says to a call.
#[derive(Debug, Clone)]
pub(crate) enum Said {
    /// Never heard of it.
    Nothing,
    /// Asked, and not over. A poll has its latest answer.
    Open(Option<Value>),
    /// Over.
    Result(StepResult),
    /// Over, and nobody knows how: a dry run has only planned it.
    Unseen(StepPath),
    /// Something else was asked here.
    Mismatch(StepError),
}

impl Said {
    /// What it says in a dry run that only planned the step.
    pub(crate) fn unseen(self, path: StepPath) -> Self {
        match self {
            Self::Result(StepResult::Done(_)) => Self::Unseen(path),
            said => said,
        }
    }
}

/// What the journal says to `ask` at `path`.
pub(crate) fn said(path: &StepPath, ask: &Ask, found: &Found<'_>, journal: &Journal) -> Said {
    let entry = match found {
        Found::Nothing => return Said::Nothing,
        Found::Record(record) => {
            return Said::Mismatch(mismatch(path, &show_ask(ask), &show_record(record)));
        }
        Found::Entry(entry) => entry,
    };
    if !fits(ask, &entry.call) {
        return Said::Mismatch(mismatch(path, &show_ask(ask), &show_call(&entry.call)));
    }
    match journal.result(path) {
        Some(result) => Said::Result(result.clone()),
        None => Said::Open(journal.answer(path).map(|answer| answer.value.clone())),
    }
}

/// Whether `call` is what became of `ask`.
fn fits(ask: &Ask, call: &Call) -> bool {
    match (ask, call) {
        (
            Ask::Run { action, parameters, .. },
            Call::Run { action: stored, parameters: with, .. }
            | Call::Child { action: stored, parameters: with, .. },
        )
        | (
            Ask::Poll { action, parameters, .. },
            Call::Poll { action: stored, parameters: with, .. }
            // A poll that could not be performed is stored as the run that was refused.
            | Call::Run { action: stored, parameters: with, .. },
        ) => action == stored && contains(with, parameters),
        (Ask::Sleep { .. }, Call::Sleep { .. }) => true,
        _ => false,
    }
}

/// Whether `stored` holds all of `asked`: defaults may have been added when it was stored.
fn contains(stored: &Value, asked: &Value) -> bool {
    match (stored, asked) {
        (Value::Object(stored), Value::Object(asked)) => asked
            .iter()
            .all(|(name, value)| stored.get(name).is_some_and(|s| token::stands_for(s, value))),
        (stored, asked) => stored == asked,
    }
}

/// The error of a call that only takes a number, where the journal holds something.
pub(crate) fn occupied(path: &StepPath, function: &str, found: &Found<'_>) -> Option<StepError> {
    let found = match found {
        Found::Nothing => return None,
        Found::Entry(entry) => show_call(&entry.call),
        Found::Record(record) => show_record(record),
    };
    Some(mismatch(path, &format!("`{function}`"), &found))
}

/// The error of a record's function, where the journal holds something else.
pub(crate) fn not_a_record(path: &StepPath, function: &str, found: &Found<'_>) -> StepError {
    occupied(path, function, found).unwrap_or_else(|| mismatch(path, function, "nothing"))
}

/// The error of a program that ended without making a call that the journal holds.
pub(crate) fn unreached(pass: &Pass) -> Option<StepError> {
    let journal = &pass.journal;
    let entries = journal.entries.iter().filter(|(at, e)| journal.visible(at, e.intended));
    let records = journal.records.iter().filter(|(at, (n, _))| journal.visible(at, *n));
    let known = entries.clone().count() + records.clone().count();
    if pass.visited.len() == known + pass.records.len() {
        return None;
    }
    let visited: BTreeSet<&StepPath> = pass.visited.iter().collect();
    let entry = entries.map(|(at, e): (_, &Entry)| (at, show_call(&e.call)));
    let record = records.map(|(at, (_, r))| (at, show_record(r)));
    let (path, found) = entry.chain(record).filter(|(at, _)| !visited.contains(at)).min()?;
    Some(mismatch(path, "no call", &found))
}

fn mismatch(path: &StepPath, asked: &str, found: &str) -> StepError {
    let message = format!(
        "the journal does not fit the program: at step {path} the program makes {asked}, the journal holds {found}; the chain's file was changed under a running execution"
    );
    let details = Map::from_iter([
        ("step".to_owned(), Value::from(path.to_string())),
        ("expected".to_owned(), Value::from(found)),
        ("found".to_owned(), Value::from(asked)),
    ]);
    StepError::new(ErrorKind::JournalMismatch, message).with_details(Value::Object(details))
}

fn show(function: &str, action: &str, parameters: &Value) -> String {
    format!("`{function}` of `{action}` with {}", brief(parameters, 200))
}

fn show_ask(ask: &Ask) -> String {
    match ask {
        Ask::Run { action, parameters, .. } => show("run", action.as_str(), parameters),
        Ask::Poll { action, parameters, .. } => show("poll", action.as_str(), parameters),
        Ask::Sleep { .. } => "`sleep`".to_owned(),
    }
}

fn show_call(call: &Call) -> String {
    match call {
        Call::Run { action, parameters, .. } | Call::Child { action, parameters, .. } => {
            show("run", action.as_str(), parameters)
        }
        Call::Poll { action, parameters, .. } => show("poll", action.as_str(), parameters),
        Call::Sleep { .. } => "`sleep`".to_owned(),
    }
}

fn show_record(record: &Record) -> String {
    format!("`{}`", record.function())
}
