//! The database file: how a connection is set up, and the migrations that bring it up to date.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Fact;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::error::OpenError;
use super::{log, refs, values};
use crate::port::StoreError;

/// The migrations in order; a file's `user_version` says how many it has had. One that was
/// released is never changed: what comes later is another file.
const MIGRATIONS: [&str; 10] = [
    include_str!("migrations/0001_log_and_projection.sql"),
    include_str!("migrations/0002_audit.sql"),
    include_str!("migrations/0003_sealed.sql"),
    include_str!("migrations/0004_retention.sql"),
    include_str!("migrations/0005_kept.sql"),
    include_str!("migrations/0006_repetitions.sql"),
    include_str!("migrations/0007_askers.sql"),
    include_str!("migrations/0008_begun.sql"),
    include_str!("migrations/0009_asked.sql"),
    include_str!("migrations/0010_runs.sql"),
];

/// After these migrations the columns and tables of the first are filled from the log: what a poll
/// names is noted since the last.
const FILLED: RangeInclusive<u32> = 4..=5;

/// Version 3.51.3: those before can corrupt a database when its write-ahead log starts over.
const OLDEST_LIBRARY: i32 = 3_051_003;

/// Prepared statements kept per connection: all that the store knows, so that none is parsed twice.
const STATEMENTS: usize = 64;

/// The newest schema that this version knows.
pub const NEWEST: u32 = MIGRATIONS.len() as u32;

/// Where the database of a state folder lies.
pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join("tripline.db")
}

/// Refuses a SQLite that is known to corrupt databases.
pub(super) fn check_library(number: i32) -> Result<(), OpenError> {
    if number >= OLDEST_LIBRARY {
        return Ok(());
    }
    let (major, minor, patch) = (number / 1_000_000, number / 1_000 % 1_000, number % 1_000);
    Err(OpenError::Library(format!("{major}.{minor}.{patch}")))
}

/// Opens the one connection that writes; the file is as it was until [`migrate`].
pub(super) fn open_writer(path: &Path, max_pages: Option<u32>) -> Result<Connection, OpenError> {
    let open = || {
        let mut connection = Connection::open(path)?;
        prepare(&mut connection)?;
        // Else whoever is refused after this, because of damage, would leave the log merged into
        // the database as he goes.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        // Takes effect only before the first table is made.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        // What is deleted, such as an encrypted secret, is overwritten.
        connection.pragma_update(None, "secure_delete", "ON")?;
        // In KiB: holds the indices' pages that an append of a random id touches.
        connection.pragma_update(None, "cache_size", -32_768)?;
        // A checkpoint costs two syncs on top of the commit that runs it: every 16 MiB.
        connection.pragma_update(None, "wal_autocheckpoint", 4_096)?;
        connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
        if let Some(pages) = max_pages {
            connection.pragma_update(None, "max_page_count", pages)?;
        }
        Ok(connection)
    };
    open().map_err(|error: rusqlite::Error| OpenError::database(path, error))
}

/// Opens a connection that only reads.
pub(super) fn open_reader(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    prepare(&mut connection)?;
    Ok(connection)
}

fn prepare(connection: &mut Connection) -> Result<(), rusqlite::Error> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Nobody else writes; a backup or a curious person may hold a lock for a moment.
    connection.busy_timeout(Duration::from_secs(5))
}

/// Builds an empty database of the newest schema in `connection`, such as a temporary one.
pub(super) fn build(connection: &mut Connection) -> Result<(), StoreError> {
    (0..NEWEST).try_for_each(|version| migrate_from(connection, version))
}

/// Brings a file of schema `found` up to date.
pub(super) fn migrate(
    connection: &mut Connection,
    path: &Path,
    found: u32,
) -> Result<(), OpenError> {
    (found..NEWEST)
        .try_for_each(|version| migrate_from(connection, version))
        .map_err(|error| OpenError::database(path, error))
}

/// The file's schema, if this version can read it.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<u32, OpenError> {
    let found = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|error| OpenError::database(path, error))?;
    if found > NEWEST {
        let written_by = written_by(connection).unwrap_or_else(|| "of an unknown version".into());
        return Err(OpenError::Newer { found, known: NEWEST, written_by });
    }
    Ok(found)
}

fn written_by(connection: &Connection) -> Option<String> {
    let query = "SELECT version FROM written_by";
    connection.query_row(query, [], |row| row.get(0)).optional().ok().flatten()
}

fn migrate_from(connection: &mut Connection, version: u32) -> Result<(), StoreError> {
    let change = connection.transaction()?;
    change.execute_batch(MIGRATIONS[version as usize])?;
    if FILLED.contains(&(version + 1)) {
        fill(&change)?;
    }
    change.execute("DELETE FROM written_by", [])?;
    change.execute("INSERT INTO written_by VALUES (?1)", [env!("CARGO_PKG_VERSION")])?;
    change.pragma_update(None, "user_version", version + 1)?;
    Ok(change.commit()?)
}

/// What facts name, and the hashes of events' data: written with each fact from here on.
fn fill(connection: &Connection) -> Result<(), StoreError> {
    let mut query =
        connection.prepare("SELECT position, version, body FROM facts WHERE pruned = 0")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (position, fact) = (values::position(row, "position")?, log::fact(row)?);
        refs::put(connection, position, &fact, &values::get::<Vec<u8>>(row, "body")?)?;
        if let Fact::EventAccepted(accepted) = fact {
            let mut update =
                connection.prepare_cached("UPDATE events SET payload = ?2 WHERE position = ?1")?;
            update.execute(params![values::number(position), accepted.payload.as_bytes()])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_can_corrupt_the_database_is_refused() {
        assert!(check_library(3_051_003).is_ok());
        assert!(check_library(rusqlite::version_number()).is_ok());
        let refused = check_library(3_051_002).unwrap_err();
        assert!(refused.to_string().contains("SQLite 3.51.2"), "{refused}");
    }

    #[test]
    fn an_older_file_learns_what_its_facts_name() {
        let mut connection = Connection::open_in_memory().unwrap();
        (0..3).for_each(|version| migrate_from(&mut connection, version).unwrap());
        let blob = model::BlobRef::of(b"[1]");
        let data = serde_json::json!({ "blob": blob });
        let event = serde_json::json!({ "EventAccepted": {
            "event": {
                "envelope": {
                    "id": "e1", "source": "s", "type": "git.push", "time": "2026-01-01T00:00:00Z",
                },
                "data": data,
            },
            "payload": blob.blob, "accepted_at": "2026-01-01T00:00:00Z", "generation": 1,
            "matched": [], "reemit_of": null,
        }});
        connection
            .execute_batch(&format!(
                "INSERT INTO streams VALUES (1, 'event/x', 1);
                 INSERT INTO facts VALUES (1, 1, 0, 'a', 1, 'EventAccepted', zeroblob(32), CAST('{event}' AS BLOB));
                 INSERT INTO events (position, key, kind, source, accepted_at) VALUES (1, 'x', 'git.push', 's', 0);"
            ))
            .unwrap();
        (3..NEWEST).for_each(|version| migrate_from(&mut connection, version).unwrap());
        assert_eq!(refs::named(&connection, &[blob.blob]).unwrap().len(), 1);
        let payload: [u8; 32] =
            connection.query_row("SELECT payload FROM events", [], |row| row.get(0)).unwrap();
        assert_eq!(payload, *blob.blob.as_bytes());
    }

    #[test]
    fn an_older_file_learns_when_a_chain_began_that_called_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        (0..7).for_each(|version| migrate_from(&mut connection, version).unwrap());
        let insert = "INSERT INTO executions
            (position, id, action, requested_at, state, started_at, finished_at) VALUES
            (1, 'a', 'core.noop', 0, 'failed', NULL, 5), (2, 'b', 'core.noop', 0, 'failed', 3, 5),
            (3, 'c', 'core.noop', 0, 'cancelled', NULL, 5), (4, 'd', 'core.noop', 0, 'queued', NULL, NULL)";
        connection.execute_batch(insert).unwrap();
        migrate_from(&mut connection, 7).unwrap();
        let mut query = connection.prepare("SELECT started_at FROM executions").unwrap();
        let found = query.query_map([], |row| row.get::<_, Option<i64>>(0)).unwrap();
        let found: Vec<_> = found.map(Result::unwrap).collect();
        assert_eq!(found, [Some(5), Some(3), None, None]);
    }

    #[test]
    fn an_older_file_learns_who_asked_for_the_first_of_runs_that_went_on() {
        let mut connection = Connection::open_in_memory().unwrap();
        (0..6).for_each(|version| migrate_from(&mut connection, version).unwrap());
        let by = |by: Option<&str>| Fact::ExecutionContinues {
            of: model::ExecutionId::random(&[1; 32]),
            in_a_row: 0,
            idle: 0,
            by: by.map(model::Actor::token),
            at: model::Timestamp::UNIX_EPOCH,
        };
        // The requests stand at 1, 3 and 5, what follows them right after.
        for (position, next) in [(1, None), (3, Some(by(Some("ann")))), (5, Some(by(None)))] {
            let insert = "INSERT INTO executions (position, id, action, requested_at, state)
                          VALUES (?1, ?1, 'core.noop', 0, 'queued')";
            connection.execute(insert, [position]).unwrap();
            let next = next.unwrap_or(Fact::KeyDeleted);
            let insert = "INSERT OR IGNORE INTO streams VALUES (1, 'execution/x', 1)";
            connection.execute(insert, []).unwrap();
            let insert =
                "INSERT INTO facts (position, stream, at, actor, version, name, hash, body)
                          VALUES (?1, 1, 0, 'engine', 1, ?2, zeroblob(32), ?3)";
            connection.execute(insert, params![position + 1, next.name(), next.encode()]).unwrap();
        }
        (6..NEWEST).for_each(|version| migrate_from(&mut connection, version).unwrap());
        let mut query = connection.prepare("SELECT first_by FROM executions").unwrap();
        let found = query.query_map([], |row| row.get::<_, Option<String>>(0)).unwrap();
        let found: Vec<_> = found.map(Result::unwrap).collect();
        assert_eq!(found, [None, Some("token:ann".to_owned()), None]);
    }
}
