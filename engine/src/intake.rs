//! Intake: an event is stored, with everything the rules make of it, before its source is told.
//!
//! One commit holds the event, the decisions of the rules, the executions they ask for, and the
//! cursor that the event moved; what does not fit is named there and stored in pages. An event that
//! is there already is counted and dropped; it is never matched again.

use std::iter::Peekable;

use futures::{StreamExt, TryStreamExt};
use model::value::{MAX_DEPTH, MAX_EVENT_BYTES, is_too_deep};
use model::{Actor, BatchId, Event, EventKey, ExecutionId, Fact, Hash, Stream, Timestamp, Value};
use store::{
    Appended, Batch, MAX_BATCH_BYTES, MAX_BATCH_FACTS, MAX_SEALED_CHANGES, Sealing, StoreError,
    Write, of_execution,
};

use crate::arrival::Arrival;
use crate::core::{Core, Trouble};
use crate::decide::{Decided, decide, decide_together};
use crate::driver::Driver;
use crate::pages::Begun;

/// How many events are shown to the rules together: as long as that lasts, others wait for the thread.
const TOGETHER: usize = 8;
/// How many times so many are shown at once: the threads that evaluate are kept busy.
const AT_ONCE: usize = 8;

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// It is new.
    New {
        /// Its key.
        key: EventKey,
        /// The executions it caused; those beyond the first few hundred begin a little later.
        executions: Vec<ExecutionId>,
    },
    /// It was there already.
    Duplicate {
        /// Its key.
        key: EventKey,
        /// Whether its data differs from what is stored; the first stands.
        differs: bool,
    },
}

impl Accepted {
    /// The event's key.
    pub const fn key(&self) -> &EventKey {
        match self {
            Self::New { key, .. } | Self::Duplicate { key, .. } => key,
        }
    }
}

/// Why an event is not accepted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IntakeError {
    /// Its data is too large.
    #[error("the event's data has {0} bytes of JSON text, more than {MAX_EVENT_BYTES}")]
    TooLarge(usize),
    /// No rule could be given its data.
    #[error(
        "the event's data is nested deeper than {MAX_DEPTH} levels, which no rule can look into"
    )]
    TooDeep,
    /// The store is in trouble.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

/// What a sensor stores with its events.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The sensor's id.
    pub sensor: String,
    /// Where it stands.
    pub cursor: Option<Value>,
    /// What it remembers of objects; none of those that are gone.
    pub seen: Vec<(String, Option<Value>)>,
    /// Whether it has yet to catch up since a restore.
    pub behind: bool,
    /// What happened until then, the server that was lost before the restore may have told too.
    pub told_until: Option<Timestamp>,
}

impl Standing {
    /// What that writes.
    pub(crate) fn writes(self) -> Vec<Write> {
        let Self { sensor, cursor, seen, behind, .. } = self;
        let remembered = seen.into_iter().map(|(object, entry)| {
            let fact = entry.map_or(Fact::ObjectGone, |entry| Fact::ObjectSeen { entry });
            let stream = Stream::Seen(format!("{sensor}/{object}"));
            Write::new(stream, None, [fact])
        });
        let mut writes: Vec<Write> = remembered.collect();
        writes.extend(cursor.map(|cursor| {
            let facts = vec![Fact::CursorMoved { cursor, behind }];
            Write::new(Stream::Sensor(sensor), None, facts)
        }));
        writes
    }
}

/// Stores events, and what goes with the last of them. Answers for each in order.
pub async fn accept(
    core: &Core,
    driver: &Driver,
    actor: &Actor,
    events: Vec<Event>,
    standing: Option<Standing>,
) -> Result<Vec<Accepted>, IntakeError> {
    let mut accepted = Vec::new();
    let told_until = standing.as_ref().and_then(|standing| standing.told_until);
    let arrivals = events.into_iter().map(|event| {
        let retold = told_until.is_some_and(|until| event.envelope.time <= until);
        Arrival::of(event, retold)
    });
    let arrivals: Vec<Arrival> = arrivals.collect();
    arrivals.iter().try_for_each(fits)?;
    let mut decided = decide_all(core, arrivals).await?.into_iter().peekable();
    let mut standing = standing.map(Standing::writes).unwrap_or_default();
    // Whichever part is the last one, it has room for what goes with it.
    let taken = standing.iter().flat_map(|write| &write.facts);
    let taken = (standing.len(), taken.map(|fact| fact.bytes().len()).sum());
    loop {
        let part = next_part(&mut decided, taken);
        let last = decided.peek().is_none();
        let moved = if last { std::mem::take(&mut standing) } else { Vec::new() };
        accepted.extend(store_part(core, driver, actor, part, moved).await?);
        if last {
            return Ok(accepted);
        }
    }
}

/// What the rules make of each, in order.
async fn decide_all(core: &Core, arrivals: Vec<Arrival>) -> Result<Vec<Decided>, Trouble> {
    let mut arrivals = arrivals.into_iter();
    let some = std::iter::from_fn(|| {
        let some: Vec<Arrival> = arrivals.by_ref().take(TOGETHER).collect();
        (!some.is_empty()).then_some(some)
    });
    let decided = futures::stream::iter(some).map(|some| decide_together(core, some));
    decided.buffered(AT_ONCE).try_concat().await
}

/// An error where no rule could be given the event.
fn fits(arrival: &Arrival) -> Result<(), IntakeError> {
    match arrival.bytes {
        bytes if bytes > MAX_EVENT_BYTES => Err(IntakeError::TooLarge(bytes)),
        _ if is_too_deep(&arrival.event.data) => Err(IntakeError::TooDeep),
        _ => Ok(()),
    }
}

/// Stores one event, which may have secrets in its data.
pub(crate) async fn accept_one(
    core: &Core,
    driver: &Driver,
    actor: &Actor,
    arrival: Arrival,
) -> Result<Accepted, IntakeError> {
    fits(&arrival)?;
    let decided = decide(core, arrival, None).await?;
    accept_decided(core, driver, actor, decided).await
}

/// Stores one event that has been decided.
pub(crate) async fn accept_decided(
    core: &Core,
    driver: &Driver,
    actor: &Actor,
    decided: Decided,
) -> Result<Accepted, IntakeError> {
    let gone = Accepted::Duplicate { key: decided.key.clone(), differs: false };
    let accepted = store_part(core, driver, actor, vec![decided], Vec::new()).await?;
    Ok(accepted.into_iter().next().unwrap_or(gone))
}

/// As many events from the front as fit into one batch beside so many facts and bytes, at least one.
fn next_part(
    decided: &mut Peekable<impl Iterator<Item = Decided>>,
    taken: (usize, usize),
) -> Vec<Decided> {
    let mut part: Vec<Decided> = decided.next().into_iter().collect();
    if decided.peek().is_none() {
        return part;
    }
    let (mut facts, mut bytes) = part.first().map_or((0, 0), Decided::weight);
    facts += taken.0;
    bytes += taken.1;
    let mut records = part.first().map_or(0, |first| first.sealing.len());
    while let Some(next) = decided.peek() {
        let (more_facts, more_bytes) = next.weight();
        facts += more_facts;
        bytes += more_bytes;
        records += next.sealing.len();
        let full = facts > MAX_BATCH_FACTS || bytes > MAX_BATCH_BYTES / 2;
        if full || records > MAX_SEALED_CHANGES {
            break;
        }
        part.extend(decided.next());
    }
    part
}

/// An event on its way into the store.
struct Told {
    key: EventKey,
    payload: Hash,
    writes: Vec<Write>,
    sealing: Vec<Sealing>,
    answer: Accepted,
}

impl Told {
    /// `one`, which counts once even if it is told twice in one go.
    fn after(earlier: &[Self], one: Decided) -> Self {
        let Decided { key, payload, writes, sealing, executions } = one;
        if let Some(first) = earlier.iter().find(|told| told.key == key) {
            let differs = first.payload != payload;
            let answer = Accepted::Duplicate { key: key.clone(), differs };
            return Self { key, payload, writes: Vec::new(), sealing: Vec::new(), answer };
        }
        let answer = Accepted::New { key: key.clone(), executions };
        Self { key, payload, writes, sealing, answer }
    }
}

/// Stores some events in one commit; those that are there already are left out and counted.
async fn store_part(
    core: &Core,
    driver: &Driver,
    actor: &Actor,
    decided: Vec<Decided>,
    moved: Vec<Write>,
) -> Result<Vec<Accepted>, IntakeError> {
    let mut told: Vec<Told> = Vec::new();
    for one in decided {
        told.push(Told::after(&told, one));
    }
    loop {
        let events = told.iter().flat_map(|told| &told.writes);
        let writes: Vec<Write> = events.chain(&moved).cloned().collect();
        if writes.is_empty() {
            break;
        }
        let begun = Begun::of(&writes);
        let batch = Batch { id: batch_id(), actor: actor.clone(), at: core.now(), writes };
        let sealing = told.iter().flat_map(|told| &told.sealing).cloned().collect();
        match core.append_sealing(batch, sealing).await? {
            Appended::Committed { .. } => {
                driver.take_up(begun);
                break;
            }
            Appended::Conflict { stream, .. } => leave_out(core, &stream, &mut told).await?,
        }
    }
    Ok(told.into_iter().map(|told| told.answer).collect())
}

/// Random, so that an event told again is met as a conflict of its stream, not as this batch.
fn batch_id() -> BatchId {
    BatchId::new(format!("intake/{}", crate::random::name()))
}

/// Takes what is there already out of the batch: an execution by itself, an event with its own.
async fn leave_out(core: &Core, stream: &Stream, told: &mut [Told]) -> Result<(), Trouble> {
    let holds = |told: &&mut Told| told.writes.iter().any(|write| write.stream == *stream);
    let Some(told) = told.iter_mut().find(holds) else {
        return Err(StoreError::Refused(format!("{stream} was written by somebody else")).into());
    };
    if *stream != Stream::Event(told.key.clone()) {
        told.writes.retain(|write| write.stream != *stream);
        if let Stream::Execution(id) = stream {
            let own = of_execution(id);
            told.sealing.retain(
                |change| !matches!(change, Sealing::Put(name, _) if name.starts_with(&own)),
            );
        }
        return Ok(());
    }
    let stored = core.store.payload(&told.key).await?;
    let differs = stored.is_some_and(|payload| payload != told.payload);
    let repeated = match differs {
        true => Fact::DuplicateDiffers { payload: told.payload, at: core.now() },
        false => Fact::EventRepeated { at: core.now() },
    };
    told.answer = Accepted::Duplicate { key: told.key.clone(), differs };
    told.writes = vec![Write::new(stream.clone(), None, [repeated])];
    told.sealing.clear();
    Ok(())
}
