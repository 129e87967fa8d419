//! Sealed records in SQLite: a table of its own, outside of the hash chain.

use std::collections::BTreeMap;

use model::Timestamp;
use rusqlite::{Connection, Row, params};

use super::values::{self, nanos};
use crate::port::StoreError;
use crate::sealed::{MAX_SEALED_CHANGES, Sealed, Sealing};

/// Makes one change within the transaction.
pub(super) fn change(connection: &Connection, change: &Sealing) -> Result<(), StoreError> {
    match change {
        Sealing::Put(name, sealed) => {
            let mut put = connection
                .prepare_cached("INSERT OR REPLACE INTO sealed VALUES (?1, ?2, ?3, ?4)")?;
            put.execute(params![name, sealed.key, nanos(sealed.at), sealed.ciphertext])?;
        }
        Sealing::Replace(name, sealed) => {
            let mut replace = connection
                .prepare_cached("UPDATE sealed SET key = ?2, ciphertext = ?3 WHERE name = ?1")?;
            replace.execute(params![name, sealed.key, sealed.ciphertext])?;
        }
        Sealing::Delete(name) => {
            connection.prepare_cached("DELETE FROM sealed WHERE name = ?1")?.execute([name])?;
        }
        Sealing::DeleteAll(prefix) => {
            let mut delete = connection.prepare_cached(
                "DELETE FROM sealed WHERE name >= ?1 AND substr(name, 1, length(?1)) = ?1",
            )?;
            delete.execute([prefix])?;
        }
    }
    Ok(())
}

/// Drops records of executions that nobody knows: earlier versions forgot these alone. True if there
/// may be more.
pub(super) fn drop_orphans(connection: &Connection, window: Timestamp) -> Result<bool, StoreError> {
    let mut drop = connection.prepare_cached(
        "DELETE FROM sealed WHERE name IN (
             SELECT name FROM sealed WHERE name >= 'token/' AND name < 'token0' AND at < ?1
             AND NOT EXISTS (SELECT 1 FROM executions
                 WHERE id = substr(name, 7, instr(substr(name, 7), '/') - 1))
             LIMIT ?2)",
    )?;
    let most = MAX_SEALED_CHANGES as i64;
    Ok(drop.execute(params![nanos(window), most])? as i64 == most)
}

/// The record under this name.
pub(super) fn one(connection: &Connection, name: &str) -> Result<Option<Sealed>, StoreError> {
    let query = "SELECT key, at, ciphertext FROM sealed WHERE name = ?1";
    let mut query = connection.prepare_cached(query)?;
    let mut rows = query.query([name])?;
    rows.next()?.map(sealed).transpose()
}

/// At most `limit` records whose names begin with `prefix` and come after `after`, by name.
pub(super) fn list(
    connection: &Connection,
    prefix: &str,
    after: &str,
    limit: usize,
) -> Result<Vec<(String, Sealed)>, StoreError> {
    let mut query = connection.prepare_cached(
        "SELECT name, key, at, ciphertext FROM sealed WHERE name >= ?1 AND name > ?2
         AND substr(name, 1, length(?1)) = ?1 ORDER BY name LIMIT ?3",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = query.query(params![prefix, after, limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push((values::get(row, "name")?, sealed(row)?));
    }
    Ok(found)
}

/// How many records each key opens.
pub(super) fn keys(connection: &Connection) -> Result<BTreeMap<String, u64>, StoreError> {
    let mut query =
        connection.prepare_cached("SELECT key, count(*) AS count FROM sealed GROUP BY key")?;
    let mut rows = query.query([])?;
    let mut keys = BTreeMap::new();
    while let Some(row) = rows.next()? {
        keys.insert(values::get(row, "key")?, values::count(row, "count")?);
    }
    Ok(keys)
}

/// A record that this key opens, with its name.
pub(super) fn opened_by(
    connection: &Connection,
    key: &str,
) -> Result<Option<(String, Sealed)>, StoreError> {
    let query = "SELECT name, key, at, ciphertext FROM sealed WHERE key = ?1 LIMIT 1";
    let mut query = connection.prepare(query)?;
    let mut rows = query.query([key])?;
    match rows.next()? {
        Some(row) => Ok(Some((values::get(row, "name")?, sealed(row)?))),
        None => Ok(None),
    }
}

fn sealed(row: &Row<'_>) -> Result<Sealed, StoreError> {
    Ok(Sealed {
        key: values::get(row, "key")?,
        ciphertext: values::get(row, "ciphertext")?,
        at: values::time(row, "at")?,
    })
}
