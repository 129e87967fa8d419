//! The doctor's look at a state folder: nothing is changed, and the server may be running.
//!
//! A read transaction keeps the write-ahead log of a running server from starting over. So beside
//! one the log is read in pages, each a transaction of its own, and the projection is compared in
//! parts: each is as it was when the log ended somewhere, and the log is played up to there. SQLite's
//! own check goes table by table and leaves out `facts`, by far the largest: its pages, and those
//! of its indices, are all read with the log.

use std::collections::BTreeMap;
use std::path::Path;

use model::{BlobRef, Body, Fact, Hash, Severity, Stream};
use rusqlite::{Connection, Row, params};
use serde::Deserialize;

use super::checkpoint::Checkpoint;
use super::error::OpenError;
use super::head::Head;
use super::lock::Lock;
use super::log::{self, Header};
use super::replay::{self, Part, Replay, Table};
use super::values::{self, number};
use super::{before, blobs, checkpoint, schema};
use crate::port::{Position, StoreError};

/// Facts looked at in one read transaction.
const PAGE: i64 = 1_000;
/// Findings of one kind that are told one by one: more say nothing new.
const MOST_ALIKE: usize = 20;

/// How often it is looked again, if the server prunes meanwhile.
const LOOKS: usize = 3;

const RESTORE: &str = "restore a backup";

/// Something that is wrong with a state folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is: with an error, promises are broken.
    pub severity: Severity,
    /// What was found.
    pub what: String,
    /// What to do about it.
    pub to_do: String,
}

impl Finding {
    fn new(severity: Severity, what: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { severity, what: what.into(), to_do: to_do.into() }
    }

    fn error(what: impl Into<String>) -> Self {
        Self::new(Severity::Error, what, RESTORE)
    }

    fn warning(what: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self::new(Severity::Warning, what, to_do)
    }
}

impl From<OpenError> for Finding {
    /// Errors of opening say what was found and, after a semicolon, what to do.
    fn from(error: OpenError) -> Self {
        let text = error.to_string().replace(", or run `tripline doctor`", "");
        match text.rsplit_once("; ") {
            Some((what, to_do)) => Self::new(Severity::Error, what, to_do),
            None => Self::new(Severity::Error, text, "see that this user may read the folder"),
        }
    }
}

impl From<StoreError> for Finding {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Corrupt(why) => Self::error(format!("the database is damaged: {why}")),
            other => Self::new(Severity::Error, other.to_string(), "try again, or see the disk"),
        }
    }
}

/// Everything that is wrong with the store in `folder`; nothing: all is well.
pub(super) fn verify(folder: &Path) -> Vec<Finding> {
    for _ in 0..LOOKS {
        let mut findings = Vec::new();
        match look(folder, &mut findings) {
            Ok(Looked::Still) => return findings,
            Ok(Looked::Pruned) => {}
            Err(last) => {
                findings.push(last);
                return findings;
            }
        }
    }
    let what = "the server was pruning all the while, so that nothing can be said of the whole";
    vec![Finding::warning(what, "look again in some minutes")]
}

/// Whether what was looked at stood still.
enum Looked {
    Still,
    /// Something was pruned meanwhile: what was found may come of that.
    Pruned,
}

fn look(folder: &Path, findings: &mut Vec<Finding>) -> Result<Looked, Finding> {
    let path = schema::path(folder);
    // Before the log: it can only have grown since.
    let acknowledged = Head::read(folder);
    if !before::look(folder)? {
        return Err(no_store(folder));
    }
    let damaged = |error| Finding::from(OpenError::database(&path, error));
    let connection = schema::open_reader(&path).map_err(|error| damaged(error.into()))?;
    let found = schema::check(&connection, &path)?;
    before::check_schema(folder, found)?;
    if found < schema::NEWEST {
        let what = format!("the database has schema {found}, this version {}", schema::NEWEST);
        return Err(Finding::warning(what, "start the server once: it migrates the database"));
    }
    let alone = !matches!(Lock::holder(folder), Ok(Some(_)));
    findings.extend(sound(&connection, alone).map_err(damaged)?);
    findings.extend(check_head(&connection, acknowledged));
    let checkpoint = Checkpoint::read(&connection).map_err(damaged)?;
    let changes = checkpoint.changes;
    let kept = parts(&connection).map_err(damaged)?;
    let mut walk = Walk::new(&connection, checkpoint)?;
    let mut differing = Vec::new();
    for Kept { table, part, end, digest } in kept {
        walk.to(end, &connection, findings).map_err(damaged)?;
        if walk.replay.digest(&table, &part)? != digest
            && differing.last().is_none_or(|(last, _)| *last != table.name)
        {
            let what = format!("the table `{}` is not what the log makes of it", table.name);
            differing.push((table.name, Finding::error(what)));
        }
    }
    findings.extend(walk.check_digests(&connection).map_err(damaged)?);
    if findings.iter().all(|finding| finding.severity != Severity::Error) {
        findings.extend(differing.into_iter().map(|(_, finding)| finding));
    }
    findings.extend(missing_blobs(folder, &walk.blobs));
    let now = Checkpoint::read(&connection).map_err(damaged)?.changes;
    Ok(if now == changes { Looked::Still } else { Looked::Pruned })
}

fn no_store(folder: &Path) -> Finding {
    let what = format!("there is no store in `{}`", folder.display());
    Finding::new(
        Severity::Error,
        what,
        "name the state folder with --state, or start the server to make one",
    )
}

/// SQLite's own check: of all at once where nobody else is there, else table by table, which leaves
/// out free pages, and without `facts`, which the walk along the log reads.
fn sound(connection: &Connection, alone: bool) -> Result<Vec<Finding>, StoreError> {
    if alone {
        return quick_check(connection, &MOST_ALIKE.to_string());
    }
    let mut query = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'facts'")?;
    let names = query.query_map([], |row| row.get::<_, String>(0))?;
    let names = names.collect::<Result<Vec<_>, _>>()?;
    let mut findings = Vec::new();
    for name in names {
        findings.extend(quick_check(connection, &format!("'{name}'"))?);
    }
    findings.truncate(MOST_ALIKE);
    Ok(findings)
}

fn quick_check(connection: &Connection, what: &str) -> Result<Vec<Finding>, StoreError> {
    let mut query = connection.prepare(&format!("PRAGMA quick_check({what})"))?;
    let lines = query.query_map([], |row| row.get::<_, String>(0))?;
    let lines = lines.collect::<Result<Vec<_>, _>>()?;
    let bad = lines.into_iter().filter(|line| line != "ok");
    Ok(bad.map(|line| Finding::error(format!("the database is damaged: {line}"))).collect())
}

fn check_head(
    connection: &Connection,
    acknowledged: Result<Option<Head>, OpenError>,
) -> Option<Finding> {
    let check = |acknowledged: Head| {
        let found = log::head(connection).map_err(Finding::from)?;
        let at = log::hash_at(connection, acknowledged.position).map_err(Finding::from)?;
        found.check(acknowledged, at).map_err(Finding::from)
    };
    match acknowledged {
        Ok(Some(head)) => check(head).err(),
        Ok(None) => Some(Finding::warning(
            "the file `head` is not there: nobody can tell whether the log is complete",
            "start the server: it writes a new one",
        )),
        Err(error) => Some(error.into()),
    }
}

/// Some of a table of the projection as they were when the log ended there.
struct Kept {
    table: Table,
    part: Part,
    end: Position,
    digest: Hash,
}

/// The projection, each part of it at a moment of its own, one after the other.
fn parts(connection: &Connection) -> Result<Vec<Kept>, StoreError> {
    let mut kept: Vec<Kept> = Vec::new();
    for table in replay::TABLES {
        let mut before = None;
        loop {
            let moment = connection.unchecked_transaction()?;
            let Some((part, digest)) = table.part(&moment, before.as_ref())? else { break };
            let end = log::head(&moment)?.position;
            kept.push(Kept { table, part: part.clone(), end, digest });
            before = Some(part);
        }
    }
    Ok(kept)
}

/// A walk along the whole log.
struct Walk {
    /// The fact before the next one.
    before: Head,
    end: Position,
    /// Up to where facts may be missing.
    checkpoint: Checkpoint,
    /// Over the facts up to there.
    carried: Hash,
    replay: Replay,
    /// Where each blob is named first, and whether as an event's data or in a value.
    blobs: BTreeMap<Hash, (Position, Severity)>,
    /// Pages of each event: one that was stored needs its blob no more.
    pages: BTreeMap<Stream, Vec<Hash>>,
    damaged: usize,
}

impl Walk {
    fn new(connection: &Connection, checkpoint: Checkpoint) -> Result<Self, StoreError> {
        let end = Position(0);
        let (replay, blobs) = (Replay::new(connection)?, BTreeMap::new());
        let (before, carried) = (Head::EMPTY, Head::EMPTY.hash);
        let pages = BTreeMap::new();
        Ok(Self { before, end, checkpoint, carried, replay, blobs, pages, damaged: 0 })
    }

    /// Goes on up to `end`.
    fn to(
        &mut self,
        end: Position,
        connection: &Connection,
        findings: &mut Vec<Finding>,
    ) -> Result<(), StoreError> {
        self.end = end;
        while self.before.position < self.end && self.damaged < MOST_ALIKE {
            let from = self.before.position;
            self.page(connection, findings)?;
            if self.before.position == from {
                break;
            }
        }
        Ok(())
    }

    fn page(
        &mut self,
        connection: &Connection,
        findings: &mut Vec<Finding>,
    ) -> Result<(), StoreError> {
        let mut query = connection.prepare_cached(
            "SELECT position, coalesce(streams.name, '') AS stream, facts.stream AS row, at, actor,
             facts.version AS version, facts.name AS name, hash, body, pruned, previous
             FROM facts LEFT JOIN streams ON streams.id = stream
             WHERE position > ?1 AND position <= ?2 ORDER BY position LIMIT ?3",
        )?;
        let (from, to) = (number(self.before.position), number(self.end));
        let mut rows = query.query(params![from, to, PAGE])?;
        while let Some(row) = rows.next()? {
            let fact = self.fact(row).and_then(|()| found_by_indices(row, connection));
            if let Err(finding) = fact {
                self.damaged += 1;
                findings.push(finding);
            }
        }
        Ok(())
    }

    fn fact(&mut self, row: &Row<'_>) -> Result<(), Finding> {
        let position = values::position(row, "position")?;
        let text = |column| values::get::<String>(row, column);
        let (stream, actor, name) = (text("stream")?, text("actor")?, text("name")?);
        let (at, version) = (values::get(row, "at")?, values::get(row, "version")?);
        let header = Header { position, stream: &stream, at, actor: &actor, version, name: &name };
        let hash = values::hash(row, "hash")?;
        let previous = self.previous(position, values::maybe_hash(row, "previous")?);
        let before = std::mem::replace(&mut self.before, Head { position, hash }).position;
        if position <= self.checkpoint.at.position {
            self.carried = checkpoint::toggled(self.carried, checkpoint::carried(self.before));
        }
        let Some(previous) = previous else {
            let what = format!("the log lacks the facts {} to {}", before.0 + 1, position.0 - 1);
            return Err(Finding::error(what));
        };
        let pruned = values::get(row, "pruned")?;
        if hash != header.chained(&previous, &body_hash(row, pruned)?) {
            let what = format!(
                "the fact at position {} (a {name} of `{stream}`) is not what was appended",
                position.0
            );
            return Err(Finding::error(what));
        }
        match pruned {
            true => Ok(self.replay.header(&stream, position)?),
            false => self.take(&stream, position, &log::fact(row)?),
        }
    }

    /// The hash of the fact before the one at `position`; none if that should be there and isn't.
    fn previous(&self, position: Position, kept: Option<Hash>) -> Option<Hash> {
        let (before, checkpoint) = (self.before, self.checkpoint.at);
        if position.0 == checkpoint.position.0 + 1 {
            return Some(checkpoint.hash);
        }
        let follows = position.0 == before.position.0 + 1;
        let kept = kept.filter(|_| position <= checkpoint.position);
        kept.or(follows.then_some(before.hash))
    }

    /// Whether what stands for pruned facts fits what is there.
    fn check_digests(&self, connection: &Connection) -> Result<Vec<Finding>, StoreError> {
        let seen = seen(connection)?;
        let mut findings = Vec::new();
        if self.damaged == 0 && self.carried != self.checkpoint.carried {
            let position = self.checkpoint.at.position.0;
            findings.push(Finding::error(format!(
                "facts up to the checkpoint at position {position} are missing or were changed"
            )));
        }
        if seen != self.checkpoint.seen {
            findings.push(Finding::error("what is kept of pruned events was changed"));
        }
        Ok(findings)
    }

    /// Notes which pages there are, and lets go of one that is stored.
    fn take_page(&mut self, stream: Stream, fact: &Fact) {
        match fact {
            Fact::PagesDeferred { pages } => _ = self.pages.insert(stream, pages.clone()),
            Fact::PageStored { page, .. } => {
                let pages = self.pages.get(&stream).into_iter().flatten();
                if let Some(stored) = pages.clone().nth((*page as usize).saturating_sub(1)) {
                    self.blobs.remove(stored);
                }
            }
            _ => {}
        }
    }

    fn take(&mut self, stream: &str, position: Position, fact: &Fact) -> Result<(), Finding> {
        let stream: Stream = stream
            .parse()
            .map_err(|bad| Finding::error(format!("the fact at position {}: {bad}", position.0)))?;
        self.replay.apply(&stream, position, fact)?;
        for (blob, severity) in blobs_of(fact) {
            self.blobs.entry(blob).or_insert((position, severity));
        }
        self.take_page(stream, fact);
        Ok(())
    }
}

/// Whether queries find the fact, too: they go by these indices.
fn found_by_indices(row: &Row<'_>, connection: &Connection) -> Result<(), Finding> {
    const THOSE: [(&str, &str); 3] = [
        ("facts_by_stream", "stream = ?2"),
        ("facts_through_the_api", "actor <> 'engine'"),
        ("facts_pruned", "pruned = 1"),
    ];
    let position = values::position(row, "position")?;
    let stream: i64 = values::get(row, "row")?;
    let actor: String = values::get(row, "actor")?;
    let holds = [true, actor != "engine", values::get(row, "pruned")?];
    for ((index, those), _) in THOSE.iter().zip(holds).filter(|(_, holds)| *holds) {
        let query = format!(
            "SELECT EXISTS (SELECT 1 FROM facts INDEXED BY {index} \
             WHERE {those} AND position = ?1 AND ?2 IS NOT NULL)"
        );
        let found = connection.prepare_cached(&query).and_then(|mut query| {
            query.query_one(params![number(position), stream], |row| row.get(0))
        });
        if !found.map_err(StoreError::from)? {
            let what = format!("the fact at position {} is not in `{index}`", position.0);
            return Err(Finding::error(what));
        }
    }
    Ok(())
}

/// The digest of the duplicate table, read in pages: each row counts for itself.
fn seen(connection: &Connection) -> Result<Hash, StoreError> {
    let mut query = connection.prepare(
        "SELECT * FROM events WHERE pruned = 1 AND position > ?1 ORDER BY position LIMIT ?2",
    )?;
    let (mut from, mut seen) = (None, Head::EMPTY.hash);
    loop {
        let last = from;
        let mut rows = query.query(params![from.map_or(0, number), PAGE])?;
        while let Some(row) = rows.next()? {
            seen = checkpoint::toggled(seen, checkpoint::seen(row)?);
            from = Some(values::position(row, "position")?);
        }
        if from == last {
            return Ok(seen);
        }
    }
}

/// The hash of a fact's body, which stands in the place of one that is pruned.
fn body_hash(row: &Row<'_>, pruned: bool) -> Result<Hash, StoreError> {
    match pruned {
        true => values::hash(row, "body"),
        false => Ok(Hash::of(&values::get::<Vec<u8>>(row, "body")?)),
    }
}

/// The blobs that a fact names. What stands in a value may only look like one: somebody outside
/// may have written it, so that it is worth no more than a warning.
fn blobs_of(fact: &Fact) -> Vec<(Hash, Severity)> {
    match fact {
        Fact::EventAccepted(accepted) => match &accepted.event.data {
            Body::Blob(blob) => vec![(blob.blob, Severity::Error)],
            Body::Inline(_) => Vec::new(),
        },
        Fact::PagesDeferred { pages } => pages.iter().map(|it| (*it, Severity::Error)).collect(),
        Fact::KeySet { .. } | Fact::CursorMoved { .. } | Fact::ObjectSeen { .. } => Vec::new(),
        other => {
            let mut found = Vec::new();
            let value = serde_json::to_value(other).unwrap_or_default();
            collect_blobs(&value, &mut found);
            found.into_iter().map(|blob| (blob, Severity::Warning)).collect()
        }
    }
}

fn collect_blobs(value: &model::Value, found: &mut Vec<Hash>) {
    match value {
        model::Value::Object(map) => {
            let names_blob = map.len() == 3 && map.contains_key("blob");
            if let Some(blob) = names_blob.then(|| BlobRef::deserialize(value).ok()).flatten() {
                found.push(blob.blob);
            }
            map.values().for_each(|inner| collect_blobs(inner, found));
        }
        model::Value::Array(items) => items.iter().for_each(|item| collect_blobs(item, found)),
        _ => {}
    }
}

fn missing_blobs(folder: &Path, named: &BTreeMap<Hash, (Position, Severity)>) -> Vec<Finding> {
    let folder = folder.join("blobs");
    let look = |(hash, (position, severity)): (&Hash, &(Position, Severity))| {
        let why = match blobs::get(&folder, *hash) {
            Ok(Some(_)) => return None,
            Ok(None) => "is not there".to_owned(),
            Err(error) => format!("cannot be read: {error}"),
        };
        let what =
            format!("the blob {hash}, which the fact at position {} names, {why}", position.0);
        Some(Finding::new(*severity, what, RESTORE))
    };
    named.iter().filter_map(look).take(MOST_ALIKE).collect()
}
