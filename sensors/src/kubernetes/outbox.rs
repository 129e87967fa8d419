//! What is gathered to be stored together: events, what is remembered, where the sensor stands.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

use futures::future::BoxFuture;
use futures::poll;
use model::{Event, Timestamp, Value};

use super::compare::{Change, Operation};
use super::config::Share;
use super::cursor::{Cursor, Known};
use super::object::{Entry, Object};
use super::told::Circumstances;
use super::unfit::tell;
use super::ways::Way;
use super::{Initial, ObjectSensor};
use crate::{Context, Emission, LeftOut, MAX_SEEN, SinkError};

/// Events of one emission: beside what is remembered they fit into one commit.
const MAX_EVENTS: usize = 150;
/// Bytes of one emission: a batch of the store holds 4 MiB.
const MAX_BYTES: usize = 1 << 20;

pub(super) struct Outbox<'a> {
    pub(super) sensor: &'a ObjectSensor,
    pub(super) context: &'a Context<'a>,
    pub(super) cursor: Cursor,
    ways: Vec<Way>,
    /// The cursor as it is stored.
    stored: Cursor,
    events: Vec<Event>,
    seen: BTreeMap<String, Option<Value>>,
    left_out: Vec<LeftOut>,
    bytes: usize,
    /// What is stored of objects, as far as somebody will want to know.
    fetched: BTreeMap<String, Option<Value>>,
    /// What is on its way into the store, and the cursor that goes with it. Never locked: many may look at
    /// an outbox, and none of them at this.
    underway: Mutex<Option<Underway<'a>>>,
}

type Underway<'a> = (BoxFuture<'a, Result<(), SinkError>>, Cursor);

impl<'a> Outbox<'a> {
    pub(super) fn new(
        sensor: &'a ObjectSensor,
        context: &'a Context<'a>,
        mut cursor: Cursor,
    ) -> Self {
        let config = &sensor.config;
        let ways = cursor.take_up(&config.changes(), &config.only_changes());
        let (events, left_out, stored) = (Vec::new(), Vec::new(), cursor.clone());
        let (seen, fetched) = (BTreeMap::new(), BTreeMap::new());
        let (bytes, underway) = (0, Mutex::default());
        Self {
            sensor,
            context,
            cursor,
            ways,
            stored,
            events,
            seen,
            left_out,
            bytes,
            fetched,
            underway,
        }
    }

    /// Reads what the API server says of an object.
    pub(super) fn read(&self, value: Value) -> Option<Object> {
        Object::read(value, &self.ways)
    }

    /// Lets go of what is not stored: it will be met again.
    pub(super) fn fall_back(&mut self) {
        self.cursor = self.stored.clone();
        self.events.clear();
        self.seen.clear();
        self.left_out.clear();
        self.fetched.clear();
        self.bytes = 0;
    }

    /// Asks in one go what is remembered of objects that are looked at next.
    pub(super) async fn fetch(&mut self, keys: Vec<String>) -> Result<(), SinkError> {
        let entries = self.context.memory.seen(&keys).await?;
        self.fetched = keys.into_iter().zip(entries).collect();
        Ok(())
    }

    pub(super) fn now(&self) -> Timestamp {
        self.context.clock.now()
    }

    /// What is remembered of an object, stored or not.
    pub(super) async fn recall(&self, key: &str) -> Result<Option<Entry>, SinkError> {
        let entry = match self.seen.get(key).or_else(|| self.fetched.get(key)) {
            Some(known) => known.clone(),
            None => self.context.memory.seen(&[key.to_owned()]).await?.pop().flatten(),
        };
        Ok(entry.and_then(Entry::read))
    }

    /// Puts a change beside the others.
    pub(super) fn put(&mut self, change: &Change, catch_up: bool) {
        let (now, sensor) = (self.now(), self.sensor);
        let mut unfit = None;
        for share in &sensor.config.shares {
            if !self.is_wanted(change, share) {
                continue;
            }
            let how = Circumstances { source: &share.source, kind: &sensor.kind, now, catch_up };
            let (events, bytes, less) = tell(&share.telling, change, &how);
            self.bytes += bytes;
            self.events.extend(events);
            unfit = unfit.or(less);
        }
        self.left_out.extend(unfit.and_then(|unfit| change.left_out(unfit)));
        let entry = match unfit {
            Some(_) => change.owed(),
            None => change.entry.clone(),
        };
        let entry = entry.as_ref().map(Entry::write);
        self.bytes += entry.as_ref().map_or(0, |entry| entry.to_string().len());
        self.seen.insert(change.key.clone(), entry);
    }

    /// What was there before the sensor is told where that is asked for, and a modification to those
    /// for whom it counts.
    fn is_wanted(&self, change: &Change, share: &Share) -> bool {
        if change.operation == Some(Operation::Modified) {
            // Whoever joins others begins with what is there now.
            let joined = |way: &Known| way.marked || self.cursor.known_at.is_none();
            let way = self.cursor.ways.get(&share.changes.name()).filter(|way| joined(way));
            return way.is_some_and(|way| change.counts.contains(&way.number));
        }
        !change.initial || self.sensor.config.initial == Initial::Emit
    }

    /// Whether there is enough for a commit.
    pub(super) fn is_full(&self) -> bool {
        // One change can remember two things and tell several.
        self.events.len() + self.left_out.len() >= MAX_EVENTS
            || self.seen.len() + 2 >= MAX_SEEN
            || self.bytes >= MAX_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.seen.is_empty()
    }

    /// Stores what is gathered, and where the sensor stands then.
    pub(super) async fn store(&mut self) -> Result<(), SinkError> {
        self.send().await?;
        self.settle().await
    }

    /// Begins to store it, once what was begun before is stored: what comes next can be looked at
    /// meanwhile, as far as it was fetched.
    pub(super) async fn send(&mut self) -> Result<(), SinkError> {
        self.settle().await?;
        let seen = std::mem::take(&mut self.seen);
        for (key, entry) in &seen {
            if let Some(fetched) = self.fetched.get_mut(key) {
                fetched.clone_from(entry);
            }
        }
        let (events, left_out) =
            (std::mem::take(&mut self.events), std::mem::take(&mut self.left_out));
        let (seen, cursor) = (seen.into_iter().collect(), Some(self.cursor.write()));
        self.bytes = 0;
        let emission = Emission { events, cursor, seen, left_out, dated: false };
        let mut storing = self.context.sink.emit(emission);
        match poll!(&mut storing) {
            Poll::Ready(stored) => {
                stored?;
                self.stored = self.cursor.clone();
            }
            Poll::Pending => *self.underway() = Some((storing, self.cursor.clone())),
        }
        Ok(())
    }

    /// Waits until what is on its way is stored.
    pub(super) async fn settle(&mut self) -> Result<(), SinkError> {
        if let Some((storing, cursor)) = self.underway().take() {
            storing.await?;
            self.stored = cursor;
        }
        Ok(())
    }

    fn underway(&mut self) -> &mut Option<Underway<'a>> {
        self.underway.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Change {
    /// The same, where what was made after the sensor was begun is not among what was there before.
    pub(super) fn since(mut self, begun: Timestamp, created: Option<Timestamp>) -> Self {
        // The API server's times are whole seconds.
        let fresh = created.is_some_and(|created| created.as_second() >= begun.as_second());
        self.initial &= !(fresh && self.operation == Some(Operation::Added));
        self
    }
}
