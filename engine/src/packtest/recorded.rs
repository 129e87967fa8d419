//! An execution of a server as a test: given the same answers, does its chain make the same calls
//! and come to the same end?
//!
//! The recorded calls become a journal, against which today's chain is replayed, as a server does
//! after a restart. So times, ids and the order in which branches went are those of the recording.

mod declared;

use std::collections::BTreeMap;

use chains::{Advance, Ask, Input, Next, Program};
use model::exported::{Asked, ExportedCall};
use model::fact::ExecutionRequested;
use model::value::brief;
use model::{
    Call, Event, Exported, Fact, Journal, Location, Outcome, Record, RuleRef, StepError, StepPath,
    UndoReason, Value, token,
};

use super::compare::Misfit;
use super::matching::misfits;
use super::stage::Stage;
use crate::driver::run::context;
use crate::evaluators::Evaluators;
use crate::packs::{ActionKind, Generation, Pack};

/// What differs today.
pub(super) fn judge(stage: &Stage, exported: &Exported, at: &Location) -> Vec<Misfit> {
    let Some(pack) = stage.packs.iter().find(|pack| pack.name == stage.pack) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    if let (Some(event), Some(rule)) = (&exported.event, exported.origin.rule()) {
        all.extend(rule_differs(stage, exported, event, rule, at));
    }
    let action = (exported.action.pack() == pack.name.as_str())
        .then(|| pack.actions.get(exported.action.name()))
        .flatten();
    match action {
        Some(action) => {
            all.extend(declared::differs(exported, action, at));
            if let ActionKind::Chain(program) = &action.kind {
                all.extend(chain(exported, pack, program, at));
            }
        }
        // That the rule asks for it is all that concerns this pack.
        None if is_asked_for(exported, pack) => {}
        None => {
            let message = format!("the pack `{}` has no action `{}`", pack.name, exported.action);
            all.push(Misfit::new(at, message));
        }
    }
    all
}

/// Whether a rule of the pack asked for another's action, and its event is known.
fn is_asked_for(exported: &Exported, pack: &Pack) -> bool {
    let rule = exported.origin.rule().filter(|rule| rule.pack == pack.name);
    rule.is_some() && exported.event.is_some() && exported.action.pack() != pack.name.as_str()
}

/// What of the execution a replay compares, for the test's name.
pub(super) fn compared(exported: &Exported) -> &'static str {
    let single = StepPath::top(1);
    let program = |call: &ExportedCall| match &call.asked {
        Asked::Call(Call::Run { action, .. }) => call.path == single && *action == exported.action,
        _ => false,
    };
    match (exported.calls.as_slice(), &exported.outcome) {
        ([only], _) if program(only) => "is asked for as recorded, and declares what was answered",
        (_, Some(_)) => "goes as recorded",
        (_, None) => "goes as recorded, up to where it stood",
    }
}

/// Replays the chain: first to where it failed, if it did and had handlers, then to its end.
fn chain(exported: &Exported, pack: &Pack, program: &Program, at: &Location) -> Vec<Misfit> {
    if let Some(UndoReason::Failed(recorded)) = &exported.undo {
        let calls = exported.calls.iter().filter(|call| !call.path.is_handler()).cloned();
        let before = Exported { undo: None, calls: calls.collect(), ..exported.clone() };
        match advance(&before, pack, program).next {
            Next::Undo(UndoReason::Failed(today)) if same_error(&today, recorded) => {}
            Next::Undo(UndoReason::Failed(today)) => {
                let lines = [format!("- {recorded}"), format!("+ {today}")];
                return vec![Misfit::new(at, "another error").with(lines)];
            }
            Next::Broken(error) => return vec![broken(&error, at)],
            _ => {
                let misfit = Misfit::new(at, "the chain goes on where it failed");
                return vec![misfit.with([format!("- {recorded}")])];
            }
        }
    }
    let schema = pack.actions.get(exported.action.name()).map(|chain| &chain.metadata.result);
    let secret = schema.is_some_and(|schema| schema.some_secret().is_some());
    chain_differs(exported, secret, advance(exported, pack, program), at)
}

fn same_error(one: &StepError, other: &StepError) -> bool {
    (one.kind, &one.message) == (other.kind, &other.message)
}

fn advance(exported: &Exported, pack: &Pack, program: &Program) -> Advance {
    let journal = journal(exported, pack);
    let input = Input {
        execution: exported.execution.clone(),
        parameters: exported.parameters.clone(),
        config: exported.config.clone(),
        context: context(&exported.execution, &journal, Some(pack)),
    };
    Evaluators::with_own(|bench| {
        bench.chains.advance(program, &input, &journal, exported.requested_at)
    })
}

/// Whether the rule asks for the same today.
fn rule_differs(
    stage: &Stage,
    exported: &Exported,
    event: &Event,
    rule: &RuleRef,
    at: &Location,
) -> Option<Misfit> {
    let packs = stage.packs.iter().map(|pack| {
        let mut pack = (**pack).clone();
        if pack.name == stage.pack {
            pack.config = exported.config.clone().into();
        }
        (pack.name.clone(), pack.into())
    });
    let generation = Generation::assemble(1, packs.collect(), &BTreeMap::default(), None);
    let accepted = exported.requested_at;
    let decision =
        Evaluators::with_own(|bench| generation.rules.decide(&mut bench.rules, event, accepted));
    if let Some(failed) = decision.failed.iter().find(|failed| failed.rule == *rule) {
        let misfit = Misfit::new(at, format!("the rule `{rule}` fails on the event"));
        return Some(misfit.with([format!("+ {}", failed.error)]));
    }
    let selected = decision.selected.into_iter().find(|selected| selected.rule == *rule);
    let Some(selected) = selected else {
        let misfit = Misfit::new(at, format!("the rule `{rule}` does not select the event"));
        let active = generation.rules.get(rule);
        let explained = active.map(|active| {
            Evaluators::with_own(|bench| rules::explain(active, &mut bench.rules, event, accepted))
        });
        let lines = explained.map(|explained| explained.to_string()).unwrap_or_default();
        return Some(misfit.with(lines.lines().map(|line| format!("  {line}"))));
    };
    if selected.action != exported.action {
        let misfit = Misfit::new(at, format!("the rule `{rule}` asks for another action"));
        let lines = [format!("- {}", exported.action), format!("+ {}", selected.action)];
        return Some(misfit.with(lines));
    }
    // The recording has the action's defaults besides.
    let today = with_tokens_of(Value::Object(selected.parameters), &exported.parameters);
    let differ = misfits(&today, &exported.parameters);
    let differ: Vec<String> =
        differ.iter().map(|differs| format!("  {}", turned(differs))).collect();
    let misfit = || Misfit::new(at, format!("the rule `{rule}` gives other parameters"));
    (!differ.is_empty()).then(|| misfit().with(differ))
}

/// `today` with the recording's tokens: each request has its own, for what a rule passes on to a
/// secret parameter or from a secret setting.
fn with_tokens_of(today: Value, recorded: &Value) -> Value {
    let masked = |text: &str| token::substitute(text, &|_| Some(String::new()));
    match (today, recorded) {
        (Value::Object(today), Value::Object(recorded)) => {
            let leveled = |(name, value)| {
                let value = match recorded.get(&name) {
                    Some(recorded) => with_tokens_of(value, recorded),
                    None => value,
                };
                (name, value)
            };
            Value::Object(today.into_iter().map(leveled).collect())
        }
        (Value::Array(today), Value::Array(recorded)) if today.len() == recorded.len() => {
            today.into_iter().zip(recorded).map(|(t, r)| with_tokens_of(t, r)).collect()
        }
        (today, recorded) if token::stands_for(recorded, &today) => recorded.clone(),
        (Value::String(today), Value::String(recorded))
            if masked(&today).is_some() && masked(&today) == masked(recorded) =>
        {
            Value::String(recorded.clone())
        }
        (today, _) => today,
    }
}

/// `misfits` was asked whether the recording holds what today's rule gives.
fn turned(differs: &str) -> String {
    differs.replace("expected ", "today ").replace(", found ", ", recorded ")
}

/// The recorded calls as the journal that they were.
fn journal(exported: &Exported, pack: &Pack) -> Journal {
    let mut journal = Journal::default();
    journal.apply(&Fact::ExecutionRequested(ExecutionRequested {
        action: exported.action.clone(),
        parameters: exported.parameters.clone(),
        origin: exported.origin.clone(),
        pack: Some(pack.hash),
        depth: exported.depth,
        deadline: None,
        at: exported.requested_at,
        traceparent: None,
        tracestate: None,
        passed: Vec::new(),
        doubted: false,
    }));
    let mut undo = exported.undo.clone();
    for call in &exported.calls {
        if call.path.is_handler() {
            begin_undo(&mut journal, undo.take(), exported);
        }
        let (path, at) = (call.path.clone(), call.at);
        match &call.asked {
            Asked::Record(record) => {
                journal.apply(&Fact::StepRecorded { path, record: record.clone(), at });
            }
            Asked::Call(asked) => {
                let intended = Fact::StepIntended { path: path.clone(), call: asked.clone(), at };
                journal.apply(&intended);
                if let Some(result) = call.result.clone() {
                    let attempts = call.attempts;
                    journal.apply(&Fact::StepFinished { path, result, attempts, at });
                }
            }
        }
    }
    begin_undo(&mut journal, undo, exported);
    journal
}

fn begin_undo(journal: &mut Journal, undo: Option<UndoReason>, exported: &Exported) {
    if let Some(reason) = undo {
        let position = journal.length;
        journal.apply(&Fact::UndoBegan { position, reason, at: exported.requested_at });
    }
}

/// `secret`: whether tokens stand for parts of the recorded result.
fn chain_differs(
    exported: &Exported,
    secret: bool,
    advance: Advance,
    at: &Location,
) -> Vec<Misfit> {
    let mut all = Vec::new();
    // Recordings of earlier versions hold no uuid.
    let records = advance.records.iter().filter(|(_, record)| !matches!(record, Record::Uuid(_)));
    if let (true, Some(_)) = (records.clone().next().is_some(), &exported.outcome) {
        let lines = records.map(|(path, record)| format!("+ step {path}: {}", record.function()));
        all.push(Misfit::new(at, "the chain calls what it did not").with(lines));
    }
    match advance.next {
        Next::Finished(outcome) => all.extend(end_differs(exported, secret, &outcome, false, at)),
        Next::Continued(outcome, _) => {
            all.extend(end_differs(exported, secret, &outcome, true, at));
        }
        Next::Pending(steps) => {
            let recorded = |path| exported.calls.iter().any(|call| call.path == path);
            let fresh = steps.into_iter().filter(|step| !recorded(step.path.clone()));
            let lines: Vec<String> = fresh
                .map(|step| match &step.ask {
                    Ask::Run { action, parameters, .. } | Ask::Poll { action, parameters, .. } => {
                        format!("+ step {}: {action} {}", step.path, brief(parameters, 200))
                    }
                    ask @ Ask::Sleep { .. } => format!("+ step {}: {}", step.path, ask.function()),
                })
                .collect();
            if !lines.is_empty() && exported.outcome.is_some() {
                all.push(Misfit::new(at, "the chain calls what it did not").with(lines));
            }
        }
        Next::Undo(reason) => {
            let error = match &reason {
                UndoReason::Failed(error) => error.to_string(),
                _ => reason.end().to_string(),
            };
            all.push(Misfit::new(at, "the chain fails today").with([format!("+ {error}")]));
        }
        Next::Broken(error) => all.push(broken(&error, at)),
    }
    all
}

/// The chain makes another call where the recording has one.
fn broken(error: &StepError, at: &Location) -> Misfit {
    let text = |name: &str| error.details[name].as_str().unwrap_or_default().to_owned();
    if error.details.is_null() {
        return Misfit::new(at, error.message.clone());
    }
    let misfit = Misfit::new(at, format!("another call at step {}", text("step")));
    misfit.with([format!("- {}", text("expected")), format!("+ {}", text("found"))])
}

fn end_differs(
    exported: &Exported,
    secret: bool,
    today: &Outcome,
    goes_on: bool,
    at: &Location,
) -> Vec<Misfit> {
    let Some(recorded) = &exported.outcome else { return Vec::new() };
    let mut all = Vec::new();
    let went_on = recorded.continued_as.is_some();
    if (recorded.state, went_on) != (today.state, goes_on) {
        let show = |outcome: &Outcome, goes_on| match goes_on {
            true => "goes on as a new run".to_owned(),
            false => outcome.state.to_string(),
        };
        let lines =
            [format!("- {}", show(recorded, went_on)), format!("+ {}", show(today, goes_on))];
        all.push(Misfit::new(at, "another outcome").with(lines));
    }
    // Stored, a result that is null is none.
    let result = |outcome: &Outcome| outcome.result.clone().unwrap_or_default();
    let (before, now) = (result(recorded), result(today));
    if before != now && !(secret && token::stands_for(&before, &now)) {
        let show = |outcome: &Outcome| brief(&result(outcome), 400);
        let lines = [format!("- {}", show(recorded)), format!("+ {}", show(today))];
        all.push(Misfit::new(at, "another result").with(lines));
    }
    match (&recorded.error, &today.error) {
        (Some(recorded), Some(today)) if same_error(recorded, today) => {}
        (None, None) => {}
        (recorded, today) => {
            let show = |error: &Option<StepError>| {
                error.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string)
            };
            let lines = [format!("- {}", show(recorded)), format!("+ {}", show(today))];
            all.push(Misfit::new(at, "another error").with(lines));
        }
    }
    all
}
