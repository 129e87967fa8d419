//! `tripline pack`: what is loaded, and what is wrong with it.

use clap::Subcommand;
use model::Value;

use super::noun::{Get, List};
use super::{ask, check, pack_docs, pack_new, pack_rbac, pack_test};
use crate::failure::Outcome;
use crate::output::Column;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List packs and how they stand
    List(List),
    /// Show one, and what is wrong with its files
    Get(Get<String>),
    /// Find what is wrong with packs, without a server
    Check(check::Args),
    /// Run the tests of packs, without a server and without a network
    Test(pack_test::Args),
    /// Make a new pack: small, complete, with tests
    New(pack_new::Args),
    /// Print a page about a pack, made of its files
    Docs(pack_docs::Args),
    /// Print the rights that packs need of a Kubernetes cluster, as manifests
    Rbac(pack_rbac::Args),
}

const COLUMNS: [Column; 8] = [
    Column::at("PACK", "/name"),
    Column::at("VERSION", "/version"),
    Column::at("STATE", "/state"),
    Column::at("RULES", "/rules"),
    Column::at("ACTIONS", "/actions"),
    Column::at("SENSORS", "/sensors"),
    Column::of("FINDINGS", findings),
    Column::at("DESCRIPTION", "/description"),
];

fn findings(row: &Value) -> String {
    match row["findings"].as_array().map_or(0, Vec::len) {
        0 => "-".to_owned(),
        count => count.to_string(),
    }
}

impl Command {
    pub(super) fn run(self) -> Outcome {
        match self {
            Self::List(list) => ask(list.run("/packs", &COLUMNS)),
            Self::Get(get) => ask(get.run("/packs")),
            Self::Check(args) => args.run(),
            Self::Test(args) => args.run(),
            Self::New(args) => args.run(),
            Self::Docs(args) => args.run(),
            Self::Rbac(args) => args.run(),
        }
    }
}
