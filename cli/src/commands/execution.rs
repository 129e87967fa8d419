//! `tripline execution`: list, get, logs, watch, cancel, pause, resume, rerun,
//! resolve, export.

use clap::{Args, Subcommand};
use model::{
    ActionRef, EventKey, ExecutionId, ExecutionState, Origin, PackName, RuleRef, StepPath,
    Timestamp, Value,
};
use serde::Deserialize;
use serde_json::json;
use store::Asked;

use std::path::PathBuf;

use super::{rerun, resolve};
use crate::client::{Client, Connection, items, segment};
use crate::execution::{Execution, asked, describe, first_line};
use crate::failure::{Exit, Failure, Outcome};
use crate::follow::{End, follow};
use crate::input;
use crate::listing::Page;
use crate::output::{self, Column, Format, Output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List executions, newest first
    List(List),
    /// Show one: its steps, what failed and what to do now
    Get(Get),
    /// Show what its steps printed to stderr or logged
    Logs(Logs),
    /// Watch it until it ends, and the runs that go on from it; the exit code is that of `run`
    Watch(One),
    /// End it, and run its undo handlers
    Cancel(Cancel),
    /// Hold it: steps under way end, nothing new begins
    Pause(Pause),
    /// Let a paused one go on
    Resume(One),
    /// Repeat it: all of it or from a step on; or all that filters find
    Rerun(rerun::Args),
    /// Say what became of a step whose outcome is unknown
    Resolve(resolve::Args),
    /// Write it as a document that stands for itself, for `pack test --from-execution`
    Export(Export),
}

#[derive(Debug, Args)]
pub(crate) struct One {
    /// The execution, such as ex_… or, a child, ex_…/3
    #[arg(value_name = "ID")]
    id: ExecutionId,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Get {
    #[command(flatten)]
    one: One,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Only what this step printed or logged
    #[arg(long, value_name = "PATH")]
    step: Option<StepPath>,
    #[command(flatten)]
    one: One,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Cancel {
    /// Why: stands in the execution's journal
    #[arg(long)]
    reason: Option<String>,
    /// Where it went on as another one (`continue_as`), that one
    #[arg(long)]
    latest: bool,
    #[command(flatten)]
    one: One,
}

#[derive(Debug, Args)]
pub(crate) struct Pause {
    /// Why: stands in the execution's journal
    #[arg(long)]
    reason: Option<String>,
    /// Where it went on as another one (`continue_as`), that one
    #[arg(long)]
    latest: bool,
    #[command(flatten)]
    one: One,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The execution
    #[arg(value_name = "ID")]
    id: ExecutionId,
    /// Where to write it; - is standard output
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    #[command(flatten)]
    connection: Connection,
}

const LIST_EXAMPLES: &str = "\
Examples:
  tripline execution list --failed --since 24h
  tripline execution list --states waiting,paused --pack web
  tripline execution list --rule web.release --since 2026-01-02T00:00:00Z -o json";

#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(crate) struct List {
    #[command(flatten)]
    which: Which,
    /// At most so many
    #[arg(long, default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Which executions: the filters of a listing.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Only in these states, joined by commas
    #[arg(long, value_delimiter = ',', value_name = "STATE", value_parser = state)]
    states: Vec<ExecutionState>,
    /// Only those that failed or ran out of time
    #[arg(long, conflicts_with = "states")]
    failed: bool,
    /// Only those that this rule asked for
    #[arg(long)]
    rule: Option<RuleRef>,
    /// Only of this action
    #[arg(long)]
    action: Option<ActionRef>,
    /// Only of this pack's actions
    #[arg(long)]
    pack: Option<PackName>,
    /// Only because of this event
    #[arg(long)]
    event: Option<EventKey>,
    /// Only children of this execution
    #[arg(long, value_name = "ID")]
    parent: Option<ExecutionId>,
    /// Children too: chains that other chains run
    #[arg(long)]
    children: bool,
    /// Only requested at this time or later; a length such as 24h counts back from now
    #[arg(long, value_name = "TIME", value_parser = input::since)]
    since: Option<Timestamp>,
    /// Only before this position, to get the next page
    #[arg(long, value_name = "POSITION")]
    before: Option<u64>,
    /// Only those that the holder of the token of this name asked for, or that its events set off
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Only those that repeat this execution
    #[arg(long, value_name = "ID")]
    repeats: Option<ExecutionId>,
}

fn state(name: &str) -> Result<ExecutionState, String> {
    let known = || ExecutionState::ALL.map(ExecutionState::as_str).join(", ");
    ExecutionState::parse(name).ok_or_else(|| format!("the states are {}", known()))
}

pub(super) const COLUMNS: [Column; 6] = [
    Column::at("ID", "/id"),
    Column::at("ACTION", "/action"),
    Column::at("STATE", "/state"),
    Column::of("CAUSE", cause),
    Column::time("REQUESTED", "/requested_at"),
    Column::of("MESSAGE", message),
];

fn cause(row: &Value) -> String {
    match serde_json::from_value(row["origin"].clone()) {
        Ok(Origin::Rule { rule, .. }) => rule.to_string(),
        Ok(Origin::Step { parent, .. }) => parent.to_string(),
        Ok(Origin::Rerun { of, .. }) => of.to_string(),
        Ok(Origin::Manual) => "run".to_owned(),
        Err(_) => "-".to_owned(),
    }
}

/// What was asked of it, and the message of its error; the end that was asked for says nothing more.
fn message(row: &Value) -> String {
    let state = ExecutionState::deserialize(&row["state"]).ok();
    let asked = Asked::deserialize(&row["asked"]).ok();
    let asked = asked.zip(state).and_then(|(asked, state)| asked::in_short(state, &asked));
    let own = row["message"].as_str().filter(|_| asked.is_none() || row["finished_at"].is_null());
    let told: Vec<&str> = asked.as_deref().into_iter().chain(own).collect();
    if told.is_empty() { "-".to_owned() } else { first_line(&told.join("; ")) }
}

impl Command {
    pub(super) async fn run(self) -> Outcome {
        match self {
            Self::List(args) => args.run().await,
            Self::Get(args) => args.run().await,
            Self::Logs(args) => args.run().await,
            Self::Watch(args) => args.watch().await,
            Self::Cancel(args) => args.run().await,
            Self::Pause(args) => args.run().await,
            Self::Resume(args) => args.resume().await,
            Self::Rerun(args) => args.run().await,
            Self::Export(args) => args.run().await,
            Self::Resolve(args) => args.run().await,
        }
    }
}

impl List {
    async fn run(self) -> Outcome {
        let client = self.connection.client()?;
        let page = Page::newest(&client, "/executions", self.which.query(), self.limit).await?;
        output::list(self.output.format, &page.rows, &COLUMNS)?;
        page.more();
        Ok(Exit::Done)
    }
}

impl Which {
    /// All of them, newest first.
    pub(super) async fn all(&self, client: &Client) -> Result<Vec<Value>, Failure> {
        Page::all(client, "/executions", self.query()).await
    }

    /// What the API is asked.
    fn query(&self) -> Vec<(&'static str, String)> {
        let failed = [ExecutionState::Failed, ExecutionState::TimedOut];
        let states = if self.failed { &failed[..] } else { &self.states };
        let states: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
        let mut query = vec![("state", states.join(","))];
        let mut ask = |name, value: Option<String>| query.extend(value.map(|value| (name, value)));
        ask("rule", self.rule.as_ref().map(ToString::to_string));
        ask("action", self.action.as_ref().map(ToString::to_string));
        ask("pack", self.pack.as_ref().map(ToString::to_string));
        ask("event", self.event.as_ref().map(ToString::to_string));
        ask("parent", self.parent.as_ref().map(ToString::to_string));
        ask("children", self.children.then(|| "true".to_owned()));
        ask("repeats", self.repeats.as_ref().map(ToString::to_string));
        ask("token", self.by.clone());
        ask("since", self.since.map(|since| since.to_string()));
        ask("before", self.before.map(|before| before.to_string()));
        query
    }

    /// Whether anything chooses.
    pub(super) fn is_given(&self) -> bool {
        // A state always stands there.
        self.failed || !self.states.is_empty() || self.query().len() > 1
    }
}

fn path_of(id: &ExecutionId) -> String {
    format!("/executions/{}", segment(id.as_str()))
}

impl One {
    fn path(&self) -> String {
        path_of(&self.id)
    }

    /// Says `what` to it, or to the run that it is now: which one was told, and what it answered.
    async fn told(
        &self,
        what: &str,
        asked: &Value,
        latest: bool,
    ) -> Result<(ExecutionId, Value), Failure> {
        let client = self.connection.client()?;
        let mut id = self.id.clone();
        loop {
            if latest {
                let found: Execution = client.get(&path_of(&self.id), &[]).await?;
                id = found.latest.map_or(id, |latest| latest.id);
            }
            match client.post(&format!("{}/{what}", path_of(&id)), asked).await {
                Ok(answer) => return Ok((id, answer)),
                Err(failure) if !latest => return Err(failure),
                Err(failure) => {
                    let found: Execution = client.get(&path_of(&id), &[]).await?;
                    // It went on meanwhile: that one, then.
                    if found.latest.is_none() {
                        return Err(failure);
                    }
                }
            }
        }
    }

    async fn resume(self) -> Outcome {
        let client = self.connection.client()?;
        client.post(&format!("{}/resume", self.path()), &json!({})).await?;
        output::say(&format!("it goes on; watch it: tripline execution watch {}", self.id))?;
        Ok(Exit::Done)
    }

    async fn watch(self) -> Outcome {
        // The stream of one that does not exist would be silent for ever.
        let _: Value = self.connection.client()?.get(&self.path(), &[]).await?;
        let followed = follow(&self.connection, &self.id, output::say);
        let followed = tokio::select! {
            followed = followed => followed?,
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Interrupted),
        };
        match &followed.end {
            End::Ended(outcome) => {
                if let Some(result) = &outcome.result {
                    output::value(Format::Json, result)?;
                }
            }
            End::Attention(undecided) => {
                output::tell(&format!("what to do: tripline execution get {undecided}"));
            }
        }
        Ok(followed.exit())
    }
}

impl Get {
    async fn run(self) -> Outcome {
        let client = self.one.connection.client()?;
        if self.output.format == Format::Table {
            let execution: Execution = client.get(&self.one.path(), &[]).await?;
            output::say(&describe(&execution))?;
        } else {
            let execution: Value = client.get(&self.one.path(), &[]).await?;
            output::value(self.output.format, &execution)?;
        }
        Ok(Exit::Done)
    }
}

impl Logs {
    async fn run(self) -> Outcome {
        let logs = self.all().await?;
        match self.output.format {
            Format::Table if logs.is_empty() => output::say("nothing was printed or logged")?,
            Format::Table => print_logs(&logs)?,
            format => output::value(format, &logs)?,
        }
        Ok(Exit::Done)
    }

    /// The logs, by as many answers as that takes.
    async fn all(&self) -> Result<Vec<Value>, Failure> {
        let client = self.one.connection.client()?;
        let path = format!("{}/logs", self.one.path());
        let step = self.step.as_ref().map(|step| ("step", step.to_string()));
        let mut query: Vec<_> = step.into_iter().collect();
        let mut logs = Vec::new();
        loop {
            let mut list: Value = client.get(&path, &query).await?;
            logs.extend(items(&mut list)?);
            let Some(next) = list["next"].as_str() else { return Ok(logs) };
            query.retain(|(name, _)| *name != "after");
            query.push(("after", next.to_owned()));
        }
    }
}

fn print_logs(logs: &[Value]) -> Result<(), Failure> {
    for log in logs {
        let text = |name| log[name].as_str().unwrap_or_default();
        let heading = match text("path") {
            "result" => "── result".to_owned(),
            path => format!("── step {path}"),
        };
        output::say(&output::coloured(output::Colour::Dim, &heading))?;
        output::say(text("text"))?;
    }
    Ok(())
}

impl Cancel {
    async fn run(self) -> Outcome {
        let asked = json!({ "reason": self.reason });
        let (id, ending) = self.one.told("cancel", &asked, self.latest).await?;
        let it = if id == self.one.id { "it" } else { id.as_str() };
        let waits_for = ending["waits_for"].as_array().map(Vec::as_slice).unwrap_or_default();
        if waits_for.is_empty() {
            output::say(&format!(
                "{it} is being cancelled: steps under way settle, then its undo handlers run"
            ))?;
            return Ok(Exit::Done);
        }
        output::say(&format!("{it} is cancelled once somebody has said what became of"))?;
        for question in waits_for {
            output::say(&undecided(question))?;
        }
        output::say("then steps under way settle, and its undo handlers run")?;
        Ok(Exit::Done)
    }
}

/// What must be decided before an execution ends, and the commands for it.
fn undecided(question: &Value) -> String {
    let text = |name| question[name].as_str().unwrap_or_default();
    let what = match question["step"].as_str() {
        Some(step) => format!("step {step} of {}", text("execution")),
        None => text("execution").to_owned(),
    };
    let (why, command) = (first_line(text("message")), text("command"));
    format!("  {what}: {why}\n    {command} --done --result '{{}}'    or: {command} --fail MESSAGE")
}

impl Pause {
    async fn run(self) -> Outcome {
        let asked = json!({ "reason": self.reason });
        let (id, _) = self.one.told("pause", &asked, self.latest).await?;
        output::say(&format!("it begins nothing new; go on: tripline execution resume {id}"))?;
        Ok(Exit::Done)
    }
}

impl Export {
    async fn run(self) -> Outcome {
        let path = format!("/executions/{}/export", segment(self.id.as_str()));
        let document: Value = self.connection.client()?.get(&path, &[]).await?;
        if document["config"].is_null() {
            output::tell(
                "the configuration is left out: the token does not cover the action's pack",
            );
        }
        if self.file.as_os_str() == "-" {
            output::value(Format::Json, &document)?;
            return Ok(Exit::Done);
        }
        let text = format!("{document:#}\n");
        std::fs::write(&self.file, text)
            .map_err(|error| Failure::file(self.file.display(), &error))?;
        output::tell(&format!("written to {}", self.file.display()));
        Ok(Exit::Done)
    }
}
