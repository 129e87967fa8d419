//! What nouns have in common: `list` without filters, and `get` of one thing.

use std::str::FromStr;

use clap::Args;
use model::Value;

use crate::client::{Connection, segment};
use crate::failure::{Exit, Failure, Outcome};
use crate::listing::Page;
use crate::output::{self, Column, Output};

/// `list`, where there is nothing to choose from.
#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// `get` of what a `T` names.
#[derive(Debug, Args)]
pub(super) struct Get<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync> + Clone + Send + Sync + 'static,
{
    /// Its name, as the listing shows it
    #[arg(value_name = "NAME")]
    name: T,
    #[command(flatten)]
    pub(super) output: Output,
    #[command(flatten)]
    connection: Connection,
}

impl List {
    /// Lists what is at `path`.
    pub(super) async fn run(self, path: &str, columns: &[Column]) -> Outcome {
        let client = self.connection.client()?;
        let rows = Page::by_name(&client, path, Vec::new(), usize::MAX).await?;
        output::list(self.output.format, &rows, columns)?;
        Ok(Exit::Done)
    }
}

impl<T> Get<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync> + Clone + Send + Sync + ToString + 'static,
{
    /// Shows what is below `path`.
    pub(super) async fn run(self, path: &str) -> Outcome {
        output::value(self.output.format, &self.fetch(path).await?)?;
        Ok(Exit::Done)
    }

    /// What is below `path`.
    pub(super) async fn fetch(&self, path: &str) -> Result<Value, Failure> {
        let path = format!("{path}/{}", segment(&self.name.to_string()));
        self.connection.client()?.get(&path, &[]).await
    }
}
