//! `tripline key`: the datastore.

use clap::{Args, Subcommand};
use model::{Duration, Value};
use serde_json::json;

use crate::client::{Connection, segment};
use crate::failure::{Exit, Failure, Outcome};
use crate::input;
use crate::listing::Page;
use crate::output::{self, Column, Format, Output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List keys
    List(List),
    /// Show a key's value
    Get(Get),
    /// Give a key a value
    Set(Set),
    /// Delete a key
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only keys that begin so
    #[arg(value_name = "PREFIX", default_value = "")]
    prefix: String,
    /// Only keys that come after this one
    #[arg(long, value_name = "KEY", default_value = "", hide_default_value = true)]
    after: String,
    /// At most so many
    #[arg(long, default_value_t = 200)]
    limit: usize,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The key: scope/name
    #[arg(value_name = "KEY")]
    key: String,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Set {
    /// The key: scope/name
    #[arg(value_name = "KEY")]
    key: String,
    /// Its value, in YAML or JSON
    #[arg(value_name = "VALUE")]
    value: String,
    /// After this time it is gone, such as 1h30m
    #[arg(long, value_name = "TIME")]
    ttl: Option<Duration>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The key: scope/name
    #[arg(value_name = "KEY")]
    key: String,
    #[command(flatten)]
    connection: Connection,
}

const COLUMNS: [Column; 4] = [
    Column::at("KEY", "/key"),
    Column::at("VALUE", "/value"),
    Column::time("SET", "/at"),
    Column::time("EXPIRES", "/expires_at"),
];

impl Command {
    pub(super) async fn run(self) -> Outcome {
        match self {
            Self::List(asked) => {
                let rows = asked.rows().await?;
                output::list(asked.output.format, &rows, &COLUMNS)?;
            }
            Self::Get(Get { key, output, connection }) => {
                let path = format!("/keys/{}", segment(&key));
                let row: Value = connection.client()?.get(&path, &[]).await?;
                match output.format {
                    // For people the value is what was asked for.
                    Format::Table => output::value(Format::Json, &row["value"])?,
                    format => output::value(format, &row)?,
                }
            }
            Self::Set(Set { key, value, ttl, connection }) => {
                let value = input::value("the value", &value)?;
                let path = format!("/keys/{}", segment(&key));
                let body = json!({ "value": value, "ttl": ttl });
                connection.client()?.put(&path, &body).await?;
            }
            Self::Delete(Delete { key, connection }) => {
                let path = format!("/keys/{}", segment(&key));
                connection.client()?.delete(&path).await?;
            }
        }
        Ok(Exit::Done)
    }
}

impl List {
    async fn rows(&self) -> Result<Vec<Value>, Failure> {
        let client = self.connection.client()?;
        let query = vec![("prefix", self.prefix.clone()), ("after", self.after.clone())];
        Page::by_name(&client, "/keys", query, self.limit).await
    }
}
