//! `cargo xtask docs`: writes the generated parts of the documentation.
//!
//! What they hold is the product's to say (a hidden command of the binary), and whether they are
//! current is a test: this runs that test so that it writes instead of comparing.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::repo;

/// Builds the binary and has it write the pages.
pub(crate) fn run() -> Result<ExitCode> {
    let mut command = Command::new(repo::cargo());
    command.args(["test", "--locked", "--package", "tripline-cli", "--test", "docs", "generated"]);
    let status = command.env("UPDATE_EXPECT", "1").status().context("cannot start `cargo test`")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
