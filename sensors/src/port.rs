//! The port: what every sensor can do.

use futures::future::BoxFuture;
use host::Clock;
use model::{Duration, Event, Timestamp, Value};
use tokio_util::sync::CancellationToken;

/// Events, and the cursor that goes with them: both are stored in one commit.
#[derive(Debug, Clone, Default)]
pub struct Emission {
    /// The events, oldest first. Their source is the sensor's own.
    pub events: Vec<Event>,
    /// Where the sensor stands once these events are stored.
    pub cursor: Option<Value>,
    /// What it remembers of objects from then on, at most [`MAX_SEEN`] of them: none of those that
    /// are gone.
    pub seen: Vec<(String, Option<Value>)>,
    /// What it saw and could not tell: each is told as an event of the engine's own.
    pub left_out: Vec<LeftOut>,
    /// Whether each event has the time at which it happened, as its source tells it.
    pub dated: bool,
}

/// Something that no rule can be given, or not whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// What tells it from others of the same sensor, the same whenever it is met again.
    pub id: String,
    /// The object.
    pub subject: String,
    /// What happened to it, in one word.
    pub operation: String,
    /// Why it was not told.
    pub reason: String,
}

/// Most objects in one emission, so that they fit into a commit beside its events.
pub const MAX_SEEN: usize = 200;

/// What a sensor remembers of objects, as far as it is stored.
pub trait Memory: Send + Sync {
    /// What it remembers of each of `objects`, in their order.
    fn seen<'a>(
        &'a self,
        objects: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Option<Value>>, SinkError>>;
    /// At most `limit` objects after `after` (empty: from the first), in the order of their names.
    fn all<'a>(
        &'a self,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(String, Value)>, SinkError>>;
}

/// A sensor that has run for so long works; what it fails of later is something else.
pub const HEALTHY: Duration = Duration::from_secs(60);

/// How a sensor stands, as `sensor list` shows it.
#[derive(Debug, Clone, PartialEq)]
pub enum SensorState {
    /// It does its work.
    Running,
    /// It cannot yet, for this reason; it goes on by itself or when somebody acts.
    Waiting(String),
    /// It tells nothing of so many deletions until a person says that they are right.
    Guarded {
        /// Objects that are gone.
        missing: usize,
        /// Objects that it knew.
        of: usize,
    },
    /// It failed with this error and tries again.
    Failing {
        /// Why.
        error: String,
        /// When it tries again.
        next_try: Timestamp,
    },
}

impl SensorState {
    /// Its name: that of one which waits for a person is `waiting` too.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting(_) | Self::Guarded { .. } => "waiting",
            Self::Failing { .. } => "failing",
        }
    }

    /// Why it waits or fails.
    pub fn message(&self) -> Option<String> {
        match self {
            Self::Running => None,
            Self::Waiting(why) | Self::Failing { error: why, .. } => Some(why.clone()),
            Self::Guarded { missing, of } => Some(format!(
                "{missing} of {of} objects are gone at once, which may be a mistake: nothing is told of it until `tripline sensor confirm` says that it is right"
            )),
        }
    }
}

/// Where a sensor's events go.
pub trait Sink: Send + Sync {
    /// Stores an emission; answers when it is durable. An error means it was not stored (the
    /// engine shuts down or the store is in trouble): emit it again later.
    fn emit(&self, emission: Emission) -> BoxFuture<'_, Result<(), SinkError>>;
    /// Tells how the sensor stands.
    fn state(&self, state: SensorState);
}

/// Why an emission was not stored.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the event could not be stored: {0}")]
pub struct SinkError(pub String);

/// Why a sensor ended.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct SensorError(pub String);

/// What a running sensor is given.
pub struct Context<'a> {
    /// The source of its events.
    pub source: String,
    /// The cursor it stored last.
    pub cursor: Option<Value>,
    /// Whether the state was restored from a backup since then: what happened in between, a server that
    /// was lost may have told. Who can look at all there is does so first, and then says that it runs.
    pub behind: bool,
    /// Where its events go.
    pub sink: &'a dyn Sink,
    /// What it remembers.
    pub memory: &'a dyn Memory,
    /// The time.
    pub clock: Clock,
    /// Fires when it must end.
    pub cancel: CancellationToken,
}

/// Watches one source and emits events.
///
/// `run` returns `Ok` only after `cancel` fired or when nothing can ever happen again; an error
/// makes the engine start it again with backoff, from the cursor stored last.
pub trait Sensor: Send + Sync {
    /// How it stands as it begins, until it says otherwise. One that failed before goes on failing until
    /// then.
    fn begins(&self) -> SensorState {
        SensorState::Running
    }
    /// Watches until told to end.
    fn run<'a>(&'a self, context: Context<'a>) -> BoxFuture<'a, Result<(), SensorError>>;
    /// Asks for a look at the source right now instead of at the next regular time.
    fn poke(&self) {}
    /// A person says that what it asks about ([`SensorState::Guarded`]) is right. Unasked, nothing.
    fn confirm(&self) {}
    /// The next times at which it will emit, soonest first, as far as that is known (timers).
    fn upcoming(&self, cursor: Option<&Value>, now: Timestamp, count: usize) -> Vec<Timestamp> {
        let _ = (cursor, now, count);
        Vec::new()
    }
}
