//! Sealed records in SQLite: a table of its own, outside of the hash chain.

use std::collections::BTreeMap;

use model::Timestamp;
use rusqlite::{Connection, Row, params};

use super::values::{self, nanos};
use crate::port::StoreError;
use crate::sealed::{MAX_SEALED_CHANGES, Sealed, Sealing};

const DELETE_ALL: &str = "DELETE FROM sealed WHERE name >= ?1 AND name < ?2";
const LIST: &str = "SELECT name, key, at, ciphertext FROM sealed
     WHERE name >= ?1 AND name < ?2 ORDER BY name LIMIT ?3";

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
            let mut delete = connection.prepare_cached(DELETE_ALL)?;
            delete.execute([prefix, &behind(prefix)])?;
        }
    }
    Ok(())
}

/// The first text behind all those that begin with `prefix`. Behind all there are, where it is empty:
/// no name begins with the last of all characters.
fn behind(prefix: &str) -> String {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        if let Some(next) = (last..=char::MAX).nth(1) {
            text.push(next);
            return text;
        }
    }
    char::MAX.to_string()
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
    let mut query = connection.prepare_cached(LIST)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    // One lower bound: of two, the index would be used for either.
    let from = if after < prefix { prefix.to_owned() } else { format!("{after}\0") };
    let mut rows = query.query(params![from, behind(prefix), limit])?;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rusqlite::StatementStatus;

    use super::*;

    fn filled(others: usize) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("migrations/0003_sealed.sql")).unwrap();
        let sealed =
            Sealed { key: "k".to_owned(), ciphertext: b"c".to_vec(), at: Timestamp::UNIX_EPOCH };
        let before = (0..others).map(|n| format!("secret/{n}"));
        let after = (0..others).map(|n| format!("token/z/{n}"));
        let own = ["token/a/1", "token/a/2"].map(str::to_owned);
        for name in before.chain(own).chain(after) {
            change(&connection, &Sealing::Put(name, sealed.clone())).unwrap();
        }
        connection
    }

    /// What SQLite did for `query` since the last time it was asked.
    fn steps(connection: &Connection, query: &str) -> i32 {
        connection.prepare_cached(query).unwrap().reset_status(StatementStatus::VmStep)
    }

    #[test]
    fn what_is_read_of_one_execution_does_not_grow_with_what_others_have() {
        let work = |others: usize| {
            let connection = filled(others);
            let found = list(&connection, "token/a/", "", 9).unwrap();
            assert_eq!(found.len(), 2);
            let rest = list(&connection, "token/a/", "token/a/1", 9).unwrap();
            assert_eq!(rest.len(), 1);
            change(&connection, &Sealing::DeleteAll("token/a/".to_owned())).unwrap();
            let left = list(&connection, "token/", "", 10_000).unwrap().len();
            let listed = steps(&connection, LIST);
            assert_eq!(left, others);
            let _ = list(&connection, "token/a/", "", 9).unwrap();
            (steps(&connection, DELETE_ALL), steps(&connection, LIST), listed > 0)
        };
        assert_eq!(work(10), work(1_000));
    }

    #[test]
    fn the_bound_behind_a_prefix_is_the_next_text_of_its_length() {
        for (prefix, expected) in [
            ("token/a/", "token/a0"),
            ("secret/p@", "secret/pA"),
            ("a\u{d7ff}", "a\u{e000}"),
            ("a\u{10ffff}", "b"),
            ("", "\u{10ffff}"),
        ] {
            assert_eq!(behind(prefix), expected, "{prefix}");
        }
    }
}
