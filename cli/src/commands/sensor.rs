//! `tripline sensor`: what watches for events, how it stands, what its program says.

use clap::{Args, Subcommand};
use model::Value;
use serde_json::json;

use super::noun::{Get, List};
use crate::client::{Connection, segment};
use crate::failure::{Exit, Outcome};
use crate::output::{self, Column, Format, Output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List sensors and how they stand
    List(List),
    /// Show one: its parameters, its cursor, why it waits or fails
    Get(Get<String>),
    /// Print what the program of a sensor wrote to stderr
    Logs(Logs),
    /// Start one again at once
    Restart(Known),
    /// Say that what one found is right: it waits for that where many objects are gone at once
    Confirm(Known),
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Its name, as the listing shows it
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Known {
    /// Its name, as the listing shows it
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    connection: Connection,
}

const COLUMNS: [Column; 6] = [
    Column::at("SENSOR", "/id"),
    Column::at("TYPE", "/type"),
    Column::at("STATE", "/state"),
    Column::at("EVENTS", "/events"),
    Column::at("RULES", "/rules"),
    Column::at("MESSAGE", "/message"),
];

impl Command {
    pub(super) async fn run(self) -> Outcome {
        match self {
            Self::List(list) => list.run("/sensors", &COLUMNS).await,
            Self::Get(get) => get.run("/sensors").await,
            Self::Logs(logs) => logs.run().await,
            Self::Restart(known) => known.tell("restart", "is started again").await,
            Self::Confirm(known) => known.tell("confirm", "goes on with what it found").await,
        }
    }
}

impl Known {
    async fn tell(self, what: &str, done: &str) -> Outcome {
        let path = format!("/sensors/{}/{what}", segment(&self.name));
        self.connection.client()?.post(&path, &json!({})).await?;
        output::say(&format!("{} {done}", self.name))?;
        Ok(Exit::Done)
    }
}

impl Logs {
    async fn run(self) -> Outcome {
        let path = format!("/sensors/{}/logs", segment(&self.name));
        let log: Value = self.connection.client()?.get(&path, &[]).await?;
        match (self.output.format, log["text"].as_str().unwrap_or_default()) {
            (Format::Table, "") => output::say("nothing was printed to stderr")?,
            (Format::Table, text) => output::say(text.trim_end())?,
            (format, _) => output::value(format, &log)?,
        }
        Ok(Exit::Done)
    }
}
