//! What was expected against what happened.

use model::value::brief;
use model::{ExecutionState, Location, RuleRef, StepError, Value};

use super::case::{Case, Emitted, End, ExpectedError, Start};
use super::diff;
use super::found::{Found, Ran};
use super::matching::misfits;
use super::mocks::Unmocked;

/// One way in which a test did not go as expected.
#[derive(Debug, Clone, PartialEq)]
pub struct Misfit {
    /// Where the test says what it expects.
    pub at: Location,
    /// What differs.
    pub message: String,
    /// More of it: `- ` expected and not found, `+ ` found and not expected.
    pub lines: Vec<String>,
}

impl Misfit {
    pub(super) fn new(at: &Location, message: impl Into<String>) -> Self {
        Self { at: at.clone(), message: message.into(), lines: Vec::new() }
    }

    pub(super) fn with(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.lines.extend(lines);
        self
    }
}

/// Everything that differs.
pub(super) fn judge(case: &Case, found: &Found) -> Vec<Misfit> {
    // What follows from a call that nobody answered says nothing.
    if !found.unmocked.is_empty() {
        return found.unmocked.iter().map(|call| unmocked(case, call)).collect();
    }
    let mut all = Vec::new();
    if found.endless {
        let message = "the chain does not come to an end: it waits again and again";
        all.push(Misfit::new(&case.at, message).with(found.executions.iter().map(standing)));
    }
    cancelled(case, found, &mut all);
    rules(case, found, &mut all);
    rule_errors(case, found, &mut all);
    ends(case, found, &mut all);
    emits(case, found, &mut all);
    logs(case, found, &mut all);
    keys(case, found, &mut all);
    all
}

/// Who says that something is cancelled means that it had not ended.
fn cancelled(case: &Case, found: &Found, all: &mut Vec<Misfit>) {
    let Some((cancel, at)) = &case.cancel else { return };
    if !found.executions.iter().any(|ran| ran.cancelled) {
        let message = format!("nothing was left to cancel after {}", cancel.after);
        let lines = found.executions.iter().map(|ran| format!("  it had ended as {}", ran.state));
        all.push(Misfit::new(at, message).with(lines));
    }
}

fn unmocked(case: &Case, call: &Unmocked) -> Misfit {
    let message = format!("no mock answers this call of `{}`", call.action);
    let shown = format!("+ {} {}", call.action, brief(&call.parameters, 400));
    let hint = match call.nearest.is_empty() {
        true => vec![format!("  add to `mocks`: {}: {{ result: {{ … }} }}", call.action)],
        false => call.nearest.iter().map(|near| format!("  {near}")).collect(),
    };
    Misfit::new(&case.at, message).with(std::iter::once(shown).chain(hint))
}

fn standing(ran: &Ran) -> String {
    let open = ran.steps.iter().rev().find(|step| step.result.is_none());
    let at = open.map(|step| format!(" at {}", step.action)).unwrap_or_default();
    format!("  it stands{at} ({}) after {} steps", ran.state, ran.steps.len())
}

fn names(rules: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = rules.collect();
    format!("[{}]", names.join(", "))
}

fn rules(case: &Case, found: &Found, all: &mut Vec<Misfit>) {
    let Some((expected, at)) = &case.expect.rules else { return };
    let mut wanted: Vec<&str> = expected.iter().map(model::Name::as_str).collect();
    let mut got: Vec<&str> = found.rules.iter().map(|rule| rule.name.as_str()).collect();
    wanted.sort_unstable();
    got.sort_unstable();
    if wanted == got {
        return;
    }
    let message = match got.is_empty() {
        true => "no rule selects the event".to_owned(),
        false => "other rules select the event than expected".to_owned(),
    };
    let lines = [
        format!("- {}", names(wanted.iter().map(|name| (*name).to_owned()))),
        format!("+ {}", names(got.iter().map(|name| (*name).to_owned()))),
    ];
    let explained = found.explained.iter().flat_map(|explained| {
        let text = explained.to_string();
        text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>()
    });
    all.push(Misfit::new(at, message).with(lines).with(explained));
}

fn rule_errors(case: &Case, found: &Found, all: &mut Vec<Misfit>) {
    let expects = &case.expect.rule_errors;
    for (name, part, at) in expects {
        let error = found.rule_errors.iter().find(|(rule, _)| rule.name == *name);
        match error {
            Some((_, error)) if error.contains(part) => {}
            Some((_, error)) => {
                let misfit = Misfit::new(at, format!("the rule `{name}` fails with another error"));
                all.push(misfit.with([format!("- {part}"), format!("+ {error}")]));
            }
            None => all.push(Misfit::new(at, format!("the rule `{name}` does not fail"))),
        }
    }
    let unexpected = |rule: &RuleRef| !expects.iter().any(|(name, ..)| *name == rule.name);
    for (rule, error) in found.rule_errors.iter().filter(|(rule, _)| unexpected(rule)) {
        let at = case.expect.rules.as_ref().map_or(&case.at, |(_, at)| at);
        let misfit = Misfit::new(at, format!("the rule `{}` fails on the event", rule.name));
        all.push(misfit.with([format!("+ {error}")]));
    }
}

fn ends(case: &Case, found: &Found, all: &mut Vec<Misfit>) {
    if let Some(at) = case.expect.end.place() {
        match found.executions.as_slice() {
            [only] => end(&case.expect.end, only, all),
            [] => nothing_runs(case, found, at, all),
            several => {
                let names = several.iter().filter_map(|ran| ran.rule.as_ref());
                let names = names.map(|rule| rule.name.to_string());
                let message = format!("{} executions: say which is meant", several.len());
                let hint =
                    format!("  use `executions:` with {}", names.collect::<Vec<_>>().join(", "));
                all.push(Misfit::new(at, message).with([hint]));
            }
        }
    }
    for (name, at, expected) in &case.expect.executions {
        let of = |ran: &&Ran| ran.rule.as_ref().is_some_and(|rule| rule.name == *name);
        if let Some(ran) = found.executions.iter().find(of) {
            end(expected, ran, all);
        } else {
            let message = format!("the rule `{name}` does not select the event");
            all.push(Misfit::new(at, message));
        }
    }
    for ran in &found.executions {
        let told = |end: &End| end.outcome.is_some() || end.error.is_some();
        let rule = ran.rule.as_ref().map(|rule| &rule.name);
        let by_rule = case.expect.executions.iter().any(|(n, _, end)| Some(n) == rule && told(end));
        if !by_rule && !told(&case.expect.end) && ran.state != ExecutionState::Succeeded {
            let message = format!("it ends as {} and the test does not say so", ran.state);
            let at = case.expect.at.as_ref().unwrap_or(&case.at);
            all.push(Misfit::new(at, message).with(why(ran)));
        }
    }
}

/// An event started nothing. Said once: an expected rule that is missing says it better.
fn nothing_runs(case: &Case, found: &Found, at: &Location, all: &mut Vec<Misfit>) {
    let said = case.expect.rules.as_ref().is_some_and(|(names, _)| !names.is_empty());
    if matches!(case.start, Start::Event(_)) && !said && found.rule_errors.is_empty() {
        all.push(Misfit::new(at, "no rule selects the event, so nothing runs"));
    }
}

fn end(expected: &End, ran: &Ran, all: &mut Vec<Misfit>) {
    let before = all.len();
    if let Some((state, at)) = &expected.outcome
        && ran.state != *state
    {
        let lines = [format!("- {state}"), format!("+ {}", ran.state)];
        all.push(Misfit::new(at, "another outcome").with(lines).with(why(ran)));
    }
    if let Some((error, at)) = &expected.error {
        all.extend(wrong_error(error, at, ran));
    }
    if let Some((result, at)) = &expected.result {
        let found = ran.outcome.as_ref().and_then(|outcome| outcome.result.as_ref());
        match found {
            Some(found) => {
                let misfits = misfits(result, found);
                if !misfits.is_empty() {
                    let lines = misfits.into_iter().map(|misfit| format!("  {misfit}"));
                    all.push(Misfit::new(at, "another result").with(lines));
                }
            }
            None if all.len() == before => {
                all.push(Misfit::new(at, "there is no result").with(why(ran)));
            }
            None => {}
        }
    }
    if let Some((steps, at)) = &expected.steps
        && let Some(lines) = diff::steps(steps, &ran.steps)
    {
        all.push(Misfit::new(at, "other steps").with(lines));
    }
}

/// The error that says why an execution stands as it does.
fn told(ran: &Ran) -> Option<&StepError> {
    ran.outcome.as_ref().and_then(|outcome| outcome.error.as_ref()).or(ran.attention.as_ref())
}

fn why(ran: &Ran) -> Vec<String> {
    let error = told(ran).map(|error| match &error.action {
        Some(action) => format!("  {action}: {error}"),
        None => format!("  {error}"),
    });
    let handlers = ran.outcome.iter().flat_map(|outcome| &outcome.handler_errors);
    let handlers = handlers.map(|h| format!("  the handler at step {}: {}", h.path, h.error));
    error.into_iter().chain(handlers).collect()
}

fn wrong_error(expected: &ExpectedError, at: &Location, ran: &Ran) -> Option<Misfit> {
    let Some(error) = told(ran) else {
        return Some(Misfit::new(at, format!("there is no error: it ends as {}", ran.state)));
    };
    let mut lines = Vec::new();
    let mut differs = |what: &str, expected: String, found: String| {
        lines.push(format!("  {what}: expected {expected}, found {found}"));
    };
    if let Some(kind) = expected.kind.filter(|kind| *kind != error.kind) {
        differs("kind", kind.to_string(), error.kind.to_string());
    }
    if let Some(part) = expected.message.as_ref().filter(|part| !error.message.contains(*part)) {
        differs("message", format!("{part:?} in it"), format!("{:?}", error.message));
    }
    if let Some(action) = expected.action.as_ref().filter(|a| error.action.as_ref() != Some(a)) {
        let found = error.action.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
        differs("action", action.to_string(), found);
    }
    (!lines.is_empty()).then(|| Misfit::new(at, "another error").with(lines))
}

fn emits(case: &Case, found: &Found, all: &mut Vec<Misfit>) {
    let Some((expected, at)) = &case.expect.emits else { return };
    let fits = |(expected, found): (&Emitted, &(model::TriggerType, Value))| {
        expected.kind == found.0
            && expected.data.as_ref().is_none_or(|data| misfits(data, &found.1).is_empty())
    };
    if expected.len() == found.emits.len() && expected.iter().zip(&found.emits).all(fits) {
        return;
    }
    let show = |kind: &model::TriggerType, data: Option<&Value>| match data {
        Some(data) => format!("{kind} {}", brief(data, 200)),
        None => kind.to_string(),
    };
    let wanted = expected.iter().map(|e| format!("- {}", show(&e.kind, e.data.as_ref())));
    let got = found.emits.iter().map(|(kind, data)| format!("+ {}", show(kind, Some(data))));
    all.push(Misfit::new(at, "other events are emitted").with(wanted).with(got));
}

/// Each expected line must be logged, in this order; others may stand between.
fn logs(case: &Case, found: &Found, all: &mut Vec<Misfit>) {
    let Some((expected, at)) = &case.expect.logs else { return };
    let mut lines = found.logs.iter();
    let missing = expected.iter().find(|wanted| !lines.any(|line| line == *wanted));
    let Some(missing) = missing else {
        if expected.is_empty() && !found.logs.is_empty() {
            let lines = found.logs.iter().map(|line| format!("+ {line}"));
            all.push(Misfit::new(at, "nothing should be logged").with(lines));
        }
        return;
    };
    let lines = found.logs.iter().map(|line| format!("+ {line}"));
    let wanted = std::iter::once(format!("- {missing}"));
    all.push(Misfit::new(at, "a line is not logged").with(wanted).with(lines));
}

fn keys(case: &Case, found: &Found, all: &mut Vec<Misfit>) {
    for (key, expected, at) in &case.expect.keys {
        let name = key.split_once('/').map_or(key.as_str(), |(_, name)| name);
        match (expected, found.keys.get(key)) {
            (Value::Null, Some(found)) => {
                let message = format!("the key `{name}` should not be there");
                all.push(Misfit::new(at, message).with([format!("+ {}", brief(found, 200))]));
            }
            (Value::Null, None) => {}
            (_, None) => {
                let message = format!("the key `{name}` is not there");
                all.push(Misfit::new(at, message).with([format!("- {}", brief(expected, 200))]));
            }
            (expected, Some(found)) => {
                let misfits = misfits(expected, found);
                if !misfits.is_empty() {
                    let lines = misfits.into_iter().map(|misfit| format!("  {misfit}"));
                    all.push(Misfit::new(at, format!("the key `{name}` differs")).with(lines));
                }
            }
        }
    }
}
