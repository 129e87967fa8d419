//! The embedded store: log and projection in one SQLite file, one transaction for both.
//!
//! ```text
//!  state/
//!    lock           held by the one process that uses the folder
//!    tripline.db    log and projection (and its -wal and -shm)
//!    head           how far the log was acknowledged: see `head`
//!    blobs/ab/…     large values, named by their hash
//! ```

mod audit;
mod backup;
mod before;
mod blobs;
mod checkpoint;
mod error;
mod events;
mod executions;
mod head;
mod lock;
mod log;
mod needs;
mod opening;
mod project;
mod prune;
mod readers;
mod refs;
mod replay;
mod schema;
mod sealed;
mod upkeep;
mod values;
mod verify;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use futures::FutureExt;
use model::{
    BatchId, EventKey, ExecutionId, ExecutionState, Hash, Name, PackName, RuleRef, Stream,
    Timestamp, Value, Version,
};
use rusqlite::Connection;
use tokio::sync::{Mutex, mpsc, oneshot, watch};

pub use self::backup::{About, about};
pub use self::error::OpenError;
pub use self::needs::{Needs, Returned};
pub use self::schema::NEWEST as NEWEST_SCHEMA;
pub use self::verify::Finding;

use self::blobs::Blobs;
use self::head::Head;
pub use self::lock::Lock;
use self::opening::{check_head, tell_missing_blobs};
use self::readers::Readers;
use self::writer::{Request, Work, Writer};
use crate::batch::Prepared;
use crate::port::{
    Answer, Appended, AuditFilter, Batch, CursorRow, EventFilter, EventRow, ExecutionFilter,
    ExecutionRow, Figures, KeyRow, Position, Pruned, Recorded, Restored, RuleCount, Store,
    StoreError, TokenRow, Unfinished,
};
use crate::projection;
use crate::retention::Retention;
use crate::sealed::{Sealed, Sealing};

/// How a state folder is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Most queries that run at once.
    pub readers: usize,
    /// Most pages (of 4 KiB) that the database may grow to; `None`: as far as the disk goes.
    pub max_pages: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        // Queries seldom wait for the disk: more of them at once than a few cores can run only
        // cost memory, some 2 MiB each.
        Self { readers: 4, max_pages: None }
    }
}

/// A store in a state folder.
///
/// Dropping it lets what was queued finish, closes the database and gives the folder free.
#[derive(Debug)]
pub struct Sqlite {
    /// Gone once the store is being dropped.
    queue: Option<mpsc::Sender<Work>>,
    writer: Option<JoinHandle<()>>,
    head: watch::Receiver<Position>,
    commits: Arc<AtomicU64>,
    readers: Readers,
    blobs: Arc<Blobs>,
    folder: PathBuf,
    /// Held while a copy is made, and while blobs are removed.
    copying: Mutex<()>,
    /// Last, so that the folder is free only when everything above is closed.
    _lock: Lock,
}

impl Sqlite {
    /// Opens the state folder, which is made if it is not there, and migrates its database.
    pub fn open(folder: &Path, options: &Options) -> Result<Self, OpenError> {
        // The journals of a team's executions are not for every user of the machine.
        let mut make = DirBuilder::new();
        make.recursive(true).mode(0o700).create(folder).map_err(OpenError::folder(folder))?;
        schema::check_library(rusqlite::version_number())?;
        let lock = Lock::take(folder)?;
        before::look(folder)?;
        let path = schema::path(folder);
        let mut connection = schema::open_writer(&path, options.max_pages)?;
        let found = schema::check(&connection, &path)?;
        before::check_schema(folder, found)?;
        let head = if found == 0 { Head::EMPTY } else { check_head(folder, &connection)? };
        schema::migrate(&mut connection, &path, found)?;
        let blobs = Arc::new(Blobs::open(folder)?);
        tell_missing_blobs(folder, &connection)
            .map_err(|error| OpenError::database(&path, error))?;
        let commits = Arc::new(AtomicU64::new(0));
        let writer = Writer::new(folder, connection, head, Arc::clone(&commits))?;
        let head = writer.follow();
        let (queue, requests) = mpsc::channel(writer::QUEUE);
        let writer = Some(writer.start(requests).map_err(OpenError::folder(folder))?);
        let readers = Readers::new(&path, options.readers);
        let (queue, folder, copying) = (Some(queue), folder.to_owned(), Mutex::default());
        Ok(Self { queue, writer, head, commits, readers, blobs, folder, copying, _lock: lock })
    }

    /// Everything that is wrong with the store in `folder`, also while a server runs on it:
    /// damage, a log that lost facts or was changed, a projection or blobs that do not fit it.
    pub fn verify(folder: &Path) -> Vec<Finding> {
        verify::verify(folder)
    }

    /// What the store in `folder` cannot do without and does not hold itself.
    pub fn needs(folder: &Path) -> Result<Needs, Finding> {
        needs::needs(folder)
    }

    /// The id of the process that has `folder` open, if one has; an error where that cannot be told.
    pub fn holder(folder: &Path) -> io::Result<Option<String>> {
        Lock::holder(folder)
    }

    /// How many transactions wrote something so far: fewer than batches, as these are grouped.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'_, T> {
        self.readers.query(query).boxed()
    }

    async fn append_now(
        &self,
        batch: Batch,
        sealing: Vec<Sealing>,
    ) -> Result<Appended, StoreError> {
        let batch = Prepared::of(batch, sealing)?;
        self.asked(|answer| Work::Append(Request { batch, answer })).await?
    }

    /// What the writer answers.
    async fn asked<T>(
        &self,
        work: impl FnOnce(oneshot::Sender<T>) -> Work,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or(StoreError::Closed)?;
        queue.send(work(answer)).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer ended by a panic");
        }
    }
}

/// Makes names in a folder durable.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(StoreError::Io(format!("a task ended early: {error}"))))
}

impl Store for Sqlite {
    fn append_sealing(&self, batch: Batch, sealing: Vec<Sealing>) -> Answer<'_, Appended> {
        self.append_now(batch, sealing).boxed()
    }

    fn appended<'a>(&'a self, batch: &'a BatchId) -> Answer<'a, Option<Position>> {
        let batch = batch.clone();
        async move { self.asked(|answer| Work::Look { batch, answer }).await? }.boxed()
    }

    fn sealed<'a>(&'a self, name: &'a str) -> Answer<'a, Option<Sealed>> {
        let name = name.to_owned();
        self.query(move |connection| sealed::one(connection, &name))
    }

    fn sealed_under<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> Answer<'a, Vec<(String, Sealed)>> {
        let (prefix, after) = (prefix.to_owned(), after.to_owned());
        self.query(move |connection| sealed::list(connection, &prefix, &after, limit))
    }

    fn sealing_keys(&self) -> Answer<'_, BTreeMap<String, u64>> {
        self.query(sealed::keys)
    }

    fn read<'a>(
        &'a self,
        stream: &'a Stream,
        after: Version,
    ) -> Answer<'a, (Vec<Recorded>, Version)> {
        let stream = stream.clone();
        self.query(move |connection| log::of_stream(connection, &stream, after))
    }

    fn log(&self, after: Position, limit: usize) -> Answer<'_, Vec<Recorded>> {
        self.query(move |connection| log::after(connection, after, limit))
    }

    fn head(&self) -> Answer<'_, Position> {
        async { Ok(*self.head.borrow()) }.boxed()
    }

    fn wait(&self, after: Position) -> Answer<'_, Position> {
        let mut head = self.head.clone();
        let past = async move {
            let head = head.wait_for(|head| *head > after).await;
            head.map(|head| *head).map_err(|_| StoreError::Closed)
        };
        past.boxed()
    }

    fn put_blob(&self, bytes: Vec<u8>) -> Answer<'_, Hash> {
        let blobs = Arc::clone(&self.blobs);
        blocking(move || blobs.put(&bytes)).boxed()
    }

    fn blob(&self, hash: Hash) -> Answer<'_, Option<Vec<u8>>> {
        let blobs = Arc::clone(&self.blobs);
        blocking(move || blobs.get(hash)).boxed()
    }

    fn prune<'a>(
        &'a self,
        keep: &'a Retention,
        after: Position,
        now: Timestamp,
    ) -> Answer<'a, Pruned> {
        self.prune_page(keep.clone(), after, now).boxed()
    }

    fn tidy<'a>(&'a self, keep: &'a Retention, now: Timestamp) -> Answer<'a, bool> {
        self.tidy_step(keep.window(now)).boxed()
    }

    fn named<'a>(&'a self, contents: &'a [Hash]) -> Answer<'a, BTreeSet<Hash>> {
        let contents = contents.to_vec();
        self.query(move |connection| refs::named(connection, &contents))
    }

    fn execution<'a>(&'a self, id: &'a ExecutionId) -> Answer<'a, Option<ExecutionRow>> {
        let id = id.clone();
        self.query(move |connection| executions::one(connection, &id))
    }

    fn executions<'a>(&'a self, filter: &'a ExecutionFilter) -> Answer<'a, Vec<ExecutionRow>> {
        let filter = filter.clone();
        self.query(move |connection| executions::list(connection, &filter))
    }

    fn unfinished<'a>(
        &'a self,
        after: Option<&'a ExecutionId>,
        limit: usize,
    ) -> Answer<'a, Vec<Unfinished>> {
        let after = after.cloned();
        self.query(move |connection| executions::unfinished(connection, after.as_ref(), limit))
    }

    fn figures(&self) -> Answer<'_, Figures> {
        self.query(executions::figures)
    }

    fn counts(&self) -> Answer<'_, BTreeMap<ExecutionState, u64>> {
        self.query(executions::counts)
    }

    fn event<'a>(&'a self, key: &'a EventKey) -> Answer<'a, Option<EventRow>> {
        let key = key.clone();
        self.query(move |connection| events::one(connection, &key))
    }

    fn payload<'a>(&'a self, key: &'a EventKey) -> Answer<'a, Option<Hash>> {
        let key = key.clone();
        self.query(move |connection| events::payload(connection, &key))
    }

    fn events<'a>(&'a self, filter: &'a EventFilter) -> Answer<'a, Vec<EventRow>> {
        let filter = filter.clone();
        self.query(move |connection| events::list(connection, &filter))
    }

    fn cursor<'a>(&'a self, sensor: &'a str) -> Answer<'a, Option<CursorRow>> {
        let stream = Stream::Sensor(sensor.to_owned());
        self.query(move |connection| {
            Ok(log::latest(connection, &stream)?.and_then(projection::cursor))
        })
    }

    fn cursors(&self) -> Answer<'_, BTreeMap<String, CursorRow>> {
        self.query(|connection| {
            let found =
                log::latest_of(connection, "sensor/", usize::MAX, projection::sensor_cursor)?;
            Ok(found.into_iter().collect())
        })
    }

    fn seen<'a>(
        &'a self,
        sensor: &'a str,
        objects: &'a [String],
    ) -> Answer<'a, Vec<Option<Value>>> {
        let stream = |object: &String| Stream::Seen(format!("{sensor}/{object}"));
        let streams: Vec<Stream> = objects.iter().map(stream).collect();
        self.query(move |connection| {
            let entry = |stream: &Stream| {
                let latest = log::latest(connection, stream)?;
                Ok(latest.and_then(|latest| projection::seen(latest, "")).map(|(_, entry)| entry))
            };
            streams.iter().map(entry).collect()
        })
    }

    fn all_seen<'a>(
        &'a self,
        sensor: &'a str,
        after: &'a str,
        limit: usize,
    ) -> Answer<'a, Vec<(String, Value)>> {
        let own = format!("{sensor}/");
        let (prefix, after) = (format!("seen/{own}"), format!("seen/{own}{after}"));
        self.query(move |connection| {
            log::latest_after(connection, (&prefix, &after), limit, |latest| {
                projection::seen(latest, &own)
            })
        })
    }

    fn key<'a>(&'a self, key: &'a str, now: Timestamp) -> Answer<'a, Option<KeyRow>> {
        let stream = Stream::Key(key.to_owned());
        self.query(move |connection| {
            let latest = log::latest(connection, &stream)?;
            Ok(latest.and_then(|latest| projection::key_row(latest, now)))
        })
    }

    fn keys<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        now: Timestamp,
        limit: usize,
    ) -> Answer<'a, Vec<KeyRow>> {
        let (prefix, after) = (format!("key/{prefix}"), format!("key/{after}"));
        self.query(move |connection| {
            log::latest_after(connection, (&prefix, &after), limit, |latest| {
                projection::key_row(latest, now)
            })
        })
    }

    fn deferred(&self) -> Answer<'_, Vec<EventKey>> {
        self.query(|connection| {
            log::latest_of(connection, "pages/", usize::MAX, projection::deferred)
        })
    }

    fn rule_switches(&self) -> Answer<'_, BTreeMap<RuleRef, bool>> {
        self.query(|connection| {
            let switches = log::latest_of(connection, "rule/", usize::MAX, projection::switch)?;
            Ok(switches.into_iter().collect())
        })
    }

    fn generation(&self) -> Answer<'_, Option<(u64, BTreeMap<PackName, Hash>)>> {
        self.query(|connection| {
            let named = (&Stream::Installation, "GenerationActivated");
            log::latest_named(connection, named, projection::generation)
        })
    }

    fn installation(&self) -> Answer<'_, Option<Name>> {
        self.query(|connection| {
            let named = (&Stream::Installation, "InstallationNamed");
            log::latest_named(connection, named, projection::installation_name)
        })
    }

    fn restored(&self) -> Answer<'_, Option<Restored>> {
        self.query(|connection| {
            let named = (&Stream::Installation, "StateRestored");
            log::latest_named(connection, named, projection::restored)
        })
    }

    fn copy_to<'a>(&'a self, to: &'a Path) -> Answer<'a, ()> {
        self.copy(to.to_owned()).boxed()
    }

    fn tokens(&self) -> Answer<'_, BTreeMap<Name, TokenRow>> {
        self.query(|connection| {
            let tokens = log::latest_of(connection, "token/", usize::MAX, projection::token)?;
            Ok(tokens.into_iter().collect())
        })
    }

    fn audit<'a>(&'a self, filter: &'a AuditFilter) -> Answer<'a, Vec<Recorded>> {
        let filter = filter.clone();
        self.query(move |connection| audit::list(connection, &filter))
    }

    fn rule_counts(&self) -> Answer<'_, BTreeMap<RuleRef, RuleCount>> {
        self.query(events::rule_counts)
    }
}
