//! What bounds an execution's journal, and what becomes of errors that are larger than a fact.

use model::{ErrorKind, Fact, Outcome, Resolution, StepError, UndoReason, Value};
use serde_json::json;
use store::MAX_FACT_BYTES;

/// Most bytes of one execution's journal: so much is held in memory and read at each start.
pub(crate) const MAX_JOURNAL_BYTES: usize = 16 * 1024 * 1024;

/// Most bytes of one error in the journal; what is longer is told by its beginning.
const MAX_ERROR_BYTES: usize = 128 * 1024;
/// Most bytes of what a person says in words.
const MAX_WORDS: usize = 4 * 1024;
/// Handlers whose failure is told in full: their errors share what an outcome's own error leaves.
const TOLD_HANDLERS: usize = 64;

/// Whether four fifths of what a chain may use are used.
pub(crate) fn is_near(steps: usize, bytes: usize) -> bool {
    steps * 5 >= chains::MAX_STEPS * 4 || bytes * 5 >= MAX_JOURNAL_BYTES * 4
}

/// The error of a journal that has become too large.
pub(super) fn journal_too_large(bytes: usize) -> StepError {
    let mib = MAX_JOURNAL_BYTES / (1024 * 1024);
    let message = format!(
        "the chain's journal has {bytes} bytes, more than {mib} MiB: keep large values in files and pass their paths, give parts of the work to chains of their own, or go on in a new run with `continue_as`"
    );
    StepError::new(ErrorKind::Limit, message)
}

/// The error of an execution whose facts the store refuses.
pub(super) fn refused_by_the_store(why: &str) -> StepError {
    let message = format!(
        "what the execution came to cannot be stored: {why}; change the chain or its parameters and run it anew, and end this one with `execution resolve --fail` (without undo)"
    );
    StepError::new(ErrorKind::TooLarge, message)
}

/// `fact` with errors and words that the store takes: what is too long is cut, visibly.
pub(super) fn fitted(mut fact: Fact) -> Fact {
    match &mut fact {
        Fact::StepFinished { result: model::fact::StepResult::Failed(error), .. }
        | Fact::AttemptFailed { error, .. }
        | Fact::AttentionNeeded { error, .. }
        | Fact::UndoBegan { reason: UndoReason::Failed(error), .. } => {
            shorten(error, MAX_ERROR_BYTES);
        }
        Fact::ExecutionFinished { outcome, .. } => shorten_outcome(outcome),
        Fact::CancelRequested { reason: Some(words), .. }
        | Fact::ExecutionPaused { reason: Some(words), .. }
        | Fact::StepResolved { resolution: Resolution::Fail(words), .. } => cut(words, MAX_WORDS),
        _ => {}
    }
    fact
}

fn shorten_outcome(outcome: &mut Outcome) {
    if let Some(error) = &mut outcome.error {
        shorten(error, MAX_ERROR_BYTES);
    }
    // A result has at most 256 KiB and comes without an error.
    let each = (MAX_FACT_BYTES / 4) / outcome.handler_errors.len().max(TOLD_HANDLERS);
    for failed in &mut outcome.handler_errors {
        shorten(&mut failed.error, each);
    }
}

/// Makes `error` fit into about `most` bytes: its details are told by their beginning, its message
/// is cut.
fn shorten(error: &mut StepError, most: usize) {
    let bytes = |value: &Value| value.to_string().len();
    if bytes(&error.details) + error.message.len() <= most {
        return;
    }
    if !error.details.is_null() {
        let size = bytes(&error.details);
        let head = model::value::brief(&error.details, most.min(1_000) / 4);
        error.details = json!({ "cut": true, "size": size, "head": head });
    }
    cut(&mut error.message, most / 2);
}

/// Cuts `text` to at most `most` bytes and says so.
fn cut(text: &mut String, most: usize) {
    if text.len() > most {
        let end = text.floor_char_boundary(most);
        text.truncate(end);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use model::execution::HandlerError;
    use model::{StepPath, Timestamp};

    use super::*;

    fn at() -> Timestamp {
        Timestamp::from_second(1).unwrap()
    }

    fn large(kib: usize) -> StepError {
        StepError::new(ErrorKind::Failed, "ä".repeat(kib * 1024))
            .with_details(json!({ "text": "x".repeat(kib * 1024) }))
    }

    #[test]
    fn no_error_is_larger_than_a_fact_and_a_cut_one_says_so() {
        let handler = |n| HandlerError { path: StepPath::top(n), error: large(2) };
        let handler_errors = (1..=1_000).map(handler).collect();
        let outcome = Outcome { handler_errors, ..Outcome::failed(large(300)) };
        for fact in [
            Fact::AttentionNeeded { path: None, error: large(300), at: at() },
            Fact::ExecutionFinished { outcome, at: at() },
            Fact::CancelRequested { reason: Some(large(300).message), at: at() },
        ] {
            let bytes = fitted(fact).encode().len();
            assert!(bytes <= MAX_FACT_BYTES, "{bytes}");
        }
        let mut error = large(300);
        shorten(&mut error, MAX_ERROR_BYTES);
        assert_eq!(error.details["cut"], true);
        assert!(error.message.ends_with('…'));
    }

    #[test]
    fn an_error_within_its_bound_stays_as_it_is() {
        let error = StepError::new(ErrorKind::Program, "no").with_details(json!({ "code": 3 }));
        let fact = Fact::AttentionNeeded { path: None, error, at: at() };
        assert_eq!(fitted(fact.clone()), fact);
    }

    #[test]
    fn four_fifths_of_either_bound_are_near() {
        assert!(!is_near(7_999, 0));
        assert!(is_near(8_000, 0));
        assert!(!is_near(0, MAX_JOURNAL_BYTES / 5 * 4 - 1));
        assert!(is_near(0, MAX_JOURNAL_BYTES / 5 * 4 + 1));
    }
}
