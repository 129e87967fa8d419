//! Watches the packs' folders and loads what has changed, once the files are still.

use std::path::{Path, PathBuf};

use model::Duration;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use crate::engine::Engine;

/// Changes of folders since it was made.
pub(crate) struct Changes {
    /// One waiting signal says all there is to say: something changed.
    signals: mpsc::Receiver<()>,
    /// Ends the watch when dropped.
    watcher: Option<RecommendedWatcher>,
    /// Folders that are not there yet; what holds them is watched instead.
    missing: Vec<PathBuf>,
}

impl Changes {
    /// Begins to watch. What cannot be watched is told in the log.
    pub(crate) fn of(folders: &[PathBuf]) -> Self {
        let (signal, signals) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let read_only = event.as_ref().is_ok_and(|event| event.kind.is_access());
            if !read_only {
                // A full channel holds the signal already.
                let _ = signal.try_send(());
            }
        });
        if let Err(error) = &watcher {
            tracing::error!(%error, "changes of packs are not noticed");
        }
        let mut changes = Self { signals, watcher: watcher.ok(), missing: folders.to_vec() };
        changes.watch_missing();
        changes
    }

    /// Watches the folders that have come into being; for the others, the folder they will be in.
    fn watch_missing(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        self.missing.retain(|folder| {
            let is_there = folder.is_dir();
            let (watched, mode) = match folder.parent() {
                Some(parent) if !is_there => (parent, RecursiveMode::NonRecursive),
                _ => (folder.as_path(), RecursiveMode::Recursive),
            };
            let watched = if watched.as_os_str().is_empty() { Path::new(".") } else { watched };
            if let Err(error) = watcher.watch(watched, mode) {
                let folder = watched.display();
                tracing::error!(%folder, %error, "changes of packs here are not noticed");
            }
            !is_there
        });
    }

    /// Lets `engine` load what changes, until it stops.
    pub(crate) async fn follow(mut self, engine: Engine, still: Duration) {
        let stopping = engine.stopping();
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                change = self.signals.recv() => if change.is_none() { return },
            }
            self.settle(still).await;
            self.watch_missing();
            match engine.reload().await {
                Ok(true) => tracing::info!("the packs have changed"),
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "changed packs could not be activated"),
            }
        }
    }

    /// Waits until nothing has changed for `still`.
    async fn settle(&mut self, still: Duration) {
        let still = still.to_std();
        while tokio::time::timeout(still, self.signals.recv()).await.is_ok_and(|c| c.is_some()) {}
    }
}
