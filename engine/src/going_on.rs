//! Executions that went on as other ones, by `continue_as`: which run it is now.

use model::{ExecutionId, ExecutionState};
use schemars::JsonSchema;
use serde::Serialize;
use store::{ExecutionRow, Store, StoreError};

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
    if let Some((parent, path, run)) = id.place() {
        return latest_child(store, |run| parent.nth_child(&path, run), run).await;
    }
    let mut latest: Option<ExecutionRow> = None;
    let mut next = id.continuation();
    while let Some(row) = store.execution(&next).await? {
        next = row.id.continuation();
        latest = Some(row);
    }
    Ok(latest)
}

/// The same of a child's runs, which are numbered without a gap and kept as long as what runs them: in
/// strides that double until one finds nothing, then halve.
async fn latest_child(
    store: &dyn Store,
    nth: impl Fn(u32) -> ExecutionId,
    mut known: u32,
) -> Result<Option<ExecutionRow>, StoreError> {
    let (mut latest, mut stride, mut doubles) = (None, 1_u32, true);
    while stride > 0 {
        let run = known.saturating_add(stride);
        match store.execution(&nth(run)).await? {
            Some(row) => (latest, known) = (Some(row), run),
            None => doubles = false,
        }
        stride = if doubles { stride.saturating_mul(2) } else { stride / 2 };
    }
    Ok(latest)
}
