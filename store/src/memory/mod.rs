//! A store that forgets everything when it is dropped: for tests and the simulation.

mod lookups;
mod prune;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::lazy;
use model::{
    BatchId, EventKey, ExecutionId, ExecutionState, Hash, Name, PackName, RuleRef, Stream,
    Timestamp, Value, Version,
};
use tokio::sync::watch;

use self::lookups::{event_fits, execution_fits, newest};
use self::state::{Execution, State, read_back};
use crate::batch::Prepared;
use crate::port::{
    Answer, Appended, AuditFilter, Batch, CursorRow, EventFilter, EventRow, ExecutionFilter,
    ExecutionRow, Figures, KeyRow, Position, Pruned, Recorded, Restored, RuleCount, Store,
    StoreError, TokenRow, Unfinished,
};
use crate::projection::{
    cursor, deferred, generation, installation_name, restored, seen, sensor_cursor, switch, token,
};
use crate::retention::Retention;
use crate::sealed::{Sealed, Sealing};

/// A store in memory.
#[derive(Debug)]
pub struct Memory {
    state: Mutex<State>,
    head: watch::Sender<Position>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { state: Mutex::default(), head: watch::Sender::new(Position(0)) }
    }
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer<'a, T: Send + 'a>(
        &'a self,
        query: impl FnOnce(&State) -> T + Send + 'a,
    ) -> Answer<'a, T> {
        lazy(|_| Ok(query(&self.lock()))).boxed()
    }

    fn append_now(&self, batch: Batch, sealing: Vec<Sealing>) -> Result<Appended, StoreError> {
        let mut batch = Prepared::of(batch, sealing)?;
        read_back(&mut batch)?;
        let mut state = self.lock();
        let appended = state.append(batch);
        self.head.send_replace(state.head());
        Ok(appended)
    }
}

impl Store for Memory {
    fn append_sealing(&self, batch: Batch, sealing: Vec<Sealing>) -> Answer<'_, Appended> {
        lazy(|_| self.append_now(batch, sealing)).boxed()
    }

    fn appended<'a>(&'a self, batch: &'a BatchId) -> Answer<'a, Option<Position>> {
        self.answer(move |state| state.batches.get(batch.as_str()).copied())
    }

    fn sealed<'a>(&'a self, name: &'a str) -> Answer<'a, Option<Sealed>> {
        self.answer(move |state| state.sealed.get(name).cloned())
    }

    fn sealed_under<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> Answer<'a, Vec<(String, Sealed)>> {
        self.answer(move |state| {
            let from = state.sealed.range(prefix.to_owned()..);
            let under = from.take_while(|(name, _)| name.starts_with(prefix));
            let rest = under.filter(|(name, _)| name.as_str() > after);
            rest.take(limit).map(|(name, sealed)| (name.clone(), sealed.clone())).collect()
        })
    }

    fn sealing_keys(&self) -> Answer<'_, BTreeMap<String, u64>> {
        self.answer(|state| {
            let mut keys = BTreeMap::new();
            for sealed in state.sealed.values() {
                *keys.entry(sealed.key.clone()).or_default() += 1;
            }
            keys
        })
    }

    fn read<'a>(
        &'a self,
        stream: &'a Stream,
        after: Version,
    ) -> Answer<'a, (Vec<Recorded>, Version)> {
        self.answer(move |state| {
            let positions = state.streams.get(stream).into_iter().flatten();
            let later = positions.filter(|position| position.0 > after.0);
            let facts = later.filter_map(|position| state.at(*position).cloned()).collect();
            (facts, state.version(stream))
        })
    }

    fn log(&self, after: Position, limit: usize) -> Answer<'_, Vec<Recorded>> {
        let skip = usize::try_from(after.0).unwrap_or(usize::MAX);
        self.answer(move |state| {
            state.log.iter().skip(skip).flatten().take(limit).cloned().collect()
        })
    }

    fn head(&self) -> Answer<'_, Position> {
        self.answer(State::head)
    }

    fn wait(&self, after: Position) -> Answer<'_, Position> {
        let mut head = self.head.subscribe();
        let past = async move {
            let head = head.wait_for(|head| *head > after).await;
            head.map(|head| *head).map_err(|_| StoreError::Closed)
        };
        past.boxed()
    }

    fn put_blob(&self, bytes: Vec<u8>) -> Answer<'_, Hash> {
        let hash = Hash::of(&bytes);
        let put = async move {
            self.lock().blobs.insert(hash, bytes);
            Ok(hash)
        };
        put.boxed()
    }

    fn blob(&self, hash: Hash) -> Answer<'_, Option<Vec<u8>>> {
        self.answer(move |state| state.blobs.get(&hash).cloned())
    }

    fn prune<'a>(
        &'a self,
        keep: &'a Retention,
        after: Position,
        now: Timestamp,
    ) -> Answer<'a, Pruned> {
        // One step is as good as many where nobody waits for a disk.
        lazy(move |_| Ok(self.lock().prune(keep, after, now))).boxed()
    }

    fn tidy<'a>(&'a self, keep: &'a Retention, now: Timestamp) -> Answer<'a, bool> {
        lazy(move |_| {
            self.lock().tidy(keep.window(now));
            Ok(false)
        })
        .boxed()
    }

    fn named<'a>(&'a self, contents: &'a [Hash]) -> Answer<'a, BTreeSet<Hash>> {
        self.answer(move |state| state.named(contents))
    }

    fn execution<'a>(&'a self, id: &'a ExecutionId) -> Answer<'a, Option<ExecutionRow>> {
        self.answer(move |state| state.executions.get(id).map(|execution| state.row(id, execution)))
    }

    fn executions<'a>(&'a self, filter: &'a ExecutionFilter) -> Answer<'a, Vec<ExecutionRow>> {
        self.answer(move |state| {
            let asked = state.executions.iter().filter(|(_, execution)| {
                filter.actor.as_ref().is_none_or(|by| state.asked_by(execution) == Some(by))
                    && !(filter.last_runs && state.is_followed(execution))
            });
            let rows = asked.map(|(id, execution)| state.row(id, execution));
            let rows = rows.filter(|row| execution_fits(filter, row)).collect();
            newest(rows, filter.limit, |row: &ExecutionRow| row.position)
        })
    }

    fn unfinished<'a>(
        &'a self,
        after: Option<&'a ExecutionId>,
        limit: usize,
    ) -> Answer<'a, Vec<Unfinished>> {
        self.answer(move |state| {
            let open = state.executions.iter().filter(|(id, execution)| {
                after.is_none_or(|after| *id > after) && !execution.standing.state.is_end()
            });
            let row = |(id, execution): (&ExecutionId, &Execution)| Unfinished {
                id: id.clone(),
                rule: execution.request.origin.rule().cloned(),
                state: execution.standing.state,
                wake_at: execution.standing.wake_at,
            };
            open.map(row).take(limit).collect()
        })
    }

    fn figures(&self) -> Answer<'_, Figures> {
        self.answer(move |state| {
            let queued =
                state.executions.values().filter(|it| it.standing.state == ExecutionState::Queued);
            Figures { bytes: 0, oldest_queued: queued.map(|it| it.request.at).min() }
        })
    }

    fn counts(&self) -> Answer<'_, BTreeMap<ExecutionState, u64>> {
        self.answer(move |state| {
            let mut counts = BTreeMap::new();
            for execution in state.executions.values() {
                *counts.entry(execution.standing.state).or_default() += 1;
            }
            counts
        })
    }

    fn event<'a>(&'a self, key: &'a EventKey) -> Answer<'a, Option<EventRow>> {
        self.answer(move |state| state.event(key))
    }

    fn payload<'a>(&'a self, key: &'a EventKey) -> Answer<'a, Option<Hash>> {
        self.answer(move |state| state.events.get(key).map(|event| event.payload))
    }

    fn events<'a>(&'a self, filter: &'a EventFilter) -> Answer<'a, Vec<EventRow>> {
        self.answer(move |state| {
            let rows = state.events.keys().filter_map(|key| state.event(key));
            let rows = rows.filter(|row| event_fits(filter, row));
            let rows = rows.map(|row| EventRow { data: None, ..row }).collect();
            newest(rows, filter.limit, |row: &EventRow| row.position)
        })
    }

    fn cursor<'a>(&'a self, sensor: &'a str) -> Answer<'a, Option<CursorRow>> {
        let stream = Stream::Sensor(sensor.to_owned());
        self.answer(move |state| cursor(state.latest(&stream)?.clone()))
    }

    fn cursors(&self) -> Answer<'_, BTreeMap<String, CursorRow>> {
        self.answer(|state| state.of_latest(sensor_cursor))
    }

    fn seen<'a>(
        &'a self,
        sensor: &'a str,
        objects: &'a [String],
    ) -> Answer<'a, Vec<Option<Value>>> {
        self.answer(move |state| {
            let entry = |object: &String| {
                let stream = Stream::Seen(format!("{sensor}/{object}"));
                seen(state.latest(&stream)?.clone(), "").map(|(_, entry)| entry)
            };
            objects.iter().map(entry).collect()
        })
    }

    fn all_seen<'a>(
        &'a self,
        sensor: &'a str,
        after: &'a str,
        limit: usize,
    ) -> Answer<'a, Vec<(String, Value)>> {
        let own = format!("{sensor}/");
        self.answer(move |state| state.seen(&own, after, limit))
    }

    fn key<'a>(&'a self, key: &'a str, now: Timestamp) -> Answer<'a, Option<KeyRow>> {
        self.answer(move |state| state.key(key, now))
    }

    fn keys<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        now: Timestamp,
        limit: usize,
    ) -> Answer<'a, Vec<KeyRow>> {
        self.answer(move |state| state.keys((prefix, after), now, limit))
    }

    fn deferred(&self) -> Answer<'_, Vec<EventKey>> {
        self.answer(|state| {
            let latest = state.streams.keys().filter_map(|stream| state.latest(stream));
            latest.filter_map(|recorded| deferred(recorded.clone())).collect()
        })
    }

    fn rule_switches(&self) -> Answer<'_, BTreeMap<RuleRef, bool>> {
        self.answer(|state| state.of_latest(switch))
    }

    fn generation(&self) -> Answer<'_, Option<(u64, BTreeMap<PackName, Hash>)>> {
        self.answer(|state| state.installation(generation))
    }

    fn installation(&self) -> Answer<'_, Option<Name>> {
        self.answer(|state| state.installation(installation_name))
    }

    fn restored(&self) -> Answer<'_, Option<Restored>> {
        self.answer(|state| state.installation(restored))
    }

    fn copy_to<'a>(&'a self, _to: &'a Path) -> Answer<'a, ()> {
        let why = "a store in memory ends with its process; there is nothing to copy";
        futures::future::ready(Err(StoreError::Refused(why.to_owned()))).boxed()
    }

    fn tokens(&self) -> Answer<'_, BTreeMap<Name, TokenRow>> {
        self.answer(|state| state.of_latest(token))
    }

    fn audit<'a>(&'a self, filter: &'a AuditFilter) -> Answer<'a, Vec<Recorded>> {
        self.answer(move |state| state.audit(filter))
    }

    fn rule_counts(&self) -> Answer<'_, BTreeMap<RuleRef, RuleCount>> {
        self.answer(move |state| state.rules.clone())
    }
}
