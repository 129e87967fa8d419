//! Connections that only read, used off the async threads.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::schema;
use crate::port::StoreError;

/// No query, and so no read transaction, outlives this: one that does keeps the write-ahead log
/// from starting over.
const LONGEST_QUERY: Duration = Duration::from_secs(5);

/// SQLite's steps between two looks at the clock: some 100 µs.
const STEPS_PER_LOOK: i32 = 10_000;

/// A bounded pool of reading connections.
#[derive(Debug, Clone)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    free: Arc<Semaphore>,
    longest: Duration,
}

impl Readers {
    /// A pool of at most `most` connections to the database at `path`, opened as they are needed.
    pub(super) fn new(path: &Path, most: usize) -> Self {
        let free = Arc::new(Semaphore::new(most.max(1)));
        Self { path: path.to_owned(), idle: Arc::default(), free, longest: LONGEST_QUERY }
    }

    /// Runs `query` on a connection of the pool, seeing one state of the database throughout.
    pub(super) async fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let free = Arc::clone(&self.free).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let pool = self.clone();
        let work = move || {
            let _free = free;
            let mut connection = pool.take()?;
            let found = bounded(&mut connection, pool.longest, query);
            pool.give_back(connection);
            found
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|error| Err(StoreError::Io(format!("a query ended early: {error}"))))
    }

    fn take(&self) -> Result<Connection, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(connection) => Ok(connection),
            None => Ok(schema::open_reader(&self.path)?),
        }
    }

    fn give_back(&self, connection: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}

fn bounded<T>(
    connection: &mut Connection,
    longest: Duration,
    query: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let end = Instant::now() + longest;
    connection.progress_handler(STEPS_PER_LOOK, Some(move || Instant::now() > end))?;
    let snapshot = connection.transaction()?;
    query(&snapshot)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count_up_to(end: i64) -> impl Fn(&Connection) -> Result<i64, StoreError> {
        move |connection| {
            let count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ?1)
                         SELECT count(*) FROM n";
            Ok(connection.query_row(count, [end], |row| row.get(0))?)
        }
    }

    #[tokio::test]
    async fn a_query_without_end_is_ended_and_the_next_one_runs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE x (y)").unwrap();
        let readers = Readers { longest: Duration::from_millis(50), ..Readers::new(&path, 1) };
        let ended = readers.query(count_up_to(i64::MAX)).await.unwrap_err();
        assert!(matches!(&ended, StoreError::Io(why) if why.contains("too long")), "{ended}");
        assert_eq!(readers.query(count_up_to(10)).await.unwrap(), 10);
    }
}
