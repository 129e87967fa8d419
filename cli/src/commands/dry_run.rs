//! `tripline run ACTION --dry-run`: what it would do, as people read it.

use std::fmt::Write;

use model::value::brief;
use model::{ActionRef, Change, Effect, Plan, StepError, Value};
use serde::Deserialize;
use serde_json::json;

use crate::client::Client;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{self, Colour, Format, coloured};

/// Characters of a value that are shown.
const SHOWN: usize = 400;

#[derive(Debug, Deserialize)]
struct DryRun {
    action: ActionRef,
    parameters: Value,
    end: String,
    steps: Vec<Step>,
    result: Option<Value>,
    error: Option<StepError>,
    #[serde(default)]
    stopped: Vec<Stopped>,
}

#[derive(Debug, Deserialize)]
struct Step {
    path: String,
    call: String,
    action: Option<ActionRef>,
    effect: Option<Effect>,
    how: String,
    plan: Option<Plan>,
    result: Option<Value>,
    error: Option<StepError>,
    child: Option<Box<DryRun>>,
}

#[derive(Debug, Deserialize)]
struct Stopped {
    step: Option<String>,
    at: Option<String>,
    why: String,
}

/// Asks the server what running `action` would do, and prints it.
pub(super) async fn run(
    client: &Client,
    action: &ActionRef,
    parameters: Value,
    assume: Value,
    format: Format,
) -> Outcome {
    let body = json!({ "action": action, "parameters": parameters, "assume": assume });
    let told = client.post("/plans", &body).await?;
    let failed = told["end"] == "failed";
    match format {
        Format::Table => output::say(describe(&read(told)?).trim_end())?,
        format => output::value(format, &told)?,
    }
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

fn read(told: Value) -> Result<DryRun, Failure> {
    serde_json::from_value(told).map_err(|error| {
        Failure::new(Exit::Failed, "answer", format!("the server's answer: {error}"))
    })
}

fn describe(told: &DryRun) -> String {
    let mut text = format!("dry run of {}: nothing was changed\n", told.action);
    let _ = writeln!(text, "parameters  {}\n", brief(&told.parameters, SHOWN));
    steps(&mut text, "", told);
    text.push_str(&end(told));
    text
}

fn steps(text: &mut String, prefix: &str, told: &DryRun) {
    for step in &told.steps {
        let name = match &step.action {
            Some(action) => action.to_string(),
            None => format!("{}()", step.call),
        };
        let path = format!("{prefix}{}", step.path);
        let words = [step.effect.map(|effect| effect.to_string()), how(&step.how)];
        let words: Vec<String> = words.into_iter().flatten().collect();
        let line = format!("{path:6}  {name}  {}", coloured(Colour::Dim, &words.join(", ")));
        let _ = writeln!(text, "{}", line.trim_end());
        body(text, step);
        if let Some(child) = &step.child {
            steps(text, &format!("{path}/"), child);
        }
    }
}

/// What a plan needs no word for is what every step but a read gets.
fn how(how: &str) -> Option<String> {
    (!matches!(how, "planned" | "noted")).then(|| how.to_owned())
}

fn body(text: &mut String, step: &Step) {
    if let Some(plan) = &step.plan {
        let _ = writeln!(text, "        {}", plan.summary);
        plan.changes.iter().for_each(|one| change(text, one));
    }
    match (&step.error, &step.result) {
        (Some(error), _) => {
            let _ = writeln!(text, "        {} {error}", coloured(Colour::Red, "fails:"));
        }
        (None, Some(result)) if !is_empty(result) => {
            let _ = writeln!(text, "        → {}", brief(result, SHOWN));
        }
        _ => {}
    }
}

fn is_empty(result: &Value) -> bool {
    result.is_null() || result.as_object().is_some_and(model::Map::is_empty)
}

fn change(text: &mut String, change: &Change) {
    let _ = writeln!(text, "          {}", change.what);
    if let Some(diff) = &change.diff {
        diff.lines().for_each(|line| signed(text, line));
        return;
    }
    for (sign, value) in [("-", &change.before), ("+", &change.after)] {
        if let Some(value) = value {
            signed(text, &format!("{sign} {}", brief(value, SHOWN)));
        }
    }
}

fn signed(text: &mut String, line: &str) {
    let line = match line.as_bytes().first() {
        Some(b'-') => coloured(Colour::Red, line),
        Some(b'+') => coloured(Colour::Green, line),
        _ => line.to_owned(),
    };
    let _ = writeln!(text, "          {}", line.trim_end());
}

fn end(told: &DryRun) -> String {
    let mut text = String::new();
    match (told.end.as_str(), &told.error, &told.result) {
        ("failed", Some(error), _) => {
            let _ = writeln!(text, "\n{} {error}", coloured(Colour::Red, "it would fail:"));
        }
        ("complete", _, Some(result)) if !is_empty(result) => {
            let _ = writeln!(text, "\nit would return {}", brief(result, SHOWN));
        }
        ("complete", ..) => text.push_str("\nit would succeed\n"),
        _ => {}
    }
    for Stopped { why, at, .. } in &told.stopped {
        let _ = writeln!(text, "\n{} {why}", coloured(Colour::Yellow, "stopped:"));
        if let Some(at) = at {
            let _ = writeln!(text, "  at {at}");
        }
    }
    if let Some(step) = told.stopped.iter().find_map(|stopped| stopped.step.as_ref()) {
        let _ = writeln!(text, "  hint: go on with a result of yours: --assume {step}='{{ … }}'");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_dry_run_reads_as_a_list_of_changes_and_says_where_it_ends() {
        let told = json!({
            "action": "web.release", "parameters": { "commit": "0a1b" }, "end": "stopped",
            "result_known": false,
            "steps": [
                { "path": "1", "call": "run", "action": "http.request", "parameters": {},
                  "effect": "read", "how": "performed", "result": { "status": 200 } },
                { "path": "2", "call": "run", "action": "datastore.set", "effect": "idempotent",
                  "how": "planned", "result": {}, "plan": { "summary": "sets the key web/last",
                  "changes": [{ "what": "web/last", "before": "a", "after": "b" }] } },
                { "path": "3", "call": "log", "how": "noted", "result": "released" },
                { "path": "4", "call": "run", "action": "web.build", "how": "planned",
                  "child": { "action": "web.build", "parameters": {}, "end": "complete",
                    "steps": [{ "path": "1", "call": "run", "action": "git.commit_and_push",
                      "effect": "idempotent", "how": "planned", "plan": { "summary": "commits",
                      "changes": [{ "what": "app main", "diff": "--- a/x\n+++ b/x\n-1\n+2\n" }] } }] } },
            ],
            "stopped": [{ "step": "4", "at": "web/actions/release.rhai:5:10", "why": "`it` holds what `web.build` (step 4) would return" }],
        });
        expect![[r#"
            dry run of web.release: nothing was changed
            parameters  {"commit":"0a1b"}

            1       http.request  read, performed
                    → {"status":200}
            2       datastore.set  idempotent
                    sets the key web/last
                      web/last
                      - "a"
                      + "b"
            3       log()
                    → "released"
            4       web.build
            4/1     git.commit_and_push  idempotent
                    commits
                      app main
                      --- a/x
                      +++ b/x
                      -1
                      +2

            stopped: `it` holds what `web.build` (step 4) would return
              at web/actions/release.rhai:5:10
              hint: go on with a result of yours: --assume 4='{ … }'
        "#]]
        .assert_eq(&describe(&read(told).unwrap()));
    }
}
