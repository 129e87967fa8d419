//! An execution as people read it: how it stands, what happened, and what to do now.

pub(crate) mod asked;

use std::fmt::Write;

use engine::view::resolve_command;
use model::value::brief;
use model::{
    ActionRef, Actor, Effect, ExecutionId, ExecutionState, Origin, Outcome, StepError, StepPath,
    Timestamp, Value,
};
use serde::Deserialize;
use store::ExecutionRow;

use crate::output::{Colour, coloured, seconds};

/// Characters of a value, and lines of a log, that are shown.
const SHOWN: usize = 400;
const SHOWN_LINES: usize = 12;
/// Characters of a line in a table.
const LINE: usize = 80;

/// An execution as the API tells it.
#[derive(Debug, Deserialize)]
pub(crate) struct Execution {
    #[serde(flatten)]
    pub(crate) row: ExecutionRow,
    pack_version: Option<String>,
    parameters: Value,
    steps: Vec<Step>,
    attention: Option<Attention>,
    #[serde(default)]
    waits_for: Vec<Undecided>,
    pub(crate) outcome: Option<Outcome>,
    #[serde(default)]
    continues: Option<ExecutionId>,
    #[serde(default)]
    pub(crate) latest: Option<Latest>,
    actor: Actor,
    /// A server of an older version tells none.
    size: Option<Size>,
}

impl Execution {
    /// The first of what a person must decide about before it goes on: itself, or one that it runs.
    pub(crate) fn undecided(&self) -> Option<&ExecutionId> {
        let own = (self.row.state == ExecutionState::NeedsAttention).then_some(&self.row.id);
        own.or_else(|| self.waits_for.first().map(|waits| &waits.execution))
    }
}

/// The run that it is now, having gone on.
#[derive(Debug, Deserialize)]
pub(crate) struct Latest {
    pub(crate) id: ExecutionId,
    state: ExecutionState,
}

#[derive(Debug, Deserialize)]
struct Size {
    steps: usize,
    max_steps: usize,
    bytes: usize,
    max_bytes: usize,
    near_limit: bool,
}

#[derive(Debug, Deserialize)]
struct Attention {
    path: Option<StepPath>,
    error: StepError,
}

/// What must be decided before it ends or goes on.
#[derive(Debug, Deserialize)]
struct Undecided {
    execution: ExecutionId,
}

#[derive(Debug, Deserialize)]
struct Step {
    path: StepPath,
    kind: String,
    action: Option<ActionRef>,
    parameters: Option<Value>,
    effect: Option<Effect>,
    state: String,
    attempts: u32,
    started_at: Timestamp,
    finished_at: Option<Timestamp>,
    next_at: Option<Timestamp>,
    #[serde(default)]
    result: Option<Value>,
    error: Option<StepError>,
    child: Option<ExecutionId>,
    #[serde(default)]
    resolved: Option<Resolved>,
}

/// What a person decided about a step.
#[derive(Debug, Deserialize)]
struct Resolved {
    #[serde(rename = "as")]
    decision: String,
    by: Actor,
}

/// The colour of a state, of an execution or a step.
pub(crate) fn colour(state: &str) -> Colour {
    match state {
        "succeeded" | "done" => Colour::Green,
        "failed" | "timed_out" => Colour::Red,
        "needs_attention" | "undoing" | "cancelled" => Colour::Yellow,
        _ => Colour::Dim,
    }
}

/// How long something took.
pub(crate) fn took(from: Timestamp, to: Timestamp) -> String {
    let millis = to.as_millisecond().saturating_sub(from.as_millisecond()).max(0);
    match millis {
        0..1_000 => format!("{millis}ms"),
        1_000..60_000 => format!("{}.{}s", millis / 1_000, millis % 1_000 / 100),
        _ => model::Duration::from_secs(millis.unsigned_abs() / 1_000).to_string(),
    }
}

/// The execution in words, with the command to try next.
pub(crate) fn describe(execution: &Execution) -> String {
    let mut text = head(&execution.row);
    let mut line = |name: &str, value: &str| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "  {name:<11} {value}");
    };
    line("action", &action(execution));
    line("cause", &cause(execution));
    if let Some(of) = &execution.continues {
        line("continues", of.as_str());
    }
    line("requested", &seconds(execution.row.requested_at));
    if let Some(times) = times(&execution.row) {
        line("ran", &times);
    }
    if let Some((name, told)) = asked::line(&execution.row) {
        line(name, &told);
    }
    line("parameters", &brief(&execution.parameters, SHOWN));
    if let Some(result) = execution.outcome.as_ref().and_then(|outcome| outcome.result.as_ref()) {
        line("result", &brief(result, SHOWN));
    }
    if let Some(next) = execution.outcome.as_ref().and_then(|end| end.continued_as.as_ref()) {
        line("continued", &format!("as {next}"));
    }
    if let Some(latest) = &execution.latest {
        line("now", &format!("{} ({})", latest.id, latest.state));
    }
    if let Some(warning) = execution.size.as_ref().and_then(warning) {
        line("warning", &warning);
    }
    if !execution.steps.is_empty() {
        text.push('\n');
        text.push_str(&steps(&execution.steps));
    }
    if let Some(trouble) = trouble(execution) {
        text.push('\n');
        text.push_str(&trouble);
    }
    if let Some(next) = next(execution) {
        let _ = write!(text, "\nnext: {next}\n");
    }
    text
}

fn head(row: &ExecutionRow) -> String {
    let state = row.state.as_str();
    format!("{}  {}\n", row.id, coloured(colour(state), state))
}

fn action(execution: &Execution) -> String {
    let action = &execution.row.action;
    match (&execution.pack_version, &execution.row.pack) {
        (Some(version), Some(hash)) => {
            format!("{action}  (pack {} {version}, content {})", action.pack(), hash.short())
        }
        (None, Some(hash)) => format!("{action}  (content {})", hash.short()),
        _ => format!("{action}  (built in)"),
    }
}

/// That the journal comes near its bounds.
fn warning(size: &Size) -> Option<String> {
    let Size { steps, max_steps, bytes, max_bytes, near_limit } = size;
    near_limit.then(|| {
        format!("near its bounds: {steps} of {max_steps} calls, {bytes} of {max_bytes} bytes")
    })
}

fn cause(execution: &Execution) -> String {
    let asked = || match &execution.continues {
        // An older version did not note who asked for the first run.
        Some(of) if execution.actor == Actor::engine() => format!("goes on from {of}"),
        _ => format!("run by {}", execution.actor.as_str()),
    };
    match &execution.row.origin {
        Origin::Rule { rule, event } => format!("rule {rule} on event {event}"),
        Origin::Manual => asked(),
        Origin::Step { parent, path } => format!("step {path} of {parent}"),
        Origin::Rerun { of, rule: Some(rule) } => {
            format!("repeats {of} of rule {rule}, asked for by {}", execution.actor.as_str())
        }
        Origin::Rerun { of, rule: None } => {
            format!("repeats {of}, asked for by {}", execution.actor.as_str())
        }
    }
}

fn times(row: &ExecutionRow) -> Option<String> {
    let started = row.started_at?;
    let begun = format!("from {}", seconds(started));
    Some(match (row.finished_at, row.wake_at) {
        (Some(finished), _) => {
            format!("{begun} to {}, {}", seconds(finished), took(started, finished))
        }
        (None, Some(wake)) => format!("{begun}, goes on at {}", seconds(wake)),
        (None, None) => begun,
    })
}

fn steps(steps: &[Step]) -> String {
    let name = |step: &Step| match &step.action {
        Some(action) => action.to_string(),
        None => format!("{}()", step.kind),
    };
    let width = |of: &dyn Fn(&Step) -> usize| steps.iter().map(of).max().unwrap_or(0).max(4);
    let paths = width(&|step| step.path.to_string().len());
    let names = width(&|step| name(step).len());
    let mut text = format!("  {:paths$}  {:names$}  {:15}  {}\n", "STEP", "CALL", "STATE", "NOTES");
    for step in steps {
        let state = coloured(colour(&step.state), &format!("{:15}", step.state));
        let path = step.path.to_string();
        let line = format!("  {path:paths$}  {:names$}  {state}  {}", name(step), note(step));
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn note(step: &Step) -> String {
    let mut notes: Vec<String> = recorded(step).into_iter().collect();
    match (step.finished_at, step.next_at) {
        (Some(finished), _) if finished != step.started_at => {
            notes.push(took(step.started_at, finished));
        }
        (None, Some(next)) => notes.push(format!("until {}", seconds(next))),
        _ => {}
    }
    if step.attempts > 1 {
        notes.push(format!("{} attempts", step.attempts));
    }
    if let Some(resolved) = &step.resolved {
        notes.push(decided(resolved));
    }
    if let Some(error) = &step.error {
        notes.push(first_line(&error.message));
    }
    notes.join(", ")
}

fn decided(resolved: &Resolved) -> String {
    let what = match resolved.decision.as_str() {
        "done" => "taken for done",
        "retry" => "tried again",
        _ => "taken for failed",
    };
    format!("{what} as {} said", resolved.by.as_str())
}

/// What the chain answered itself: the text of `log()`, the time of `now()`, the type of `emit()`.
fn recorded(step: &Step) -> Option<String> {
    let result = step.result.as_ref()?;
    let told = match step.kind.as_str() {
        "log" | "now" => result.as_str()?,
        "emit" => result["type"].as_str()?,
        _ => return None,
    };
    Some(first_line(told))
}

/// The first line of a text, cut with a sign where it is long.
pub(crate) fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(LINE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// The step, or the end, that somebody should look at.
fn trouble(execution: &Execution) -> Option<String> {
    if let Some(Attention { path, error }) = &execution.attention {
        let step = path.as_ref().and_then(|path| execution.steps.iter().find(|s| s.path == *path));
        let what = match path {
            Some(path) => format!("step {path} needs attention: nobody knows whether it was done"),
            None => "the execution needs attention".to_owned(),
        };
        return Some(failed(&what, step, error));
    }
    let outcome = execution.outcome.as_ref()?;
    let handlers = outcome.handler_errors.iter().map(|failure| {
        failed(
            &format!("the handler registered at {} failed too", failure.path),
            None,
            &failure.error,
        )
    });
    let own = outcome.error.as_ref().map(|error| {
        // The step whose error ended the chain: the last that failed with it.
        let same = |step: &&Step| step.error.as_ref().is_some_and(|e| e.message == error.message);
        let step = execution.steps.iter().rev().find(same);
        let what = match step {
            Some(step) => format!("step {} failed", step.path),
            None => format!("it {}", ended(outcome.state)),
        };
        failed(&what, step, error)
    });
    let told: Vec<String> = own.into_iter().chain(handlers).collect();
    (!told.is_empty()).then(|| told.join("\n"))
}

const fn ended(state: ExecutionState) -> &'static str {
    match state {
        ExecutionState::Cancelled => "was cancelled",
        ExecutionState::TimedOut => "took longer than its deadline",
        _ => "failed",
    }
}

fn failed(what: &str, step: Option<&Step>, error: &StepError) -> String {
    let mut text = format!("{what}\n  error       {} ({})\n", error.message, error.kind);
    // A script's own error says its place already.
    if let Some(at) = error.details["at"].as_str().filter(|at| !error.message.contains(at)) {
        let _ = writeln!(text, "  at          {at}");
    }
    if let Some(step) = step {
        if let Some(action) = &step.action {
            let effect = step.effect.map(|effect| format!("  ({effect})")).unwrap_or_default();
            let _ = writeln!(text, "  action      {action}{effect}");
        }
        if let Some(parameters) = &step.parameters {
            let _ = writeln!(text, "  parameters  {}", brief(parameters, SHOWN));
        }
        let _ = writeln!(text, "  attempts    {}", step.attempts);
    }
    let stderr = error.details["stderr"].as_str().unwrap_or_default().trim_end();
    if !stderr.is_empty() {
        let lines: Vec<&str> = stderr.lines().collect();
        let tail = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
        let _ = writeln!(text, "  stderr      {}", tail.join("\n              "));
    }
    text
}

/// The command that probably helps.
fn next(execution: &Execution) -> Option<String> {
    let id = &execution.row.id;
    let failed_child = || {
        let failed = |step: &&Step| step.error.is_some() && step.child.is_some();
        execution.steps.iter().rev().find(failed).and_then(|step| step.child.clone())
    };
    let below = execution.waits_for.iter().find(|waits| waits.execution != *id);
    match execution.row.state {
        ExecutionState::NeedsAttention => Some(resolve_hint(execution)),
        state if !state.is_end() && below.is_some() => below.map(|waits| {
            let then = if asked::is_to_end(&execution.row) { "ends" } else { "goes on" };
            let child = &waits.execution;
            format!("it {then} once this is decided about: tripline execution get {child}")
        }),
        ExecutionState::Paused => Some(format!("tripline execution resume {id}")),
        ExecutionState::Failed | ExecutionState::TimedOut => Some(match failed_child() {
            Some(child) => format!("tripline execution get {child}"),
            None => format!("tripline execution logs {id}"),
        }),
        state if state.is_end() => None,
        _ => Some(format!("tripline execution watch {id}")),
    }
}

fn resolve_hint(execution: &Execution) -> String {
    let id = &execution.row.id;
    let resolve = resolve_command(id, execution.attention.as_ref().and_then(|it| it.path.as_ref()));
    match execution.attention.as_ref().and_then(|attention| attention.path.as_ref()) {
        None => format!("{resolve} --retry    or: {resolve} --fail MESSAGE"),
        Some(_) if asked::is_to_end(&execution.row) => format!(
            "it ends once somebody has said whether the step was done, by one of\n  \
             {resolve} --done --result '{{}}'    it was done, and this is its result\n  \
             {resolve} --fail MESSAGE          it was not, and is not performed again"
        ),
        Some(_) => format!(
            "find out whether the step was done, then one of\n  \
             {resolve} --done --result '{{}}'    it was done, and this is its result\n  \
             {resolve} --retry                 it was not, or doing it twice is harmless\n  \
             {resolve} --fail MESSAGE          go on as if it had failed"
        ),
    }
}

#[cfg(test)]
mod tests;
