//! A process that is told apart from a later one with the same number.

use std::fs;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// A process by its number, and when it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// The kernel's ticks between its own start and the process's.
    pub start: u64,
}

impl Process {
    /// The one that has this number now, unless it has ended.
    pub fn find(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name before them may hold spaces and brackets.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ended = matches!(*fields.first()?, "Z" | "X");
        let start = fields.get(19)?.parse().ok()?;
        (!ended).then_some(Self { pid, start })
    }

    /// This process.
    pub fn own() -> Result<Self> {
        Self::find(std::process::id()).context("/proc does not tell of this process")
    }

    /// Whether it still runs.
    pub fn lives(self) -> bool {
        Self::find(self.pid) == Some(self)
    }

    /// Sends it a signal, if it still runs.
    pub(crate) fn signal(self, signal: Signal) {
        if self.lives() {
            kill(Pid::from_raw(self.pid.cast_signed()), signal).ok();
        }
    }
}
