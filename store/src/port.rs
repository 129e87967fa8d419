//! The port: what every store can do, SQLite file or JetStream alike.

mod executions;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use futures::future::BoxFuture;
use model::{
    Actor, BatchId, Body, EventKey, ExecutionId, ExecutionState, Fact, Grant, Hash, Name, PackName,
    RuleRef, Stream, Timestamp, TriggerType, Value, Version,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::encoded::Encoded;
use crate::retention::Retention;
use crate::sealed::{Sealed, Sealing};

pub use self::executions::{Asked, AskedTo, ExecutionFilter, ExecutionRow, Unfinished};

/// Most facts in one batch.
pub const MAX_BATCH_FACTS: usize = 500;
/// Most bytes of encoded facts in one batch.
pub const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Most bytes of one encoded fact.
pub const MAX_FACT_BYTES: usize = 512 * 1024;

/// A place in the log, from 1; 0 is before everything.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    JsonSchema,
    Serialize,
    Deserialize,
)]
#[serde(transparent)]
#[schemars(extend("maximum" = u64::MAX))]
pub struct Position(pub u64);

/// Facts that are appended together or not at all.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Names the batch: appending it again answers what the first time did.
    pub id: BatchId,
    /// Who is behind it.
    pub actor: Actor,
    /// When.
    pub at: Timestamp,
    /// One entry a stream, at least one; within the bounds above.
    pub writes: Vec<Write>,
}

/// The facts of a batch for one stream.
#[derive(Debug, Clone)]
pub struct Write {
    /// The stream.
    pub stream: Stream,
    /// What version it must have; `None`: any.
    pub expected: Option<Version>,
    /// The facts, in order: at least one, of the kinds that such a stream holds.
    pub facts: Vec<Encoded>,
}

impl Write {
    /// These facts for `stream`, if it has the version that is `expected`.
    pub fn new(
        stream: Stream,
        expected: Option<Version>,
        facts: impl IntoIterator<Item: Into<Encoded>>,
    ) -> Self {
        Self { stream, expected, facts: facts.into_iter().map(Into::into).collect() }
    }
}

/// The answer to an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// It is durable, now or since an earlier append of the same batch id.
    Committed {
        /// The position of the batch's last fact.
        position: Position,
    },
    /// A stream had another version than expected; nothing was appended.
    Conflict {
        /// The stream.
        stream: Stream,
        /// Its version.
        actual: Version,
    },
}

/// What one step of pruning did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Facts whose bodies are gone.
    pub facts: u64,
    /// Where the next step goes on; none: nothing older is left.
    pub next: Option<Position>,
}

/// How a store stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Bytes that log and projection take on the disk; 0 where there is none.
    pub bytes: u64,
    /// When the oldest execution was asked for that has not begun.
    pub oldest_queued: Option<Timestamp>,
}

/// A fact with its header.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Its place in the log.
    pub position: Position,
    /// Its stream.
    pub stream: Stream,
    /// When its batch was appended.
    pub at: Timestamp,
    /// Who is behind it.
    pub actor: Actor,
    /// The fact.
    pub fact: Fact,
}

/// Why the store could not answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The disk is full: nothing was appended, and later appends may work again.
    #[error("the disk of the state folder is full: {0}; free some space")]
    Full(String),
    /// Reading or writing failed; whether an append was made is unknown.
    #[error("the store failed: {0}")]
    Io(String),
    /// Another program keeps the store from working: nothing was appended, and later appends may
    /// work again.
    #[error(
        "the database is locked by another program; close whatever has it open (a database browser, a script)"
    )]
    Busy,
    /// What was read is damaged.
    #[error("the store is damaged: {0}; run `tripline doctor`")]
    Corrupt(String),
    /// A batch beyond the bounds above, or otherwise not well-formed: a defect of the caller.
    #[error("the batch is refused: {0}")]
    Refused(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// What a store answers with.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// A log of facts and the projection of it.
///
/// Appends are durable when they are answered. Queries see at least every append that was
/// answered before they were asked.
pub trait Store: Send + Sync {
    /// Appends a batch, or answers what keeps it from being appended.
    fn append(&self, batch: Batch) -> Answer<'_, Appended> {
        self.append_sealing(batch, Vec::new())
    }
    /// The same; if the batch is appended, and was not before, these records change in order.
    fn append_sealing(&self, batch: Batch, sealing: Vec<Sealing>) -> Answer<'_, Appended>;
    /// The position of the last fact of the batch of this id, if it is in: an append that was answered
    /// by an error may have been made all the same. Appends nothing.
    fn appended<'a>(&'a self, batch: &'a BatchId) -> Answer<'a, Option<Position>>;
    /// The facts of one stream after `after`, oldest first, and the stream's version.
    fn read<'a>(
        &'a self,
        stream: &'a Stream,
        after: Version,
    ) -> Answer<'a, (Vec<Recorded>, Version)>;
    /// At most `limit` facts of the whole log after `after`, oldest first.
    fn log(&self, after: Position, limit: usize) -> Answer<'_, Vec<Recorded>>;
    /// The position of the log's last fact.
    fn head(&self) -> Answer<'_, Position>;
    /// Completes once the log's head is past `after`.
    fn wait(&self, after: Position) -> Answer<'_, Position>;

    /// Keeps `bytes` under their hash, durably.
    fn put_blob(&self, bytes: Vec<u8>) -> Answer<'_, Hash>;
    /// The bytes with this hash.
    fn blob(&self, hash: Hash) -> Answer<'_, Option<Vec<u8>>>;

    /// The encrypted record under this name.
    fn sealed<'a>(&'a self, name: &'a str) -> Answer<'a, Option<Sealed>>;
    /// At most `limit` encrypted records whose names begin with `prefix` and come after `after`
    /// (empty: from the first), by name.
    fn sealed_under<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> Answer<'a, Vec<(String, Sealed)>>;
    /// How many encrypted records each key opens.
    fn sealing_keys(&self) -> Answer<'_, BTreeMap<String, u64>>;
    /// Forgets what `keep` does not keep at `now`, in one small step: a part of the log after
    /// `after` is looked at. Executions that have not ended, and their children but for runs that
    /// went on, the latest word of every other stream, and that an event was told, are never forgotten
    /// here.
    fn prune<'a>(
        &'a self,
        keep: &'a Retention,
        after: Position,
        now: Timestamp,
    ) -> Answer<'a, Pruned>;
    /// Gives back the place of what was pruned, in one small step: after `keep`'s longest time
    /// that it ever was, and that its event was told; and the place on the disk. False: nothing
    /// is left to do.
    fn tidy<'a>(&'a self, keep: &'a Retention, now: Timestamp) -> Answer<'a, bool>;
    /// Which of these blobs and pack contents something that is kept names.
    fn named<'a>(&'a self, contents: &'a [Hash]) -> Answer<'a, BTreeSet<Hash>>;

    /// The execution with this id.
    fn execution<'a>(&'a self, id: &'a ExecutionId) -> Answer<'a, Option<ExecutionRow>>;
    /// Executions that fit `filter`, newest request first.
    fn executions<'a>(&'a self, filter: &'a ExecutionFilter) -> Answer<'a, Vec<ExecutionRow>>;
    /// At most `limit` executions that have not ended, as little of each as recovery needs,
    /// in the order of their ids, after `after`.
    fn unfinished<'a>(
        &'a self,
        after: Option<&'a ExecutionId>,
        limit: usize,
    ) -> Answer<'a, Vec<Unfinished>>;
    /// How the store stands, as metrics tell it.
    fn figures(&self) -> Answer<'_, Figures>;
    /// How many executions are in each state.
    fn counts(&self) -> Answer<'_, BTreeMap<ExecutionState, u64>>;
    /// The event with this key, until it is pruned.
    fn event<'a>(&'a self, key: &'a EventKey) -> Answer<'a, Option<EventRow>>;
    /// The hash of the data of the event with this key, as long as it is known that it was told.
    fn payload<'a>(&'a self, key: &'a EventKey) -> Answer<'a, Option<Hash>>;
    /// Events that fit `filter`, newest first.
    fn events<'a>(&'a self, filter: &'a EventFilter) -> Answer<'a, Vec<EventRow>>;
    /// Events with consequences that are still to be stored, page by page.
    fn deferred(&self) -> Answer<'_, Vec<EventKey>>;
    /// The latest cursor of the sensor with this id (see [`Stream::Sensor`]).
    fn cursor<'a>(&'a self, sensor: &'a str) -> Answer<'a, Option<CursorRow>>;
    /// The sensors that have a cursor, by their ids: those whose latest one is not null.
    fn cursors(&self) -> Answer<'_, BTreeMap<String, CursorRow>>;
    /// What the sensor with this id remembers of each of `objects`, in their order.
    fn seen<'a>(&'a self, sensor: &'a str, objects: &'a [String])
    -> Answer<'a, Vec<Option<Value>>>;
    /// At most `limit` objects after `after` (empty: from the first) that the sensor with this id
    /// remembers, in the order of their names.
    fn all_seen<'a>(
        &'a self,
        sensor: &'a str,
        after: &'a str,
        limit: usize,
    ) -> Answer<'a, Vec<(String, Value)>>;
    /// The datastore entry `<scope>/<name>`, if it has not expired at `now`.
    fn key<'a>(&'a self, key: &'a str, now: Timestamp) -> Answer<'a, Option<KeyRow>>;
    /// Datastore entries whose `<scope>/<name>` begins with `prefix` and comes after `after`, in
    /// order of key; all of that prefix come after the empty text.
    fn keys<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        now: Timestamp,
        limit: usize,
    ) -> Answer<'a, Vec<KeyRow>>;
    /// Rules whose enabled state was set by command.
    fn rule_switches(&self) -> Answer<'_, BTreeMap<RuleRef, bool>>;
    /// The latest generation of packs, and each pack's content.
    fn generation(&self) -> Answer<'_, Option<(u64, BTreeMap<PackName, Hash>)>>;
    /// The installation's name, once it has one.
    fn installation(&self) -> Answer<'_, Option<Name>>;
    /// The last time that this store was restored from a backup, if it ever was.
    fn restored(&self) -> Answer<'_, Option<Restored>>;
    /// Puts a copy of everything, as of one moment, into the folder `to` while work goes on. That
    /// folder can be opened as this store's was.
    fn copy_to<'a>(&'a self, to: &'a Path) -> Answer<'a, ()>;
    /// The API's tokens by name, those that were revoked too.
    fn tokens(&self) -> Answer<'_, BTreeMap<Name, TokenRow>>;
    /// What people and programs did through the API, newest first.
    fn audit<'a>(&'a self, filter: &'a AuditFilter) -> Answer<'a, Vec<Recorded>>;
    /// Counts per rule: what it selected and failed on.
    fn rule_counts(&self) -> Answer<'_, BTreeMap<RuleRef, RuleCount>>;
}

/// That a store was restored from a backup. What happened in between, it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// When the backup was made.
    pub taken_at: Timestamp,
    /// When it was restored.
    pub at: Timestamp,
}

/// An event as listings show it.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct EventRow {
    /// Its key.
    pub key: EventKey,
    /// Its envelope.
    pub envelope: model::Envelope,
    /// Its data; listings leave it out.
    pub data: Option<Body>,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// The generation of packs whose rules saw it.
    pub generation: u64,
    /// The rules that selected it, and what they asked for.
    pub matched: Vec<(RuleRef, ExecutionId)>,
    /// Rules whose condition or template failed on it; of many, the first [`MAX_FAILED_RULES`].
    pub failed: Vec<RuleRef>,
    /// How often it was told again, with whatever data.
    pub duplicates: u64,
    /// How often it was told again with other data.
    pub differing: u64,
    /// The hash of its data.
    pub payload: Hash,
    /// Whether a server that was lost before a restore may have told it too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retold: bool,
    /// Its position: the cursor of listings.
    pub position: Position,
}

/// Failed rules that the row of an event names.
pub const MAX_FAILED_RULES: usize = 20;

/// Which events to list.
#[derive(Debug, Clone, Default, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct EventFilter {
    /// Only of this type.
    pub kind: Option<TriggerType>,
    /// Only from a source that begins so.
    pub source: Option<String>,
    /// Only accepted at or after this time.
    pub since: Option<Timestamp>,
    /// Only before this position.
    pub before: Option<Position>,
    /// At most so many.
    pub limit: usize,
}

/// Where a sensor stands.
#[derive(Debug, Clone, PartialEq)]
pub struct CursorRow {
    /// Its cursor.
    pub cursor: Value,
    /// Whether it had not caught up yet since a restore.
    pub behind: bool,
    /// The version of its stream.
    pub version: Version,
    /// When it was stored.
    pub at: Timestamp,
}

/// A datastore entry.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct KeyRow {
    /// `<scope>/<name>`.
    pub key: String,
    /// Its value.
    pub value: Value,
    /// The version of its stream: what a compare-and-set expects.
    pub version: Version,
    /// When it ceases to exist.
    pub expires_at: Option<Timestamp>,
    /// When it was set.
    pub at: Timestamp,
}

/// An API token, without the token.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
pub struct TokenRow {
    /// The SHA-256 of the token.
    pub hash: Hash,
    /// What it allows, or allowed until it was revoked; none where that was not noted.
    pub grant: Option<Grant>,
    /// Whether it was revoked.
    pub revoked: bool,
    /// When it ceases to.
    pub expires_at: Option<Timestamp>,
    /// When it was made, or revoked.
    pub at: Timestamp,
}

/// Which deeds to list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AuditFilter {
    /// Only of this actor.
    pub actor: Option<Actor>,
    /// Only facts of this name.
    pub name: Option<String>,
    /// Only at or after this time.
    pub since: Option<Timestamp>,
    /// Only before this position.
    pub before: Option<Position>,
    /// At most so many.
    pub limit: usize,
}

/// What a rule did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct RuleCount {
    /// Events it selected.
    pub matched: u64,
    /// Events on which its condition or a template failed.
    pub failed: u64,
    /// When it last selected one.
    pub last_matched: Option<Timestamp>,
}
