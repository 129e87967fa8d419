//! An execution as people read it: how it stands, what happened, and what to do now.

use std::fmt::Write;

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
    pub(crate) outcome: Option<Outcome>,
    #[serde(default)]
    continues: Option<ExecutionId>,
    actor: Actor,
    /// A server of an older version tells none.
    size: Option<Size>,
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
    line("parameters", &brief(&execution.parameters, SHOWN));
    if let Some(result) = execution.outcome.as_ref().and_then(|outcome| outcome.result.as_ref()) {
        line("result", &brief(result, SHOWN));
    }
    if let Some(next) = execution.outcome.as_ref().and_then(|end| end.continued_as.as_ref()) {
        line("continued", &format!("as {next}"));
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
        // Whoever asked, asked for the first run.
        Some(of) => format!("goes on from {of}"),
        None => format!("run by {}", execution.actor.as_str()),
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
    match execution.row.state {
        ExecutionState::NeedsAttention => Some(resolve_hint(execution)),
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
    let resolve = format!("tripline execution resolve {id}");
    match execution.attention.as_ref().and_then(|attention| attention.path.as_ref()) {
        None => format!("{resolve} --retry    or: {resolve} --fail MESSAGE"),
        Some(_) => format!(
            "find out whether the step was done, then one of\n  \
             {resolve} --done --result '{{}}'    it was done, and this is its result\n  \
             {resolve} --retry                 it was not, or doing it twice is harmless\n  \
             {resolve} --fail MESSAGE          go on as if it had failed"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use serde_json::json;

    fn execution(changes: Value) -> Execution {
        let mut all = json!({
            "id": "ex_aaaaaaaaaaaaaaaaaaaaaaaaaa", "action": "web.release", "state": "succeeded",
            "origin": { "rule": { "rule": "web.release", "event": "ev_bbbbbbbbbbbbbbbbbbbbbbbbbb" } },
            "requested_at": "2026-01-02T03:04:05Z", "started_at": "2026-01-02T03:04:05.010Z",
            "finished_at": "2026-01-02T03:04:07.510Z", "wake_at": null, "message": null,
            "pack": "a".repeat(64), "position": 7, "pack_version": "1.0.0",
            "parameters": { "commit": "0a1b" }, "steps": [], "attention": null,
            "outcome": { "state": "succeeded", "result": { "ok": true }, "error": null,
                         "handler_errors": [] },
            "undo": null, "actor": "engine",
            "size": { "steps": 1, "max_steps": 10_000, "bytes": 9, "max_bytes": 16_777_216,
                      "near_limit": false },
        });
        for (name, value) in changes.as_object().unwrap() {
            all[name] = value.clone();
        }
        serde_json::from_value(all).unwrap()
    }

    fn step(path: &str, changes: Value) -> Value {
        let mut all = json!({
            "path": path, "kind": "run", "action": "web.activate", "parameters": { "host": "a" },
            "effect": "unsafe", "state": "done", "attempts": 1,
            "started_at": "2026-01-02T03:04:05.010Z", "finished_at": "2026-01-02T03:04:06.210Z",
            "next_at": null, "result": null, "error": null, "child": null,
        });
        for (name, value) in changes.as_object().unwrap() {
            all[name] = value.clone();
        }
        all
    }

    fn check(changes: Value, expected: &Expect) {
        expected.assert_eq(&describe(&execution(changes)));
    }

    #[test]
    fn a_success_says_where_it_came_from_and_what_it_returned() {
        check(
            json!({ "steps": [step("1", json!({})), step("2", json!({ "kind": "log", "action": null, "effect": null, "result": "released\nto a", "finished_at": "2026-01-02T03:04:05.010Z" }))] }),
            &expect![[r#"
                ex_aaaaaaaaaaaaaaaaaaaaaaaaaa  succeeded
                  action      web.release  (pack web 1.0.0, content aaaaaaaaaaaa)
                  cause       rule web.release on event ev_bbbbbbbbbbbbbbbbbbbbbbbbbb
                  requested   2026-01-02T03:04:05Z
                  ran         from 2026-01-02T03:04:05Z to 2026-01-02T03:04:07Z, 2.5s
                  parameters  {"commit":"0a1b"}
                  result      {"ok":true}

                  STEP  CALL          STATE            NOTES
                  1     web.activate  done             1.2s
                  2     log()         done             released
            "#]],
        );
    }

    #[test]
    fn a_failure_shows_the_step_its_parameters_and_the_end_of_its_stderr() {
        let error = json!({ "message": "the program exited with 3: no space", "kind": "program",
            "action": "web.activate", "attempts": 3,
            "details": { "exit_code": 3, "stderr": "copying\nno space\n" } });
        check(
            json!({
                "state": "failed",
                "steps": [step("1", json!({ "state": "failed", "attempts": 3, "error": error }))],
                "outcome": { "state": "failed", "result": null, "error": error, "handler_errors": [] },
            }),
            &expect![[r#"
                ex_aaaaaaaaaaaaaaaaaaaaaaaaaa  failed
                  action      web.release  (pack web 1.0.0, content aaaaaaaaaaaa)
                  cause       rule web.release on event ev_bbbbbbbbbbbbbbbbbbbbbbbbbb
                  requested   2026-01-02T03:04:05Z
                  ran         from 2026-01-02T03:04:05Z to 2026-01-02T03:04:07Z, 2.5s
                  parameters  {"commit":"0a1b"}

                  STEP  CALL          STATE            NOTES
                  1     web.activate  failed           1.2s, 3 attempts, the program exited with 3: no space

                step 1 failed
                  error       the program exited with 3: no space (program)
                  action      web.activate  (unsafe)
                  parameters  {"host":"a"}
                  attempts    3
                  stderr      copying
                              no space

                next: tripline execution logs ex_aaaaaaaaaaaaaaaaaaaaaaaaaa
            "#]],
        );
    }

    #[test]
    fn a_step_says_what_a_person_decided_and_a_later_run_where_it_goes_on() {
        let resolved = json!({ "as": "done", "by": "token:ada", "at": "2026-01-02T03:04:06Z" });
        check(
            json!({
                "origin": "manual", "continues": "ex_bbbbbbbbbbbbbbbbbbbbbbbbbb",
                "steps": [step("1", json!({ "resolved": resolved }))],
            }),
            &expect![[r#"
                ex_aaaaaaaaaaaaaaaaaaaaaaaaaa  succeeded
                  action      web.release  (pack web 1.0.0, content aaaaaaaaaaaa)
                  cause       goes on from ex_bbbbbbbbbbbbbbbbbbbbbbbbbb
                  continues   ex_bbbbbbbbbbbbbbbbbbbbbbbbbb
                  requested   2026-01-02T03:04:05Z
                  ran         from 2026-01-02T03:04:05Z to 2026-01-02T03:04:07Z, 2.5s
                  parameters  {"commit":"0a1b"}
                  result      {"ok":true}

                  STEP  CALL          STATE            NOTES
                  1     web.activate  done             1.2s, taken for done as token:ada said
            "#]],
        );
    }

    #[test]
    fn who_must_decide_is_told_what_there_is_to_choose() {
        let error = json!({ "message": "the program was killed", "kind": "unavailable",
            "action": "web.activate", "attempts": 1, "details": null });
        check(
            json!({
                "state": "needs_attention", "outcome": null, "finished_at": null,
                "steps": [step("1", json!({ "state": "needs_attention", "finished_at": null, "error": error }))],
                "attention": { "path": "1", "error": error },
            }),
            &expect![[r#"
                ex_aaaaaaaaaaaaaaaaaaaaaaaaaa  needs_attention
                  action      web.release  (pack web 1.0.0, content aaaaaaaaaaaa)
                  cause       rule web.release on event ev_bbbbbbbbbbbbbbbbbbbbbbbbbb
                  requested   2026-01-02T03:04:05Z
                  ran         from 2026-01-02T03:04:05Z
                  parameters  {"commit":"0a1b"}

                  STEP  CALL          STATE            NOTES
                  1     web.activate  needs_attention  the program was killed

                step 1 needs attention: nobody knows whether it was done
                  error       the program was killed (unavailable)
                  action      web.activate  (unsafe)
                  parameters  {"host":"a"}
                  attempts    1

                next: find out whether the step was done, then one of
                  tripline execution resolve ex_aaaaaaaaaaaaaaaaaaaaaaaaaa --done --result '{}'    it was done, and this is its result
                  tripline execution resolve ex_aaaaaaaaaaaaaaaaaaaaaaaaaa --retry                 it was not, or doing it twice is harmless
                  tripline execution resolve ex_aaaaaaaaaaaaaaaaaaaaaaaaaa --fail MESSAGE          go on as if it had failed
            "#]],
        );
    }

    #[test]
    fn lengths_of_time_are_as_exact_as_they_are_long() {
        let at = |millis| Timestamp::from_millisecond(millis).unwrap();
        for (millis, text) in [(0, "0ms"), (999, "999ms"), (1_250, "1.2s"), (3_723_000, "1h2m3s")] {
            assert_eq!(took(at(0), at(millis)), text);
        }
    }
}
