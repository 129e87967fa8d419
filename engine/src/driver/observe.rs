//! What is measured of an execution once it is stored.

use model::{ExecutionState, Fact};

use super::run::Run;

/// The end that is among these facts.
pub(super) fn end(facts: &[Fact]) -> Option<ExecutionState> {
    facts.iter().find_map(|fact| match fact {
        Fact::ExecutionFinished { outcome, .. } => Some(outcome.state),
        _ => None,
    })
}

impl Run {
    /// Counts the end, where one was stored.
    pub(super) fn observe_end(&self, end: Option<ExecutionState>) {
        if let Some((state, request)) = end.zip(self.journal.request.as_ref()) {
            self.core.metrics.finished(&request.action, state);
        }
    }
}
