//! `tripline rule`: list, get, test, explain, enable, disable, clear.

use clap::{Args, Subcommand};
use model::{EventKey, RuleRef, Value};
use serde_json::json;

use super::{ask, rule_test};
use crate::client::{Connection, segment};
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{self, Column, Format, Output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List rules
    List(List),
    /// Show one, with its file
    Get(Get),
    /// Try a rule's file on an event, without a server
    Test(rule_test::Args),
    /// Show why rules selected a stored event, or did not
    Explain(Explain),
    /// Switch a rule on, whatever its file says
    Enable(Switch),
    /// Switch a rule off, whatever its file says
    Disable(Switch),
    /// Let a rule's file decide again whether it is on
    Clear(Switch),
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The rule: pack.name
    #[arg(value_name = "RULE")]
    rule: RuleRef,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Switch {
    /// The rule: pack.name
    #[arg(value_name = "RULE")]
    rule: RuleRef,
    #[command(flatten)]
    connection: Connection,
}

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  tripline rule explain ev_…                what each rule made of it when it came
  tripline rule explain ev_… web.release    one rule, each criterion
  tripline rule explain ev_… --now          what today's rules would make of it";

#[derive(Debug, Args)]
#[command(after_help = EXPLAIN_EXAMPLES)]
pub(crate) struct Explain {
    /// The event
    #[arg(value_name = "EVENT")]
    event: EventKey,
    /// Only this rule
    #[arg(value_name = "RULE")]
    rule: Option<RuleRef>,
    /// Ask today's rules, instead of showing what was decided
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

const COLUMNS: [Column; 7] = [
    Column::at("RULE", "/rule"),
    Column::at("ENABLED", "/enabled"),
    Column::at("TRIGGER", "/trigger"),
    Column::at("ACTION", "/action"),
    Column::at("MATCHED", "/counts/matched"),
    Column::at("FAILED", "/counts/failed"),
    Column::time("LAST MATCH", "/counts/last_matched"),
];

impl Command {
    pub(super) fn run(self) -> Outcome {
        match self {
            Self::List(args) => ask(args.run()),
            Self::Get(args) => ask(args.run()),
            Self::Test(args) => args.run(),
            Self::Explain(args) => ask(args.run()),
            Self::Enable(args) => ask(args.run("enable")),
            Self::Disable(args) => ask(args.run("disable")),
            Self::Clear(args) => ask(args.run("clear")),
        }
    }
}

impl List {
    async fn run(self) -> Outcome {
        let rows = self.connection.client()?.list("/rules", &[]).await?;
        output::list(self.output.format, &rows, &COLUMNS)?;
        Ok(Exit::Done)
    }
}

impl Get {
    async fn run(self) -> Outcome {
        let path = format!("/rules/{}", segment(&self.rule.to_string()));
        let mut rule: Value = self.connection.client()?.get(&path, &[]).await?;
        // For people the file is printed as it was written, below the rest.
        let text = match self.output.format {
            Format::Table => rule["text"].take(),
            _ => Value::Null,
        };
        if let (Value::String(text), Some(rest)) = (&text, rule.as_object_mut()) {
            rest.remove("text");
            output::value(Format::Yaml, &rule)?;
            return output::say(&format!("\n{text}")).map(|()| Exit::Done);
        }
        output::value(self.output.format, &rule)?;
        Ok(Exit::Done)
    }
}

impl Switch {
    async fn run(self, verb: &str) -> Outcome {
        let path = format!("/rules/{}/{verb}", segment(&self.rule.to_string()));
        self.connection.client()?.post(&path, &json!({})).await?;
        let told = match verb {
            "enable" => "is on, whatever its file says",
            "disable" => "is off, whatever its file says",
            _ => "is as its file says",
        };
        output::say(&format!("{} {told}", self.rule))?;
        Ok(Exit::Done)
    }
}

impl Explain {
    async fn run(self) -> Outcome {
        let mut query = vec![("now", self.now.to_string())];
        query.extend(self.rule.as_ref().map(|rule| ("rule", rule.to_string())));
        let path = format!("/events/{}/explain", segment(self.event.as_str()));
        let rows = self.connection.client()?.list(&path, &query).await?;
        if self.output.format != Format::Table {
            output::value(self.output.format, &rows)?;
        } else if rows.is_empty() {
            output::say("there are no rules")?;
        } else {
            rows.iter().try_for_each(explain)?;
        }
        Ok(Exit::Done)
    }
}

/// What was decided, and each check.
fn explain(row: &Value) -> Result<(), Failure> {
    let rule = row["rule"].as_str().unwrap_or_default();
    let note = row["note"].as_str().map(|note| format!("  ({note})")).unwrap_or_default();
    let recorded = match &row["recorded"] {
        Value::String(_) => Some(format!("{rule} did not select it{note}")),
        Value::Object(decision) => decision.iter().next().map(|(kind, what)| {
            let what = what.as_str().unwrap_or_default();
            match kind.as_str() {
                "selected" => format!("{rule} selected it: {what}{note}"),
                _ => format!("{rule} failed on it: {what}{note}"),
            }
        }),
        _ if !note.is_empty() => Some(format!("{rule}{note}")),
        _ => None,
    };
    recorded.iter().try_for_each(|line| output::say(line))?;
    match row["text"].as_str() {
        Some(text) => output::say(&format!("{text}\n")),
        None => Ok(()),
    }
}
