//! What programs and chains return, held against what their files declare. What does not fit stands
//! in the log and changes nothing: whoever uses the result may not need what is amiss. What a chain's file
//! calls secret gets tokens before its end is stored.

use std::io;
use std::path::Path;

use actions::Metadata;
use model::{ActionRef, ErrorKind, Outcome, Schema, StepError, Value};

use super::page::Page;
use super::run::{Run, Runs};
use crate::core::Trouble;
use crate::secrets::too_long;

/// What of a program's `result` is not as its file says, as lines for the log of its step.
pub(super) fn misfits(metadata: &Metadata, result: &Value) -> Option<String> {
    lines(&metadata.reference, &metadata.result, result)
}

/// Why an end cannot be stored as it is.
pub(super) enum Unstorable {
    /// Nothing can be encrypted now; somebody has to see to that, and the chain ends after it.
    Keyless(StepError),
    /// It never can be.
    TooLong(StepError),
}

impl Run {
    /// The same end with tokens in its result where the chain's file says that it is secret, which are
    /// granted before it. What an action answered has got them already.
    pub(super) async fn told_end(
        &mut self,
        page: &mut Page,
        mut outcome: Outcome,
    ) -> Result<Result<Outcome, Unstorable>, Trouble> {
        let schema = self.result_schema(None);
        let is_told = matches!(self.runs, Runs::Chain(_)) && schema.some_secret().is_some();
        let Some(result) = outcome.result.take_if(|_| is_told) else { return Ok(Ok(outcome)) };
        let (told, fresh) = self.opened().await?.told(result, &schema);
        if let Some(why) = too_long(&fresh) {
            let message =
                format!("the chain came to its end, and its result cannot be stored: {why}");
            return Ok(Err(Unstorable::TooLong(StepError::new(ErrorKind::TooLarge, message))));
        }
        if let Some(error) = (!fresh.is_empty()).then(|| self.keyless()).flatten() {
            return Ok(Err(Unstorable::Keyless(error)));
        }
        self.grant_fresh(page, &fresh, self.core.now())?;
        outcome.result = Some(told);
        Ok(Ok(outcome))
    }

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
