//! `tripline completion`: a script that completes commands and flags in a shell.

use clap::CommandFactory;
use clap_complete::Shell;

use super::CommandLine;
use crate::failure::{Exit, Outcome};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  tripline completion bash > /etc/bash_completion.d/tripline
  tripline completion zsh > ~/.zfunc/_tripline";

/// For which shell.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        let mut script = Vec::new();
        let mut command = CommandLine::command();
        clap_complete::generate(self.shell, &mut command, "tripline", &mut script);
        output::say(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Done)
    }
}
