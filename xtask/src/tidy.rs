//! `cargo xtask tidy`: the house's taste as a test.
//!
//! One check, one file: each looks at the repository and says what is wrong, where and what to
//! do. None changes anything.

mod banned;
mod direction;
mod licences;
mod links;
mod lints;
mod machine_paths;
mod promises;
mod purity;
mod rust_text;
mod size;
mod unfinished;

use std::fmt;
use std::process::ExitCode;

use anyhow::Result;

use crate::repo::Repo;

/// Something that should be otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Whether it only deserves a look.
    warning: bool,
    /// The file, with its line where there is one, or the crate.
    place: String,
    /// What is wrong and what to do.
    message: String,
}

impl Finding {
    fn error(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { warning: false, place: place.into(), message: message.into() }
    }

    fn warning(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { warning: true, ..Self::error(place, message) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = if self.warning { "warning" } else { "error" };
        write!(f, "{severity}: {}: {}", self.place, self.message)
    }
}

type Check = fn(&Repo) -> Vec<Finding>;

const CHECKS: [(&str, Check); 10] = [
    ("crates depend one way", direction::check),
    ("the core is pure", purity::check),
    ("every crate takes the workspace's lints", lints::check),
    ("no second TLS or crypto library", banned::check),
    ("licences are allowed", licences::check),
    ("links lead somewhere", links::check),
    ("promises are held by tests", promises::check),
    ("files have one subject", size::check),
    ("nothing is left unfinished", unfinished::check),
    ("no path of a build machine", machine_paths::check),
];

/// Runs every check and tells of all findings.
pub(crate) fn run() -> Result<ExitCode> {
    let repo = Repo::open()?;
    let mut errors = 0;
    for (name, check) in CHECKS {
        let findings = check(&repo);
        let wrong = findings.iter().filter(|finding| !finding.warning).count();
        println!("{:6} {name}", if wrong == 0 { "ok" } else { "FAILED" });
        for finding in findings {
            println!("       {finding}");
        }
        errors += wrong;
    }
    if errors > 0 {
        println!("tidy: {errors} to put right");
    }
    Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
