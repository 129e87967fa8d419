//! `tripline pack`: what is loaded, and what is wrong with it.

use clap::{Args, Subcommand};
use model::Value;

use super::{ask, check, pack_test};
use crate::client::{Connection, segment};
use crate::failure::{Exit, Outcome};
use crate::output::{self, Column, Output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List packs and how they stand
    List(List),
    /// Show one, and what is wrong with its files
    Get(Get),
    /// Find what is wrong with packs, without a server
    Check(check::Args),
    /// Run the tests of packs, without a server and without a network
    Test(pack_test::Args),
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
    /// The pack
    #[arg(value_name = "PACK")]
    name: String,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

const COLUMNS: [Column; 8] = [
    Column::at("PACK", "/name"),
    Column::at("VERSION", "/version"),
    Column::at("STATE", "/state"),
    Column::at("RULES", "/rules"),
    Column::at("ACTIONS", "/actions"),
    Column::at("SENSORS", "/sensors"),
    Column::of("FINDINGS", findings),
    Column::at("DESCRIPTION", "/description"),
];

fn findings(row: &Value) -> String {
    match row["findings"].as_array().map_or(0, Vec::len) {
        0 => "-".to_owned(),
        count => count.to_string(),
    }
}

impl Command {
    pub(super) fn run(self) -> Outcome {
        match self {
            Self::List(args) => ask(args.run()),
            Self::Get(args) => ask(args.run()),
            Self::Check(args) => args.run(),
            Self::Test(args) => args.run(),
        }
    }
}

impl List {
    async fn run(self) -> Outcome {
        let rows = self.connection.client()?.list("/packs", &[]).await?;
        output::list(self.output.format, &rows, &COLUMNS)?;
        Ok(Exit::Done)
    }
}

impl Get {
    async fn run(self) -> Outcome {
        let path = format!("/packs/{}", segment(&self.name));
        let pack: Value = self.connection.client()?.get(&path, &[]).await?;
        output::value(self.output.format, &pack)?;
        Ok(Exit::Done)
    }
}
