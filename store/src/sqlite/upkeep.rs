//! What is done to the store beside appends: old facts and blobs go, copies are made.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::{Hash, Timestamp};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::writer::Work;
use super::{Sqlite, backup, blocking, checkpoint, prune, refs, schema, sealed};
use crate::port::{Position, Pruned, Store, StoreError};
use crate::retention::Retention;

/// A blob that no fact names goes after a day: the fact that names it comes within seconds.
const UNNAMED_BLOBS: Duration = Duration::from_secs(24 * 60 * 60);

impl Sqlite {
    pub(super) async fn prune_page(
        &self,
        keep: Retention,
        after: Position,
        now: Timestamp,
    ) -> Result<Pruned, StoreError> {
        let page = self.readers.query(move |it| prune::page(it, &keep, after, now)).await?;
        let pruned = Pruned { facts: page.goes.len() as u64, next: page.next };
        if !page.goes.is_empty() {
            self.change(move |connection| checkpoint::prune(connection, &page.goes)).await?;
        }
        Ok(pruned)
    }

    pub(super) async fn tidy_step(&self, window: Timestamp) -> Result<bool, StoreError> {
        let more = self.change(move |connection| checkpoint::tidy(connection, window)).await?;
        let more = more || self.aside(checkpoint::give_back).await?;
        if more {
            return Ok(true);
        }
        // A page that is still to be stored may be all that names a blob, or an execution.
        if self.deferred().await?.is_empty() {
            self.drop_blobs().await?;
            return self.change(move |connection| sealed::drop_orphans(connection, window)).await;
        }
        Ok(false)
    }

    /// Removes blobs that no fact names. One that was kept a moment ago may be about to be named.
    async fn drop_blobs(&self) -> Result<(), StoreError> {
        let _still = self.copying.lock().await;
        let (blobs, list) = (Arc::clone(&self.blobs), Arc::clone(&self.blobs));
        let old = blocking(move || list.older_than(UNNAMED_BLOBS)).await?;
        for some in old.chunks(1_000) {
            let asked = some.to_vec();
            let named = self.readers.query(move |it| refs::named(it, &asked)).await?;
            let unnamed: Vec<Hash> =
                some.iter().filter(|it| !named.contains(it)).copied().collect();
            let blobs = Arc::clone(&blobs);
            blocking(move || blobs.drop_older(&unnamed, UNNAMED_BLOBS)).await?;
        }
        Ok(())
    }

    pub(super) async fn copy(&self, to: PathBuf) -> Result<(), StoreError> {
        let _still = self.copying.lock().await;
        let path = schema::path(&to);
        self.asked(|answer| Work::Copy { to: path, answer }).await??;
        let state = self.folder.clone();
        blocking(move || backup::finish(&state, &to)).await
    }

    /// Has the writer do something in a transaction of its own.
    async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.aside(move |connection| {
            let change = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
            let done = work(&change)?;
            change.commit()?;
            Ok(done)
        })
        .await
    }

    /// Has the writer do something between two commits.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.asked(|answer| {
            Work::Aside(Box::new(move |connection| {
                // Whoever asked may have gone.
                let _ = answer.send(work(connection));
            }))
        })
        .await?
    }
}
