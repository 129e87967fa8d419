//! What a commit has no room for: stored in pages, from a durable cursor.
//!
//! An event may make rules ask for more than one commit holds. What comes next is put into blobs,
//! ready as it will be appended, before the event's commit names them; so whatever happens to the
//! rules or to the process meanwhile, the pages say what the rules of that moment made of it.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;

use model::fact::VERSION;
use model::{
    Actor, BatchId, EventKey, ExecutionId, Fact, Hash, RuleRef, Stream, Timestamp, Value, Version,
};
use serde::{Deserialize, Serialize};
use store::{Appended, Batch, Encoded, Sealing, StoreError, Write};

use crate::core::{Core, Trouble};
use crate::driver::Driver;
use crate::fair::Lane;
use crate::{intake, notices};

/// What fits into one part of an event's consequences.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    requests: usize,
    facts: usize,
    bytes: usize,
    /// Encrypted records, of later pages too: they don't wait for those.
    secrets: usize,
}

impl Room {
    /// A commit of its own. A batch holds 500 facts and 4 MiB: the event itself, with half a MiB of
    /// data, its cursor and what a chain stores besides need some of it.
    pub(crate) const COMMIT: Self =
        Self { requests: 400, facts: 480, bytes: 2 * 1024 * 1024, secrets: 400 };
    /// A share of one: an end of an execution tells up to two events in its own commit.
    pub(crate) const SHARE: Self =
        Self { requests: 150, facts: 200, bytes: 1024 * 1024, secrets: 200 };

    /// How many encrypted records there is room for.
    pub(crate) const fn secrets(self) -> usize {
        self.secrets
    }

    /// The same with room for at most `secrets` encrypted records.
    pub(crate) fn with_secrets(self, secrets: usize) -> Self {
        Self { secrets: self.secrets.min(secrets), ..self }
    }
}

/// What goes into a commit beside its own facts: those of other streams, and encrypted records.
#[derive(Default)]
pub(crate) struct Sides {
    pub(crate) writes: Vec<Write>,
    pub(crate) sealing: Vec<Sealing>,
}

impl From<Vec<Write>> for Sides {
    fn from(writes: Vec<Write>) -> Self {
        Self { writes, sealing: Vec::new() }
    }
}

impl Sides {
    /// Takes `others` in.
    pub(crate) fn extend(&mut self, others: Self) {
        self.writes.extend(others.writes);
        self.sealing.extend(others.sealing);
    }
}

/// One thing that the rules made of an event; it is stored whole.
pub(crate) enum Consequence {
    /// An execution is requested: the first facts of its stream.
    Request(RuleRef, ExecutionId, Vec<Encoded>),
    /// A rule failed.
    Failure(Encoded),
    /// An event of the engine's own, with what rules make of that.
    Told(Vec<Write>),
}

impl Consequence {
    fn facts(&self) -> usize {
        match self {
            Self::Request(_, _, facts) => facts.len(),
            Self::Failure(_) => 1,
            Self::Told(writes) => writes.iter().map(|write| write.facts.len()).sum(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Request(_, _, facts) => bytes(facts),
            Self::Failure(fact) => bytes([fact]),
            Self::Told(writes) => bytes(writes.iter().flat_map(|write| &write.facts)),
        }
    }
}

fn bytes<'a>(facts: impl IntoIterator<Item = &'a Encoded>) -> usize {
    facts.into_iter().map(|fact| fact.bytes().len()).sum()
}

/// Consequences that are stored together.
#[derive(Default)]
pub(crate) struct Part {
    /// The rules that selected the event, and what they asked for.
    pub(crate) matched: Vec<(RuleRef, ExecutionId)>,
    /// Facts of the event's own stream.
    pub(crate) failures: Vec<Encoded>,
    /// Facts of other streams.
    pub(crate) writes: Vec<Write>,
}

impl Part {
    fn push(&mut self, consequence: Consequence) {
        match consequence {
            Consequence::Request(rule, id, facts) => {
                self.matched.push((rule, id.clone()));
                let stream = Stream::Execution(id);
                self.writes.push(Write::new(stream, Some(Version::NONE), facts));
            }
            Consequence::Failure(fact) => self.failures.push(fact),
            Consequence::Told(writes) => self.writes.extend(writes),
        }
    }
}

/// As many consequences from the front as there is room for, at least one.
pub(crate) fn next_part(left: &mut VecDeque<Consequence>, room: Room) -> Part {
    let mut part = Part::default();
    let (mut facts, mut bytes) = (0, 0);
    while let Some(next) = left.front() {
        facts += next.facts();
        bytes += next.bytes();
        let full = facts > room.facts || bytes > room.bytes || part.matched.len() >= room.requests;
        if full && facts > next.facts() {
            break;
        }
        let Some(next) = left.pop_front() else { break };
        part.push(next);
    }
    part
}

/// A part as it lies in a blob until it is appended.
#[derive(Serialize, Deserialize)]
struct Page {
    /// The version under which its facts are written.
    version: u32,
    writes: Vec<PageWrite>,
}

#[derive(Serialize, Deserialize)]
struct PageWrite {
    stream: Stream,
    /// Whether the stream must have no fact yet.
    new: bool,
    facts: Vec<Value>,
}

/// Puts what is left into blobs: the write that names them, if there is any.
pub(crate) async fn defer(
    core: &Core,
    event: &EventKey,
    mut left: VecDeque<Consequence>,
    at: Timestamp,
) -> Result<Option<Write>, Trouble> {
    let mut pages = Vec::new();
    while !left.is_empty() {
        let Part { matched, failures, mut writes } = next_part(&mut left, Room::COMMIT);
        let mut own = failures;
        if !matched.is_empty() {
            own.push(Fact::MoreMatched { matched, at }.into());
        }
        if !own.is_empty() {
            let stream = Stream::Event(event.clone());
            writes.push(Write::new(stream, None, own));
        }
        pages.push(core.blob(&Page::of(&writes)).await?.blob);
    }
    // A page holds 400 requests, and the hash of one has 67 bytes: a fact names those of three
    // million rules.
    let stream = Stream::Pages(event.clone());
    let named = |pages| Write::new(stream, Some(Version::NONE), [Fact::PagesDeferred { pages }]);
    Ok((!pages.is_empty()).then(|| named(pages)))
}

impl Page {
    fn of(writes: &[Write]) -> Value {
        // Facts and streams are plain values: nothing that JSON refuses.
        let value = |fact: &Encoded| serde_json::to_value(&**fact).unwrap_or_default();
        let writes = writes.iter().map(|write| PageWrite {
            stream: write.stream.clone(),
            new: write.expected.is_some(),
            facts: write.facts.iter().map(value).collect(),
        });
        let page = Self { version: VERSION, writes: writes.collect() };
        serde_json::to_value(page).unwrap_or_default()
    }

    fn read(bytes: &[u8]) -> Result<Vec<Write>, String> {
        let page: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let writes = page.writes.into_iter().map(|write| {
            let fact = |fact: &Value| Fact::decode(page.version, fact.to_string().as_bytes());
            let facts: Result<Vec<Fact>, _> = write.facts.iter().map(fact).collect();
            let facts = facts.map_err(|error| error.to_string())?;
            let expected = write.new.then_some(Version::NONE);
            Ok(Write::new(write.stream, expected, facts))
        });
        writes.collect()
    }
}

/// What a commit brought into being, to be taken up once it is durable.
#[derive(Default)]
pub(crate) struct Begun {
    /// Executions.
    pub(crate) executions: Vec<(ExecutionId, Lane)>,
    /// Events with pages to store.
    pub(crate) deferred: Vec<EventKey>,
}

impl Begun {
    /// What these writes bring into being.
    pub(crate) fn of(writes: &[Write]) -> Self {
        let mut begun = Self::default();
        begun.add(writes);
        begun
    }

    /// And what another commit did.
    pub(crate) fn extend(&mut self, other: Self) {
        self.executions.extend(other.executions);
        self.deferred.extend(other.deferred);
    }

    /// And what these do.
    pub(crate) fn add(&mut self, writes: &[Write]) {
        for write in writes {
            match (&write.stream, write.facts.first().map(Deref::deref)) {
                (Stream::Execution(id), Some(Fact::ExecutionRequested(request))) => {
                    self.executions.push((id.clone(), request.origin.rule().cloned()));
                }
                (Stream::Pages(key), Some(Fact::PagesDeferred { .. })) => {
                    self.deferred.push(key.clone());
                }
                _ => {}
            }
        }
    }
}

/// Events of which not everything could be stored that rules made of them, and why. They are tried
/// again from time to time, and by the next start.
#[derive(Default)]
pub(crate) struct Stuck {
    events: Mutex<BTreeMap<EventKey, String>>,
    /// One at a time writes the cursor of a stuck event.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

impl Stuck {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<EventKey, String>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how it went; whether that is something new to be told.
    pub(crate) fn note(&self, event: &EventKey, went: Result<(), &str>) -> bool {
        let mut stuck = self.lock();
        let before = match went {
            Ok(()) => return stuck.remove(event).is_some(),
            Err(why) => stuck.insert(event.clone(), why.to_owned()),
        };
        before.as_deref() != went.err()
    }

    /// All of them.
    pub(crate) fn all(&self) -> BTreeMap<EventKey, String> {
        self.lock().clone()
    }
}

/// Stores the pages of an event that are left, one commit each, until the engine stops. The next
/// start goes on.
pub(crate) async fn store_pages(core: Arc<Core>, driver: Driver, event: EventKey) {
    match try_store_pages(&core, &driver, &event, Lost::Wait).await {
        Ok(_) => {
            if core.stuck.note(&event, Ok(())) {
                tracing::info!(%event, "everything is stored now that rules made of the event");
            }
        }
        Err(Trouble::Stopped(_)) => {}
        Err(error) => {
            if core.stuck.note(&event, Err(&error.to_string())) {
                tracing::error!(%event, %error, "not all that rules made of the event could be stored; it is kept and tried again");
                tell(core.clone(), driver, event, error.to_string()).await;
            }
        }
    }
}

/// Tells an event of the engine's own. Boxed, since what rules make of that one may need pages too.
fn tell(core: Arc<Core>, driver: Driver, event: EventKey, error: String) -> BoxFuture<'static, ()> {
    async move {
        let told = vec![notices::event_stuck(&core, &event, &error).await];
        if let Err(error) = intake::accept(&core, &driver, &Actor::engine(), told, None).await {
            tracing::warn!(%event, %error, "that the event is stuck could not be told as an event");
        }
    }
    .boxed()
}

/// Tries again what could not be stored.
pub(crate) async fn retry(core: &Arc<Core>, driver: &Driver) {
    let _turn = core.stuck.turn.lock().await;
    for event in core.stuck.all().into_keys() {
        store_pages(core.clone(), driver.clone(), event).await;
    }
}

/// What becomes of a page that is lost.
#[derive(Clone, Copy)]
pub(crate) enum Lost<'a> {
    /// It and those after it wait until it is back.
    Wait,
    /// It is left out, because this one says so.
    GiveUp(&'a Actor),
}

/// Stores what is left; how many pages were given up.
pub(crate) async fn try_store_pages(
    core: &Core,
    driver: &Driver,
    event: &EventKey,
    lost: Lost<'_>,
) -> Result<u32, Trouble> {
    let stream = Stream::Pages(event.clone());
    let (facts, mut version) = core.store.read(&stream, Version::NONE).await?;
    let mut pages = Vec::new();
    let (mut stored, mut given_up) = (0, 0);
    for recorded in facts {
        match recorded.fact {
            Fact::PagesDeferred { pages: all } => pages = all,
            Fact::PageStored { page, .. } => stored = page,
            _ => {}
        }
    }
    let of = u32::try_from(pages.len()).unwrap_or(u32::MAX);
    for (page, blob) in (stored + 1..).zip(pages.into_iter().skip(stored as usize)) {
        if core.stopping.is_cancelled() {
            return Ok(given_up);
        }
        let cursor = Write::new(stream.clone(), Some(version), [Fact::PageStored { page, of }]);
        let (writes, actor) = match (read_page(core, blob).await, lost) {
            (Err(Trouble::Store(StoreError::Corrupt(error))), Lost::GiveUp(actor)) => {
                given_up += 1;
                let fact = Fact::PageGivenUp { page, of, error, at: core.now() };
                let stream = Stream::Event(event.clone());
                (vec![Write::new(stream, None, [fact])], actor.clone())
            }
            (read, _) => (read?, Actor::engine()),
        };
        version = store_page(core, driver, actor, writes, cursor).await?;
    }
    Ok(given_up)
}

async fn read_page(core: &Core, blob: Hash) -> Result<Vec<Write>, Trouble> {
    let damaged = |why: String| StoreError::Corrupt(format!("the page {blob}: {why}"));
    let bytes = core.store.blob(blob).await?;
    let missing = || damaged("its blob is missing: put it back from a backup".to_owned());
    let bytes = bytes.ok_or_else(missing)?;
    Ok(Page::read(&bytes).map_err(damaged)?)
}

/// Appends one page and moves the cursor; what is there already is left out.
async fn store_page(
    core: &Core,
    driver: &Driver,
    actor: Actor,
    mut writes: Vec<Write>,
    cursor: Write,
) -> Result<Version, Trouble> {
    // The cursor comes last, so that the batch's position is its new version.
    let stream = cursor.stream.clone();
    let id = BatchId::new(format!("{stream}@{}", cursor.expected.unwrap_or_default().0));
    writes.push(cursor);
    loop {
        let (id, actor, at) = (id.clone(), actor.clone(), core.now());
        match core.append(Batch { id, actor, at, writes: writes.clone() }).await? {
            Appended::Committed { position } => {
                driver.take_up(Begun::of(&writes));
                return Ok(Version(position.0));
            }
            Appended::Conflict { stream: own, .. } if own == stream => {
                let why = format!("{stream} was written by somebody else");
                return Err(StoreError::Refused(why).into());
            }
            Appended::Conflict { stream, .. } => writes.retain(|write| write.stream != stream),
        }
    }
}
