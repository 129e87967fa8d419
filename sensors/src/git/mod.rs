//! The `git` sensor: refs that move become `git.push` events.
//!
//! ```text
//!  remote ──fetch──▶ mirror ──refs──▶ Cursor::changes ──▶ events + cursor, in one commit
//! ```
//!
//! The cursor alone decides what has changed; the mirror is a cache. So whatever asks for a look,
//! the clock or who knows of a push ([`Sensor::poke`]), an event is made once.

mod config;
mod cursor;
mod event;

use futures::FutureExt;
use futures::future::BoxFuture;
use host::Clock;
use host::git::{BrokenRef, GitError, RefPattern, Repository};
use model::{Duration, Timestamp, TriggerType, Value};
use tokio::sync::Notify;

pub use config::{GitConfig, build};
pub use cursor::Initial;

use cursor::{Cursor, Refs, Selection};

use crate::{Context, Emission, Sensor, SensorError, SensorState, Sink};

/// A repository with more refs must be watched in part: the cursor is one stored fact.
const MAX_REFS: usize = 3_000;
/// Events of one emission: a store's batch holds 500 facts and 4 MiB.
const EMISSION_EVENTS: usize = 50;
const EMISSION_BYTES: usize = 2 << 20;
/// The longest pause after failures in a row, unless `every` is longer.
const MAX_BACKOFF: Duration = Duration::from_secs(300);
/// However often it is poked, so long passes between two looks.
const MIN_PAUSE: Duration = Duration::from_secs(1);

/// Watches the refs of one repository.
#[derive(Debug)]
pub struct GitSensor {
    repository: Repository,
    patterns: Vec<RefPattern>,
    every: Duration,
    initial: Initial,
    kind: TriggerType,
    poked: Notify,
}

/// Why a look at the repository brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The repository answers, and has no ref at all although it had some.
    #[error(
        "{0} has no refs at all, as a new or broken repository: nothing is taken as deleted until it has some"
    )]
    Empty(String),
    /// Some refs cannot be had; what the others brought is told.
    #[error("{}: they stay as they were seen last, and the others are followed", broken(refs))]
    Broken {
        /// These.
        refs: Vec<BrokenRef>,
        /// The cursor that is stored.
        stored: Option<Value>,
    },
    /// Too many refs fit.
    #[error("{found} refs fit `refs`, more than {MAX_REFS}: name fewer")]
    TooManyRefs {
        /// How many.
        found: usize,
    },
    /// The stored cursor is not one.
    #[error("the stored cursor is not a git sensor's: {0}")]
    Cursor(String),
    /// The events were not stored.
    #[error(transparent)]
    Sink(#[from] crate::SinkError),
}

impl GitSensor {
    /// Looks at the repository once: fetches, compares with `cursor`, emits what has changed.
    /// Returns the cursor that is stored then, also beside refs that are [`PollError::Broken`].
    pub async fn poll_once(
        &self,
        source: &str,
        cursor: Option<Value>,
        now: Timestamp,
        sink: &dyn Sink,
    ) -> Result<Option<Value>, PollError> {
        let before = cursor.as_ref().map(Cursor::read).transpose().map_err(PollError::Cursor)?;
        let (refs, broken) = self.look(before.as_ref()).await?;
        let selection = self.selection();
        let mut standing = Cursor::adapt(before, &selection, self.initial, &refs);
        let mut changes = standing.changes(&refs);
        changes.retain(|change| broken.iter().all(|broken| broken.name != change.name));
        let mut stored = cursor;
        let mut emission = Emission::default();
        let mut bytes = 0;
        for change in changes {
            let event = self.event(source, &change, now).await?;
            let size = event.data.to_string().len();
            if emission.events.len() >= EMISSION_EVENTS || bytes + size > EMISSION_BYTES {
                stored = self.store(sink, &mut emission, &standing, stored).await?;
                bytes = 0;
            }
            bytes += size;
            emission.events.push(event);
            standing.apply(&change);
        }
        stored = self.store(sink, &mut emission, &standing, stored).await?;
        if broken.is_empty() { Ok(stored) } else { Err(PollError::Broken { refs: broken, stored }) }
    }

    /// The selected refs as they stand at the remote now, and those of which that is not known.
    async fn look(&self, before: Option<&Cursor>) -> Result<(Refs, Vec<BrokenRef>), PollError> {
        let broken = self.repository.fetch(&self.patterns).await?;
        let mut refs = self.repository.refs().await?;
        refs.retain(|name, _| self.patterns.iter().any(|pattern| pattern.matches(name)));
        if refs.len() > MAX_REFS {
            return Err(PollError::TooManyRefs { found: refs.len() });
        }
        let had_some = before.is_some_and(|cursor| !cursor.is_empty());
        if refs.is_empty() && had_some && self.repository.remote_is_empty().await? {
            return Err(PollError::Empty(self.repository.remote().repository().to_owned()));
        }
        Ok((refs, broken))
    }

    /// Emits what is gathered, if that or the cursor is news.
    async fn store(
        &self,
        sink: &dyn Sink,
        emission: &mut Emission,
        standing: &Cursor,
        stored: Option<Value>,
    ) -> Result<Option<Value>, PollError> {
        let cursor = Some(standing.write());
        let events = std::mem::take(&mut emission.events);
        if events.is_empty() && cursor == stored {
            return Ok(stored);
        }
        sink.emit(Emission { events, cursor: cursor.clone(), ..Emission::default() }).await?;
        Ok(cursor)
    }

    fn selection(&self) -> Selection {
        let patterns = self.patterns.iter().map(ToString::to_string).collect();
        Selection { repository: self.repository.remote().repository().to_owned(), patterns }
    }

    async fn watch(&self, context: Context<'_>) -> Result<(), SensorError> {
        let Context { source, mut cursor, sink, clock, cancel, .. } = context;
        // `None` until the first look is over.
        let mut failures = None;
        loop {
            let look = self.look_and_tidy(&source, cursor.clone(), clock.now(), sink);
            let outcome = tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                outcome = look => outcome,
            };
            let pause = match outcome {
                Ok(stored) => {
                    cursor = stored;
                    if failures.replace(0) != Some(0) {
                        sink.state(SensorState::Running);
                    }
                    self.every
                }
                Err(PollError::Broken { refs, stored }) => {
                    let error = PollError::Broken { refs, stored: None }.to_string();
                    cursor = stored;
                    // The next look begins as one after a failure, and comes as soon as any.
                    failures = Some(1);
                    let next_try = self.every.after(clock.now());
                    sink.state(SensorState::Failing { error, next_try });
                    self.every
                }
                Err(error @ (PollError::Sink(_) | PollError::Cursor(_))) => {
                    return Err(SensorError(error.to_string()));
                }
                Err(error) => {
                    let count = failures.unwrap_or(0) + 1;
                    failures = Some(count);
                    let pause = backoff(self.every, count);
                    let next_try = pause.after(clock.now());
                    sink.state(SensorState::Failing { error: error.to_string(), next_try });
                    pause
                }
            };
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                () = clock.sleep(pause) => {}
                () = self.is_poked(&clock) => {}
            }
        }
    }

    /// Looks once, and packs the mirror if something came.
    async fn look_and_tidy(
        &self,
        source: &str,
        cursor: Option<Value>,
        now: Timestamp,
        sink: &dyn Sink,
    ) -> Result<Option<Value>, PollError> {
        let stored = self.poll_once(source, cursor.clone(), now, sink).await?;
        if stored != cursor
            && let Err(error) = self.repository.tidy().await
        {
            // The mirror works as well untidy; the next change tries again.
            tracing::warn!(%error, "a mirror could not be packed");
        }
        Ok(stored)
    }

    /// Completes when somebody has poked, but not before the shortest pause is over.
    async fn is_poked(&self, clock: &Clock) {
        let soonest = clock.stands().passed + MIN_PAUSE.to_std();
        self.poked.notified().await;
        let left = soonest.saturating_sub(clock.stands().passed).as_millis();
        clock.sleep(Duration::from_millis(u64::try_from(left).unwrap_or(0))).await;
    }
}

/// Some of the refs, each with what git said of it.
fn broken(refs: &[BrokenRef]) -> String {
    let named =
        refs.iter().take(3).map(|one| format!("`{}` cannot be had ({})", one.name, one.message));
    let more = refs.len().checked_sub(3).filter(|more| *more > 0);
    let more = more.map(|more| format!("{more} more refs cannot be had"));
    named.chain(more).collect::<Vec<_>>().join("; ")
}

/// The pause after so many failures in a row: twice as long each time.
fn backoff(every: Duration, failures: u32) -> Duration {
    let doubled = every.as_millis().saturating_mul(1 << failures.min(16));
    Duration::from_millis(doubled.min(MAX_BACKOFF.max(every).as_millis()))
}

impl Sensor for GitSensor {
    fn run<'a>(&'a self, context: Context<'a>) -> BoxFuture<'a, Result<(), SensorError>> {
        self.watch(context).boxed()
    }

    fn poke(&self) {
        self.poked.notify_one();
    }
}
