//! `tripline execution rerun`: one execution again, or from a step on; or many, after asking.

use std::io::{self, BufRead, IsTerminal};

use model::{ExecutionId, ExecutionState, StepPath, Value};
use serde_json::json;

use super::execution::{COLUMNS, Which};
use crate::client::{Client, Connection, segment};
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{self, Format, Output};

const EXAMPLES: &str = "\
Examples:
  tripline execution rerun ex_…                       all of it, with what is active now
  tripline execution rerun ex_… --from 3              take over what came before step 3
  tripline execution rerun --failed --rule web.release --since 24h
What has not ended is refused without --force: what it does would be done beside it.
Of many, such ones are left out; so are those that were repeated already, unless --again
says otherwise, and repetitions: what they repeat is repeated.";

/// So many are shown to who is asked, the newest.
const SHOWN: usize = 50;

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
    /// Also where undo has begun: assume that what is taken over is still in effect; and all of it beside
    /// what has not ended, be it the execution itself or the run that it went on as
    #[arg(long, requires = "id")]
    force: bool,
    #[command(flatten)]
    which: Which,
    /// Of many, the newest so many; all if nobody says
    #[arg(long, conflicts_with = "id")]
    limit: Option<usize>,
    /// Of many, also those that were repeated already
    #[arg(long, conflicts_with = "id")]
    again: bool,
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
        let found = self.found(client).await?;
        found.tell_left_out();
        if found.rows.is_empty() {
            output::say(match found.is_all() {
                true => "no execution is like that",
                false => "nothing is left to repeat",
            })?;
            return Ok(Exit::Done);
        }
        if !self.yes && !agreed(&found.rows)? {
            output::say("nothing was repeated")?;
            return Ok(Exit::Done);
        }
        let mut all = Vec::new();
        // The oldest first, as they were asked for. One that is refused holds up no other.
        for row in found.rows.iter().rev() {
            all.push(self.one_of_many(client, shown(&row["id"])).await?);
        }
        if self.output.format != Format::Table {
            output::value(self.output.format, &all)?;
        }
        let refused = all.iter().filter(|one| one["error"].is_object()).count();
        if refused > 0 {
            output::tell(&format!("{refused} of {} were not repeated", all.len()));
            return Ok(Exit::Failed);
        }
        Ok(Exit::Done)
    }

    /// What of all that fits is to be repeated.
    async fn found(&self, client: &Client) -> Result<Found, Failure> {
        let mut found = Found::default();
        for row in self.which.all(client).await? {
            if self.limit.is_some_and(|limit| found.rows.len() >= limit) {
                found.beyond += 1;
            } else if !is_over(&row) {
                found.unended.push(row);
            } else if row["origin"]["rerun"].is_object() {
                found.repetitions += 1;
            } else if !self.again && is_repeated(client, shown(&row["id"])).await? {
                found.repeated += 1;
            } else {
                found.rows.push(row);
            }
        }
        Ok(found)
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

/// What the filters found.
#[derive(Default)]
struct Found {
    /// To be repeated, newest first.
    rows: Vec<Value>,
    /// Left out: not ended.
    unended: Vec<Value>,
    /// Left out: so many were repeated already.
    repeated: usize,
    /// Left out: so many repeat others.
    repetitions: usize,
    /// So many lie beyond the limit.
    beyond: usize,
}

impl Found {
    const fn is_all(&self) -> bool {
        self.unended.len() + self.repeated + self.repetitions + self.beyond == 0
    }

    fn tell_left_out(&self) {
        for (count, why) in [
            (self.repeated, "repeated already: --again repeats them too"),
            (self.repetitions, "repetitions themselves: name one to repeat it"),
            (self.beyond, "beyond --limit, repeated already or not"),
        ] {
            if count > 0 {
                output::tell(&format!("left out: {count} {why}"));
            }
        }
        self.tell_unended();
    }

    /// Says which have not ended, the newest.
    fn tell_unended(&self) {
        if self.unended.is_empty() {
            return;
        }
        let (count, what) = (self.unended.len(), "resolve, resume or cancel it first");
        output::tell(&format!("left out: {count} not ended: {what}, or name it with --force"));
        for row in self.unended.iter().take(SHOWN) {
            output::tell(&format!("  {}  {}", shown(&row["id"]), shown(&row["state"])));
        }
        if count > SHOWN {
            output::tell(&format!("  … and {} more", count - SHOWN));
        }
    }
}

/// Whether it has ended; what a state of a newer server is, that server knows.
fn is_over(row: &Value) -> bool {
    ExecutionState::parse(shown(&row["state"])).is_none_or(ExecutionState::is_end)
}

/// Whether something repeats it.
async fn is_repeated(client: &Client, id: &str) -> Result<bool, Failure> {
    let query = [("repeats", id.to_owned()), ("limit", "1".to_owned())];
    let list: Value = client.get("/executions", &query).await?;
    Ok(list["items"].as_array().is_some_and(|items| !items.is_empty()))
}

async fn repeat(client: &Client, id: &str, body: &Value) -> Result<Value, Failure> {
    client.start(&format!("/executions/{}/rerun", segment(id)), body).await
}

fn shown(text: &Value) -> &str {
    text.as_str().unwrap_or_default()
}

/// Shows what would be repeated and asks.
fn agreed(found: &[Value]) -> Result<bool, Failure> {
    output::list(Format::Table, &found[..found.len().min(SHOWN)], &COLUMNS)?;
    if found.len() > SHOWN {
        output::say(&format!("… and {} more", found.len() - SHOWN))?;
    }
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
