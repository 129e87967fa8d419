//! Why a state folder cannot be opened, and what SQLite's errors mean to a caller.

use std::io;
use std::path::{Path, PathBuf};

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use rusqlite::{ErrorCode, ffi};

use crate::port::{Position, StoreError};

/// Why a state folder cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or a file in it cannot be made, read or written.
    #[error("the state folder needs `{path}`, which cannot be used: {source}")]
    Folder {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has it.
    #[error(
        "the state folder `{folder}` is in use by process {pid}; stop that server (`kill {pid}`), or give this one another folder with --state"
    )]
    Held {
        /// The folder.
        folder: PathBuf,
        /// The process, as far as its lock file tells.
        pid: String,
    },
    /// Built with a SQLite that can corrupt a database.
    #[error(
        "this binary was built with SQLite {0}, which can corrupt a database (fixed in 3.51.3): build it with a newer one"
    )]
    Library(String),
    /// Written by a newer Tripline.
    #[error(
        "the state folder was written by Tripline {written_by} (schema {found}); this version reads up to schema {known}: use Tripline {written_by} or a newer one"
    )]
    Newer {
        /// The file's schema.
        found: u32,
        /// The newest schema this version knows.
        known: u32,
        /// The version of Tripline that wrote the file.
        written_by: String,
    },
    /// The log lost facts that were acknowledged.
    #[error(
        "the log lost {missing} facts: it ends at position {}, and {} was acknowledged; restore a backup, or delete the file `head` in the state folder to accept the loss", found.0, head.0
    )]
    Lost {
        /// How many are missing.
        missing: u64,
        /// The last position that was acknowledged.
        head: Position,
        /// The last position that is there.
        found: Position,
    },
    /// The log holds another fact than was acknowledged.
    #[error(
        "the fact at position {} is not the one that was acknowledged; restore a backup, or run `tripline doctor`", .0.0
    )]
    OtherHistory(Position),
    /// The head file cannot be understood.
    #[error(
        "the file `head` in the state folder is damaged, so that nobody can tell whether the log is complete; restore a backup, or delete the file to accept the log as it is"
    )]
    Head,
    /// The folder was used, and its database is not there.
    #[error(
        "the database `{path}` is not there, though the folder was used before (it holds `{trace}`{}); {}", told(*facts), what_brings_it_back(trace)
    )]
    Gone {
        /// Where it should be.
        path: PathBuf,
        /// How many facts were acknowledged, as far as the head file tells.
        facts: u64,
        /// What shows that the folder was used.
        trace: &'static str,
    },
    /// The database holds nothing, in a folder that was used.
    #[error(
        "the database `{path}` is empty, though the folder was used before{}{}; restore a backup, or begin anew in an empty folder with --state", told(*facts), left(*beside)
    )]
    Empty {
        /// The file.
        path: PathBuf,
        /// How many facts were acknowledged, as far as the head file tells.
        facts: u64,
        /// Bytes of the write-ahead log beside it.
        beside: u64,
    },
    /// Another program has the database open and locked.
    #[error(
        "the database `{path}` is locked by another program; close whatever has it open (a database browser, a script, a copy that is being made), then start again"
    )]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The database is damaged.
    #[error("the database `{path}` is damaged: {why}; restore a backup, or run `tripline doctor`")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        why: String,
    },
    /// Anything else that SQLite says.
    #[error("the database `{path}` cannot be opened: {why}")]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        why: String,
    },
}

/// How many facts are gone, where that is known.
fn told(facts: u64) -> String {
    if facts == 0 { String::new() } else { format!(", and {facts} facts were acknowledged in it") }
}

/// What is left of them.
fn left(bytes: u64) -> String {
    match bytes {
        0 => String::new(),
        bytes => format!(" (`tripline.db-wal` beside it was left as it is: {bytes} bytes)"),
    }
}

impl OpenError {
    /// Makes an error of what the file system says about `path`.
    pub(super) fn folder(path: &Path) -> impl Fn(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Folder { path: path.clone(), source }
    }

    /// What SQLite said of the database at `path`.
    pub(super) fn database(path: &Path, error: impl Into<StoreError>) -> Self {
        let path = path.to_owned();
        match error.into() {
            StoreError::Corrupt(why) => Self::Damaged { path, why },
            StoreError::Busy => Self::Locked { path },
            other => Self::Database { path, why: other.to_string() },
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error as E;
        let why = error.to_string();
        match &error {
            E::FromSqlConversionFailure(..)
            | E::IntegralValueOutOfRange(..)
            | E::InvalidColumnType(..)
            | E::Utf8Error(..) => Self::Corrupt(why),
            _ => match error.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => Self::Full(why),
                Some(ErrorCode::SystemIoFailure) if is_write(&error) => not_written(why),
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt(why),
                Some(ErrorCode::OperationInterrupted) => {
                    Self::Io("the query took too long: ask for less".to_owned())
                }
                _ => Self::Io(why),
            },
        }
    }
}

/// Whether SQLite failed while it made a file larger.
fn is_write(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    code.is_some_and(|code| {
        [ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_IOERR_SHMSIZE, ffi::SQLITE_IOERR_TRUNCATE]
            .contains(&code)
    })
}

/// What the file system said while a blob or the head was read or written.
pub(super) fn io_failure(path: &Path, error: &io::Error) -> StoreError {
    let why = format!("`{}`: {error}", path.display());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            StoreError::Full(why)
        }
        _ => StoreError::Io(why),
    }
}

/// SQLite could not write, and does not say why: a limit on the size of files is a full disk too.
fn not_written(why: String) -> StoreError {
    match getrlimit(Resource::RLIMIT_FSIZE) {
        Ok((limit, _)) if limit != RLIM_INFINITY => StoreError::Full(format!(
            "{why}, and a file may have {limit} bytes at most (`ulimit -f`), a limit to be raised"
        )),
        _ => StoreError::Io(why),
    }
}

/// What to do about a database that is not there.
fn what_brings_it_back(trace: &str) -> &'static str {
    match trace {
        "restoring" => "a restore was cut off: run it again with --replace",
        _ => "put it back or restore a backup, or begin anew in an empty folder with --state",
    }
}
