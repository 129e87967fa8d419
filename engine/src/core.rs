//! What every part of the engine shares: the store, the clock, the evaluators, the active packs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use host::Clock;
use host::connection::Connections;
use model::value::fits;
use model::{BatchId, BlobRef, Fact, Name, Stream, Timestamp, Value, Version};
use store::{Answer, Appended, Batch, Restored, Sealing, Store, StoreError};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::asked;
use crate::environment::Environment;
use crate::evaluators::Evaluators;
use crate::fair::Permits;
use crate::folders::Folders;
use crate::metrics::Metrics;
use crate::packs::{Generation, Library};
use crate::pages::Stuck;
use crate::secrets::Vault;
use crate::spans::{self, Spans};
use crate::suspects::Suspects;
use crate::tokens::Tokens;

/// The parts that the engine's own parts stand on.
pub struct Core {
    /// Where everything that must survive goes.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Clock,
    /// Where rules and chains are evaluated.
    pub evaluators: Evaluators,
    /// Actions and packs' contents.
    pub library: Library,
    /// Who may use the API.
    pub(crate) tokens: Tokens,
    /// Secrets.
    pub vault: Arc<Vault>,
    /// The active packs.
    pub generation: ArcSwap<Generation>,
    /// The environment they run in.
    pub environment: ArcSwap<Environment>,
    /// Its connections, shared with sensors and actions.
    pub connections: Connections,
    /// The state folder.
    pub folders: Folders,
    /// The installation's name, which stands in the source of its events.
    pub installation: Name,
    /// Whether the state was restored from a backup: what began before that was made may have gone
    /// on, and nobody wrote it down.
    pub restored: Option<Restored>,
    /// Whether this is the first start since.
    pub just_restored: bool,
    /// The right to perform a step.
    pub steps: Permits,
    /// The right to run a program.
    pub programs: Permits,
    /// Executions whose evaluation ended former processes.
    pub suspects: Suspects,
    /// Held while a suspect is evaluated: one at a time.
    pub alone: tokio::sync::Mutex<()>,
    /// Fires when no new step may begin.
    pub stopping: CancellationToken,
    /// Fires when steps that are under way must end.
    pub killing: CancellationToken,
    /// Every task of the engine.
    pub tasks: TaskTracker,
    /// Whether the store refuses to append at the moment.
    pub store_failing: Failing,
    /// Events of which not everything could be stored.
    pub(crate) stuck: Stuck,
    /// What is counted and measured.
    pub metrics: Metrics,
    /// Takes the spans of traces.
    pub(crate) spans: Spans,
}

/// The store could not take what it must, and the engine is ending.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Trouble {
    /// The engine was told to stop while the store was failing.
    #[error("the engine stops; the last error of the store: {0}")]
    Stopped(StoreError),
    /// The store takes nothing at the moment, and somebody waits for an answer.
    #[error("the store takes nothing at the moment: is the disk of the state folder full?")]
    Busy,
    /// What was asked for ended before its end: a defect, which the log tells of.
    #[error("the work ended early: {0}; the server's log says where")]
    Broken(String),
    /// An execution's stream was written by another than its own task.
    #[error("{stream} was written by somebody else (version {})", .actual.0)]
    Overtaken {
        /// The stream.
        stream: Stream,
        /// Its version.
        actual: Version,
    },
    /// The store cannot go on.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The pauses between two attempts to append: the first, each twice the one before, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Batches of which the store is asked, at most, whether they are in. Each waits in memory; what is not asked
/// is found by the next start.
static ASKING: Semaphore = Semaphore::const_new(1_024);

/// How long a failure of the store counts: longer than whoever waits pauses between two attempts. When
/// nobody waits, somebody has to try again to learn that it works.
const FAILURE_COUNTS: Duration = Duration::from_secs(10);

/// Whether the store failed just now and has not worked since.
#[derive(Debug, Default)]
pub struct Failing(Mutex<Option<Instant>>);

impl Failing {
    /// Whether it fails.
    pub fn is_so(&self) -> bool {
        self.last().is_some_and(|last| last.elapsed() < FAILURE_COUNTS)
    }

    /// It failed; true if it worked before.
    fn begin(&self) -> bool {
        self.last().replace(Instant::now()).is_none()
    }

    fn over(&self) {
        self.last().take();
    }

    fn last(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Core {
    /// Appends `batch`, waiting out a store in trouble: its id makes the repetition safe.
    pub async fn append(&self, batch: Batch) -> Result<Appended, Trouble> {
        self.append_sealing(batch, Vec::new()).await
    }

    /// The same, together with changes of encrypted records.
    pub async fn append_sealing(
        &self,
        batch: Batch,
        sealing: Vec<Sealing>,
    ) -> Result<Appended, Trouble> {
        self.append_keeping(batch, sealing).await.map(|(appended, _)| appended)
    }

    /// The same, giving the batch back.
    pub(crate) async fn append_keeping(
        &self,
        batch: Batch,
        sealing: Vec<Sealing>,
    ) -> Result<(Appended, Batch), Trouble> {
        let (begun, begun_at) = (Instant::now(), self.now());
        let append = || self.store.append_sealing(batch.clone(), sealing.clone());
        let appended = match self.wait_out(append).await {
            Err(Trouble::Busy) => self.in_all_the_same(&batch.id).await?,
            answered => answered?,
        };
        if let Appended::Committed { .. } = appended {
            self.metrics.committed(&batch, begun.elapsed());
            self.tell_events(&batch, begun_at);
        }
        Ok((appended, batch))
    }

    /// What became of a batch for which nobody waits any longer: its commit may have gone in before it
    /// failed. Who asked is told, and the store asked until it answers.
    async fn in_all_the_same(&self, batch: &BatchId) -> Result<Appended, Trouble> {
        let first_told = asked::tell();
        let Some(_place) = ASKING.try_acquire().ok().filter(|_| first_told) else {
            return Err(Trouble::Busy);
        };
        let mut delay = FIRST_PAUSE;
        loop {
            match self.store.appended(batch).await {
                Ok(Some(position)) => return Ok(Appended::Committed { position }),
                Ok(None) => return Err(Trouble::Busy),
                Err(StoreError::Full(_) | StoreError::Io(_) | StoreError::Busy) => {}
                Err(error) => return Err(error.into()),
            }
            tokio::select! {
                () = tokio::time::sleep(delay) => delay = (delay * 2).min(LONGEST_PAUSE),
                () = self.stopping.cancelled() => return Err(Trouble::Busy),
            }
        }
    }

    /// Tells in spans of the events that `batch` holds.
    fn tell_events(&self, batch: &Batch, begun: Timestamp) {
        if !self.spans.are_sent() {
            return;
        }
        for fact in batch.writes.iter().flat_map(|write| &write.facts) {
            if let Fact::EventAccepted(accepted) = &**fact {
                for span in spans::of_event(accepted, begun, self.now()) {
                    self.spans.end(span);
                }
            }
        }
    }

    /// `value` as a chain can see it: itself, or `{ blob, size, head }` once it lies in a blob.
    pub async fn bounded(&self, value: Value) -> Result<Value, Trouble> {
        match fits(&value) {
            Ok(()) => Ok(value),
            Err(_) => Ok(self.blob(&value).await?.to_value()),
        }
    }

    /// Keeps the JSON text of `value` as a blob.
    pub async fn blob(&self, value: &Value) -> Result<BlobRef, Trouble> {
        let bytes = value.to_string().into_bytes();
        let reference = BlobRef::of(&bytes);
        self.wait_out(|| self.store.put_blob(bytes.clone())).await?;
        Ok(reference)
    }

    /// Does what must be done in the end. A full disk or a failing one is waited out; only the end
    /// of the engine ends the wait, or that of somebody's patience.
    async fn wait_out<'a, T>(
        &self,
        mut attempt: impl FnMut() -> Answer<'a, T>,
    ) -> Result<T, Trouble> {
        let mut delay = FIRST_PAUSE;
        loop {
            if asked::was_told() {
                return Err(Trouble::Busy);
            }
            match attempt().await {
                Ok(done) => {
                    self.store_failing.over();
                    return Ok(done);
                }
                Err(error @ (StoreError::Full(_) | StoreError::Io(_) | StoreError::Busy)) => {
                    if self.store_failing.begin() {
                        tracing::error!(%error, "the store takes nothing; waiting");
                    }
                    let next = tokio::time::Instant::now() + delay;
                    if asked::is_too_late(next) {
                        return Err(Trouble::Busy);
                    }
                    tokio::select! {
                        () = tokio::time::sleep_until(next) => delay = (delay * 2).min(LONGEST_PAUSE),
                        () = self.stopping.cancelled() => return Err(Trouble::Stopped(error)),
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
