//! `undo` and `on_exit` handlers: what is kept of them, and how they run.
//!
//! Handlers run one after another, newest first: those of `undo` on failure, cancel and timeout,
//! then those of `on_exit`; on success only the latter. Each is a level of its own
//! (`undo.<path of its registration>.n`), gets as many operations as a program, and cannot keep
//! the others from running.

#![expect(deprecated, reason = "rhai marks stored contexts as volatile; the version is pinned")]

use model::execution::HandlerError;
use model::{Outcome, StepError, StepPath};
use rhai::{Dynamic, Engine, FnPtr, Map, NativeCallContext, NativeCallContextStore};

use expr::to_dynamic;

use crate::host::{Host, Stop};
use crate::raise::{to_map, uncaught};

/// A handler that the program registered.
pub(crate) struct Registration {
    /// Where.
    pub(crate) path: StepPath,
    /// When it runs.
    pub(crate) when: When,
    /// The closure, with captures of its own.
    pub(crate) function: FnPtr,
    /// What it could see there: the libraries that were imported.
    pub(crate) seen: NativeCallContextStore,
}

/// When a handler runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// On failure, cancel and timeout.
    Undo,
    /// Always.
    Exit,
}

/// Why not all handlers have run.
pub(crate) enum Unfinished {
    /// One waits for calls.
    Waiting,
    /// The journal does not fit.
    Mismatch(StepError),
}

/// Runs the handlers that `outcome` calls for and adds what went wrong with them to it.
pub(crate) fn run(
    engine: &Engine,
    host: &Host,
    file: &str,
    mut registrations: Vec<Registration>,
    mut outcome: Outcome,
) -> Result<Outcome, Unfinished> {
    registrations.sort_by(|a, b| b.path.cmp(&a.path));
    let (undo, exit): (Vec<_>, Vec<_>) =
        registrations.into_iter().partition(|registration| registration.when == When::Undo);
    let undo = if outcome.error.is_some() { undo } else { Vec::new() };
    for registration in undo.into_iter().chain(exit) {
        if let Err(error) = run_one(engine, host, file, &registration, &outcome)? {
            outcome.handler_errors.push(HandlerError { path: registration.path, error });
        }
    }
    Ok(outcome)
}

fn run_one(
    engine: &Engine,
    host: &Host,
    file: &str,
    registration: &Registration,
    outcome: &Outcome,
) -> Result<Result<(), StepError>, Unfinished> {
    host.clear();
    let argument = match registration.when {
        When::Undo => outcome.error.as_ref().map_or(Dynamic::UNIT, |error| to_map(error).into()),
        When::Exit => outcome_map(outcome).into(),
    };
    let context = NativeCallContext::from_stored_data(engine, &registration.seen);
    let called = host.below(registration.path.handler(), || {
        registration.function.call_raw(&context, None, [argument])
    });
    let result = called.and_then(|result| result);
    match (host.take_stop(), result) {
        (Some(Stop::Waiting), _) => Err(Unfinished::Waiting),
        (Some(Stop::Mismatch(error)), _) => Err(Unfinished::Mismatch(error)),
        (Some(Stop::Limit(error)), _) => Ok(Err(error)),
        // Refused in handlers.
        (Some(Stop::Continue(_)), _) | (None, Ok(_)) => Ok(Ok(())),
        (None, Err(error)) => Ok(Err(uncaught(error, file))),
    }
}

/// What an `on_exit` handler gets: `state`, `error`, `result`.
fn outcome_map(outcome: &Outcome) -> Map {
    let error = outcome.error.as_ref().map_or(Dynamic::UNIT, |error| to_map(error).into());
    let result = outcome.result.as_ref().map(to_dynamic);
    Map::from([
        ("state".into(), outcome.state.as_str().into()),
        ("error".into(), error),
        ("result".into(), result.and_then(Result::ok).unwrap_or(Dynamic::UNIT)),
    ])
}
