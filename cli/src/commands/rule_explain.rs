//! `tripline rule explain`: why rules selected a stored event, or did not.

use model::{EventKey, RuleRef, Value};

use crate::client::{Connection, segment};
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{self, Colour, Format, Output, coloured};

const EXAMPLES: &str = "\
Examples:
  tripline rule explain ev_…                what the rules of its type made of it when it came
  tripline rule explain ev_… web.release    one rule, each criterion
  tripline rule explain ev_… --now          what today's rules would make of it
  tripline rule explain ev_… --all          rules of other trigger types too";

/// Which event, and which rules.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The event
    #[arg(value_name = "EVENT")]
    event: EventKey,
    /// Only this rule
    #[arg(value_name = "RULE")]
    rule: Option<RuleRef>,
    /// Ask today's rules, instead of showing what was decided
    #[arg(long)]
    now: bool,
    /// Rules of other trigger types too, which cannot select it
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

impl Args {
    pub(super) async fn run(self) -> Outcome {
        let mut query = vec![("now", self.now.to_string())];
        query.extend(self.rule.as_ref().map(|rule| ("rule", rule.to_string())));
        let path = format!("/events/{}/explain", segment(self.event.as_str()));
        let rows = self.connection.client()?.list(&path, &query).await?;
        let every = self.all || self.rule.is_some();
        let (told, others): (Vec<Value>, Vec<Value>) =
            rows.into_iter().partition(|row| every || is_of_its_type(row));
        match self.output.format {
            Format::Table => print(&told, others.len())?,
            format => output::value(format, &told)?,
        }
        Ok(Exit::Done)
    }
}

/// A rule whose text is gone is told too: it decided something.
fn is_of_its_type(row: &Value) -> bool {
    row["explanation"]["trigger"]["passed"] != false
}

fn print(told: &[Value], others: usize) -> Result<(), Failure> {
    for row in told {
        output::say(&format!("{}\n", explained(row)))?;
    }
    match (told.len(), others) {
        (0, 0) => output::say("there are no rules"),
        (_, 0) => Ok(()),
        (told, others) => {
            let none = if told == 0 { "no rule is of the event's type; " } else { "" };
            let rules = if others == 1 { "rule is" } else { "rules are" };
            output::say(&format!("{none}{others} {rules} of another type: --all shows them"))
        }
    }
}

/// The verdict, once, and each check below it.
fn explained(row: &Value) -> String {
    let rule = row["rule"].as_str().unwrap_or_default();
    let text = row["text"].as_str().unwrap_or_default();
    let (_, checks) = text.split_once('\n').unwrap_or_default();
    let outcome = row["explanation"]["outcome"].as_str();
    let (recorded, verdict) = match verdict(&row["recorded"]) {
        // The check that failed says why.
        Some(("error", _)) if outcome == Some("error") => (outcome, asked_now("error")),
        Some((recorded, verdict)) => (Some(recorded), verdict),
        None => (outcome, asked_now(outcome.unwrap_or_default())),
    };
    let note = row["note"].as_str().map(|note| format!("  ({note})")).unwrap_or_default();
    let mut told = format!("{rule}: {verdict}{note}");
    // What was decided stands, whatever the same checks say of the event today.
    if let Some(outcome) = outcome.filter(|_| outcome != recorded) {
        told = format!("{told}\n  checked again: {}", asked_now(outcome));
    }
    if checks.is_empty() { told } else { format!("{told}\n{checks}") }
}

/// What was stored: as an explanation names it, and for people.
fn verdict(recorded: &Value) -> Option<(&'static str, String)> {
    match recorded {
        Value::String(_) => Some(("no_match", asked_now("no_match"))),
        Value::Object(decision) => decision.iter().next().map(|(kind, what)| {
            let what = what.as_str().unwrap_or_default();
            match kind.as_str() {
                "selected" => ("match", format!("{}: {what}", asked_now("match"))),
                _ => ("error", format!("{}: {what}", asked_now("error"))),
            }
        }),
        _ => None,
    }
}

fn asked_now(outcome: &str) -> String {
    match outcome {
        "match" => coloured(Colour::Green, "match"),
        "error" => coloured(Colour::Red, "error"),
        "no_match" => "no match".to_owned(),
        _ => "not known".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_verdict_is_told_once_and_twice_only_where_it_differs() {
        let row = |recorded: Value, outcome: &str| {
            json!({
                "rule": "a.b", "recorded": recorded, "note": null, "text": "a.b: x\n  ✓ type t",
                "explanation": { "outcome": outcome, "trigger": { "passed": true } },
            })
        };
        for (recorded, outcome, told) in [
            (json!("not_selected"), "no_match", "a.b: no match\n  ✓ type t"),
            (json!({ "selected": "ex_1" }), "match", "a.b: match: ex_1\n  ✓ type t"),
            (json!({ "failed": "no x" }), "error", "a.b: error\n  ✓ type t"),
            (json!(null), "match", "a.b: match\n  ✓ type t"),
            (json!("not_selected"), "match", "a.b: no match\n  checked again: match\n  ✓ type t"),
        ] {
            assert_eq!(explained(&row(recorded, outcome)), told);
        }
    }

    #[test]
    fn a_rule_whose_text_is_gone_says_what_it_decided() {
        let row = json!({
            "rule": "a.b", "recorded": { "selected": "ex_1" }, "text": null,
            "explanation": null, "note": "the rule's text of that time is gone",
        });
        assert!(is_of_its_type(&row));
        assert_eq!(explained(&row), "a.b: match: ex_1  (the rule's text of that time is gone)");
    }
}
