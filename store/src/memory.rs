//! A store that forgets everything when it is dropped: for tests and the simulation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::lazy;
use model::fact::{EventAccepted, ExecutionRequested};
use model::{
    Actor, EventKey, ExecutionId, ExecutionState, Fact, Hash, Name, Origin, PackName, RuleRef,
    Stream, Timestamp, Value, Version,
};
use tokio::sync::watch;

use crate::batch::{Prepared, PreparedWrite};
use crate::port::{
    Answer, Appended, AuditFilter, Batch, EventFilter, EventRow, ExecutionFilter, ExecutionRow,
    Figures, KeyRow, Position, Pruned, Recorded, RuleCount, Store, StoreError, TokenRow,
    Unfinished,
};
use crate::projection::{
    Repeats, Standing, cursor, deferred, event_row, execution_row, generation, installation_name,
    key_row, rule_counts, switch, token,
};
use crate::retention::{MAX_DEPTH, Retention};

use crate::sealed::{Sealed, Sealing};

/// A store in memory.
#[derive(Debug)]
pub struct Memory {
    state: Mutex<State>,
    head: watch::Sender<Position>,
}

#[derive(Debug, Default)]
struct State {
    /// The fact at position n is at index n - 1, unless it was pruned.
    log: Vec<Option<Recorded>>,
    /// Where each stream's facts are.
    streams: BTreeMap<Stream, Vec<Position>>,
    /// The last position of each batch.
    batches: BTreeMap<String, Position>,
    executions: BTreeMap<ExecutionId, Execution>,
    events: BTreeMap<EventKey, Event>,
    rules: BTreeMap<RuleRef, RuleCount>,
    blobs: BTreeMap<Hash, Vec<u8>>,
    sealed: BTreeMap<String, Sealed>,
}

#[derive(Debug)]
struct Event {
    position: Position,
    repeats: Repeats,
    payload: Hash,
    accepted_at: Timestamp,
    kind: String,
    source: String,
}

#[derive(Debug)]
struct Execution {
    request: ExecutionRequested,
    position: Position,
    standing: Standing,
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

impl State {
    fn head(&self) -> Position {
        Position(self.log.len() as u64)
    }

    fn at(&self, position: Position) -> Option<&Recorded> {
        self.log.get(usize::try_from(position.0).ok()?.checked_sub(1)?)?.as_ref()
    }

    fn version(&self, stream: &Stream) -> Version {
        let last = self.streams.get(stream).and_then(|positions| positions.last());
        last.map_or(Version::NONE, |position| Version(position.0))
    }

    /// The last fact of a stream.
    fn latest(&self, stream: &Stream) -> Option<&Recorded> {
        self.at(Position(self.version(stream).0))
    }

    fn append(&mut self, batch: Prepared) -> Appended {
        if let Some(&position) = self.batches.get(batch.id.as_str()) {
            return Appended::Committed { position };
        }
        for PreparedWrite { stream, expected, .. } in &batch.writes {
            let actual = self.version(stream);
            if expected.is_some_and(|expected| expected != actual) {
                return Appended::Conflict { stream: stream.clone(), actual };
            }
        }
        for PreparedWrite { stream, facts, .. } in batch.writes {
            for encoded in facts {
                let position = Position(self.head().0 + 1);
                self.project(&stream, position, &encoded.fact);
                let (at, actor, fact) = (batch.at, batch.actor.clone(), encoded.fact);
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
            execution.standing.apply(fact);
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

    fn event(&self, key: &EventKey) -> Option<EventRow> {
        let Event { position, repeats, .. } = self.events.get(key)?;
        match &self.at(*position)?.fact {
            Fact::EventAccepted(accepted) => {
                Some(event_row(key.clone(), accepted.clone(), *position, *repeats))
            }
            _ => None,
        }
    }

    fn key(&self, key: &str, now: Timestamp) -> Option<KeyRow> {
        key_row(self.latest(&Stream::Key(key.to_owned()))?.clone(), now)
    }

    fn keys(&self, prefix: &str, now: Timestamp, limit: usize) -> Vec<KeyRow> {
        let from = Stream::Key(prefix.to_owned());
        let keys = self.streams.range(from..).map_while(|(stream, _)| match stream {
            Stream::Key(key) => key.starts_with(prefix).then_some(key),
            _ => None,
        });
        keys.filter_map(|key| self.key(key, now)).take(limit).collect()
    }

    /// The last of the installation's facts of which `pick` makes something.
    fn installation<T>(&self, pick: impl Fn(&Fact) -> Option<T>) -> Option<T> {
        let positions = self.streams.get(&Stream::Installation)?;
        positions.iter().rev().find_map(|position| pick(&self.at(*position)?.fact))
    }

    /// What `pick` makes of the last facts of streams.
    fn of_latest<K: Ord, V>(&self, pick: fn(Recorded) -> Option<(K, V)>) -> BTreeMap<K, V> {
        let latest = self.streams.keys().filter_map(|stream| self.latest(stream));
        latest.filter_map(|recorded| pick(recorded.clone())).collect()
    }

    fn audit(&self, filter: &AuditFilter) -> Vec<Recorded> {
        let facts = self.log.iter().rev().flatten().filter(|recorded| audited(filter, recorded));
        facts.take(filter.limit).cloned().collect()
    }
}

/// Pruning.
impl State {
    fn prune(&mut self, keep: &Retention, after: Position, now: Timestamp) -> Pruned {
        let old = self.log.iter().flatten().filter(|fact| fact.position > after);
        let old = old.take_while(|fact| fact.at < keep.youngest(now));
        let goes: Vec<Recorded> = old.filter(|fact| self.goes(fact, keep, now)).cloned().collect();
        for fact in &goes {
            self.log[fact.position.0 as usize - 1] = None;
            if let (Stream::Execution(id), Fact::ExecutionRequested(_)) = (&fact.stream, &fact.fact)
            {
                self.executions.remove(id);
            }
        }
        Pruned { facts: goes.len() as u64, next: None }
    }

    fn goes(&self, fact: &Recorded, keep: &Retention, now: Timestamp) -> bool {
        match &fact.stream {
            Stream::Execution(id) => self.execution_goes(id, fact.at, (keep, now), MAX_DEPTH),
            Stream::Event(key) => {
                let event = self.events.get(key);
                let (kind, source) = event.map_or(("", ""), |it| (&it.kind, &it.source));
                fact.at < keep.events(kind, source, now)
            }
            stream => fact.at < keep.words(now) && self.is_past(stream, fact, keep.words(now)),
        }
    }

    fn execution_goes(
        &self,
        id: &ExecutionId,
        at: Timestamp,
        (keep, now): (&Retention, Timestamp),
        depth: usize,
    ) -> bool {
        let Some(execution) = self.executions.get(id) else { return at < keep.words(now) };
        let parent = match &execution.request.origin {
            Origin::Step { parent, .. } => Some(parent),
            _ => None,
        };
        let before = keep.executions(&execution.request.action, now);
        depth > 0
            && execution.standing.finished_at.is_some_and(|ended| ended < before)
            && parent
                .filter(|parent| self.executions.contains_key(parent))
                .is_none_or(|parent| self.execution_goes(parent, at, (keep, now), depth - 1))
    }

    fn is_past(&self, stream: &Stream, fact: &Recorded, since: Timestamp) -> bool {
        if let Stream::Key(_) = stream {
            let no_more = match &fact.fact {
                Fact::KeyDeleted => true,
                Fact::KeySet { expires_at, .. } => expires_at.is_some_and(|end| end < since),
                _ => false,
            };
            return no_more || fact.position.0 < self.version(stream).0;
        }
        if let Stream::Pages(_) = stream {
            return self.latest(stream).cloned().and_then(deferred).is_none();
        }
        let later = self.streams.get(stream).into_iter().flatten();
        let mut later = later.filter_map(|position| self.at(*position));
        later.any(|it| it.position > fact.position && it.fact.name() == fact.fact.name())
    }

    /// Forgets streams of which nothing is left, and events that were told before `window`.
    fn tidy(&mut self, window: Timestamp) {
        self.events.retain(|_, event| event.accepted_at >= window);
        let log = &self.log;
        let left = |position: &Position| log[position.0 as usize - 1].is_some();
        let events = &self.events;
        self.streams.retain(|stream, positions| {
            let known = matches!(stream, Stream::Event(key) if events.contains_key(key));
            known || positions.iter().any(left)
        });
    }

    fn named(&self, contents: &[Hash]) -> BTreeSet<Hash> {
        let texts: Vec<String> = self
            .log
            .iter()
            .flatten()
            .map(|it| String::from_utf8_lossy(&it.fact.encode()).into_owned())
            .collect();
        let named = |hash: &&Hash| texts.iter().any(|text| text.contains(&hash.to_string()));
        contents.iter().filter(named).copied().collect()
    }
}

impl Execution {
    fn row(&self, id: &ExecutionId) -> ExecutionRow {
        execution_row(id.clone(), self.request.clone(), self.position, self.standing.clone())
    }
}

/// Replaces the facts by what reads back from their bytes, as it would from a disk.
fn read_back(batch: &mut Prepared) -> Result<(), StoreError> {
    for encoded in batch.writes.iter_mut().flat_map(|write| &mut write.facts) {
        let read = Fact::decode(model::fact::VERSION, &encoded.body);
        encoded.fact = read.map_err(|error| StoreError::Refused(error.to_string()))?;
    }
    Ok(())
}

fn execution_fits(filter: &ExecutionFilter, row: &ExecutionRow) -> bool {
    let parent = match &row.origin {
        Origin::Step { parent, .. } => Some(parent),
        _ => None,
    };
    let related = match &filter.parent {
        Some(wanted) => parent == Some(wanted),
        None => filter.children || parent.is_none(),
    };
    related
        && (filter.states.is_empty() || filter.states.contains(&row.state))
        && filter.rule.as_ref().is_none_or(|rule| row.origin.rule() == Some(rule))
        && filter.action.as_ref().is_none_or(|action| row.action == *action)
        && filter.pack.as_ref().is_none_or(|pack| row.action.pack() == pack.as_str())
        && filter.event.as_ref().is_none_or(|event| row.origin.event() == Some(event))
        && filter.since.is_none_or(|since| row.requested_at >= since)
        && filter.before.is_none_or(|before| row.position < before)
}

fn event_fits(filter: &EventFilter, row: &EventRow) -> bool {
    filter.kind.as_ref().is_none_or(|kind| row.envelope.kind == *kind)
        && filter.source.as_ref().is_none_or(|source| row.envelope.source.starts_with(source))
        && filter.since.is_none_or(|since| row.accepted_at >= since)
        && filter.before.is_none_or(|before| row.position < before)
}

fn audited(filter: &AuditFilter, recorded: &Recorded) -> bool {
    recorded.actor != Actor::engine()
        && filter.actor.as_ref().is_none_or(|actor| recorded.actor == *actor)
        && filter.name.as_ref().is_none_or(|name| recorded.fact.name() == name)
        && filter.since.is_none_or(|since| recorded.at >= since)
        && filter.before.is_none_or(|before| recorded.position < before)
}

fn newest<T>(mut rows: Vec<T>, limit: usize, position: impl Fn(&T) -> Position) -> Vec<T> {
    rows.sort_by_key(|row| std::cmp::Reverse(position(row)));
    rows.truncate(limit);
    rows
}

impl Store for Memory {
    fn append_sealing(&self, batch: Batch, sealing: Vec<Sealing>) -> Answer<'_, Appended> {
        lazy(|_| self.append_now(batch, sealing)).boxed()
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
        self.answer(move |state| state.executions.get(id).map(|execution| execution.row(id)))
    }

    fn executions<'a>(&'a self, filter: &'a ExecutionFilter) -> Answer<'a, Vec<ExecutionRow>> {
        self.answer(move |state| {
            let rows = state.executions.iter().map(|(id, execution)| execution.row(id));
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

    fn cursor<'a>(&'a self, sensor: &'a str) -> Answer<'a, Option<Value>> {
        let stream = Stream::Sensor(sensor.to_owned());
        self.answer(move |state| cursor(state.latest(&stream)?.clone()))
    }

    fn key<'a>(&'a self, key: &'a str, now: Timestamp) -> Answer<'a, Option<KeyRow>> {
        self.answer(move |state| state.key(key, now))
    }

    fn keys<'a>(
        &'a self,
        prefix: &'a str,
        now: Timestamp,
        limit: usize,
    ) -> Answer<'a, Vec<KeyRow>> {
        self.answer(move |state| state.keys(prefix, now, limit))
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
