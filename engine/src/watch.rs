//! Watches the packs' folders and loads what has changed, once the files are still.

use std::path::Path;

use model::Duration;
use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;

use crate::engine::Engine;

/// Runs until the engine stops.
pub(crate) async fn watch(engine: Engine, still: Duration) {
    // One waiting signal says all there is to say: something changed.
    let (changed, mut changes) = mpsc::channel(1);
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let read_only = event.as_ref().is_ok_and(|event| event.kind.is_access());
        if !read_only {
            let _ = changed.try_send(());
        }
    });
    let mut watcher = match watcher {
        Ok(watcher) => watcher,
        Err(error) => return tracing::error!(%error, "changes of packs are not noticed"),
    };
    for folder in engine.packs.folders() {
        watch_folder(&mut watcher, folder);
    }
    let stopping = engine.stopping();
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            change = changes.recv() => if change.is_none() { return },
        }
        settle(&mut changes, still).await;
        match engine.reload().await {
            Ok(true) => tracing::info!("the packs have changed"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "changed packs could not be activated"),
        }
    }
}

fn watch_folder(watcher: &mut notify::RecommendedWatcher, folder: &Path) {
    if let Err(error) = watcher.watch(folder, RecursiveMode::Recursive) {
        tracing::error!(folder = %folder.display(), %error, "changes of packs here are not noticed");
    }
}

/// Waits until nothing has changed for `still`.
async fn settle(changes: &mut mpsc::Receiver<()>, still: Duration) {
    while tokio::time::timeout(still.to_std(), changes.recv()).await.is_ok_and(|c| c.is_some()) {}
}
