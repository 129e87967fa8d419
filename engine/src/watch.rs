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
    _watcher: Option<RecommendedWatcher>,
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
        match watcher {
            Ok(mut watcher) => {
                for folder in folders {
                    watch_folder(&mut watcher, folder);
                }
                Self { signals, _watcher: Some(watcher) }
            }
            Err(error) => {
                tracing::error!(%error, "changes of packs are not noticed");
                Self { signals, _watcher: None }
            }
        }
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

fn watch_folder(watcher: &mut RecommendedWatcher, folder: &Path) {
    if let Err(error) = watcher.watch(folder, RecursiveMode::Recursive) {
        tracing::error!(folder = %folder.display(), %error, "changes of packs here are not noticed");
    }
}
