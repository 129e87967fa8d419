//! What takes the place of facts that are gone.
//!
//! ```text
//!  1 ········ 4 ···· 9 ··· C C+1 C+2 …        · gone: header and body
//!             │      │     │                  4, 9: carried, whole
//!             └──────┴── carried digest       C: the checkpoint, its position and hash
//! ```
//! First a fact's body is pruned: the hash of the body stays in its place, and the chain of hashes
//! is as it was. Later, up to the checkpoint, headers go too. A fact that is carried beyond keeps
//! the hash of the one before it, so that it can still be checked by itself; that none of them is
//! missing is what the checkpoint's digest shows: the sum (by exclusive or) of their hashes, so
//! that it follows each change at the cost of that change.

use model::{Hash, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::head::Head;
use super::values::{self, nanos, number};
use super::{log, project, refs, sealed};
use crate::port::{Position, StoreError};
use crate::sealed::{Sealing, of_execution};
use model::Fact;

/// Facts that one step takes away or moves the checkpoint over: some milliseconds of the writer.
const STEP: i64 = 500;
/// Pages (of 4 KiB) that one step gives back to the disk.
const PAGES: i64 = 256;

/// Up to where facts may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checkpoint {
    /// Position and hash of the last of them.
    pub(super) at: Head,
    /// Over the facts up to there that are left.
    pub(super) carried: Hash,
    /// Over the duplicate table.
    pub(super) seen: Hash,
    /// How often something was pruned.
    pub(super) changes: u64,
}

impl Checkpoint {
    pub(super) fn read(connection: &Connection) -> Result<Self, StoreError> {
        let mut query = connection.prepare_cached("SELECT * FROM checkpoint")?;
        let mut rows = query.query([])?;
        let gone = || StoreError::Corrupt("the checkpoint is not there".to_owned());
        let row = rows.next()?.ok_or_else(gone)?;
        let position = values::position(row, "position")?;
        Ok(Self {
            at: Head { position, hash: values::hash(row, "hash")? },
            carried: values::hash(row, "carried")?,
            seen: values::hash(row, "seen")?,
            changes: values::count(row, "changes")?,
        })
    }

    fn write(&self, connection: &Connection) -> Result<(), StoreError> {
        let mut update = connection.prepare_cached(
            "UPDATE checkpoint SET position = ?1, hash = ?2, carried = ?3, seen = ?4,
             changes = changes + 1",
        )?;
        let (position, hash) = (number(self.at.position), self.at.hash.as_bytes());
        update.execute(params![position, hash, self.carried.as_bytes(), self.seen.as_bytes()])?;
        Ok(())
    }
}

/// `digest` with a part put in, or taken out again.
pub(super) fn toggled(digest: Hash, part: Hash) -> Hash {
    let mut bytes = *digest.as_bytes();
    bytes.iter_mut().zip(part.as_bytes()).for_each(|(byte, other)| *byte ^= other);
    Hash::from_bytes(bytes)
}

/// What a carried fact adds to the digest.
pub(super) fn carried(fact: Head) -> Hash {
    let position = fact.position.0.to_le_bytes();
    Hash::of_parts([("position", position.as_slice()), ("hash", fact.hash.as_bytes())])
}

/// What a row of the duplicate table adds to its digest.
pub(super) fn seen(row: &Row<'_>) -> Result<Hash, StoreError> {
    let payload = values::maybe_hash(row, "payload")?.map(|hash| *hash.as_bytes());
    let (position, at) =
        (values::position(row, "position")?, values::get::<i64>(row, "accepted_at")?);
    Ok(Hash::of_parts([
        ("position", position.0.to_le_bytes().as_slice()),
        ("key", values::get::<String>(row, "key")?.as_bytes()),
        ("accepted_at", &at.to_le_bytes()),
        ("payload", payload.unwrap_or_default().as_slice()),
    ]))
}

/// Prunes the bodies of these facts, and what follows from them.
pub(super) fn prune(connection: &Connection, facts: &[Position]) -> Result<(), StoreError> {
    let mut checkpoint = Checkpoint::read(connection)?;
    for position in facts {
        prune_one(connection, *position, &mut checkpoint)?;
    }
    checkpoint.write(connection)
}

fn prune_one(
    connection: &Connection,
    position: Position,
    checkpoint: &mut Checkpoint,
) -> Result<(), StoreError> {
    let mut query = connection.prepare_cached(
        "SELECT position, version, body FROM facts WHERE position = ?1 AND pruned = 0",
    )?;
    let mut rows = query.query([number(position)])?;
    let Some(row) = rows.next()? else { return Ok(()) };
    let (fact, body) = (log::fact(row)?, values::get::<Vec<u8>>(row, "body")?);
    drop(rows);
    match &fact {
        Fact::ExecutionRequested(_) => {
            let forget = "DELETE FROM executions WHERE position = ?1 RETURNING id";
            let mut forget = connection.prepare_cached(forget)?;
            let id = forget.query_row([number(position)], |row| row.get::<_, String>(0));
            if let Some(id) = id.optional()?.and_then(|id| id.parse().ok()) {
                sealed::change(connection, &Sealing::DeleteAll(of_execution(&id)))?;
            }
        }
        Fact::EventAccepted(_) => {
            let mut hide =
                connection.prepare_cached("UPDATE events SET pruned = 1 WHERE position = ?1")?;
            hide.execute([number(position)])?;
            checkpoint.toggle_seen(connection, position)?;
        }
        _ => {}
    }
    project::add_counts(connection, "pruned_rule_counts", &fact)?;
    refs::drop(connection, position)?;
    let mut update =
        connection.prepare_cached("UPDATE facts SET pruned = 1, body = ?2 WHERE position = ?1")?;
    update.execute(params![number(position), Hash::of(&body).as_bytes()])?;
    Ok(())
}

impl Checkpoint {
    /// Puts the duplicate's row made at `position` into the digest, or takes it out.
    fn toggle_seen(
        &mut self,
        connection: &Connection,
        position: Position,
    ) -> Result<(), StoreError> {
        let mut query = connection.prepare_cached("SELECT * FROM events WHERE position = ?1")?;
        let mut rows = query.query([number(position)])?;
        if let Some(row) = rows.next()? {
            self.seen = toggled(self.seen, seen(row)?);
        }
        Ok(())
    }

    /// Moves over facts from before `window`, never over the last one of the log. True if there
    /// may be more.
    fn advance(&mut self, connection: &Connection, window: Timestamp) -> Result<bool, StoreError> {
        let mut query = connection.prepare_cached(
            "SELECT position, hash, at FROM facts WHERE position > ?1
             AND position < (SELECT max(position) FROM facts) ORDER BY position LIMIT ?2",
        )?;
        let mut rows = query.query(params![number(self.at.position), STEP])?;
        let mut moved = 0;
        while let Some(row) = rows.next()? {
            if values::get::<i64>(row, "at")? >= nanos(window) {
                return Ok(false);
            }
            let hash = values::hash(row, "hash")?;
            self.at = Head { position: values::position(row, "position")?, hash };
            self.carried = toggled(self.carried, carried(self.at));
            moved += 1;
        }
        Ok(moved == STEP)
    }

    /// Takes away facts up to here whose bodies are pruned. True if there may be more.
    fn drop_headers(&mut self, connection: &Connection) -> Result<bool, StoreError> {
        let mut query = connection.prepare_cached(
            "SELECT position, hash, stream, name FROM facts INDEXED BY facts_pruned
             WHERE pruned = 1 AND position <= ?1 ORDER BY position LIMIT ?2",
        )?;
        let rows = query.query_map(params![number(self.at.position), STEP], |row| {
            let hash = Hash::from_bytes(row.get("hash")?);
            let fact = Head { position: Position(row.get::<_, i64>("position")? as u64), hash };
            Ok((fact, row.get::<_, i64>("stream")?, row.get::<_, String>("name")?))
        })?;
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        for (fact, stream, name) in &rows {
            self.drop_header(connection, *fact, *stream, name)?;
        }
        Ok(rows.len() as i64 == STEP)
    }

    fn drop_header(
        &mut self,
        connection: &Connection,
        fact: Head,
        stream: i64,
        name: &str,
    ) -> Result<(), StoreError> {
        self.carried = toggled(self.carried, carried(fact));
        let position = number(fact.position);
        let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| -> Result<(), StoreError> {
            connection.prepare_cached(sql)?.execute(values)?;
            Ok(())
        };
        let next = position + 1;
        run("UPDATE facts SET previous = ?2 WHERE position = ?1", &[&next, fact.hash.as_bytes()])?;
        run("DELETE FROM facts WHERE position = ?1", &[&position])?;
        if name == "EventAccepted" {
            self.toggle_seen(connection, fact.position)?;
            run("DELETE FROM events WHERE position = ?1", &[&position])?;
        }
        run(
            "DELETE FROM streams WHERE id = ?1
             AND NOT EXISTS (SELECT 1 FROM facts WHERE stream = ?1)",
            &[&stream],
        )
    }
}

/// One step of giving back the place of pruned facts from before `window`. True if there is more.
pub(super) fn tidy(connection: &Connection, window: Timestamp) -> Result<bool, StoreError> {
    let mut checkpoint = Checkpoint::read(connection)?;
    let before = checkpoint.clone();
    let advanced = checkpoint.advance(connection, window)?;
    let dropped = checkpoint.drop_headers(connection)?;
    if checkpoint != before {
        checkpoint.write(connection)?;
    }
    let mut batches = connection.prepare_cached(
        "DELETE FROM batches WHERE id IN
         (SELECT id FROM batches WHERE position <= ?1 ORDER BY position LIMIT ?2)",
    )?;
    let batches = batches.execute(params![number(checkpoint.at.position), STEP])? as i64;
    Ok(advanced || dropped || batches == STEP)
}

/// Gives back pages that nothing needs any more; not within a transaction. True if there are more.
pub(super) fn give_back(connection: &Connection) -> Result<bool, StoreError> {
    let free = |connection: &Connection| {
        connection.query_row("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0))
    };
    if free(connection)? == 0 {
        return Ok(false);
    }
    let mut vacuum = connection.prepare(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    drop(rows);
    Ok(free(connection)? > 0)
}
