//! What is looked at when a state folder is opened.

use std::path::Path;

use model::Hash;
use rusqlite::Connection;

use super::error::OpenError;
use super::head::Head;
use super::{blobs, log, refs, schema};
use crate::port::StoreError;

/// Compares the log's end with what was acknowledged.
pub(super) fn check_head(folder: &Path, connection: &Connection) -> Result<Head, OpenError> {
    let damaged = |error| OpenError::database(&schema::path(folder), error);
    let head = log::head(connection).map_err(damaged)?;
    match Head::read(folder)? {
        Some(acknowledged) => {
            let at = log::hash_at(connection, acknowledged.position).map_err(damaged)?;
            head.check(acknowledged, at)?;
        }
        None if head == Head::EMPTY => {}
        None => tracing::warn!(
            folder = %folder.display(),
            "the file `head` is not there: nobody can tell whether the log is complete"
        ),
    }
    Ok(head)
}

/// Tells of blobs that facts name and that are not there. Work that needs none of them goes on.
pub(super) fn tell_missing_blobs(folder: &Path, connection: &Connection) -> Result<(), StoreError> {
    const PAGE: usize = 10_000;
    let (mut after, mut missing): (Hash, Vec<Hash>) = (Head::EMPTY.hash, Vec::new());
    loop {
        let page = refs::blobs_after(connection, &after, PAGE)?;
        missing.extend(page.iter().filter(|blob| !blobs::exists(folder, **blob)).copied());
        match page.last() {
            Some(last) if page.len() == PAGE => after = *last,
            _ => break,
        }
    }
    if let Some(first) = missing.first() {
        tracing::error!(
            missing = missing.len(),
            %first,
            "blobs are not there: what needs them fails; `tripline doctor` tells which, and restore a backup"
        );
    }
    Ok(())
}
