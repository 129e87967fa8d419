//! What somebody asked of an execution, in words: its end, or that it be held.

use model::ExecutionState;
use store::{Asked, AskedTo, ExecutionRow};

use crate::output::seconds;

/// What a listing says of it, where it tells how the execution stands.
pub(crate) fn in_short(state: ExecutionState, asked: &Asked) -> Option<String> {
    let what = match (asked.to, state) {
        (AskedTo::Pause, state) if !state.is_end() => "paused",
        (AskedTo::Cancel, ExecutionState::Undoing | ExecutionState::Cancelled) => "cancelled",
        (AskedTo::Cancel, state) if !state.is_end() => "to be cancelled, asked",
        _ => return None,
    };
    Some(format!("{what} by {}{}", asked.by.as_str(), why(asked)))
}

/// The name and the words of its line in the whole.
pub(super) fn line(row: &ExecutionRow) -> Option<(&'static str, String)> {
    let asked = row.asked.as_ref()?;
    let told = format!("by {}, {}{}", asked.by.as_str(), seconds(asked.at), why(asked));
    match asked.to {
        AskedTo::Pause => Some(("paused", told)),
        AskedTo::Cancel => Some(("cancelled", format!("{told}{}", waits(row.state)))),
    }
}

fn why(asked: &Asked) -> String {
    asked.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default()
}

/// What the end waits for that was asked for.
const fn waits(state: ExecutionState) -> &'static str {
    match state {
        ExecutionState::NeedsAttention => " (waits for the decision below)",
        ExecutionState::Undoing => " (undo handlers run)",
        state if state.is_end() => "",
        _ => " (waits for the steps under way)",
    }
}

/// Whether somebody asked for its end, which has not begun.
pub(super) fn is_to_end(row: &ExecutionRow) -> bool {
    let begun = row.state.is_end() || matches!(row.state, ExecutionState::Undoing);
    !begun && row.asked.as_ref().is_some_and(|asked| asked.to == AskedTo::Cancel)
}
