//! One execution as a document that stands for itself: what `tripline execution export` writes and
//! `tripline pack test --from-execution` reads.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fact::StepResult;
use crate::{
    ActionRef, Call, Event, ExecutionId, Fact, Hash, Origin, Outcome, PackName, Record, StepPath,
    Timestamp, UndoReason, Value,
};

/// What `format` says in the documents that are written now.
pub const FORMAT: &str = "tripline.execution/1";

/// An execution with all that it was given and all that it was answered.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct Exported {
    /// [`FORMAT`]: its version counts up when old readers would misread new documents.
    pub format: String,
    /// The execution.
    pub execution: ExecutionId,
    /// What it ran.
    pub action: ActionRef,
    /// With these parameters, defaults filled in.
    pub parameters: Value,
    /// The configuration of the action's pack at that time; `null` where it was left out, as who asked for
    /// the document may not see that pack.
    pub config: Value,
    /// Where it comes from; the rule, where one asked for it.
    pub origin: Origin,
    /// The event that caused it, with its whole data; none where there was none or it is pruned.
    pub event: Option<Event>,
    /// How many executions caused one another before it.
    pub depth: u32,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// The packs whose contents it used.
    pub packs: Vec<ExportedPack>,
    /// What it called, in the order in which the calls were stored.
    pub calls: Vec<ExportedCall>,
    /// Why its undo handlers ran.
    pub undo: Option<UndoReason>,
    /// How it ended; none while it runs.
    pub outcome: Option<Outcome>,
}

/// A pack's content.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, JsonSchema, Serialize, Deserialize)]
pub struct ExportedPack {
    /// The pack.
    pub name: PackName,
    /// Its version, as it names it; none where the content is gone.
    pub version: Option<String>,
    /// Its content.
    pub hash: Hash,
}

/// One call of the chain.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct ExportedCall {
    /// Its place.
    pub path: StepPath,
    /// When it was first made.
    pub at: Timestamp,
    /// What was asked, and by which kind of call.
    pub asked: Asked,
    /// Attempts that were made.
    pub attempts: u32,
    /// How it ended, as the chain saw it; none for a record, which is its own answer, and for what
    /// was not over.
    pub result: Option<StepResult>,
}

/// What a call asked for.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// Something outside of the chain answered it.
    Call(Call),
    /// The chain answered it itself.
    Record(Record),
}

/// A document that is no exported execution.
#[derive(Debug, thiserror::Error)]
pub enum BadExport {
    /// Another kind of document.
    #[error(
        "this is no exported execution: expected a JSON document with `format: {FORMAT}`, as `tripline execution export` writes it"
    )]
    Foreign,
    /// Written by a newer Tripline.
    #[error("the document has the format `{0}`, this version reads `{FORMAT}`: use a newer one")]
    Newer(String),
    /// Without what a replay needs.
    #[error(
        "the configuration of `{0}` is left out of the exported execution: export it with a token that covers that pack"
    )]
    WithoutConfig(String),
    /// Damaged or edited.
    #[error("the exported execution cannot be read: {0}")]
    Json(#[from] serde_json::Error),
}

impl Exported {
    /// Reads a document.
    pub fn read(bytes: &[u8]) -> Result<Self, BadExport> {
        let value: Value = serde_json::from_slice(bytes)?;
        match value.get("format").and_then(Value::as_str) {
            Some(FORMAT) => {
                let read: Self = serde_json::from_value(value)?;
                match read.config.is_null() {
                    true => Err(BadExport::WithoutConfig(read.action.pack().to_owned())),
                    false => Ok(read),
                }
            }
            Some(other) if other.starts_with("tripline.execution/") => {
                Err(BadExport::Newer(other.to_owned()))
            }
            _ => Err(BadExport::Foreign),
        }
    }

    /// The calls that these facts of one execution's stream tell of.
    pub fn calls<'a>(facts: impl IntoIterator<Item = &'a Fact> + Clone) -> Vec<ExportedCall> {
        let journal = crate::Journal::of(facts.clone());
        let calls = facts.into_iter().filter_map(|fact| match fact {
            Fact::StepIntended { path, call, at } => {
                let entry = journal.entries.get(path)?;
                let finished = entry.finished.as_ref();
                Some(ExportedCall {
                    path: path.clone(),
                    at: *at,
                    asked: Asked::Call(call.clone()),
                    attempts: finished.map_or(entry.progress.attempt, |end| end.attempts),
                    result: journal.result(path).cloned(),
                })
            }
            Fact::StepRecorded { path, record, at } => Some(ExportedCall {
                path: path.clone(),
                at: *at,
                asked: Asked::Record(record.clone()),
                attempts: 0,
                result: None,
            }),
            _ => None,
        });
        calls.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_exported_execution_is_refused_with_what_was_expected() {
        for (text, told) in [
            ("[1]", "no exported execution"),
            (r#"{"format": "tripline.execution/2"}"#, "use a newer one"),
            (r#"{"format": "tripline.execution/1"}"#, "missing field"),
            ("{", "cannot be read"),
        ] {
            let error = Exported::read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
