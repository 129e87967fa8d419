//! `tripline action`: what can be run.

use clap::Subcommand;
use model::ActionRef;

use super::noun::{Get, List};
use crate::failure::Outcome;
use crate::output::Column;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List actions
    List(List),
    /// Show one: its parameters and its result
    Get(Get<ActionRef>),
}

const COLUMNS: [Column; 4] = [
    Column::at("ACTION", "/action"),
    Column::at("KIND", "/kind"),
    Column::at("EFFECT", "/effect"),
    Column::at("DESCRIPTION", "/description"),
];

impl Command {
    pub(super) async fn run(self) -> Outcome {
        match self {
            Self::List(list) => list.run("/actions", &COLUMNS).await,
            Self::Get(get) => get.run("/actions").await,
        }
    }
}
