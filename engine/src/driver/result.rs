//! What programs and chains return, held against what their files declare. What does not fit stands
//! in the log and changes nothing: whoever uses the result may not need what is amiss.

use std::io;
use std::path::Path;

use actions::Metadata;
use model::{ActionRef, Outcome, Schema, Value};

use super::run::{Run, Runs};

/// What of a program's `result` is not as its file says, as lines for the log of its step.
pub(super) fn misfits(metadata: &Metadata, result: &Value) -> Option<String> {
    lines(&metadata.reference, &metadata.result, result)
}

impl Run {
    /// Writes down what of the chain's result is not as its file says.
    pub(super) async fn hold_result(&self, outcome: &Outcome) {
        let (Runs::Chain(_), Some(request), Some(result)) =
            (&self.runs, &self.journal.request, &outcome.result)
        else {
            return;
        };
        let action = self.pinned.as_ref().and_then(|p| p.actions.get(request.action.name()));
        let misfits = action.and_then(|action| misfits(&action.metadata, result));
        let Some(lines) = misfits else { return };
        tracing::warn!(execution = %self.id, "{}", lines.trim_end());
        let file = self.core.folders.result_log(&self.id);
        // It is written anew where the engine dies before the end is stored.
        if let Err(error) = write(&file, &lines).await {
            tracing::warn!(file = %file.display(), %error, "an execution's log cannot be written");
        }
    }
}

async fn write(file: &Path, lines: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        tokio::fs::create_dir_all(folder).await?;
    }
    tokio::fs::write(file, lines).await
}

fn lines(action: &ActionRef, schema: &Schema, result: &Value) -> Option<String> {
    // Who declares nothing promises nothing.
    if schema.properties().is_empty() {
        return None;
    }
    let lines = schema.violations(result).into_iter().map(|violation| {
        let what = violation.message.replacen(" parameter `", " field `", 1);
        let hint = violation.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("[tripline: the result of `{action}` is not as its file says: {what}{hint}]\n")
    });
    Some(lines.collect::<String>()).filter(|lines| !lines.is_empty())
}
