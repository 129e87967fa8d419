//! `tripline trigger`: the event types that rules can name.

use clap::{Args, Subcommand};
use model::{TriggerType, Value};

use crate::client::{Connection, segment};
use crate::failure::{Exit, Outcome};
use crate::output::{self, Column, Output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List trigger types
    List(List),
    /// Show one: its parameters and its payload
    Get(Get),
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
    /// The trigger type
    #[arg(value_name = "TYPE")]
    kind: TriggerType,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

const COLUMNS: [Column; 3] = [
    Column::at("TYPE", "/type"),
    Column::at("RULES", "/rules"),
    Column::at("DESCRIPTION", "/description"),
];

impl Command {
    pub(super) async fn run(self) -> Outcome {
        match self {
            Self::List(List { output, connection }) => {
                let rows = connection.client()?.list("/triggers", &[]).await?;
                output::list(output.format, &rows, &COLUMNS)?;
            }
            Self::Get(Get { kind, output, connection }) => {
                let path = format!("/triggers/{}", segment(kind.as_str()));
                let trigger: Value = connection.client()?.get(&path, &[]).await?;
                output::value(output.format, &trigger)?;
            }
        }
        Ok(Exit::Done)
    }
}
