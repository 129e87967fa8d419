//! `tripline audit`: who did what.

use clap::{Args, Subcommand};

use model::Timestamp;

use crate::client::Connection;
use crate::failure::{Exit, Outcome};
use crate::input;
use crate::listing::Page;
use crate::output::{self, Column, Output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List what people and programs did, newest first
    List(List),
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only what the holder of the token of this name did
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Only facts of this name, such as CancelRequested
    #[arg(long, value_name = "FACT")]
    name: Option<String>,
    /// Only at this time or later; a length such as 24h counts back from now
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

const COLUMNS: [Column; 4] = [
    Column::time("TIME", "/at"),
    Column::at("WHO", "/actor"),
    Column::at("WHAT", "/name"),
    Column::at("TO", "/stream"),
];

impl Command {
    pub(super) async fn run(self) -> Outcome {
        let Self::List(asked) = self;
        let client = asked.connection.client()?;
        let page = Page::newest(&client, "/audit", asked.query(), asked.limit).await?;
        output::list(asked.output.format, &page.rows, &COLUMNS)?;
        page.more();
        Ok(Exit::Done)
    }
}

impl List {
    fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        query.extend(self.by.clone().map(|name| ("token", name)));
        query.extend(self.name.clone().map(|name| ("name", name)));
        query.extend(self.since.map(|since| ("since", since.to_string())));
        query.extend(self.before.map(|before| ("before", before.to_string())));
        query
    }
}
