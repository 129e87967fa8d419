//! `tripline sensor`: what watches for events, and how it stands.

use clap::{Args, Subcommand};
use model::Value;
use serde_json::json;

use crate::client::{Connection, segment};
use crate::failure::{Exit, Outcome};
use crate::output::{self, Column, Output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List sensors and how they stand
    List(List),
    /// Show one: its parameters, its cursor, why it waits or fails
    Get(Get),
    /// Start one again at once
    Restart(Restart),
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
    /// The sensor, as `sensor list` shows it: pack/sensor
    #[arg(value_name = "SENSOR")]
    id: String,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Restart {
    /// The sensor, as `sensor list` shows it: pack/sensor
    #[arg(value_name = "SENSOR")]
    id: String,
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
            Self::List(List { output, connection }) => {
                let rows = connection.client()?.list("/sensors", &[]).await?;
                output::list(output.format, &rows, &COLUMNS)?;
            }
            Self::Get(Get { id, output, connection }) => {
                let path = format!("/sensors/{}", segment(&id));
                let sensor: Value = connection.client()?.get(&path, &[]).await?;
                output::value(output.format, &sensor)?;
            }
            Self::Restart(Restart { id, connection }) => {
                let path = format!("/sensors/{}/restart", segment(&id));
                connection.client()?.post(&path, &json!({})).await?;
                output::say(&format!("{id} is started again"))?;
            }
        }
        Ok(Exit::Done)
    }
}
