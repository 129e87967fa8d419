//! What lies where a backup takes files from, and is none that it can hold.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// So many are named; the others are counted.
const NAMED: usize = 20;

/// What a backup left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// How many files, links and folders.
    pub count: u64,
    /// The first of them, each with why it was left out.
    pub first: Vec<String>,
}

impl LeftOut {
    /// Whether everything is in it.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn note(&mut self, path: &Path, why: &str) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push(format!("{} ({why})", path.display()));
        }
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} left out of the backup: {}", self.count, self.first.join(", "))?;
        match self.count.saturating_sub(self.first.len() as u64) {
            0 => Ok(()),
            more => write!(f, ", and {more} more"),
        }
    }
}
