//! Appends a second, beside what the disk can sync: `cargo bench -p tripline-store`.
//!
//! One at a time, a store can be no faster than the bare sync; many at a time share one.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use model::{Actor, BatchId, Fact, Stream, Timestamp, Version};
use store::sqlite::Options;
use store::{Batch, Sqlite, Store, Write};

/// How long each measurement runs.
const SPAN: Duration = Duration::from_secs(3);

fn report(what: &str, count: u64, began: Instant) {
    println!("{what:<28} {:>9.0} /s", count as f64 / began.elapsed().as_secs_f64());
}

fn bare_sync(folder: &Path) {
    const PAGES: u64 = 4_096;
    // Overwritten in place, as a write-ahead log is once it has its size.
    let file = File::create(folder.join("bare")).unwrap();
    file.write_all_at(&vec![0; 4_096 * PAGES as usize], 0).unwrap();
    file.sync_all().unwrap();
    let (began, mut count) = (Instant::now(), 0);
    while began.elapsed() < SPAN {
        file.write_all_at(&[7; 4_096], count % PAGES * 4_096).unwrap();
        file.sync_data().unwrap();
        count += 1;
    }
    report("bare syncs of 4 KiB", count, began);
}

/// A batch of one fact of about 300 bytes for a stream that nobody else writes.
fn batch(task: u64, n: u64) -> Batch {
    Batch {
        id: BatchId::new(format!("{task}/{n}")),
        actor: Actor::engine(),
        at: Timestamp::UNIX_EPOCH,
        writes: vec![Write::new(
            Stream::Sensor(format!("bench/{task}/{n}")),
            Some(Version::NONE),
            [Fact::CursorMoved { cursor: "x".repeat(270).into(), behind: false }],
        )],
    }
}

async fn appends(store: &Arc<Sqlite>, tasks: u64) {
    let (began, before) = (Instant::now(), store.commits());
    let task = |task: u64| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            let mut count = 0;
            while began.elapsed() < SPAN {
                store.append(batch(tasks * 1_000 + task, count)).await.unwrap();
                count += 1;
            }
            count
        })
    };
    let counts = join_all((0..tasks).map(task)).await;
    report(
        &format!("appends, {tasks} at a time"),
        counts.into_iter().map(Result::unwrap).sum(),
        began,
    );
    report("  in commits", store.commits() - before, began);
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir_in(".").unwrap();
    bare_sync(folder.path());
    let store = Arc::new(Sqlite::open(folder.path(), &Options::default()).unwrap());
    for tasks in [1, 10, 100] {
        appends(&store, tasks).await;
    }
}
