//! `tripline event`: list, get, emit, reemit, give-up.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use model::{EventKey, Timestamp, TriggerType, Value};
use serde_json::json;

use crate::client::{Connection, segment};
use crate::failure::{Exit, Failure, Outcome};
use crate::input;
use crate::listing::Page;
use crate::output::{self, Column, Format, Output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List events, newest first
    List(List),
    /// Show one, with its data and what the rules made of it
    Get(One),
    /// Hand an event in
    Emit(Emit),
    /// Make a new event of a stored one: rules see it again
    Reemit(One),
    /// Give up what is lost of a stuck event, so that the rest of it goes on
    #[command(after_help = GIVE_UP_HELP)]
    GiveUp(One),
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only of this trigger type
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<TriggerType>,
    /// Only from sources that begin so
    #[arg(long)]
    source: Option<String>,
    /// Only accepted at this time or later; a length such as 24h counts back from now
    #[arg(long, value_name = "TIME", value_parser = input::since)]
    since: Option<Timestamp>,
    /// Only before this position, to get the next page
    #[arg(long, value_name = "POSITION")]
    before: Option<u64>,
    /// At most so many
    #[arg(long, default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct One {
    /// The event
    #[arg(value_name = "EVENT")]
    key: EventKey,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

const EMIT_EXAMPLES: &str = "\
Examples:
  tripline event emit shop.ordered --data order.json --id order-17
  echo '{\"ref\": \"refs/heads/main\"}' | tripline event emit ci.built --data -

The same --id told twice is one event, and runs nothing twice.";

#[derive(Debug, Args)]
#[command(after_help = EMIT_EXAMPLES)]
pub(crate) struct Emit {
    /// Its trigger type: a pack's own, or one that is built in
    #[arg(value_name = "TYPE")]
    kind: TriggerType,
    /// A file of YAML or JSON with its data (`-`: standard input) [default: no data, `{}`]
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// What tells it from other events that are emitted with this token [default: random]
    #[arg(long)]
    id: Option<String>,
    /// What it happened to
    #[arg(long)]
    subject: Option<String>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

const GIVE_UP_HELP: &str = "\
What very many rules ask for on one event is kept in files until it is requested. Where such
a file is lost or damaged, put it back from a backup: the server goes on by itself. If there is
none, this leaves out what only that file held: those executions are never requested. To let
today's rules see the event again: `tripline event reemit`.";

const COLUMNS: [Column; 6] = [
    Column::at("EVENT", "/key"),
    Column::at("TYPE", "/envelope/type"),
    Column::at("SUBJECT", "/envelope/subject"),
    Column::time("ACCEPTED", "/accepted_at"),
    Column::of("RULES", rules),
    Column::at("REPEATED", "/duplicates"),
];

fn rules(row: &Value) -> String {
    let matched = row["matched"].as_array().into_iter().flatten();
    let matched = matched.filter_map(|pair| pair[0].as_str()).map(ToOwned::to_owned);
    let failed = row["failed"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let names: Vec<_> = matched.chain(failed.map(|rule| format!("{rule} (failed)"))).collect();
    if names.is_empty() { "-".to_owned() } else { names.join(", ") }
}

impl Command {
    pub(super) async fn run(self) -> Outcome {
        match self {
            Self::List(args) => args.run().await,
            Self::Get(args) => args.get().await,
            Self::Emit(args) => args.run().await,
            Self::Reemit(args) => args.reemit().await,
            Self::GiveUp(args) => args.give_up().await,
        }
    }
}

impl List {
    async fn run(self) -> Outcome {
        let mut query = Vec::new();
        let mut ask = |name, value: Option<String>| query.extend(value.map(|value| (name, value)));
        ask("type", self.kind.map(|kind| kind.to_string()));
        ask("source", self.source);
        ask("since", self.since.map(|since| since.to_string()));
        ask("before", self.before.map(|before| before.to_string()));
        let client = self.connection.client()?;
        let page = Page::newest(&client, "/events", query, self.limit).await?;
        output::list(self.output.format, &page.rows, &COLUMNS)?;
        page.more();
        Ok(Exit::Done)
    }
}

impl One {
    fn path(&self) -> String {
        format!("/events/{}", segment(self.key.as_str()))
    }

    async fn get(self) -> Outcome {
        let event: Value = self.connection.client()?.get(&self.path(), &[]).await?;
        output::value(self.output.format, &event)?;
        Ok(Exit::Done)
    }

    async fn reemit(self) -> Outcome {
        let path = format!("{}/reemit", self.path());
        let emitted = self.connection.client()?.start(&path, &json!({})).await?;
        tell(self.output.format, &emitted)
    }

    async fn give_up(self) -> Outcome {
        let path = format!("{}/give-up", self.path());
        let given_up = self.connection.client()?.post(&path, &json!({})).await?;
        if self.output.format != Format::Table {
            output::value(self.output.format, &given_up)?;
            return Ok(Exit::Done);
        }
        let parts = given_up["parts"].as_u64().unwrap_or_default();
        let s = if parts == 1 { "" } else { "s" };
        output::say(&format!("{}  gave up {parts} part{s}; the rest is requested", self.key))?;
        Ok(Exit::Done)
    }
}

impl Emit {
    async fn run(self) -> Outcome {
        // A file that says nothing says no more than none.
        let data = self.data.as_deref().map(input::document).transpose()?;
        let data = data.filter(|data| !data.is_null()).unwrap_or_else(|| json!({}));
        let id = self.id.unwrap_or_else(engine::random_secret);
        let body = json!({ "type": self.kind, "id": id, "subject": self.subject, "data": data });
        let emitted = self.connection.client()?.tell("/events", &body).await?;
        tell(self.output.format, &emitted)
    }
}

/// The event's key, and what it set off.
fn tell(format: Format, emitted: &Value) -> Outcome {
    if format != Format::Table {
        output::value(format, emitted)?;
        return Ok(Exit::Done);
    }
    let event = emitted["event"].as_str().unwrap_or_default();
    let known = match (&emitted["duplicate"], &emitted["differs"]) {
        (Value::Bool(true), Value::Bool(true)) => {
            "  known already, with other data: the first stands"
        }
        (Value::Bool(true), _) => "  known already",
        _ => "",
    };
    output::say(&format!("{event}{known}"))?;
    let executions = emitted["executions"].as_array().into_iter().flatten();
    for id in executions.filter_map(Value::as_str) {
        output::say(&format!("  started {id}"))?;
    }
    let none = emitted["executions"].as_array().is_some_and(Vec::is_empty);
    if none && known.is_empty() {
        output::say(&format!("  no rule selected it; why: tripline rule explain {event}"))?;
    }
    Ok::<_, Failure>(Exit::Done)
}
