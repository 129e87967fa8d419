//! `tripline rule`: list, get, test, explain, enable, disable, clear.

use clap::{Args, Subcommand};
use model::{RuleRef, Value};
use serde_json::json;

use super::noun::{Get, List};
use super::{ask, rule_explain, rule_test};
use crate::client::{Connection, segment};
use crate::failure::{Exit, Outcome};
use crate::output::{self, Column, Format};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List rules
    List(List),
    /// Show one, with its file
    Get(Get<RuleRef>),
    /// Try a rule's file on an event, without a server
    Test(rule_test::Args),
    /// Show why rules selected a stored event, or did not
    Explain(rule_explain::Args),
    /// Switch a rule on, whatever its file says
    Enable(Switch),
    /// Switch a rule off, whatever its file says
    Disable(Switch),
    /// Let a rule's file decide again whether it is on
    Clear(Switch),
}

#[derive(Debug, Args)]
pub(crate) struct Switch {
    /// The rule: pack.name
    #[arg(value_name = "RULE")]
    rule: RuleRef,
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
            Self::List(list) => ask(list.run("/rules", &COLUMNS)),
            Self::Get(get) => ask(show(get)),
            Self::Test(args) => args.run(),
            Self::Explain(args) => ask(args.run()),
            Self::Enable(args) => ask(args.run("enable")),
            Self::Disable(args) => ask(args.run("disable")),
            Self::Clear(args) => ask(args.run("clear")),
        }
    }
}

/// For people the file is printed as it was written, below the rest.
async fn show(get: Get<RuleRef>) -> Outcome {
    let format = get.output.format;
    let mut rule = get.fetch("/rules").await?;
    let text = rule.as_object_mut().and_then(|rule| match format {
        Format::Table => rule.remove("text"),
        _ => None,
    });
    output::value(format, &rule)?;
    if let Some(Value::String(text)) = text {
        output::say(&format!("\n{text}"))?;
    }
    Ok(Exit::Done)
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
