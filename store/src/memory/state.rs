//! What the store holds, and how a batch changes it.

use std::collections::BTreeMap;

use model::fact::{EventAccepted, ExecutionRequested};
use model::{EventKey, ExecutionId, Fact, Hash, RuleRef, Stream, Timestamp, Version};

use crate::batch::Prepared;
use crate::encoded::Encoded;
use crate::port::{Appended, Position, Recorded, RuleCount, StoreError, Write};
use crate::projection::{Repeats, Standing, rule_counts};
use crate::sealed::{Sealed, Sealing};

#[derive(Debug, Default)]
pub(super) struct State {
    /// The fact at position n is at index n - 1, unless it was pruned.
    pub(super) log: Vec<Option<Recorded>>,
    /// Where each stream's facts are.
    pub(super) streams: BTreeMap<Stream, Vec<Position>>,
    /// The last position of each batch.
    pub(super) batches: BTreeMap<String, Position>,
    pub(super) executions: BTreeMap<ExecutionId, Execution>,
    pub(super) events: BTreeMap<EventKey, Event>,
    pub(super) rules: BTreeMap<RuleRef, RuleCount>,
    pub(super) blobs: BTreeMap<Hash, Vec<u8>>,
    pub(super) sealed: BTreeMap<String, Sealed>,
}

#[derive(Debug)]
pub(super) struct Event {
    pub(super) position: Position,
    pub(super) repeats: Repeats,
    pub(super) payload: Hash,
    pub(super) accepted_at: Timestamp,
    pub(super) kind: String,
    pub(super) source: String,
}

#[derive(Debug)]
pub(super) struct Execution {
    pub(super) request: ExecutionRequested,
    pub(super) position: Position,
    pub(super) standing: Standing,
}

impl State {
    pub(super) fn head(&self) -> Position {
        Position(self.log.len() as u64)
    }

    pub(super) fn at(&self, position: Position) -> Option<&Recorded> {
        self.log.get(usize::try_from(position.0).ok()?.checked_sub(1)?)?.as_ref()
    }

    pub(super) fn version(&self, stream: &Stream) -> Version {
        let last = self.streams.get(stream).and_then(|positions| positions.last());
        last.map_or(Version::NONE, |position| Version(position.0))
    }

    /// The last fact of a stream.
    pub(super) fn latest(&self, stream: &Stream) -> Option<&Recorded> {
        self.at(Position(self.version(stream).0))
    }

    pub(super) fn append(&mut self, batch: Prepared) -> Appended {
        if let Some(&position) = self.batches.get(batch.id.as_str()) {
            return Appended::Committed { position };
        }
        for Write { stream, expected, .. } in &batch.writes {
            let actual = self.version(stream);
            if expected.is_some_and(|expected| expected != actual) {
                return Appended::Conflict { stream: stream.clone(), actual };
            }
        }
        for Write { stream, facts, .. } in batch.writes {
            for encoded in facts {
                let position = Position(self.head().0 + 1);
                self.project(&stream, position, &encoded);
                let (at, actor, fact) = (batch.at, batch.actor.clone(), encoded.into_fact());
                self.streams.entry(stream.clone()).or_default().push(position);
                let stream = stream.clone();
                self.log.push(Some(Recorded { position, stream, at, actor, fact }));
            }
        }
        batch.sealing.into_iter().for_each(|change| self.seal(change));
        self.batches.insert(batch.id.as_str().to_owned(), self.head());
        Appended::Committed { position: self.head() }
    }

    fn seal(&mut self, change: Sealing) {
        match change {
            Sealing::Put(name, sealed) => _ = self.sealed.insert(name, sealed),
            Sealing::Replace(name, sealed) => {
                if let Some(there) = self.sealed.get_mut(&name) {
                    *there = Sealed { at: there.at, ..sealed };
                }
            }
            Sealing::Delete(name) => _ = self.sealed.remove(&name),
            Sealing::DeleteAll(prefix) => self.sealed.retain(|name, _| !name.starts_with(&prefix)),
        }
    }

    fn project(&mut self, stream: &Stream, position: Position, fact: &Fact) {
        match stream {
            Stream::Execution(id) => self.project_execution(id, position, fact),
            Stream::Event(key) => self.project_event(key, position, fact),
            _ => {}
        }
    }

    fn project_execution(&mut self, id: &ExecutionId, position: Position, fact: &Fact) {
        if let Fact::ExecutionRequested(request) = fact {
            let standing = Standing::QUEUED;
            let requested = || Execution { request: request.clone(), position, standing };
            self.executions.entry(id.clone()).or_insert_with(requested);
        }
        if let Some(execution) = self.executions.get_mut(id) {
            execution.standing.apply(position, fact);
        }
    }

    fn project_event(&mut self, key: &EventKey, position: Position, fact: &Fact) {
        if let Fact::EventAccepted(EventAccepted { payload, accepted_at, event, .. }) = fact {
            let event = Event {
                position,
                repeats: Repeats::default(),
                payload: *payload,
                accepted_at: *accepted_at,
                kind: event.envelope.kind.to_string(),
                source: event.envelope.source.clone(),
            };
            self.events.entry(key.clone()).or_insert(event);
        }
        if let Some(Event { repeats, .. }) = self.events.get_mut(key) {
            let more = Repeats::of(fact);
            repeats.all += more.all;
            repeats.differing += more.differing;
        }
        for (rule, more) in rule_counts(fact) {
            let count = self.rules.entry(rule.clone()).or_default();
            count.matched += more.matched;
            count.failed += more.failed;
            count.last_matched = count.last_matched.max(more.last_matched);
        }
    }
}

/// Replaces the facts by what reads back from their bytes, as it would from a disk.
pub(super) fn read_back(batch: &mut Prepared) -> Result<(), StoreError> {
    for encoded in batch.writes.iter_mut().flat_map(|write| &mut write.facts) {
        let read = Fact::decode(model::fact::VERSION, encoded.bytes());
        let fact = read.map_err(|error| StoreError::Refused(error.to_string()))?;
        *encoded = Encoded::from(fact);
    }
    Ok(())
}
