//! Watches the packs' folders and loads what has changed, once the files are still.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use model::Duration;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use crate::engine::Engine;
use crate::packs::absence;

/// How often the folders themselves are looked at: one that is mounted, or a link that now leads
/// elsewhere, gives no signal; nor does a disk that has room again.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_secs(2);

/// Changes of folders since it was made.
pub(crate) struct Changes {
    folders: Vec<PathBuf>,
    /// One waiting signal says all there is to say: something changed.
    signals: mpsc::Receiver<()>,
    /// Ends the watch when dropped.
    watcher: Option<RecommendedWatcher>,
    /// Folders that are not there yet; what holds them is watched instead.
    missing: Vec<PathBuf>,
    /// Which folders are watched, under the paths they had.
    watched: Vec<Option<Identity>>,
}

/// Which folder is at a path, and whether it says which packs there are.
type Identity = (u64, u64, bool);

fn identity(folder: &PathBuf) -> Option<Identity> {
    let found = std::fs::metadata(folder).ok()?;
    Some((found.dev(), found.ino(), absence(folder).is_none()))
}

impl Changes {
    /// Begins to watch. What cannot be watched is told in the log.
    /// Of the folder `beside`, what lies in it is watched, and not its sub-folders.
    pub(crate) fn of(folders: &[PathBuf], beside: Option<PathBuf>) -> Self {
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
        let mut changes = Self {
            folders: folders.to_vec(),
            signals,
            watcher: watcher.ok(),
            missing: folders.to_vec(),
            watched: folders.iter().map(identity).collect(),
        };
        if let Some((watcher, folder)) = changes.watcher.as_mut().zip(beside)
            && let Err(error) = watcher.watch(&folder, RecursiveMode::NonRecursive)
        {
            let folder = folder.display();
            tracing::error!(%folder, %error, "changes of the environment are not noticed");
        }
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

    /// Whether another folder is at one of the paths; it is watched in its predecessor's place.
    fn replaced(&mut self) -> bool {
        let now: Vec<_> = self.folders.iter().map(identity).collect();
        let was = std::mem::replace(&mut self.watched, now);
        let pairs = self.folders.iter().zip(was.iter().zip(&self.watched));
        let other = pairs.filter(|(_, (was, now))| was != now).map(|(folder, _)| folder);
        let other: Vec<PathBuf> = other.filter(|f| !self.missing.contains(f)).cloned().collect();
        for folder in &other {
            // The watch went with the folder that was here.
            let _ = self.watcher.as_mut().map(|watcher| watcher.unwatch(folder));
        }
        self.missing.extend(other);
        was != self.watched
    }

    /// Lets `engine` load what changes, until it stops.
    pub(crate) async fn follow(mut self, engine: Engine, still: Duration) {
        let stopping = engine.stopping();
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                change = self.signals.recv() => if change.is_none() { return },
                () = tokio::time::sleep(LOOK_AGAIN) => {
                    if !self.replaced() && !engine.has_unpinned() {
                        continue;
                    }
                }
            }
            self.settle(still).await;
            self.replaced();
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
