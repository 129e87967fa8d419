//! What the steps of an execution printed and logged, as it is asked for.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use model::{Call, ExecutionId, Fact, Journal, Record, StepPath, Stream, Version};
use store::Recorded;

use crate::ask::AskError;
use crate::engine::Engine;
use crate::going_on::latest_run;
use crate::view::StepLog;

/// Most bytes of one step's log that are shown.
const SHOWN: u64 = 1024 * 1024;
/// An answer ends with the log that brings it to so many bytes.
const FULL: usize = 4 * 1024 * 1024;

/// Which logs are asked for: all of them if nothing is said.
#[derive(Debug, Clone, Default)]
pub struct Which {
    /// Only that of this step.
    pub step: Option<StepPath>,
    /// Only those of steps after this one.
    pub after: Option<StepPath>,
}

/// As many logs as one answer holds.
#[derive(Debug)]
pub struct Logs {
    /// In the order of their steps, what is said of the result last.
    pub logs: Vec<StepLog>,
    /// After which step there are more.
    pub next: Option<StepPath>,
}

/// Where the log of a step is to be found.
enum Log {
    /// The chain's own word.
    Said(String),
    /// What its performances printed.
    OfStep,
    /// What is said of the result of the child that it runs, whichever run that is now.
    OfChild(ExecutionId),
}

impl Engine {
    /// What an execution's steps printed to stderr or logged, and what is said of its result.
    pub async fn logs(&self, id: &ExecutionId, which: Which) -> Result<Logs, AskError> {
        let store = &*self.core.store;
        if store.execution(id).await?.is_none() {
            return Err(AskError::NoExecution(id.clone()));
        }
        let (facts, _) = store.read(&Stream::Execution(id.clone()), Version::NONE).await?;
        let (mut logs, mut bytes) = (Vec::new(), 0);
        for (path, log) in asked_for(id, facts, &which) {
            let Some(text) = self.text(id, &path, log).await? else { continue };
            bytes += text.len();
            logs.push(StepLog { path: path.to_string(), text });
            if bytes >= FULL {
                return Ok(Logs { logs, next: Some(path) });
            }
        }
        if which.step.is_none()
            && let Some(text) = read(self.core.folders.logs(id)).await?
        {
            logs.push(StepLog { path: "result".to_owned(), text });
        }
        Ok(Logs { logs, next: None })
    }

    async fn text(
        &self,
        id: &ExecutionId,
        path: &StepPath,
        log: Log,
    ) -> Result<Option<String>, AskError> {
        let folders = &self.core.folders;
        match log {
            Log::Said(message) => Ok(Some(message)),
            Log::OfStep => read(folders.log(id, path)).await,
            Log::OfChild(child) => {
                let latest = latest_run(&*self.core.store, &child).await?;
                read(folders.logs(&latest.map_or(child, |run| run.id))).await
            }
        }
    }
}

/// The steps that may have logs, of those that are asked for, in the order of their paths: the next
/// answer goes on after one of them.
fn asked_for(id: &ExecutionId, facts: Vec<Recorded>, which: &Which) -> BTreeMap<StepPath, Log> {
    let inherited = |it: &&Recorded| matches!(it.fact, Fact::JournalInherited { .. });
    let lineage = Journal::of(facts.iter().filter(inherited).map(|recorded| &recorded.fact));
    let of = |path: &StepPath| {
        which.step.as_ref().is_none_or(|step| step == path)
            && which.after.as_ref().is_none_or(|after| after < path)
    };
    let logs = facts.into_iter().filter_map(|recorded| match recorded.fact {
        Fact::StepIntended { path, call: Call::Child { .. }, .. } => {
            let child = lineage.maker(id, &path).child(&path);
            Some((path, Log::OfChild(child)))
        }
        Fact::StepIntended { path, .. } => Some((path, Log::OfStep)),
        Fact::StepRecorded { path, record: Record::Log(message), .. } => {
            Some((path, Log::Said(message)))
        }
        _ => None,
    });
    logs.filter(|(path, _)| of(path)).collect()
}

/// The text of the log files in a folder, read where waiting is allowed.
async fn read(folder: PathBuf) -> Result<Option<String>, AskError> {
    let read = tokio::task::spawn_blocking(move || text(&folder)).await;
    read.map_err(|error| AskError::Unavailable(format!("logs cannot be read: {error}")))
}

/// The text of the log files in a folder, if there are any.
fn text(folder: &Path) -> Option<String> {
    let entries = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    // Folders here are those of a child execution's steps.
    let is_log = |path: &PathBuf| {
        path.is_file() && path.extension().is_some_and(|extension| extension == "log")
    };
    let mut files: Vec<_> = entries.filter(is_log).collect();
    files.sort();
    files.first()?;
    let mut bytes = Vec::new();
    for path in files {
        File::open(path).ok()?.take(SHOWN).read_to_end(&mut bytes).ok()?;
    }
    Some(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let line = if text.ends_with('\n') { "" } else { "\n" };
            format!("{text}{line}[tripline: what is not UTF-8 here is shown as \u{FFFD}]\n")
        }
    })
}
