//! What a store cannot do without and does not hold itself: keys, the contents of packs, and
//! somebody's word that a sensor has caught up and that a token is good that a backup brought back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use model::{ExecutionId, Hash, Name, Stream};
use rusqlite::Connection;

use super::verify::Finding;
use super::{log, schema, sealed, values};
use crate::port::{Restored, StoreError, TokenRow};
use crate::projection;
use crate::sealed::Sealed;

/// What must be there besides a store.
#[derive(Debug, Default)]
pub struct Needs {
    /// Of each key by which records are encrypted: how many, and one of them with its name.
    pub keys: BTreeMap<String, (u64, Option<(String, Sealed)>)>,
    /// Contents of packs that executions which have not ended began with, or their steps; each with
    /// the first of these.
    pub packs: BTreeMap<Hash, ExecutionId>,
    /// Executions that have not ended.
    pub unfinished: BTreeSet<ExecutionId>,
    /// Sensors that have not caught up since the state was restored.
    pub behind: Vec<String>,
    /// What a restore brought back, if there was one.
    pub returned: Option<Returned>,
}

/// What a restore brought back.
#[derive(Debug)]
pub struct Returned {
    /// The restore.
    pub restored: Restored,
    /// Tokens that are from before the backup, and that nobody revoked since.
    pub tokens: BTreeMap<Name, TokenRow>,
}

/// What the store in `folder` needs; it may be in use.
pub(super) fn needs(folder: &Path) -> Result<Needs, Finding> {
    let connection = schema::open_reader(&schema::path(folder)).map_err(StoreError::from)?;
    let (packs, unfinished) = (packs(&connection)?, unfinished(&connection)?);
    let mut needs = Needs { packs, unfinished, ..Needs::default() };
    let cursors = log::latest_of(&connection, "sensor/", usize::MAX, projection::sensor_cursor)?;
    needs.behind = cursors.into_iter().filter(|(_, row)| row.behind).map(|(id, _)| id).collect();
    needs.returned = returned(&connection)?;
    for (key, records) in sealed::keys(&connection)? {
        let one = sealed::opened_by(&connection, &key)?;
        needs.keys.insert(key, (records, one));
    }
    Ok(needs)
}

fn returned(connection: &Connection) -> Result<Option<Returned>, StoreError> {
    let named = (&Stream::Installation, "StateRestored");
    let Some(restored) = log::latest_named(connection, named, projection::restored)? else {
        return Ok(None);
    };
    let tokens = log::latest_of(connection, "token/", usize::MAX, projection::token)?;
    let returned =
        tokens.into_iter().filter(|(_, row)| !row.revoked && row.at <= restored.taken_at);
    Ok(Some(Returned { restored, tokens: returned.collect() }))
}

fn unfinished(connection: &Connection) -> Result<BTreeSet<ExecutionId>, StoreError> {
    let mut query = connection.prepare("SELECT id FROM executions WHERE finished_at IS NULL")?;
    let mut rows = query.query([])?;
    let mut found = BTreeSet::new();
    while let Some(row) = rows.next()? {
        found.insert(values::text(row, "id")?);
    }
    Ok(found)
}

fn packs(connection: &Connection) -> Result<BTreeMap<Hash, ExecutionId>, StoreError> {
    let mut query = connection.prepare(
        "SELECT pack, id FROM executions WHERE finished_at IS NULL AND pack IS NOT NULL
         UNION
         SELECT refs.hash, executions.id FROM refs
         JOIN facts ON facts.position = refs.position
         JOIN streams ON streams.id = facts.stream
         JOIN executions ON streams.name = 'execution/' || executions.id
         WHERE refs.kind = 'pack' AND executions.finished_at IS NULL
         ORDER BY id DESC",
    )?;
    let mut rows = query.query([])?;
    let mut found = BTreeMap::new();
    while let Some(row) = rows.next()? {
        found.insert(values::hash(row, "pack")?, values::text(row, "id")?);
    }
    Ok(found)
}
