//! The one thread that writes, and how it groups commits.
//!
//! ```text
//!  append ──▶ queue ──▶ writer: one transaction ──▶ sync ──▶ head file ──▶ answers
//!  append ──▶   │                                    │
//!  append ──▶   └── what waits while one sync runs ──┴──▶ the next transaction
//! ```
//!
//! A batch is checked whole (known already? versions as expected?) before anything of it is
//! written, so a conflict leaves nothing to roll back and never touches its neighbours. An error
//! of SQLite's own, such as a full disk, fails the transaction and so exactly the batches in it.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use model::{BatchId, Version};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use tokio::sync::{mpsc, oneshot, watch};

use super::error::{OpenError, io_failure};
use super::head::{Head, HeadFile};
use super::values::number;
use super::{backup, log, project, sealed};
use crate::batch::Prepared;
use crate::port::{Appended, MAX_BATCH_BYTES, Position, StoreError, Write};

/// Batches that wait while a group commits. A sync takes milliseconds, and more callers than this
/// at once gain nothing from a longer queue: they wait for a place in it instead.
pub(super) const QUEUE: usize = 1_024;
/// Most batches of one commit: beyond, a sync's share of the cost is gone and only waiting grows.
const MAX_GROUP: usize = 512;
/// A group closes once it holds so many bytes, so that a commit's time stays bounded.
const MAX_GROUP_BYTES: usize = 2 * MAX_BATCH_BYTES;

/// What the writer is asked for.
pub(super) enum Work {
    /// To append a batch, with others.
    Append(Request),
    /// To find out whether a batch is in.
    Look {
        /// Its id.
        batch: BatchId,
        /// Where the position of its last fact goes.
        answer: oneshot::Sender<Result<Option<Position>, StoreError>>,
    },
    /// Anything else that only the one connection that writes can do, between two groups.
    Aside(Box<dyn FnOnce(&Connection) + Send>),
    /// To copy the database into a file, in parts between which the rest goes on.
    Copy {
        /// The file, which is not there.
        to: PathBuf,
        /// Where the answer goes.
        answer: oneshot::Sender<Result<(), StoreError>>,
    },
}

/// A batch and where its answer goes.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) batch: Prepared,
    pub(super) answer: oneshot::Sender<Result<Appended, StoreError>>,
}

/// The writer's state: nobody else writes the database or the head file.
#[derive(Debug)]
pub(super) struct Writer {
    connection: Connection,
    log: Log,
}

/// What the writer knows of the log.
#[derive(Debug)]
struct Log {
    /// The end of the log; unknown after an error, until it is read again.
    head: Option<Head>,
    file: HeadFile,
    folder: Arc<Path>,
    told: watch::Sender<Position>,
    commits: Arc<AtomicU64>,
    /// Whether commits fail: told when it begins and when it is over.
    failing: bool,
}

impl Writer {
    /// Takes over the connection, whose log ends at `head`.
    pub(super) fn new(
        folder: &Path,
        connection: Connection,
        head: Head,
        commits: Arc<AtomicU64>,
    ) -> Result<Self, OpenError> {
        let file = HeadFile::open(folder, head)?;
        let told = watch::Sender::new(head.position);
        let log =
            Log { head: Some(head), file, folder: folder.into(), told, commits, failing: false };
        Ok(Self { connection, log })
    }

    /// Tells how far the log is durable.
    pub(super) fn follow(&self) -> watch::Receiver<Position> {
        self.log.told.subscribe()
    }

    /// Runs until every sender of the queue is gone and the queue is empty.
    pub(super) fn start(
        self,
        queue: mpsc::Receiver<Work>,
    ) -> Result<JoinHandle<()>, std::io::Error> {
        let thread = std::thread::Builder::new().name("store-writer".to_owned());
        thread.spawn(move || self.run(queue))
    }

    fn run(mut self, mut queue: mpsc::Receiver<Work>) {
        let Self { connection, log } = &mut self;
        let mut next = None;
        while let Some(work) = next.take().or_else(|| queue.blocking_recv()) {
            match log.work(connection, work, &mut queue) {
                Some(Work::Copy { to, answer }) => {
                    let turn = || log.turn(connection, &mut queue);
                    // Whoever asked may have gone.
                    let _ = answer.send(backup::copy_database(connection, &to, turn));
                }
                left => next = left,
            }
        }
        self.finish();
    }

    /// Leaves the whole log in the database file, so that what is copied while no server runs is
    /// whole without the write-ahead log.
    fn finish(&self) {
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        if let Err(error) = self.connection.query_row(checkpoint, [], |_| Ok(())) {
            tracing::warn!(%error, "the write-ahead log stays beside the database");
        }
    }
}

impl Log {
    /// What waits has one turn, while a copy is made.
    fn turn(&mut self, connection: &Connection, queue: &mut mpsc::Receiver<Work>) {
        let mut next = queue.try_recv().ok();
        while let Some(work) = next.take() {
            match self.work(connection, work, queue) {
                Some(Work::Copy { answer, .. }) => {
                    let why = "a copy is being made already".to_owned();
                    let _ = answer.send(Err(StoreError::Refused(why)));
                }
                left => next = left,
            }
        }
    }

    /// Does `work`, a batch together with those that wait behind it, and answers what else it met
    /// there. A copy is left as it is.
    fn work(
        &mut self,
        connection: &Connection,
        work: Work,
        queue: &mut mpsc::Receiver<Work>,
    ) -> Option<Work> {
        match work {
            Work::Append(first) => self.group(connection, first, queue),
            Work::Look { batch, answer } => {
                // Whoever asked may have gone.
                let _ = answer.send(self.look(connection, &batch));
                None
            }
            Work::Aside(work) => {
                work(connection);
                None
            }
            copy @ Work::Copy { .. } => Some(copy),
        }
    }

    /// Commits `first` with the batches that wait behind it; answers other work that it met.
    fn group(
        &mut self,
        connection: &Connection,
        first: Request,
        queue: &mut mpsc::Receiver<Work>,
    ) -> Option<Work> {
        let mut bytes = first.batch.bytes;
        let (mut group, mut other) = (vec![first], None);
        while group.len() < MAX_GROUP && bytes < MAX_GROUP_BYTES && other.is_none() {
            match queue.try_recv() {
                Ok(Work::Append(next)) => {
                    bytes += next.batch.bytes;
                    group.push(next);
                }
                Ok(work) => other = Some(work),
                Err(_) => break,
            }
        }
        self.serve(connection, group);
        other
    }

    fn serve(&mut self, connection: &Connection, group: Vec<Request>) {
        let (batches, answers): (Vec<_>, Vec<_>) =
            group.into_iter().map(|request| (request.batch, request.answer)).unzip();
        let committed = self.commit(connection, &batches);
        self.tell(committed.as_ref().err());
        let results = match committed {
            Ok(appended) => appended.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error); batches.len()],
        };
        for (answer, result) in answers.into_iter().zip(results) {
            // Whoever asked may have gone; the batch is in all the same.
            let _ = answer.send(result);
        }
    }

    /// Says in the log that commits fail, and that they work again: once, as who waits tries often.
    fn tell(&mut self, error: Option<&StoreError>) {
        let failed = std::mem::replace(&mut self.failing, error.is_some());
        match (failed, error) {
            (false, Some(error)) => tracing::error!(%error, "commits fail"),
            (true, None) => tracing::info!("commits work again"),
            _ => {}
        }
    }

    /// Appends the group in one transaction; durable, and told to the head file, on return.
    fn commit(
        &mut self,
        connection: &Connection,
        group: &[Prepared],
    ) -> Result<Vec<Appended>, StoreError> {
        let mut head = match self.head.take() {
            Some(head) => head,
            None => log::head(connection)?,
        };
        let before = head;
        let change = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        let append = |batch| append(&change, &mut head, batch);
        let appended = group.iter().map(append).collect::<Result<_, _>>()?;
        change.commit()?;
        self.commits.fetch_add(u64::from(head != before), Ordering::Relaxed);
        self.acknowledge(head)?;
        Ok(appended)
    }

    /// Tells the head file, then whoever follows, how far the log is durable.
    fn acknowledge(&mut self, head: Head) -> Result<(), StoreError> {
        self.file.write(head).map_err(|error| io_failure(&self.folder.join("head"), &error))?;
        self.head = Some(head);
        self.told.send_replace(head.position);
        Ok(())
    }

    /// Where a batch ends that is in: acknowledged by now, if its commit was the last and could not be.
    fn look(
        &mut self,
        connection: &Connection,
        batch: &BatchId,
    ) -> Result<Option<Position>, StoreError> {
        if self.head.is_none() {
            self.acknowledge(log::head(connection)?)?;
        }
        known(connection, batch)
    }
}

/// Where the batch of this id ends, if it is in.
fn known(connection: &Connection, batch: &BatchId) -> Result<Option<Position>, StoreError> {
    let mut query = connection.prepare_cached("SELECT position FROM batches WHERE id = ?1")?;
    let found = query.query_row([batch.as_str()], |row| row.get::<_, i64>(0)).optional()?;
    Ok(found.map(|position| Position(position as u64)))
}

/// Appends one batch within the transaction, and moves `head`.
fn append(
    connection: &Connection,
    head: &mut Head,
    batch: &Prepared,
) -> Result<Appended, StoreError> {
    if let Some(position) = known(connection, &batch.id)? {
        return Ok(Appended::Committed { position });
    }
    let mut streams = Vec::with_capacity(batch.writes.len());
    for Write { stream, expected, .. } in &batch.writes {
        let name = stream.to_string();
        let row = log::stream(connection, &name)?;
        let actual = row.map_or(Version::NONE, |row| row.version);
        if expected.is_some_and(|expected| expected != actual) {
            return Ok(Appended::Conflict { stream: stream.clone(), actual });
        }
        streams.push((name, row));
    }
    let behind = (batch.at, batch.actor.as_str());
    for (write, (name, row)) in batch.writes.iter().zip(streams) {
        let first = Position(head.position.0 + 1);
        let last = Position(head.position.0 + write.facts.len() as u64);
        let stream = log::put_stream(connection, &name, row, last)?;
        for fact in &write.facts {
            *head = log::append(connection, *head, (stream, &name), behind, fact)?;
        }
        let facts = write.facts.iter().map(Deref::deref);
        project::facts(connection, &write.stream, first, facts)?;
    }
    batch.sealing.iter().try_for_each(|change| sealed::change(connection, change))?;
    let mut insert = connection.prepare_cached("INSERT INTO batches VALUES (?1, ?2)")?;
    insert.execute(params![batch.id.as_str(), number(head.position)])?;
    Ok(Appended::Committed { position: head.position })
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use model::{Actor, Fact, Stream, Timestamp};

    use super::super::schema;
    use super::*;
    use crate::port::{Batch, Write};

    fn batch(id: &str) -> Prepared {
        let write = Write::new(Stream::Key("k/a".to_owned()), None, [Fact::KeyDeleted]);
        let (id, actor, at) = (BatchId::new(id), Actor::engine(), Timestamp::UNIX_EPOCH);
        Prepared::of(Batch { id, actor, at, writes: vec![write] }, Vec::new()).unwrap()
    }

    #[test]
    fn a_batch_whose_commit_could_not_be_acknowledged_is_found_to_be_in_once_it_can_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = schema::path(folder.path());
        let mut connection = schema::open_writer(&path, None).unwrap();
        schema::migrate(&mut connection, &path, 0).unwrap();
        let writer = Writer::new(folder.path(), connection, Head::EMPTY, Arc::default()).unwrap();
        let Writer { connection, mut log } = writer;
        let full = HeadFile { file: File::options().write(true).open("/dev/full").unwrap() };
        let whole = std::mem::replace(&mut log.file, full);
        let refused = log.commit(&connection, &[batch("a")]).unwrap_err();
        assert!(matches!(refused, StoreError::Full(_)), "{refused}");
        assert!(log.look(&connection, &BatchId::new("a")).is_err(), "nobody is told of it yet");
        assert_eq!(*log.told.borrow(), Position(0));
        log.file = whole;
        assert_eq!(log.look(&connection, &BatchId::new("b")).unwrap(), None);
        assert_eq!(log.look(&connection, &BatchId::new("a")).unwrap(), Some(Position(1)));
        assert_eq!(*log.told.borrow(), Position(1));
        let head = Head::read(folder.path()).unwrap().unwrap();
        assert_eq!(head.position, Position(1));
    }
}
