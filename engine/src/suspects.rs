//! Executions whose evaluation may have ended the process: marked before, unmarked after.
//!
//! Each evaluator thread owns a small file. A file that still holds a mark at start names the
//! execution that was being evaluated at the death. Two deaths in a row under the same mark make
//! it a *suspect*, evaluated last and alone; a third one hands it to a person.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use model::{ExecutionId, Sequence};
use serde::{Deserialize, Serialize};

/// What was about to be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mark {
    /// The execution.
    pub execution: ExecutionId,
    /// The length of its journal: progress clears it of suspicion.
    pub length: Sequence,
}

/// Deaths in a row that make an execution a suspect.
pub(crate) const SUSPECT_AT: u32 = 2;
/// Deaths in a row after which it is not evaluated again unasked.
pub(crate) const REFUSED_AT: u32 = 3;

/// One evaluator thread's file.
pub struct Slot {
    file: Option<File>,
}

impl Slot {
    /// A slot in `folder` for thread `n`.
    pub fn open(folder: &Path, n: usize) -> io::Result<Self> {
        let file =
            File::options().create(true).write(true).truncate(true).open(slot_file(folder, n))?;
        Ok(Self { file: Some(file) })
    }

    /// A slot that keeps no marks, where no state folder is.
    pub const fn none() -> Self {
        Self { file: None }
    }

    /// Runs `work` with `mark` set. Not synced: it is to outlive the process, not the machine.
    pub fn marked<T>(&mut self, mark: &Mark, work: impl FnOnce() -> T) -> T {
        self.mark(mark);
        let done = work();
        self.clear();
        done
    }

    /// Sets `mark`, until it is cleared.
    pub fn mark(&mut self, mark: &Mark) {
        self.write(&format!("{} {}\n", mark.execution, mark.length.0));
    }

    /// Removes the mark.
    pub fn clear(&mut self) {
        self.write("\n");
    }

    /// A mark that cannot be written costs protection against a crash loop, not correctness.
    fn write(&mut self, text: &str) {
        if let Some(file) = &self.file {
            let _ = file.write_all_at(text.as_bytes(), 0);
        }
    }
}

fn slot_file(folder: &Path, n: usize) -> PathBuf {
    folder.join(format!("evaluator-{n}"))
}

/// How many deaths in a row each execution was being evaluated at.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Suspects(BTreeMap<Mark, u32>);

impl Suspects {
    /// Reads the marks a former process left in `folder` (made if absent), counts them together
    /// with those of the deaths before, and keeps the counts for the next start.
    pub fn collect(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let counts = folder.join("deaths.json");
        let before: Vec<(Mark, u32)> = fs::read(&counts)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        let before: BTreeMap<Mark, u32> = before.into_iter().collect();
        let mut now = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !name.starts_with("evaluator-") {
                continue;
            }
            if let Some(mark) = fs::read_to_string(&path).ok().and_then(|text| parse(&text)) {
                let deaths = before.get(&mark).copied().unwrap_or(0) + 1;
                now.insert(mark, deaths);
            }
            fs::remove_file(&path)?;
        }
        let kept: Vec<(&Mark, &u32)> = now.iter().collect();
        fs::write(counts, serde_json::to_vec(&kept)?)?;
        Ok(Self(now))
    }

    /// Under how many deaths in a row `execution` was being evaluated at this journal length.
    pub fn deaths(&self, mark: &Mark) -> u32 {
        self.0.get(mark).copied().unwrap_or(0)
    }

    /// Whether `execution` is to be evaluated last and alone.
    pub fn suspects(&self, execution: &ExecutionId) -> bool {
        self.0.iter().any(|(mark, deaths)| mark.execution == *execution && *deaths >= SUSPECT_AT)
    }
}

/// The mark in a slot's first line; what an earlier, longer mark left behind is ignored.
fn parse(text: &str) -> Option<Mark> {
    let (execution, length) = text.lines().next()?.split_once(' ')?;
    Some(Mark { execution: execution.parse().ok()?, length: Sequence(length.parse().ok()?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(length: u64) -> Mark {
        Mark { execution: ExecutionId::random(&[1; 32]), length: Sequence(length) }
    }

    /// Leaves a mark as a process does that dies while it evaluates.
    fn die_at(folder: &Path, mark: &Mark) {
        Slot::open(folder, 0).unwrap().mark(mark);
    }

    #[test]
    fn deaths_in_a_row_under_one_mark_add_up() {
        let folder = tempfile::tempdir().unwrap();
        for deaths in 1..=3 {
            Suspects::collect(folder.path()).unwrap();
            die_at(folder.path(), &mark(7));
            if deaths == REFUSED_AT {
                let suspects = Suspects::collect(folder.path()).unwrap();
                assert!(suspects.suspects(&mark(7).execution));
            }
        }
    }

    #[test]
    fn progress_and_a_clean_end_clear_the_suspicion() {
        let folder = tempfile::tempdir().unwrap();
        Suspects::collect(folder.path()).unwrap();
        die_at(folder.path(), &mark(7));
        assert_eq!(Suspects::collect(folder.path()).unwrap().deaths(&mark(7)), 1);
        die_at(folder.path(), &mark(9));
        assert_eq!(Suspects::collect(folder.path()).unwrap().deaths(&mark(9)), 1);
        Slot::open(folder.path(), 0).unwrap().marked(&mark(9), || ());
        assert_eq!(Suspects::collect(folder.path()).unwrap(), Suspects::default());
    }
}
