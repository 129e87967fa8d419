//! `tripline run`: an action, run now, and its result.

use std::io::IsTerminal;
use std::path::PathBuf;

use model::{ActionRef, ExecutionId, Map, Outcome as Ended, Value};
use serde_json::json;

use crate::client::{Client, Connection, segment};
use crate::failure::{Exit, Failure, Outcome};
use crate::follow::{End, follow};
use crate::output::{Format, Output};
use crate::{input, output};

use super::dry_run;

const EXAMPLES: &str = "\
Examples:
  tripline run core.echo value=hello
  tripline run web.release commit=0a1b2c hosts='[a, b]'
  tripline run web.release --params release.yaml --detach
  tripline run web.release commit=0a1b2c --dry-run
  tripline run web.release commit=0a1b2c --dry-run --assume 3='{ id: 7 }' -o json

A value is read as YAML (3, true, [a, b]) unless the action says that it is a string. The result
is printed as JSON on stdout; what happens meanwhile on stderr, if that is a terminal. Ctrl-C
leaves the execution running. Exit code 6: a person must decide before it goes on. A chain that
goes on as a new run (continue_as) is followed; result and exit code are those of the last run.

With --dry-run nothing is changed: actions that only read are performed, all others say what they
would do. It goes as far as it can without the results that only performing gives.";

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
    /// Say what it would do, and change nothing
    #[arg(long, conflicts_with = "detach")]
    dry_run: bool,
    /// In a dry run, the result of the step at PATH, where its plan does not say it
    #[arg(long, value_name = "PATH=RESULT", requires = "dry_run")]
    assume: Vec<String>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

impl Args {
    pub(super) async fn run(self) -> Outcome {
        let client = self.connection.client()?;
        if self.dry_run {
            let parameters = Value::Object(self.given(&client).await?);
            let assume = Value::Object(input::parameters(&self.assume, &Value::Null)?);
            let format = self.output.format;
            return dry_run::run(&client, &self.action, parameters, assume, format).await;
        }
        let id = self.start(&client).await?;
        if self.detach {
            output::say(id.as_str())?;
            return Ok(Exit::Done);
        }
        tokio::select! {
            followed = self.watch(&id) => followed,
            _ = tokio::signal::ctrl_c() => {
                output::tell(&format!("the execution goes on; watch it: tripline execution watch {id}"));
                Ok(Exit::Interrupted)
            }
        }
    }

    /// The parameters: those of the file, and over them those of the command line.
    async fn given(&self, client: &Client) -> Result<Map, Failure> {
        let mut parameters = match &self.params {
            Some(file) => input::map(file)?,
            None => Map::new(),
        };
        if !self.parameters.is_empty() {
            let path = format!("/actions/{}", segment(self.action.as_str()));
            let action: Value = client.get(&path, &[]).await?;
            parameters.extend(input::parameters(&self.parameters, &action["parameters"])?);
        }
        Ok(parameters)
    }

    async fn start(&self, client: &Client) -> Result<ExecutionId, Failure> {
        let parameters = self.given(client).await?;
        let body = json!({ "action": self.action, "parameters": parameters });
        let started = client.start("/executions", &body).await?;
        let id = started["id"].as_str().unwrap_or_default().parse();
        id.map_err(|error| {
            Failure::new(Exit::Failed, "answer", format!("the server's answer: {error}"))
        })
    }

    async fn watch(&self, id: &ExecutionId) -> Outcome {
        let progress = std::io::stderr().is_terminal();
        let followed = follow(&self.connection, id, |line| {
            if progress {
                output::tell(line);
            }
            Ok(())
        });
        let followed = followed.await?;
        let id = &followed.id;
        match &followed.end {
            End::Ended(outcome) => tell(id, outcome, self.output.format)?,
            End::Attention(undecided) => {
                output::tell(&format!(
                    "a person must decide before it goes on: tripline execution get {undecided}"
                ));
            }
        }
        Ok(followed.exit())
    }
}

fn tell(id: &ExecutionId, outcome: &Ended, format: Format) -> Result<(), Failure> {
    if let Some(result) = &outcome.result {
        // People read a result as the program that they feed with it does.
        let format = if format == Format::Table { Format::Json } else { format };
        output::value(format, result)?;
    }
    if let Some(error) = &outcome.error {
        output::tell(&format!(
            "{}: {error}",
            output::coloured(output::Colour::Red, outcome.state.as_str())
        ));
        output::tell(&format!("  hint: tripline execution get {id}"));
    }
    Ok(())
}
