//! The database file: how a connection is set up, and the migrations that bring it up to date.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::error::OpenError;

/// The migrations in order; a file's `user_version` says how many it has had. One that was
/// released is never changed: what comes later is another file.
const MIGRATIONS: [&str; 3] = [
    include_str!("migrations/0001_log_and_projection.sql"),
    include_str!("migrations/0002_audit.sql"),
    include_str!("migrations/0003_sealed.sql"),
];

/// Version 3.51.3: those before can corrupt a database when its write-ahead log starts over.
const OLDEST_LIBRARY: i32 = 3_051_003;

/// Prepared statements kept per connection: all that the store knows, so that none is parsed twice.
const STATEMENTS: usize = 64;

/// The newest schema that this version knows.
pub(super) const NEWEST: u32 = MIGRATIONS.len() as u32;

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
pub(super) fn build(connection: &mut Connection) -> Result<(), rusqlite::Error> {
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

fn migrate_from(connection: &mut Connection, version: u32) -> Result<(), rusqlite::Error> {
    let change = connection.transaction()?;
    change.execute_batch(MIGRATIONS[version as usize])?;
    change.execute("DELETE FROM written_by", [])?;
    change.execute("INSERT INTO written_by VALUES (?1)", [env!("CARGO_PKG_VERSION")])?;
    change.pragma_update(None, "user_version", version + 1)?;
    change.commit()
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
}
