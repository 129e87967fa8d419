//! `tripline config …`: the settings a server would have here, and where each comes from.

use clap::Subcommand;
use model::Value;
use serde_json::json;

use crate::config::{self, Config, Flags, Origin, Settings, variables};
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{self, Column, Output};

const EXAMPLES: &str = "\
Examples:
  tripline config show                        what would `tripline serve` be started with here?
  tripline config show --config /etc/tripline/tripline.yaml -o json

A value comes from the default, a place in a file, a variable ($NAME) or a flag; a later one wins.
Connections and the packs' configuration of the environment are among them; secrets are not shown.
It takes the flags of `tripline serve`, and needs no server.";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the effective settings and where each comes from
    Show(Show),
}

/// Of which files.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Show {
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    output: Output,
}

impl Command {
    pub(super) fn run(self) -> Outcome {
        match self {
            Self::Show(args) => args.run(),
        }
    }
}

impl Show {
    fn run(self) -> Outcome {
        let settings = config::settings(&self.flags)?;
        let rows = rows(&settings)?;
        for unread in variables::unread(&settings) {
            output::warn(&unread);
        }
        let columns =
            [Column::at("KEY", "/key"), Column::at("VALUE", "/value"), Column::at("FROM", "/from")];
        output::list(self.output.format, &rows, &columns)?;
        Ok(Exit::Done)
    }
}

fn rows(settings: &Settings) -> Result<Vec<Value>, Failure> {
    let rows = settings.all().map(|(key, found)| {
        let (value, from) = match found {
            Some((value, origin)) => (value.clone(), origin.to_string()),
            None => (Value::Null, Origin::Default.to_string()),
        };
        json!({ "key": key.path, "value": value, "from": from, "variable": key.variable() })
    });
    let added = config::lines(&Config::of(settings))?;
    let added = added
        .into_iter()
        .map(|(key, value, from)| json!({ "key": key, "value": value, "from": from }));
    Ok(rows.chain(added).collect())
}
