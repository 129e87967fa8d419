//! `tripline timer`: when timers fire next.

use clap::{Args, Subcommand};

use crate::client::Connection;
use crate::failure::{Exit, Outcome};
use crate::listing::Page;
use crate::output::{self, Column, Output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List timers and their next firings
    List(List),
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// How many firings of each
    #[arg(long, default_value_t = 3)]
    count: usize,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

const COLUMNS: [Column; 4] = [
    Column::at("TYPE", "/type"),
    Column::at("PARAMETERS", "/parameters"),
    Column::at("RULES", "/rules"),
    Column::at("NEXT", "/next"),
];

impl Command {
    pub(super) async fn run(self) -> Outcome {
        let Self::List(List { count, output, connection }) = self;
        let (client, query) = (connection.client()?, vec![("count", count.to_string())]);
        let rows = Page::by_name(&client, "/timers", query, usize::MAX).await?;
        output::list(output.format, &rows, &COLUMNS)?;
        Ok(Exit::Done)
    }
}
