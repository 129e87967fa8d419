//! What the steps of an execution printed and logged, as it is asked for.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use model::{ExecutionId, StepPath, Value};

use crate::ask::AskError;
use crate::engine::Engine;
use crate::folders::Folders;
use crate::view::{ExecutionView, StepLog};

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

impl Engine {
    /// What an execution's steps printed to stderr or logged, and what is said of its result.
    pub async fn logs(&self, id: &ExecutionId, which: Which) -> Result<Logs, AskError> {
        let view = self.execution(id).await?;
        let (id, folders) = (id.clone(), self.core.folders.clone());
        let read = tokio::task::spawn_blocking(move || read(view, &id, &which, &folders));
        read.await.map_err(|error| AskError::Unavailable(format!("logs cannot be read: {error}")))
    }
}

fn read(view: ExecutionView, id: &ExecutionId, which: &Which, folders: &Folders) -> Logs {
    let (mut logs, mut bytes) = (Vec::new(), 0);
    let of = |path: &StepPath| {
        which.step.as_ref().is_none_or(|step| step == path)
            && which.after.as_ref().is_none_or(|after| after < path)
    };
    for step in view.steps.into_iter().filter(|step| of(&step.path)) {
        let text = match (step.kind, step.result) {
            ("log", Some(Value::String(message))) => Some(message),
            _ => text(&match &step.child {
                Some(child) => folders.logs(child),
                None => folders.log(id, &step.path),
            }),
        };
        let Some(text) = text else { continue };
        bytes += text.len();
        logs.push(StepLog { path: step.path.to_string(), text });
        if bytes >= FULL {
            return Logs { logs, next: Some(step.path) };
        }
    }
    let result = which.step.is_none().then(|| text(&folders.logs(id))).flatten();
    logs.extend(result.map(|text| StepLog { path: "result".to_owned(), text }));
    Logs { logs, next: None }
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
