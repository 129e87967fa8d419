//! A pruned log: still whole to the doctor, smaller on the disk, and no less guarded.
#![allow(clippy::unwrap_used)]
#![expect(clippy::disallowed_methods, reason = "compared with times that the file system keeps")]

mod common;

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use common::*;
use model::{BlobRef, Body, ExecutionState, Fact, Origin, Stream, Timestamp, Version};
use rusqlite::Connection;
use store::sqlite::Options;
use store::{Position, Retention, Sqlite, Store};

fn open(folder: &Path) -> Sqlite {
    Sqlite::open(folder, &Options::default()).unwrap()
}

fn days(days: i64) -> Timestamp {
    at(200 + days * 24 * 60 * 60)
}

async fn prune(store: &Sqlite, now: Timestamp) -> u64 {
    let (keep, mut after, mut facts) = (Retention::default(), Position(0), 0);
    loop {
        let pruned = store.prune(&keep, after, now).await.unwrap();
        facts += pruned.facts;
        match pruned.next {
            Some(next) => after = next,
            None => break,
        }
    }
    while store.tidy(&keep, now).await.unwrap() {}
    facts
}

/// Runs that ended, one that sleeps, an event, cursors: 12 facts, of which 5 are kept for ever.
async fn filled(folder: &Path) -> Sqlite {
    let store = open(folder);
    let event = vec![accepted("e1", &[("app.a", 1)]), Fact::EventRepeated { at: at(6) }];
    put(&store, execution(9), vec![request(Origin::Manual), parked(None)]).await;
    put(&store, Stream::Event(event_key("e1")), event).await;
    let run = vec![request(by_rule("app.a")), intended("1", 11), finished("1", 12)];
    put(&store, execution(1), run).await;
    put(&store, sensor("app/push"), vec![moved("old"), moved("the cursor's text")]).await;
    put(&store, execution(1), vec![ended(ExecutionState::Succeeded, 60)]).await;
    put(&store, key("k/a"), vec![set("kept", None)]).await;
    put(&store, sensor("last"), vec![moved("x")]).await;
    store
}

fn alter(folder: &Path, sql: &str) {
    Connection::open(folder.join("tripline.db")).unwrap().execute_batch(sql).unwrap();
}

fn told(folder: &Path) -> Vec<String> {
    Sqlite::verify(folder).into_iter().map(|finding| finding.what).collect()
}

#[tokio::test]
async fn the_doctor_finds_a_pruned_log_whole_at_every_stage() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path()).await;
    let head = store.head().await.unwrap();
    for (after, pruned) in [(6, 0), (8, 2), (31, 5), (400, 0)] {
        assert_eq!(prune(&store, days(after)).await, pruned, "after {after} days");
        assert_eq!(told(folder.path()), Vec::<String>::new(), "after {after} days");
    }
    put(&store, execution(2), vec![request(Origin::Manual)]).await;
    drop(store);
    assert_eq!(told(folder.path()), Vec::<String>::new());
    // Opened again it is the same log.
    let store = open(folder.path());
    assert_eq!(store.head().await.unwrap(), Position(head.0 + 1));
    let kept = store.log(Position(0), 100).await.unwrap();
    let kept: Vec<u64> = kept.iter().map(|fact| fact.position.0).collect();
    assert_eq!(kept, [1, 2, 9, 11, 12, 13]);
    let (journal, _) = store.read(&execution(9), Version::NONE).await.unwrap();
    assert_eq!(journal.len(), 2);
}

#[tokio::test]
async fn what_is_carried_beyond_the_checkpoint_is_guarded() {
    for (sql, found) in [
        (
            "UPDATE facts SET body = CAST(replace(body, 'cursor', 'curses') AS BLOB) WHERE position = 9",
            "the fact at position 9 (a CursorMoved of `sensor/app/push`) is not what was appended",
        ),
        (
            "DELETE FROM facts WHERE position = 11",
            "facts up to the checkpoint at position 11 are missing or were changed",
        ),
        (
            "UPDATE checkpoint SET hash = zeroblob(32)",
            "the fact at position 12 (a CursorMoved of `sensor/last`) is not what was appended",
        ),
        (
            "UPDATE pruned_rule_counts SET matched = 7",
            "the table `rule_counts` is not what the log makes of it",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let store = filled(folder.path()).await;
        prune(&store, days(31)).await;
        drop(store);
        alter(folder.path(), sql);
        let told = told(folder.path());
        assert!(told.iter().any(|it| it == found), "{sql}: {told:?}");
    }
}

#[tokio::test]
async fn what_is_kept_of_a_pruned_event_is_guarded() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path()).await;
    prune(&store, days(8)).await;
    put(&store, Stream::Event(event_key("e1")), vec![Fact::EventRepeated { at: at(90) }]).await;
    drop(store);
    assert_eq!(told(folder.path()), Vec::<String>::new());
    alter(folder.path(), "UPDATE events SET payload = zeroblob(32)");
    assert_eq!(told(folder.path()), ["what is kept of pruned events was changed"]);
}

#[tokio::test]
async fn the_database_gives_its_pages_back_in_small_steps() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for n in 0..40 {
        let large = Fact::AttemptFailed {
            path: path("1"),
            attempt: 1,
            error: error(&"x".repeat(100_000)),
            next_at: at(12),
            at: at(11),
        };
        let run = vec![request(Origin::Manual), large, ended(ExecutionState::Failed, 60)];
        put(&store, execution(n), run).await;
    }
    put(&store, sensor("last"), vec![moved("1")]).await;
    drop(store);
    let size = || fs::metadata(folder.path().join("tripline.db")).unwrap().len();
    let before = size();
    let store = open(folder.path());
    let keep = Retention::default();
    while store.prune(&keep, Position(0), days(31)).await.unwrap().facts > 0 {}
    let mut steps = 0;
    while store.tidy(&keep, days(31)).await.unwrap() {
        steps += 1;
    }
    drop(store);
    assert!(steps > 2, "{steps} steps");
    assert!(before > 4_000_000 && size() < 200_000, "{before} bytes became {}", size());
    assert_eq!(told(folder.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_blob_that_nothing_names_goes_after_a_day() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let (named, loose) = (b"[1, 2, 3]".to_vec(), b"[4]".to_vec());
    let mut event = accepted_event("e1", &[]);
    event.event.data = Body::Blob(BlobRef::of(&named));
    put(&store, Stream::Event(event_key("e1")), vec![Fact::EventAccepted(event)]).await;
    let (named, loose) =
        (store.put_blob(named).await.unwrap(), store.put_blob(loose).await.unwrap());
    let there = async |blob| store.blob(blob).await.unwrap().is_some();
    prune(&store, days(1)).await;
    assert!(there(named).await && there(loose).await);
    for blob in [named, loose] {
        let name = blob.to_string();
        let file = folder.path().join("blobs").join(&name[..2]).join(&name);
        let old = SystemTime::now() - Duration::from_secs(25 * 60 * 60);
        fs::File::options().write(true).open(file).unwrap().set_modified(old).unwrap();
    }
    prune(&store, days(1)).await;
    assert!(there(named).await && !there(loose).await);
    prune(&store, days(8)).await;
    assert!(!there(named).await, "it went with its event");
    assert_eq!(told(folder.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_blob_that_is_kept_again_is_as_good_as_new() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let hash = store.put_blob(b"[1]".to_vec()).await.unwrap();
    let name = hash.to_string();
    let file = folder.path().join("blobs").join(&name[..2]).join(&name);
    let old = SystemTime::now() - Duration::from_secs(25 * 60 * 60);
    fs::File::options().write(true).open(file).unwrap().set_modified(old).unwrap();
    store.put_blob(b"[1]".to_vec()).await.unwrap();
    prune(&store, days(1)).await;
    assert!(store.blob(hash).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pruning_beside_a_busy_writer_leaves_everything_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path()).await;
    let appends = async {
        for n in 0..300 {
            put(&store, sensor("busy"), vec![moved(&n.to_string())]).await;
        }
    };
    let prunes = async {
        for _ in 0..20 {
            prune(&store, days(31)).await;
        }
    };
    futures::future::join(appends, prunes).await;
    assert_eq!(store.cursor("busy").await.unwrap().map(|it| it.cursor), Some("299".into()));
    drop(store);
    assert_eq!(told(folder.path()), Vec::<String>::new());
}
