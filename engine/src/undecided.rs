//! What a cancellation waits for that only a person can end.

use model::{ExecutionId, ExecutionState, Fact, StepPath, Stream, Version};
use schemars::JsonSchema;
use serde::Serialize;
use store::{ExecutionFilter, ExecutionRow, Store, StoreError};

/// An execution that was told to end.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Ending {
    /// What must be decided before it ends; nothing: it ends by itself.
    pub waits_for: Vec<Undecided>,
}

/// A step whose outcome is unknown, of an execution or of one that it runs.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Undecided {
    /// The execution to decide about.
    pub execution: ExecutionId,
    /// Its step; none: the chain itself.
    pub step: Option<StepPath>,
    /// Why a person must decide.
    pub message: String,
    /// The command that decides.
    pub command: String,
}

/// What somebody must decide about the execution `id`, and about all that it runs.
pub(crate) async fn undecided(
    store: &dyn Store,
    id: &ExecutionId,
) -> Result<Vec<Undecided>, StoreError> {
    let mut found = Vec::new();
    let mut rows: Vec<ExecutionRow> = store.execution(id).await?.into_iter().collect();
    while let Some(row) = rows.pop() {
        if row.state == ExecutionState::NeedsAttention {
            found.extend(question(store, &row.id).await?);
        }
        let states = ExecutionState::ALL.into_iter().filter(|state| !state.is_end()).collect();
        let (parent, limit) = (Some(row.id), chains::MAX_STEPS);
        let filter = ExecutionFilter { states, parent, limit, ..ExecutionFilter::default() };
        rows.extend(store.executions(&filter).await?);
    }
    Ok(found)
}

/// What an execution that needs attention asks.
async fn question(store: &dyn Store, id: &ExecutionId) -> Result<Option<Undecided>, StoreError> {
    let (facts, _) = store.read(&Stream::Execution(id.clone()), Version::NONE).await?;
    let asked = facts.into_iter().rev().find_map(|recorded| match recorded.fact {
        Fact::AttentionNeeded { path, error, .. } => Some((path, error.message)),
        _ => None,
    });
    Ok(asked.map(|(step, message)| Undecided {
        execution: id.clone(),
        command: resolve_command(id, step.as_ref()),
        step,
        message,
    }))
}

/// The command by which somebody decides about this step, and no other that may wait by then.
pub fn resolve_command(id: &ExecutionId, step: Option<&StepPath>) -> String {
    let step = step.map(|step| format!(" --step {step}")).unwrap_or_default();
    format!("tripline execution resolve {id}{step}")
}
