//! `tripline action`: what can be run.

use clap::{Args, Subcommand};
use model::{ActionRef, Value};

use crate::client::{Connection, segment};
use crate::failure::{Exit, Outcome};
use crate::output::{self, Column, Output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List actions
    List(List),
    /// Show one: its parameters and its result
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
    /// The action
    #[arg(value_name = "ACTION")]
    action: ActionRef,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

const COLUMNS: [Column; 4] = [
    Column::at("ACTION", "/action"),
    Column::at("KIND", "/kind"),
    Column::at("EFFECT", "/effect"),
    Column::at("DESCRIPTION", "/description"),
];

impl Command {
    pub(super) async fn run(self) -> Outcome {
        match self {
            Self::List(List { output, connection }) => {
                let rows = connection.client()?.list("/actions", &[]).await?;
                output::list(output.format, &rows, &COLUMNS)?;
            }
            Self::Get(Get { action, output, connection }) => {
                let path = format!("/actions/{}", segment(action.as_str()));
                let action: Value = connection.client()?.get(&path, &[]).await?;
                output::value(output.format, &action)?;
            }
        }
        Ok(Exit::Done)
    }
}
