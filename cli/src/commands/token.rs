//! `tripline token`: who may use the API.

use std::io::{IsTerminal, stdout};

use clap::{Args, Subcommand};
use model::{Duration, ExecutionState, PackPattern, Role, Value};
use serde_json::json;

use super::noun::List;
use crate::client::{Client, Connection, segment};
use crate::failure::{Exit, Failure, Outcome};
use crate::listing::Page;
use crate::output::{self, Column, Format, Output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a token, and print it this once
    Create(Create),
    /// List tokens: what each allows, and for how long
    List(List),
    /// End a token at once; what it began goes on
    Revoke(Revoke),
}

const ROLES: &str = "\
Roles, each with what those before it may:
  viewer    looks at everything but secrets, and changes nothing
  operator  runs, cancels and resolves executions, hands events in, switches rules, writes keys
  admin     makes tokens, reads the audit, keeps secrets and the installation";

#[derive(Debug, Args)]
#[command(after_help = ROLES)]
pub(crate) struct Create {
    /// Who it acts as: stands in the audit
    #[arg(value_name = "NAME")]
    name: String,
    /// How much it allows: viewer, operator or admin
    #[arg(long)]
    role: Role,
    /// Only for packs of this name, in which `*` stands for anything, or `global`: the keys that all
    /// packs share; may be given several times
    #[arg(long = "pack", value_name = "PATTERN")]
    packs: Vec<PackPattern>,
    /// After this time it opens nothing, such as 90d
    #[arg(long, value_name = "TIME")]
    ttl: Option<Duration>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    connection: Connection,
}

const COLUMNS: [Column; 6] = [
    Column::at("NAME", "/name"),
    Column::at("STATE", "/state"),
    Column::at("ROLE", "/role"),
    Column::at("PACKS", "/packs"),
    Column::time("SINCE", "/at"),
    Column::time("EXPIRES", "/expires_at"),
];

impl Command {
    pub(super) async fn run(self) -> Outcome {
        match self {
            Self::Create(asked) => return asked.run().await,
            Self::List(asked) => return asked.run("/tokens", &COLUMNS).await,
            Self::Revoke(Revoke { name, connection }) => {
                let client = connection.client()?;
                client.delete(&format!("/tokens/{}", segment(&name))).await?;
                tell_what_goes_on(&client, &name).await?;
            }
        }
        Ok(Exit::Done)
    }
}

/// Says how much of what a revoked token asked for has not ended.
async fn tell_what_goes_on(client: &Client, name: &str) -> Result<(), Failure> {
    let unfinished = ExecutionState::ALL.into_iter().filter(|state| !state.is_end());
    let states = unfinished.map(ExecutionState::as_str).collect::<Vec<_>>().join(",");
    let query = vec![("token", name.to_owned()), ("state", states.clone())];
    let count = Page::all(client, "/executions", query).await?.len();
    if count > 0 {
        output::tell(&format!(
            "it opens nothing any more; {count} of the executions that it asked for have not ended and go on\n\
             look at them: tripline execution list --by {name} --states {states}\n\
             end one: tripline execution cancel ID"
        ));
    }
    Ok(())
}

impl Create {
    async fn run(self) -> Outcome {
        let Self { name, role, packs, ttl, output, connection } = self;
        let body = json!({ "name": name, "role": role, "packs": packs, "ttl": ttl });
        let made: Value = connection.client()?.post("/tokens", &body).await?;
        match output.format {
            // Alone on its line, for `TRIPLINE_TOKEN=$(tripline token create …)`.
            Format::Table => output::say(made["token"].as_str().unwrap_or_default())?,
            format => output::value(format, &made)?,
        }
        if stdout().is_terminal() {
            output::tell("This is the one time it is shown: only its hash is stored.");
        }
        Ok(Exit::Done)
    }
}
