//! What sensors remembered goes once nobody wants it any more.
//!
//! A timer is forgotten at once. A watch of a cluster remembers each object, and stays for as long as
//! events do: a rule that comes back within that time is told what changed in between, a later one
//! begins anew.
//!
//! Much is forgotten in several commits. The first one says so in the place of the cursor, so that
//! whoever begins before the last one finishes it, instead of taking a part for all there was.

use model::{Actor, BatchId, Duration, Fact, Stream, Value};
use serde_json::json;
use store::{Batch, Write};

use super::Sensing;
use crate::core::{Core, Trouble};
use crate::random;

/// Objects that are forgotten in one commit.
const AT_ONCE: usize = 400;

impl Sensing {
    /// Forgets what watches remember that nobody has wanted for `keep`; how much that was.
    pub(crate) async fn forget_unwanted(&self, keep: Duration) -> Result<u64, Trouble> {
        let mut forgotten = 0;
        for (id, row) in self.core.store.cursors().await? {
            let old = keep.after(row.at) < self.core.now() || is_begun(&row.cursor);
            // No pack has a dot in its name: these are no named sensors.
            if !id.starts_with("kubernetes.") || !old {
                continue;
            }
            let turn = self.turn(&id);
            // Whoever wants it from here on waits for this turn.
            let Ok(_turn) = turn.try_lock() else { continue };
            if !self.lock().contains_key(&id) {
                forgotten += forget(&self.core, &id).await?;
            }
        }
        Ok(forgotten)
    }
}

/// Whether this stands for a cursor while what went with it is being forgotten.
pub(super) fn is_begun(cursor: &Value) -> bool {
    cursor["forgetting"] == true
}

/// Forgets where the sensor with this id stands, and the objects it remembers; how many these were.
/// To be called in its turn.
pub(super) async fn forget(core: &Core, id: &str) -> Result<u64, Trouble> {
    let mut forgotten = 0;
    loop {
        let objects = core.store.all_seen(id, "", AT_ONCE).await?;
        forgotten += objects.len() as u64;
        let last = objects.len() < AT_ONCE;
        let cursor = if last { Value::Null } else { json!({ "forgetting": true }) };
        let gone = objects.into_iter().map(|(object, _)| object);
        store(core, id, cursor, gone).await?;
        if last {
            return Ok(forgotten);
        }
    }
}

async fn store(
    core: &Core,
    id: &str,
    cursor: Value,
    gone: impl Iterator<Item = String>,
) -> Result<(), Trouble> {
    let write = |stream, fact| Write::new(stream, None, [fact]);
    let moved = write(Stream::Sensor(id.to_owned()), Fact::CursorMoved { cursor, behind: false });
    let gone = gone.map(|object| write(Stream::Seen(format!("{id}/{object}")), Fact::ObjectGone));
    let batch = Batch {
        id: BatchId::new(format!("forget/{}", random::name())),
        actor: Actor::engine(),
        at: core.now(),
        writes: std::iter::once(moved).chain(gone).collect(),
    };
    core.append(batch).await.map(drop)
}
