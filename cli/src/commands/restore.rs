//! `tripline restore`: makes a state folder of a backup. No server takes part.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use engine::backup::{BackupError, Manifest, Restored, restore};
use engine::view::TokenView;
use host::Clock;

use super::doctor;
use crate::config;
use crate::failure::{Exit, Failure, Outcome};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  tripline restore tripline.tar --state /var/lib/tripline
  zstd -dc tripline.tar.zst | tripline restore - --state new/
  tripline restore tripline.tar --state state/ --replace   moves what is there into a folder in it

The lost server may have done things after the backup that nobody wrote down. So unsafe steps of
what had begun by then are not done again unasked: their executions need attention, and
`tripline execution resolve` says what becomes of them. Sensors look for what they missed.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What `tripline backup` made; `-` is stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The state folder to make [default: `state` in ./tripline.yaml, else ./state]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Move what is in the folder aside, into `replaced-<time>` in it
    #[arg(long)]
    replace: bool,
}

impl Args {
    pub(super) async fn run(self) -> Outcome {
        let Self { file, state, replace } = self;
        let state = state.unwrap_or_else(config::state_folder);
        let from: Box<dyn Read> = if file.as_os_str() == "-" {
            Box::new(io::stdin().lock())
        } else {
            Box::new(File::open(&file).map_err(|error| Failure::file(file.display(), &error))?)
        };
        let restored =
            restore(io::BufReader::new(from), &state, replace, Clock::System.now()).await;
        let Restored { manifest, tokens, findings } = restored.map_err(failure)?;
        let Manifest { installation, at, position, left_out, .. } = manifest;
        let (state, at, position) = (state.display(), output::seconds(at), position.0);
        output::say(&format!(
            "{state}: the installation {installation} as of {at}, up to fact {position}\n\
             start it with `tripline serve --state {state}` once the lost server cannot come back; \
             then see `tripline execution list --states needs_attention`"
        ))?;
        tell_tokens(&tokens)?;
        if !left_out.is_empty() {
            output::warn(&left_out.to_string());
        }
        findings.iter().try_for_each(doctor::tell)?;
        Ok(Exit::Done)
    }
}

/// Says who gets in again: of what was revoked since, the backup knows nothing.
fn tell_tokens(tokens: &[TokenView]) -> Result<(), Failure> {
    if tokens.is_empty() {
        return Ok(());
    }
    let lines: String = tokens.iter().map(|token| format!("\n  {token}")).collect();
    output::say(&format!(
        "these tokens are valid, also if they were revoked after the backup:{lines}\n\
         end those that nobody should have: tripline token revoke NAME"
    ))
}

/// What is wrong with a backup, as the command line tells it.
pub(super) fn failure(error: BackupError) -> Failure {
    let exit = match error {
        BackupError::Taken { .. } | BackupError::Running { .. } | BackupError::NoBackup(_) => {
            Exit::Usage
        }
        _ => Exit::Failed,
    };
    let text = error.to_string();
    match text.rsplit_once("; ") {
        Some((what, to_do)) => Failure::new(exit, "backup", what).with_hint(to_do),
        None => Failure::new(exit, "backup", text),
    }
}
