//! Which facts go. Decided on a reading connection: what may go once may go for ever, so nothing
//! needs to be asked again when the writer takes them away.

use std::collections::BTreeMap;

use model::{ActionRef, EventKey, Fact, RuleRef, Stream, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::log;
use super::values::{self, number};
use crate::port::{Position, StoreError};
use crate::projection::deferred;
use crate::retention::{MAX_DEPTH, Retention};

/// Facts looked at in one step: some milliseconds.
const PAGE: usize = 1_000;

/// Facts of one page that go, and where the next page begins, if there is one.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) goes: Vec<Position>,
    pub(super) next: Option<Position>,
}

/// Looks at a page of the log after `after`.
pub(super) fn page(
    connection: &Connection,
    keep: &Retention,
    after: Position,
    now: Timestamp,
) -> Result<Page, StoreError> {
    let mut query = connection.prepare_cached(
        "SELECT position, streams.name AS stream, streams.version AS last, at, stream AS id,
         facts.version AS version, facts.name AS name, body
         FROM facts INDEXED BY facts_kept JOIN streams ON streams.id = stream
         WHERE position > ?1 AND pruned = 0 ORDER BY position LIMIT ?2",
    )?;
    let mut rows = query.query(params![number(after), PAGE as i64])?;
    let mut look = Look { connection, keep, now, ended: BTreeMap::new() };
    let (mut page, mut looked, youngest) = (Page::default(), 0, keep.youngest(now));
    while let Some(row) = rows.next()? {
        if values::time(row, "at")? >= youngest {
            return Ok(Page { next: None, ..page });
        }
        looked += 1;
        let position = values::position(row, "position")?;
        page.next = Some(position);
        if look.goes(row)? {
            page.goes.push(position);
        }
    }
    // A page that is not full is the last one.
    page.next = page.next.filter(|_| looked == PAGE);
    Ok(page)
}

struct Look<'a> {
    connection: &'a Connection,
    keep: &'a Retention,
    now: Timestamp,
    /// The executions of this page, and whether they go.
    ended: BTreeMap<String, bool>,
}

impl Look<'_> {
    fn goes(&mut self, row: &Row<'_>) -> Result<bool, StoreError> {
        let at = values::time(row, "at")?;
        match values::text(row, "stream")? {
            Stream::Execution(id) => {
                if let Some(known) = self.ended.get(id.as_str()) {
                    return Ok(*known);
                }
                let goes = self.execution_goes(id.as_str(), at, MAX_DEPTH)?;
                self.ended.insert(id.as_str().to_owned(), goes);
                Ok(goes)
            }
            Stream::Event(key) => {
                Ok(self.event_goes(key.as_str(), at)? && !self.is_deferred(&key)?)
            }
            stream => Ok(at < self.keep.words(self.now) && self.is_past(&stream, row)?),
        }
    }

    /// Whether the execution has ended for long enough, and nothing above it is kept; or a later run
    /// took its place there. One without a row was pruned before, or nobody ever asked for it.
    fn execution_goes(&self, id: &str, at: Timestamp, depth: usize) -> Result<bool, StoreError> {
        let mut query = self.connection.prepare_cached(
            "SELECT finished_at, parent, step, position FROM executions WHERE id = ?1",
        )?;
        let mut rows = query.query([id])?;
        let Some(row) = rows.next()? else { return Ok(at < self.keep.words(self.now)) };
        let Some(ended) = values::maybe_time(row, "finished_at")? else { return Ok(false) };
        if depth == 0 {
            return Ok(false);
        }
        match values::get::<Option<String>>(row, "parent")? {
            // A child belongs to whom its parent belongs to, and goes with it.
            Some(parent) if self.exists(&parent)? => {
                Ok(self.execution_goes(&parent, at, depth - 1)?
                    || self.is_followed(row, &parent)? && self.is_old(id, ended)?)
            }
            Some(_) => Ok(true),
            None => self.is_old(id, ended),
        }
    }

    /// Whether the child in `row` went on as a run that is there.
    fn is_followed(&self, row: &Row<'_>, parent: &str) -> Result<bool, StoreError> {
        let mut later = self.connection.prepare_cached(
            "SELECT 1 FROM executions WHERE parent = ?1 AND step = ?2 AND position > ?3",
        )?;
        let (step, position): (String, i64) =
            (values::get(row, "step")?, values::get(row, "position")?);
        Ok(later.exists(params![parent, step, position])?)
    }

    /// Whether what ended then has for as long as its owner, whose the root is, keeps it.
    fn is_old(&self, id: &str, ended: Timestamp) -> Result<bool, StoreError> {
        let mut root =
            self.connection.prepare_cached("SELECT action, rule FROM executions WHERE id = ?1")?;
        let mut rows = root.query([id.split('/').next()])?;
        let Some(row) = rows.next()? else { return Ok(true) };
        let action: ActionRef = values::text(row, "action")?;
        let rule: Option<RuleRef> = values::maybe_text(row, "rule")?;
        Ok(ended < self.keep.executions(rule.as_ref(), &action, self.now))
    }

    fn exists(&self, id: &str) -> Result<bool, StoreError> {
        let mut query = self.connection.prepare_cached("SELECT 1 FROM executions WHERE id = ?1")?;
        Ok(query.exists([id])?)
    }

    fn event_goes(&self, key: &str, at: Timestamp) -> Result<bool, StoreError> {
        let mut query =
            self.connection.prepare_cached("SELECT kind, source FROM events WHERE key = ?1")?;
        let found = query.query_row([key], |row| {
            Ok((row.get::<_, String>("kind")?, row.get::<_, String>("source")?))
        });
        let (kind, source) = found.optional()?.unwrap_or_default();
        Ok(at < self.keep.events(&kind, &source, self.now))
    }

    /// Whether not everything is stored yet that rules made of the event.
    fn is_deferred(&self, event: &EventKey) -> Result<bool, StoreError> {
        let pages = Stream::Pages(event.clone());
        Ok(log::latest(self.connection, &pages)?.and_then(deferred).is_some())
    }

    /// Whether the stream has said something later, or that nothing is there any more.
    fn is_past(&self, stream: &Stream, row: &Row<'_>) -> Result<bool, StoreError> {
        let position = values::position(row, "position")?;
        if let Stream::Key(_) | Stream::Seen(_) = stream {
            let last = values::position(row, "last")?;
            return Ok(position < last || self.is_no_more(&log::fact(row)?));
        }
        if let Stream::Pages(_) = stream {
            return Ok(log::latest(self.connection, stream)?.and_then(deferred).is_none());
        }
        // Of the installation, or of a pack, the latest of each kind.
        let mut later = self.connection.prepare_cached(
            "SELECT 1 FROM facts WHERE stream = ?1 AND name = ?2 AND position > ?3 LIMIT 1",
        )?;
        let (id, name) = (values::get::<i64>(row, "id")?, values::get::<String>(row, "name")?);
        Ok(later.exists(params![id, name, number(position)])?)
    }

    fn is_no_more(&self, fact: &Fact) -> bool {
        let since = self.keep.words(self.now);
        match fact {
            Fact::KeyDeleted | Fact::ObjectGone => true,
            Fact::KeySet { expires_at, .. } => expires_at.is_some_and(|end| end < since),
            _ => false,
        }
    }
}
