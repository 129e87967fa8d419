//! Which contents outside of the log a fact names: blobs, and the packs that its steps resolved to.

use std::collections::BTreeSet;

use model::{Fact, Hash};
use rusqlite::{Connection, OptionalExtension, params};

use super::values::number;
use crate::port::{Position, StoreError};

/// How a blob's name stands in a fact's bytes. Within a text its quotes would be escaped.
const BLOB: &[u8] = b"\"blob\":\"";
/// Digits of a hash.
const DIGITS: usize = 64;

/// Notes what the fact at `position` names.
pub(super) fn put(
    connection: &Connection,
    position: Position,
    fact: &Fact,
    body: &[u8],
) -> Result<(), StoreError> {
    let put = |hash: &Hash, kind: &str| -> Result<(), StoreError> {
        let mut insert =
            connection.prepare_cached("INSERT OR IGNORE INTO refs VALUES (?1, ?2, ?3)")?;
        insert.execute(params![hash.as_bytes(), number(position), kind])?;
        Ok(())
    };
    if let Fact::StepIntended { call, .. } = fact
        && let Some(version) = call.version()
    {
        put(version, "pack")?;
    }
    blobs(body).iter().try_for_each(|blob| put(blob, "blob"))
}

/// Forgets what the fact at `position` names.
pub(super) fn drop(connection: &Connection, position: Position) -> Result<(), StoreError> {
    let mut delete = connection.prepare_cached("DELETE FROM refs WHERE position = ?1")?;
    delete.execute([number(position)])?;
    Ok(())
}

/// The blobs that a fact's bytes name. What only looks like one keeps a blob for longer.
fn blobs(body: &[u8]) -> BTreeSet<Hash> {
    let mut found = BTreeSet::new();
    let mut rest = body;
    while let Some(at) = rest.windows(BLOB.len()).position(|window| window == BLOB) {
        rest = &rest[at + BLOB.len()..];
        let digits = rest.get(..DIGITS).and_then(|digits| std::str::from_utf8(digits).ok());
        found.extend(digits.and_then(|digits| digits.parse::<Hash>().ok()));
    }
    found
}

/// Which of `contents` a fact or an execution names.
pub(super) fn named(
    connection: &Connection,
    contents: &[Hash],
) -> Result<BTreeSet<Hash>, StoreError> {
    let mut by_fact = connection.prepare_cached("SELECT 1 FROM refs WHERE hash = ?1 LIMIT 1")?;
    let pinned = "SELECT 1 FROM executions WHERE pack = ?1 LIMIT 1";
    let mut by_execution = connection.prepare_cached(pinned)?;
    let mut found = BTreeSet::new();
    for hash in contents {
        let bytes = hash.as_bytes();
        let by_fact = by_fact.query_row([bytes], |_| Ok(())).optional()?;
        if by_fact.is_some() || by_execution.query_row([bytes], |_| Ok(())).optional()?.is_some() {
            found.insert(*hash);
        }
    }
    Ok(found)
}

/// Blobs that facts name, in order, after `after`.
pub(super) fn blobs_after(
    connection: &Connection,
    after: &Hash,
    limit: usize,
) -> Result<Vec<Hash>, StoreError> {
    let mut query = connection.prepare_cached(
        "SELECT DISTINCT hash FROM refs WHERE hash > ?1 AND kind = 'blob' ORDER BY hash LIMIT ?2",
    )?;
    let rows = query.query_map(params![after.as_bytes(), limit as i64], |row| row.get(0))?;
    Ok(rows.map(|hash| hash.map(Hash::from_bytes)).collect::<Result<_, _>>()?)
}
