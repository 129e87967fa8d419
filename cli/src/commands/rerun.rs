//! `tripline execution rerun`: one execution again, or from a step on; or many, after asking.

use std::io::{self, BufRead, IsTerminal};

use model::{ExecutionId, StepPath, Value};
use serde_json::json;

use super::execution::{COLUMNS, Which};
use crate::client::{Client, Connection, segment};
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{self, Format, Output};

const EXAMPLES: &str = "\
Examples:
  tripline execution rerun ex_…                       all of it, with what is active now
  tripline execution rerun ex_… --from 3              take over what came before step 3
  tripline execution rerun --failed --rule web.release --since 24h";

/// Which execution and from where, or which ones.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The execution; without one, all that the filters find
    #[arg(value_name = "ID")]
    id: Option<ExecutionId>,
    /// The first step to make again; what does not follow it is taken over
    #[arg(long, value_name = "STEP", requires = "id")]
    from: Option<StepPath>,
    /// Also where undo has begun: assume that what is taken over is still in effect
    #[arg(long, requires = "from")]
    force: bool,
    #[command(flatten)]
    which: Which,
    /// Don't ask before many are repeated
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

impl Args {
    pub(super) async fn run(self) -> Outcome {
        let client = self.connection.client()?;
        match &self.id {
            Some(_) if self.which.is_given() => {
                Err(Failure::usage("name an execution or filters, not both"))
            }
            Some(id) => {
                let body = json!({ "from": self.from, "force": self.force });
                let repeated = repeat(&client, id.as_str(), &body).await?;
                self.tell(&repeated)
            }
            None if !self.which.is_given() => Err(Failure::usage(
                "name an execution, or say which ones: --failed, --rule, --action, --pack, --since …",
            )),
            None => self.many(&client).await,
        }
    }

    async fn many(&self, client: &Client) -> Outcome {
        let page = self.which.page(client).await?;
        let found = &page.rows;
        if found.is_empty() {
            output::say("no execution is like that")?;
            return Ok(Exit::Done);
        }
        if !self.yes && !agreed(found)? {
            output::say("nothing was repeated")?;
            return Ok(Exit::Done);
        }
        let mut all = Vec::new();
        // The oldest first, as they were asked for. One that is refused holds up no other.
        for row in found.iter().rev() {
            all.push(self.one_of_many(client, shown(&row["id"])).await?);
        }
        if self.output.format != Format::Table {
            output::value(self.output.format, &all)?;
        }
        page.more();
        let refused = all.iter().filter(|one| one["error"].is_object()).count();
        if refused > 0 {
            output::tell(&format!("{refused} of {} were not repeated", all.len()));
            return Ok(Exit::Failed);
        }
        Ok(Exit::Done)
    }

    /// What became of one; a failure if nobody answers.
    async fn one_of_many(&self, client: &Client, id: &str) -> Result<Value, Failure> {
        let mut repeated = match repeat(client, id, &json!({})).await {
            Err(failure) if failure.is_unreachable() => return Err(failure),
            Err(failure) => {
                let (kind, message) = failure.in_short();
                output::tell(&format!("{id} is not repeated: {message} ({kind})"));
                json!({ "error": { "kind": kind, "message": message } })
            }
            Ok(repeated) => repeated,
        };
        if self.output.format == Format::Table && repeated["id"].is_string() {
            output::say(&format!("{} repeats {id}", shown(&repeated["id"])))?;
        }
        repeated["of"] = Value::from(id);
        Ok(repeated)
    }

    fn tell(&self, repeated: &Value) -> Outcome {
        if self.output.format != Format::Table {
            output::value(self.output.format, repeated)?;
            return Ok(Exit::Done);
        }
        for step in repeated["assumed"].as_array().into_iter().flatten() {
            let (path, action) = (shown(&step["path"]), shown(&step["action"]));
            output::say(&format!("taken for done: step {path}  {action}"))?;
        }
        let id = shown(&repeated["id"]);
        output::say(&format!("it runs as {id}; watch it: tripline execution watch {id}"))?;
        Ok(Exit::Done)
    }
}

async fn repeat(client: &Client, id: &str, body: &Value) -> Result<Value, Failure> {
    client.start(&format!("/executions/{}/rerun", segment(id)), body).await
}

fn shown(text: &Value) -> &str {
    text.as_str().unwrap_or_default()
}

/// Shows what would be repeated and asks.
fn agreed(found: &[Value]) -> Result<bool, Failure> {
    output::list(Format::Table, found, &COLUMNS)?;
    if !io::stdin().is_terminal() {
        let message =
            format!("{} executions would be repeated, and nobody can be asked", found.len());
        return Err(Failure::usage(message).with_hint("add --yes to repeat them"));
    }
    output::ask(&format!("repeat these {}? [y/N] ", found.len()));
    let mut answer = String::new();
    // Where nothing can be read nobody agrees.
    let _ = io::stdin().lock().read_line(&mut answer);
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
