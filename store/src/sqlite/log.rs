//! The log in SQLite: facts with their headers, chained by hashes.

use model::{Fact, Hash, Stream, Timestamp, Version};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::head::Head;
use super::refs;
use super::values::{self, corrupt, nanos, number};
use crate::encoded::Encoded;
use crate::port::{Position, Recorded, StoreError};

/// What of a fact its hash covers besides the hash before it and its body's: as it is stored, so
/// that bodies can be dropped one day and the chain still be followed.
#[derive(Debug)]
pub(super) struct Header<'a> {
    pub(super) position: Position,
    pub(super) stream: &'a str,
    pub(super) at: i64,
    pub(super) actor: &'a str,
    pub(super) version: u32,
    pub(super) name: &'a str,
}

impl Header<'_> {
    /// The hash of the fact that follows the one with the hash `previous`.
    pub(super) fn chained(&self, previous: &Hash, body: &Hash) -> Hash {
        Hash::of_parts([
            ("previous", previous.as_bytes().as_slice()),
            ("position", &self.position.0.to_le_bytes()),
            ("stream", self.stream.as_bytes()),
            ("at", &self.at.to_le_bytes()),
            ("actor", self.actor.as_bytes()),
            ("version", &self.version.to_le_bytes()),
            ("name", self.name.as_bytes()),
            ("body", body.as_bytes()),
        ])
    }
}

/// A stream's row.
#[derive(Debug, Clone, Copy)]
pub(super) struct StreamRow {
    pub(super) id: i64,
    pub(super) version: Version,
}

/// The row of `stream`, if it has facts.
pub(super) fn stream(
    connection: &Connection,
    stream: &str,
) -> Result<Option<StreamRow>, StoreError> {
    let mut query = connection.prepare_cached("SELECT id, version FROM streams WHERE name = ?1")?;
    let row = query.query_row([stream], |row| {
        Ok(StreamRow { id: row.get(0)?, version: Version(row.get::<_, i64>(1)? as u64) })
    });
    Ok(row.optional()?)
}

/// Writes the row of a stream whose last fact is at `last`, and answers its id.
pub(super) fn put_stream(
    connection: &Connection,
    stream: &str,
    row: Option<StreamRow>,
    last: Position,
) -> Result<i64, StoreError> {
    if let Some(row) = row {
        let mut update =
            connection.prepare_cached("UPDATE streams SET version = ?2 WHERE id = ?1")?;
        update.execute(params![row.id, number(last)])?;
        return Ok(row.id);
    }
    let mut insert =
        connection.prepare_cached("INSERT INTO streams (name, version) VALUES (?1, ?2)")?;
    Ok(insert.insert(params![stream, number(last)])?)
}

/// Appends one fact to the log, and answers the log's new end.
pub(super) fn append(
    connection: &Connection,
    head: Head,
    stream: (i64, &str),
    (at, actor): (Timestamp, &str),
    fact: &Encoded,
) -> Result<Head, StoreError> {
    let (position, at) = (Position(head.position.0 + 1), nanos(at));
    let (version, name) = (model::fact::VERSION, fact.name());
    let header = Header { position, stream: stream.1, at, actor, version, name };
    let hash = header.chained(&head.hash, fact.hash());
    let mut insert = connection.prepare_cached(
        "INSERT INTO facts (position, stream, at, actor, version, name, hash, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    let (place, body) = (number(position), fact.bytes());
    insert.execute(params![place, stream.0, at, actor, version, name, hash.as_bytes(), body])?;
    refs::put(connection, position, fact, body)?;
    Ok(Head { position, hash })
}

/// The end of the log.
pub(super) fn head(connection: &Connection) -> Result<Head, StoreError> {
    let query = "SELECT position, hash FROM facts ORDER BY position DESC LIMIT 1";
    let mut query = connection.prepare_cached(query)?;
    let mut rows = query.query([])?;
    let Some(row) = rows.next()? else { return Ok(Head::EMPTY) };
    Ok(Head { position: values::position(row, "position")?, hash: values::hash(row, "hash")? })
}

/// The hash of the fact at `position`.
pub(super) fn hash_at(
    connection: &Connection,
    position: Position,
) -> Result<Option<Hash>, StoreError> {
    let query = "SELECT hash FROM facts WHERE position = ?1";
    let found = connection.query_row(query, [number(position)], |row| row.get(0)).optional()?;
    Ok(found.map(Hash::from_bytes))
}

/// Facts of the whole log after `after`.
pub(super) fn after(
    connection: &Connection,
    after: Position,
    limit: usize,
) -> Result<Vec<Recorded>, StoreError> {
    let mut query = connection.prepare_cached(
        "SELECT position, streams.name AS stream, at, actor, facts.version AS version, body
         FROM facts INDEXED BY facts_kept JOIN streams ON streams.id = stream
         WHERE position > ?1 AND pruned = 0 ORDER BY position LIMIT ?2",
    )?;
    let mut rows = query.query(params![number(after), limit as i64])?;
    let mut facts = Vec::new();
    while let Some(row) = rows.next()? {
        facts.push(recorded(row, values::text(row, "stream")?)?);
    }
    Ok(facts)
}

/// Facts of one stream after `after`, and its version.
pub(super) fn of_stream(
    connection: &Connection,
    stream: &Stream,
    after: Version,
) -> Result<(Vec<Recorded>, Version), StoreError> {
    let Some(StreamRow { id, version }) = self::stream(connection, &stream.to_string())? else {
        return Ok((Vec::new(), Version::NONE));
    };
    // Up to the version that was read: what is appended meanwhile is a later answer's.
    let mut query = connection.prepare_cached(
        "SELECT position, at, actor, version, body FROM facts
         WHERE stream = ?1 AND position > ?2 AND position <= ?3 AND pruned = 0 ORDER BY position",
    )?;
    let mut rows = query.query(params![id, after.0 as i64, version.0 as i64])?;
    let mut facts = Vec::new();
    while let Some(row) = rows.next()? {
        facts.push(recorded(row, stream.clone())?);
    }
    Ok((facts, version))
}

/// The fact at `position`, until it is pruned.
pub(super) fn at(
    connection: &Connection,
    position: Position,
) -> Result<Option<Recorded>, StoreError> {
    let mut query = connection.prepare_cached(
        "SELECT position, streams.name AS stream, at, actor, facts.version AS version, body
         FROM facts JOIN streams ON streams.id = stream WHERE position = ?1 AND pruned = 0",
    )?;
    let mut rows = query.query([number(position)])?;
    rows.next()?.map(|row| recorded(row, values::text(row, "stream")?)).transpose()
}

/// The last fact of a stream.
pub(super) fn latest(
    connection: &Connection,
    stream: &Stream,
) -> Result<Option<Recorded>, StoreError> {
    let mut query = connection.prepare_cached(
        "SELECT position, at, actor, facts.version AS version, body
         FROM streams JOIN facts ON position = streams.version
         WHERE streams.name = ?1 AND pruned = 0",
    )?;
    let mut rows = query.query([stream.to_string()])?;
    rows.next()?.map(|row| recorded(row, stream.clone())).transpose()
}

/// The last facts of the streams whose names begin with `prefix`, in order of name, as far as
/// `pick` makes something of them, and at most `limit`.
pub(super) fn latest_of<T>(
    connection: &Connection,
    prefix: &str,
    limit: usize,
    pick: impl Fn(Recorded) -> Option<T>,
) -> Result<Vec<T>, StoreError> {
    latest_after(connection, (prefix, ""), limit, pick)
}

/// The same of those whose names come after `after`.
pub(super) fn latest_after<T>(
    connection: &Connection,
    (prefix, after): (&str, &str),
    limit: usize,
    pick: impl Fn(Recorded) -> Option<T>,
) -> Result<Vec<T>, StoreError> {
    let mut query = connection.prepare_cached(
        "SELECT streams.name AS stream, position, at, actor, facts.version AS version, body
         FROM streams JOIN facts ON position = streams.version
         WHERE streams.name >= ?1 AND streams.name > ?2 AND pruned = 0 ORDER BY streams.name",
    )?;
    let mut rows = query.query([prefix.max(after), after])?;
    let mut found = Vec::new();
    while found.len() < limit
        && let Some(row) = rows.next()?
    {
        let name: String = values::get(row, "stream")?;
        if !name.starts_with(prefix) {
            break;
        }
        found.extend(pick(recorded(row, values::text(row, "stream")?)?));
    }
    Ok(found)
}

/// What `pick` makes of the last fact of `stream` that has this name.
pub(super) fn latest_named<T>(
    connection: &Connection,
    (stream, name): (&Stream, &str),
    pick: impl Fn(&Fact) -> Option<T>,
) -> Result<Option<T>, StoreError> {
    let mut query = connection.prepare_cached(
        "SELECT position, version, body FROM facts
         WHERE stream = (SELECT id FROM streams WHERE name = ?1) AND name = ?2 AND pruned = 0
         ORDER BY position DESC LIMIT 1",
    )?;
    let mut rows = query.query([stream.to_string().as_str(), name])?;
    Ok(rows.next()?.map(fact).transpose()?.as_ref().and_then(pick))
}

pub(super) fn recorded(row: &Row<'_>, stream: Stream) -> Result<Recorded, StoreError> {
    Ok(Recorded {
        position: values::position(row, "position")?,
        stream,
        at: values::time(row, "at")?,
        actor: values::actor(row.get_ref("actor")?.as_str().unwrap_or_default())?,
        fact: fact(row)?,
    })
}

/// The fact in a row of `position`, `version` and `body`.
pub(super) fn fact(row: &Row<'_>) -> Result<Fact, StoreError> {
    let place = values::position(row, "position")?;
    let damaged = |why: String| corrupt(&format!("the fact at position {}", place.0), why);
    let version = values::get(row, "version")?;
    let body = row.get_ref("body")?.as_blob().map_err(|error| damaged(error.to_string()))?;
    Fact::decode(version, body).map_err(|error| damaged(error.to_string()))
}
