//! `tripline doctor`: examines a state folder, also beside a running server.

use std::path::PathBuf;

use model::Severity;
use store::Sqlite;
use store::sqlite::Finding;

use crate::config;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{self, Colour, coloured};

/// Which folder.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The state folder [default: `state` in the settings, else ./state]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// The server's settings, which name the keys of secrets
    /// [default: ./tripline.yaml if it is there]
    #[arg(long, value_name = "FILE", env = "TRIPLINE_CONFIG", hide_env = true)]
    config: Option<PathBuf>,
}

impl Args {
    pub(super) async fn run(self) -> Outcome {
        let (state, secrets) = config::examined(self.config, self.state)?;
        let shown = state.display();
        if !state.is_dir() {
            return Err(
                Failure::usage(format!("there is no folder {shown}")).with_hint("see --state")
            );
        }
        if let Ok(Some(pid)) = Sqlite::holder(&state) {
            output::say(&format!("the process {pid} runs on it"))?;
        }
        let mut findings = engine::doctor::examine(&state, secrets).await;
        findings.extend(server::files::usable_token(&state).err().map(unusable));
        findings.iter().try_for_each(tell)?;
        if findings.is_empty() {
            output::say(&format!("{shown}: the log, its projection and its blobs are whole"))?;
        }
        let broken = findings.iter().any(|finding| finding.severity == Severity::Error);
        Ok(if broken { Exit::Failed } else { Exit::Done })
    }
}

/// A finding in words.
pub(super) fn tell(finding: &Finding) -> Result<(), Failure> {
    let (colour, word) = match finding.severity {
        Severity::Error => (Colour::Red, "error"),
        Severity::Warning => (Colour::Yellow, "warning"),
    };
    let word = coloured(colour, word);
    output::say(&format!("{word}: {}\n  hint: {}", finding.what, finding.to_do))
}

/// A token that keeps the server from starting.
fn unusable(error: server::files::FileError) -> Finding {
    let to_do = error.hint().unwrap_or("see that this user may read it").to_owned();
    Finding { severity: Severity::Error, what: error.to_string(), to_do }
}
