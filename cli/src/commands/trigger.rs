//! `tripline trigger`: the event types that rules can name.

use clap::Subcommand;
use model::TriggerType;

use super::noun::{Get, List};
use crate::failure::Outcome;
use crate::output::Column;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List trigger types
    List(List),
    /// Show one: its parameters and its payload
    Get(Get<TriggerType>),
}

const COLUMNS: [Column; 3] = [
    Column::at("TYPE", "/type"),
    Column::at("RULES", "/rules"),
    Column::at("DESCRIPTION", "/description"),
];

impl Command {
    pub(super) async fn run(self) -> Outcome {
        match self {
            Self::List(list) => list.run("/triggers", &COLUMNS).await,
            Self::Get(get) => get.run("/triggers").await,
        }
    }
}
