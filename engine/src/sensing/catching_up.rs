//! After a restore sensors catch up: what they tell of the time since the backup, the server that was
//! lost may have told too. That one has yet to catch up is stored with its cursor, so that a sensor
//! that is started again in the middle of it goes on so.

use model::{Actor, BatchId, Fact, Stream, Timestamp, Value, Version};
use store::{Appended, Batch, CursorRow, Write};

use crate::core::{Core, Trouble};
use crate::random;

/// Whether a sensor that `stood` so has to catch up.
pub(super) fn is_behind(core: &Core, stood: Option<&CursorRow>) -> bool {
    let Some(restored) = core.restored else { return false };
    match stood {
        Some(row) if row.behind => true,
        Some(row) if !row.cursor.is_null() => row.at <= restored.at,
        // The lost server may have begun it after the backup, or it never says where it stands.
        Some(_) | None => core.just_restored,
    }
}

/// Up to when what a sensor that is behind tells may have been told before. What does not say when it
/// happened may always have been.
pub(super) fn told_until(core: &Core, dated: bool) -> Option<Timestamp> {
    let restored = core.restored?;
    Some(if dated { restored.at } else { Timestamp::MAX })
}

/// Notes that the sensor with this id, which stands nowhere yet, is behind.
pub(super) async fn begin(core: &Core, id: &str) -> Result<(), Trouble> {
    store(core, id, Value::Null, true, None).await.map(drop)
}

/// Notes that it has caught up, wherever it stands.
pub(super) async fn over(core: &Core, id: &str) -> Result<(), Trouble> {
    loop {
        let Some(row) = core.store.cursor(id).await? else { return Ok(()) };
        if !row.behind && row.at > core.restored.map_or(Timestamp::MIN, |restored| restored.at) {
            return Ok(());
        }
        let stored = store(core, id, row.cursor, false, Some(row.version)).await?;
        if matches!(stored, Appended::Committed { .. }) {
            return Ok(());
        }
    }
}

async fn store(
    core: &Core,
    id: &str,
    cursor: Value,
    behind: bool,
    expected: Option<Version>,
) -> Result<Appended, Trouble> {
    let batch = Batch {
        id: BatchId::new(format!("catching-up/{}", random::name())),
        actor: Actor::engine(),
        at: core.now(),
        writes: vec![Write::new(
            Stream::Sensor(id.to_owned()),
            expected,
            [Fact::CursorMoved { cursor, behind }],
        )],
    };
    core.append(batch).await
}
