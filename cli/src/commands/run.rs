//! `tripline run`: an action, run now, and its result.

use std::io::IsTerminal;
use std::path::PathBuf;

use model::{ActionRef, ExecutionId, Outcome as Ended, Value};
use serde_json::json;

use crate::client::{Client, Connection, segment};
use crate::failure::{Exit, Failure, Outcome};
use crate::follow::{Followed, follow};
use crate::{input, output};

const EXAMPLES: &str = "\
Examples:
  tripline run core.echo value=hello
  tripline run web.release commit=0a1b2c hosts='[a, b]'
  tripline run web.release --params release.yaml --detach

A value is read as YAML (3, true, [a, b]) unless the action says that it is a string. The result
is printed as JSON on stdout; what happens meanwhile on stderr, if that is a terminal. Ctrl-C
leaves the execution running. Exit code 6: a person must decide before it goes on.";

/// Which action, and with what.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The action, such as core.echo
    #[arg(value_name = "ACTION")]
    action: ActionRef,
    /// Its parameters
    #[arg(value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    /// A file of YAML or JSON with parameters (`-`: standard input); those above win
    #[arg(long, value_name = "FILE")]
    params: Option<PathBuf>,
    /// Print the execution's id and leave
    #[arg(long)]
    detach: bool,
    /// Known, and not supported by this version
    #[arg(long, hide = true)]
    dry_run: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Args {
    pub(super) async fn run(self) -> Outcome {
        if self.dry_run {
            return Err(Failure::later("run --dry-run"));
        }
        let client = self.connection.client()?;
        let id = self.start(&client).await?;
        if self.detach {
            output::say(id.as_str())?;
            return Ok(Exit::Done);
        }
        tokio::select! {
            followed = watch(&self.connection, &id) => followed,
            _ = tokio::signal::ctrl_c() => {
                eprintln!("the execution goes on; watch it: tripline execution watch {id}");
                Ok(Exit::Interrupted)
            }
        }
    }

    async fn start(&self, client: &Client) -> Result<ExecutionId, Failure> {
        let mut parameters = match &self.params {
            Some(file) => input::map(file)?,
            None => model::Map::new(),
        };
        if !self.parameters.is_empty() {
            let path = format!("/actions/{}", segment(self.action.as_str()));
            let action: Value = client.get(&path, &[]).await?;
            parameters.extend(input::parameters(&self.parameters, &action["parameters"])?);
        }
        let body = json!({ "action": self.action, "parameters": parameters });
        let started = client.post("/executions", &body).await?;
        let id = started["id"].as_str().unwrap_or_default().parse();
        id.map_err(|error| {
            Failure::new(Exit::Failed, "answer", format!("the server's answer: {error}"))
        })
    }
}

async fn watch(connection: &Connection, id: &ExecutionId) -> Outcome {
    let progress = std::io::stderr().is_terminal();
    let followed = follow(connection, id, |line| {
        if progress {
            eprintln!("{line}");
        }
        Ok(())
    });
    let followed = followed.await?;
    match &followed {
        Followed::Ended(outcome) => tell(id, outcome)?,
        Followed::Attention => {
            eprintln!("a person must decide before it goes on: tripline execution get {id}");
        }
    }
    Ok(followed.exit())
}

fn tell(id: &ExecutionId, outcome: &Ended) -> Result<(), Failure> {
    if let Some(result) = &outcome.result {
        output::value(output::Format::Json, result)?;
    }
    if let Some(error) = &outcome.error {
        eprintln!("{}: {error}", output::error_style(outcome.state.as_str()));
        eprintln!("  hint: tripline execution get {id}");
    }
    Ok(())
}
