//! `tripline sensor`: what watches for events, and how it stands.

use clap::{Args, Subcommand};
use serde_json::json;

use super::noun::{Get, List};
use crate::client::{Connection, segment};
use crate::failure::{Exit, Outcome};
use crate::output::{self, Column};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List sensors and how they stand
    List(List),
    /// Show one: its parameters, its cursor, why it waits or fails
    Get(Get<String>),
    /// Start one again at once
    Restart(Restart),
}

#[derive(Debug, Args)]
pub(crate) struct Restart {
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
            Self::Restart(Restart { name, connection }) => {
                let path = format!("/sensors/{}/restart", segment(&name));
                connection.client()?.post(&path, &json!({})).await?;
                output::say(&format!("{name} is started again"))?;
                Ok(Exit::Done)
            }
        }
    }
}
