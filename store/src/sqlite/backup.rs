//! A copy of the store, made while it is at work.
//!
//! The connection that writes copies the database, some pages at a time between two commits: so
//! nobody waits for long, no read transaction is held open, and what is appended meanwhile is in
//! the copy too. A copy by another connection would begin anew at each commit.

use std::fs;
use std::io;
use std::path::Path;

use model::Hash;
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::error::{OpenError, io_failure};
use super::head::{Head, HeadFile};
use super::{blobs, log, refs, schema};
use crate::port::{Position, StoreError};

/// Pages (of 4 KiB) copied between two commits: some milliseconds.
const PAGES: i32 = 256;
/// Blobs that are looked up at once.
const BLOBS: usize = 10_000;

/// What can be said of a state folder at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The schema of its database.
    pub schema: u32,
    /// Where its log ends.
    pub position: Position,
    /// The hash of the last fact.
    pub hash: Hash,
}

/// Looks at a state folder that no server runs on.
pub fn about(folder: &Path) -> Result<About, OpenError> {
    let path = schema::path(folder);
    let damaged = |error: StoreError| OpenError::database(&path, error);
    let connection = schema::open_reader(&path).map_err(|error| damaged(error.into()))?;
    let schema = schema::check(&connection, &path)?;
    let Head { position, hash } = log::head(&connection).map_err(damaged)?;
    Ok(About { schema, position, hash })
}

/// Copies the database that `connection` writes into the file `to`; the others have a `turn`
/// after each part.
pub(super) fn copy_database(
    connection: &Connection,
    to: &Path,
    mut turn: impl FnMut(),
) -> Result<(), StoreError> {
    let mut copy = Connection::open(to)?;
    // Who needs the copy to last makes it so.
    copy.pragma_update(None, "synchronous", "OFF")?;
    let backup = Backup::new(connection, &mut copy)?;
    while backup.step(PAGES)? != StepResult::Done {
        turn();
    }
    Ok(())
}

/// Adds to the copy of the database in `to` what belongs to it: how far its log goes, and the
/// blobs that its facts name.
pub(super) fn finish(state: &Path, to: &Path) -> Result<(), StoreError> {
    let copy = schema::open_reader(&schema::path(to))?;
    let head = log::head(&copy)?;
    HeadFile::open(to, head).map_err(|error| StoreError::Io(error.to_string()))?;
    let mut after = Head::EMPTY.hash;
    loop {
        let page = refs::blobs_after(&copy, &after, BLOBS)?;
        page.iter().try_for_each(|blob| copy_blob(state, to, *blob))?;
        match page.last() {
            Some(last) if page.len() == BLOBS => after = *last,
            _ => return Ok(()),
        }
    }
}

/// A blob never changes, so that a second name for its file will do. One that is missing is missed
/// in the copy as it is here.
fn copy_blob(state: &Path, to: &Path, blob: Hash) -> Result<(), StoreError> {
    let (from, to) = (blobs::path_in(state, blob), blobs::path_in(to, blob));
    let copied = fs::create_dir_all(to.parent().unwrap_or(&to))
        .and_then(|()| fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop)));
    match copied {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_failure(&from, &error)),
        _ => Ok(()),
    }
}
