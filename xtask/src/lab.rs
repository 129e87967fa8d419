//! `cargo xtask lab`: a cluster of real servers for trying things by hand.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::repo;

/// Hands the arguments to the lab, which this crate does not depend on: it would be built for every
/// chore.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let mut lab = Command::new(repo::cargo());
    lab.args(["run", "--locked", "--quiet", "--package", "tripline-lab", "--"]).args(arguments);
    let status = lab.status().context("cannot start `cargo run`")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
