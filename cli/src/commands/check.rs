//! `tripline check`: what is wrong with packs, found without a server.

use std::path::{Path, PathBuf};

use engine::environment::Environment;
use engine::packs::shipped;
use model::{Diagnostic, Severity};

use crate::config;
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{self, Colour, coloured};

const EXAMPLES: &str = "\
Examples:
  tripline check                     what `tripline serve` would load here, in its environment
  tripline check packs/              every pack in a folder, and how they fit together
  tripline check packs/web           one pack
  tripline check packs/ --environment environments/dev.yaml

Every finding has its file, line and column. Exit code 1 if there are errors.";

/// Which packs.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A pack's folder, one whose sub-folders are packs, or `builtin:NAME`
    /// [default: the packs that a server would load here, in its environment]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The environment they are to run in: its values are checked too
    #[arg(long, value_name = "FILE")]
    environment: Option<PathBuf>,
    /// The server's settings, which name the packs and the environment where no PATH is given
    /// [default: ./tripline.yaml if it is there]
    #[arg(long, value_name = "FILE", env = "TRIPLINE_CONFIG", hide_env = true)]
    config: Option<PathBuf>,
}

impl Args {
    pub(super) fn run(self) -> Outcome {
        let (paths, environment) = self.asked()?;
        let environment = environment.as_deref().map(Environment::read).transpose();
        let mut findings = match environment {
            Ok(read) => engine::check_packs_in(&paths, read.map(|(read, _)| read).as_ref()),
            Err(findings) => findings,
        };
        findings.sort_by(|a, b| a.at.cmp(&b.at));
        for finding in &findings {
            output::say(&format!("{finding}\n"))?;
        }
        output::say(&summary(&findings))?;
        let errors = findings.iter().any(Diagnostic::is_error);
        Ok(if errors { Exit::Failed } else { Exit::Done })
    }
}

impl Args {
    /// The packs that are named and their environment, else what a server would load.
    fn asked(self) -> Result<(Vec<PathBuf>, Option<PathBuf>), Failure> {
        let Self { paths, environment, config } = self;
        if !paths.is_empty() {
            paths.iter().try_for_each(|path| folder(path))?;
            return Ok((paths, environment));
        }
        let served = config::served(config, environment)?;
        super::serve::existing(&served.packs).map_err(|failure| {
            failure.with_hint(
                "name the packs: `tripline check PATH`, or their folder as `packs` in tripline.yaml",
            )
        })?;
        Ok((served.packs, served.environment))
    }
}

fn folder(path: &Path) -> Result<(), Failure> {
    if path.to_string_lossy().starts_with(shipped::PREFIX) {
        return Ok(());
    }
    let known = std::fs::metadata(path);
    if known.map_err(|error| Failure::file(path.display(), &error))?.is_dir() {
        return Ok(());
    }
    let failure = Failure::usage(format!("{} is not a folder", path.display()));
    Err(failure.with_hint("a pack is a folder with a pack.yaml"))
}

fn summary(findings: &[Diagnostic]) -> String {
    let count = |severity| findings.iter().filter(|f| f.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let colour = match (errors, warnings) {
        (0, 0) => Colour::Green,
        (0, _) => Colour::Yellow,
        _ => Colour::Red,
    };
    let of = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    coloured(colour, &format!("{}, {}", of(errors, "error"), of(warnings, "warning")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Location;

    #[test]
    fn a_summary_counts_what_was_found() {
        let error = Diagnostic::error(Location::file("a"), "x");
        let warning = Diagnostic::warning(Location::file("a"), "x");
        assert_eq!(summary(&[]), "0 errors, 0 warnings");
        assert_eq!(summary(&[error, warning.clone(), warning]), "1 error, 2 warnings");
    }
}
