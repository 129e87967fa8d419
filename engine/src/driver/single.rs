//! An action run directly: a chain of one step, without a script.

use chains::{Advance, Ask, Next, Step, StepOptions};
use model::fact::{ExecutionRequested, StepResult};
use model::{Journal, Outcome, StepPath};

/// What `chains::Evaluator::advance` answers for a chain that is `run(action, parameters)`.
pub(crate) fn advance(request: &ExecutionRequested, journal: &Journal) -> Advance {
    let path = StepPath::top(1);
    let next = match (journal.result(&path), &journal.undo) {
        (Some(StepResult::Done(value)), _) => Next::Finished(Outcome::succeeded(value.clone())),
        (Some(StepResult::Failed(error)), None) => Next::Finished(Outcome::failed(error.clone())),
        (_, Some(undo)) => Next::Finished(Outcome::of(undo.reason.end())),
        (None, None) => Next::Pending(vec![Step {
            path,
            ask: Ask::Run {
                action: request.action.clone(),
                parameters: request.parameters.clone(),
                options: StepOptions::default(),
            },
            position: None,
        }]),
    };
    Advance { records: Vec::new(), next }
}
