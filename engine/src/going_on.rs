//! Executions that went on as other ones, by `continue_as`: which run it is now.

use model::{ExecutionId, ExecutionState};
use schemars::JsonSchema;
use serde::Serialize;
use store::{ExecutionFilter, ExecutionRow, Store, StoreError};

/// The run that an execution is now, having gone on by `continue_as`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct LatestView {
    /// The run.
    pub id: ExecutionId,
    /// How it stands.
    pub state: ExecutionState,
}

/// The last of the runs that went on from `id`, one from the other; none: it did not go on.
pub(crate) async fn latest_run(
    store: &dyn Store,
    id: &ExecutionId,
) -> Result<Option<ExecutionRow>, StoreError> {
    if let Some((parent, path, _)) = id.place() {
        // Of a child's runs the earlier ones go with their age, the last one stays.
        let (parent, step) = (Some(parent), Some(path));
        let last = ExecutionFilter { parent, step, limit: 1, ..ExecutionFilter::default() };
        return Ok(store.executions(&last).await?.pop().filter(|run| run.id != *id));
    }
    let mut latest: Option<ExecutionRow> = None;
    let mut next = id.continuation();
    while let Some(row) = store.execution(&next).await? {
        next = row.id.continuation();
        latest = Some(row);
    }
    Ok(latest)
}
