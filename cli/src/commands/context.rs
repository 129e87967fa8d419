//! `tripline context`: the servers that a person works with.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::client::check_server;
use crate::contexts::{Context, Contexts};
use crate::failure::{Exit, Failure, Outcome};
use crate::input;
use crate::output::{self, Column, Output};

const EXAMPLES: &str = "\
Examples:
  tripline context set prod --server https://tripline.example.com --token-file prod.token
  pass tripline/prod | tripline context set prod --token-file -
  tripline context use prod                       from now on
  tripline rule list --context staging            this once

Contexts are kept in tripline/contexts.yaml in $XDG_CONFIG_HOME, else ~/.config, for their owner
alone. A server is found by the first of: a flag (--server, --context, --state), a variable
(TRIPLINE_SERVER, TRIPLINE_CONTEXT), the context in use, the local state folder.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List contexts, and which one is in use
    List(List),
    /// Use one from now on
    Use(Use),
    /// Make one, or change what is given of it
    Set(Set),
    /// Forget one
    Delete(Delete),
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["name", "none"]))]
pub(crate) struct Use {
    /// The context
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// None: servers are found by their state folder again
    #[arg(long)]
    none: bool,
}

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Set {
    /// The context
    #[arg(value_name = "NAME", value_parser = name)]
    name: String,
    /// The server's address
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// The state folder of a server on this machine, instead of an address
    #[arg(long, value_name = "DIR", conflicts_with = "server")]
    state: Option<PathBuf>,
    /// A file with the token (`-`: standard input)
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The context
    #[arg(value_name = "NAME")]
    name: String,
}

fn name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    match !text.is_empty() && text.chars().all(fits) {
        true => Ok(text.to_owned()),
        false => Err("expected letters, digits, `.`, `_` and `-`".to_owned()),
    }
}

const COLUMNS: [Column; 4] = [
    Column::at("CONTEXT", "/name"),
    Column::at("IN USE", "/current"),
    Column::at("SERVER", "/server"),
    Column::at("TOKEN", "/token"),
];

impl Command {
    pub(super) fn run(self) -> Outcome {
        match self {
            Self::List(list) => list.run(),
            Self::Use(args) => args.run(),
            Self::Set(args) => args.run(),
            Self::Delete(args) => args.run(),
        }
    }
}

impl List {
    /// A token is told to be there, never shown.
    fn run(self) -> Outcome {
        let contexts = Contexts::load()?;
        let rows = contexts.all.iter().map(|(name, context)| {
            let state = context.state.as_ref().map(|state| state.display().to_string());
            json!({
                "name": name,
                "current": contexts.current.as_ref() == Some(name),
                "server": context.server.clone().or(state),
                "token": context.token.is_some(),
            })
        });
        output::list(self.output.format, &rows.collect::<Vec<_>>(), &COLUMNS)?;
        Ok(Exit::Done)
    }
}

impl Use {
    fn run(self) -> Outcome {
        let mut contexts = Contexts::load()?;
        if let Some(name) = &self.name {
            contexts.named(name)?;
        }
        contexts.current = self.name;
        contexts.save()?;
        output::say(&match contexts.current {
            Some(name) => format!("commands go to `{name}` from now on"),
            None => "commands go to the server on the local state folder from now on".to_owned(),
        })?;
        Ok(Exit::Done)
    }
}

impl Set {
    fn run(self) -> Outcome {
        let mut contexts = Contexts::load()?;
        let mut context = contexts.all.remove(&self.name).unwrap_or_default();
        let before = context.clone();
        if let Some(server) = self.server {
            context = Context { server: Some(check_server(&server)?), state: None, ..context };
        }
        if let Some(state) = self.state {
            let state = std::path::absolute(&state);
            let state = state.map_err(|error| Failure::file("the current folder", &error))?;
            context = Context { server: None, state: Some(state), ..context };
        }
        // A token is for the server that it was given for.
        if (&context.server, &context.state) != (&before.server, &before.state) {
            context.token = None;
        }
        if let Some(file) = &self.token_file {
            context.token = Some(token(&input::text(file)?)?);
        }
        if context.server.is_none() && context.state.is_none() {
            let failure = Failure::usage(format!("the context `{}` names no server", self.name));
            return Err(failure.with_hint("give --server URL, or --state DIR"));
        }
        let forgotten = before.token.is_some() && context.token.is_none();
        contexts.all.insert(self.name.clone(), context);
        let path = contexts.save()?;
        if forgotten {
            output::tell(
                "its token was for the server that it named before, and is forgotten: --token-file gives another",
            );
        }
        output::say(&format!("`{}` is kept in {}", self.name, path.display()))?;
        if contexts.current.as_ref() != Some(&self.name) {
            output::say(&format!("use it: tripline context use {}", self.name))?;
        }
        Ok(Exit::Done)
    }
}

fn token(text: &str) -> Result<String, Failure> {
    let token = text.trim();
    match token.is_empty() || token.chars().any(char::is_whitespace) {
        true => Err(Failure::usage("the file holds no token: expected one line of text")),
        false => Ok(token.to_owned()),
    }
}

impl Delete {
    fn run(self) -> Outcome {
        let mut contexts = Contexts::load()?;
        contexts.named(&self.name)?;
        contexts.all.remove(&self.name);
        contexts.current = contexts.current.filter(|current| *current != self.name);
        contexts.save()?;
        output::say(&format!("`{}` is forgotten", self.name))?;
        Ok(Exit::Done)
    }
}
