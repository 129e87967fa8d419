//! What the embedded store promises beyond the contract.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::{Seek, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::*;
use expect_test::expect;
use futures::future::join_all;
use model::{BlobRef, Body, ExecutionState, Fact, Origin, Stream, Version};
use rusqlite::Connection;
use store::sqlite::{Finding, OpenError, Options};
use store::{Appended, Position, Sqlite, Store, StoreError};

fn open(folder: &Path) -> Result<Sqlite, OpenError> {
    Sqlite::open(folder, &Options::default())
}

/// A store with some of everything.
async fn filled(folder: &Path) -> Sqlite {
    let store = open(folder).unwrap();
    let event = vec![accepted("e1", &[("app.a", 1)]), Fact::EventRepeated { at: at(6) }];
    put(&store, Stream::Event(event_key("e1")), event).await;
    let run = vec![request(by_rule("app.a")), intended("1", 11), finished("1", 12)];
    put(&store, execution(1), run).await;
    put(&store, execution(2), vec![request(Origin::Manual), parked(Some(90))]).await;
    put(&store, sensor("app/push"), vec![moved("the cursor's text")]).await;
    store
}

/// What a crash leaves behind: the files as they are while the store is open.
fn copy_as_after_a_crash(from: &Path, to: &Path) {
    for file in ["tripline.db", "tripline.db-wal", "head"] {
        fs::copy(from.join(file), to.join(file)).unwrap();
    }
}

fn flip(file: &Path, offset: u64) {
    let byte = fs::read(file).unwrap()[usize::try_from(offset).unwrap()];
    let mut file = fs::OpenOptions::new().write(true).open(file).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.write_all(&[byte ^ 1]).unwrap();
}

fn told(findings: &[Finding]) -> String {
    let line = |finding: &Finding| {
        format!("{:?}: {} -> {}\n", finding.severity, finding.what, finding.to_do)
    };
    findings.iter().map(line).collect()
}

#[tokio::test]
async fn what_was_appended_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path()).await;
    let blob = store.put_blob(b"large".to_vec()).await.unwrap();
    let log = store.log(Position(0), 100).await.unwrap();
    let row = store.execution(&execution_id(1)).await.unwrap();
    drop(store);

    let store = open(folder.path()).unwrap();
    assert_eq!(store.log(Position(0), 100).await.unwrap(), log);
    assert_eq!(store.execution(&execution_id(1)).await.unwrap(), row);
    assert_eq!(store.blob(blob).await.unwrap(), Some(b"large".to_vec()));
    // A batch of the earlier process is still known.
    let again = batch("sensor/app/push@7", vec![write(sensor("app/push"), vec![moved("x")])]);
    let position = Position(8);
    assert_eq!(store.append(again).await.unwrap(), Appended::Committed { position });
    assert_eq!(store.head().await.unwrap(), position);
}

#[tokio::test]
async fn what_was_appended_is_there_after_a_crash() {
    let (folder, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = filled(folder.path()).await;
    copy_as_after_a_crash(folder.path(), copy.path());
    assert_eq!(Sqlite::verify(copy.path()), []);
    let recovered = open(copy.path()).unwrap();
    let log = store.log(Position(0), 100).await.unwrap();
    assert_eq!(recovered.log(Position(0), 100).await.unwrap(), log);
}

#[tokio::test]
async fn a_second_process_is_refused_and_told_who_has_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    let pid = std::process::id().to_string();
    let refused = open(folder.path()).unwrap_err().to_string();
    assert!(refused.contains(&format!("in use by process {pid}")), "{refused}");
    assert_eq!(Sqlite::holder(folder.path()).unwrap(), Some(pid));
    drop(store);
    assert_eq!(Sqlite::holder(folder.path()).unwrap(), None);
    open(folder.path()).unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_names_who_wrote_it() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).unwrap());
    let database = Connection::open(folder.path().join("tripline.db")).unwrap();
    let newest: u32 = database.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    let told_newest = |text: String| text.replace(&format!("to schema {newest}"), "to schema N");
    let newer = "PRAGMA user_version = 99; UPDATE written_by SET version = '9.8.7'";
    database.execute_batch(newer).unwrap();
    drop(database);
    let expected = expect![
        "the state folder was written by Tripline 9.8.7 (schema 99); this version reads up to schema N: use Tripline 9.8.7 or a newer one"
    ];
    expected.assert_eq(&told_newest(open(folder.path()).unwrap_err().to_string()));
    expect![[r#"
        Error: the state folder was written by Tripline 9.8.7 (schema 99) -> this version reads up to schema N: use Tripline 9.8.7 or a newer one
    "#]].assert_eq(&told_newest(told(&Sqlite::verify(folder.path()))));
}

#[tokio::test]
async fn a_log_that_lost_its_tail_is_refused_and_says_how_much_is_missing() {
    let (folder, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = filled(folder.path()).await;
    let wal = "tripline.db-wal";
    let before = fs::metadata(folder.path().join(wal)).unwrap().len();
    put(&store, sensor("a"), vec![moved("1"), moved("2")]).await;
    put(&store, sensor("b"), vec![moved("1")]).await;
    copy_as_after_a_crash(folder.path(), copy.path());
    // One bit in the first frame of what was appended last: SQLite drops it and all that follows.
    flip(&copy.path().join(wal), before + 100);
    let doctor = Sqlite::verify(copy.path());
    let expected = expect![[r#"
        Error: the log lost 3 facts: it ends at position 8, and 11 was acknowledged -> restore a backup, or delete the file `head` in the state folder to accept the loss
    "#]];
    expected.assert_eq(&told(&doctor));
    let refused = open(copy.path()).unwrap_err();
    assert!(matches!(refused, OpenError::Lost { missing: 3, .. }), "{refused}");
    // Whoever accepts the loss goes on with what is there.
    fs::remove_file(copy.path().join("head")).unwrap();
    assert_eq!(open(copy.path()).unwrap().head().await.unwrap(), Position(8));
}

#[tokio::test]
async fn a_head_that_is_damaged_or_names_another_fact_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path()).await);
    let head = folder.path().join("head");
    let text = fs::read_to_string(&head).unwrap();
    fs::write(&head, "nonsense").unwrap();
    assert!(matches!(open(folder.path()).unwrap_err(), OpenError::Head));
    let last = if text.ends_with("0\n") { "1\n" } else { "0\n" };
    fs::write(&head, format!("{}{last}", &text[..text.len() - 2])).unwrap();
    let refused = open(folder.path()).unwrap_err();
    assert!(matches!(refused, OpenError::OtherHistory(Position(8))), "{refused}");
}

#[tokio::test]
async fn the_doctor_finds_nothing_wrong_beside_a_running_server_or_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path()).await;
    assert_eq!(Sqlite::verify(folder.path()), []);
    drop(store);
    assert_eq!(Sqlite::verify(folder.path()), []);
    let nothing = Sqlite::verify(&folder.path().join("elsewhere"));
    assert!(nothing[0].what.starts_with("there is no store in"), "{nothing:?}");
}

#[tokio::test]
async fn a_flipped_bit_in_a_fact_is_found() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path()).await);
    let database = folder.path().join("tripline.db");
    let text = fs::read(&database).unwrap();
    let body = text.windows(17).position(|window| window == b"the cursor's text").unwrap();
    flip(&database, body as u64);
    expect![[r#"
        Error: the fact at position 8 (a CursorMoved of `sensor/app/push`) is not what was appended -> restore a backup
    "#]].assert_eq(&told(&Sqlite::verify(folder.path())));
}

#[tokio::test]
async fn a_fact_that_was_removed_and_rows_that_were_changed_are_found() {
    let folder = tempfile::tempdir().unwrap();
    drop(filled(folder.path()).await);
    let database = Connection::open(folder.path().join("tripline.db")).unwrap();
    database
        .execute("UPDATE executions SET state = 'succeeded' WHERE state = 'waiting'", [])
        .unwrap();
    database.execute("UPDATE events SET duplicates = 0", []).unwrap();
    expect![[r#"
        Error: the table `executions` is not what the log makes of it -> restore a backup
        Error: the table `events` is not what the log makes of it -> restore a backup
    "#]]
    .assert_eq(&told(&Sqlite::verify(folder.path())));
    database.execute("DELETE FROM facts WHERE position IN (4, 5)", []).unwrap();
    expect![[r#"
        Error: the log lacks the facts 4 to 5 -> restore a backup
    "#]]
    .assert_eq(&told(&Sqlite::verify(folder.path())));
}

#[tokio::test]
async fn tables_and_indices_of_many_rows_are_compared_to_their_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    for part in 0..6 {
        let writes = (0..400).map(|n| {
            let id = format!("e{part}-{n}");
            write(Stream::Event(event_key(&id)), vec![accepted(&id, &[])])
        });
        store.append(batch(&part.to_string(), writes.collect())).await.unwrap();
    }
    // It holds the folder: what a server does not keep the doctor from finding.
    let whole = || told(&Sqlite::verify(folder.path()));
    assert_eq!(whole(), "");
    let database = Connection::open(folder.path().join("tripline.db")).unwrap();
    let events = "Error: the table `events` is not what the log makes of it -> restore a backup\n";
    for position in [1, 1_000, 1_001, 2_400] {
        let change = |by: i64| {
            let change = "UPDATE events SET duplicates = duplicates + ?1 WHERE position = ?2";
            assert_eq!(database.execute(change, [by, position]).unwrap(), 1);
        };
        change(1);
        assert_eq!(whole(), events, "{position}");
        change(-1);
    }
    assert_eq!(whole(), "");
    database.execute("INSERT INTO streams (name, version) VALUES ('zzz', 1)", []).unwrap();
    assert!(whole().contains("the table `streams` is not"), "{}", whole());
    database.execute("DELETE FROM streams WHERE name = 'zzz'", []).unwrap();
    // An index that lacks one fact and calls itself whole.
    database
        .execute_batch(
            "DROP INDEX facts_by_stream;
             CREATE INDEX facts_by_stream ON facts (stream) WHERE position <> 1777;
             PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = 'CREATE INDEX facts_by_stream ON facts (stream)'
             WHERE name = 'facts_by_stream';",
        )
        .unwrap();
    assert_eq!(
        whole(),
        "Error: the fact at position 1777 is not in `facts_by_stream` -> restore a backup\n"
    );
    drop(store);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_a_busy_server_the_doctor_finds_what_was_changed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(filled(folder.path()).await);
    let (writes, stop) = (Arc::clone(&store), Arc::new(AtomicBool::new(false)));
    let stopped = Arc::clone(&stop);
    let writer = tokio::spawn(async move {
        while !stopped.load(Ordering::Relaxed) {
            // Each moves rows of several tables while the doctor goes from one to the next.
            put(&*writes, execution(2), vec![parked(Some(90)), intended("1", 11)]).await;
            put(&*writes, Stream::Event(event_key("e1")), vec![Fact::EventRepeated { at: at(6) }])
                .await;
        }
    });
    let before = store.head().await.unwrap();
    while store.head().await.unwrap().0 < before.0 + 500 {
        assert_eq!(Sqlite::verify(folder.path()), []);
    }
    let database = Connection::open(folder.path().join("tripline.db")).unwrap();
    database.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
    database.execute("UPDATE rule_counts SET matched = 7", []).unwrap();
    expect![[r#"
        Error: the table `rule_counts` is not what the log makes of it -> restore a backup
    "#]]
    .assert_eq(&told(&Sqlite::verify(folder.path())));
    stop.store(true, Ordering::Relaxed);
    writer.await.unwrap();
}

#[tokio::test]
async fn a_blob_that_is_missing_or_damaged_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    let bytes = b"[1, 2, 3]".to_vec();
    let (hash, blob) = (store.put_blob(bytes.clone()).await.unwrap(), BlobRef::of(&bytes));
    let mut event = accepted_event("e1", &[]);
    event.event.data = Body::Blob(blob);
    put(&store, Stream::Event(event_key("e1")), vec![Fact::EventAccepted(event)]).await;
    assert_eq!(Sqlite::verify(folder.path()), []);

    let name = hash.to_string();
    let file = folder.path().join("blobs").join(&name[..2]).join(&name);
    fs::write(&file, "[1, 2, 4]").unwrap();
    assert!(matches!(store.blob(hash).await, Err(StoreError::Corrupt(_))));
    let damaged = Sqlite::verify(folder.path());
    assert!(damaged[0].what.contains("does not hold what its name says"), "{damaged:?}");
    // Kept anew, it is whole again.
    store.put_blob(bytes.clone()).await.unwrap();
    assert_eq!(store.blob(hash).await.unwrap(), Some(bytes));

    fs::remove_file(&file).unwrap();
    let missing = Sqlite::verify(folder.path());
    assert!(missing[0].what.ends_with("the fact at position 1 names, is not there"), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_that_wait_are_committed_together() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(folder.path()).unwrap());
    let tasks = (0..64).map(|task| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut version = Version::NONE;
            for n in 0..10 {
                let stream = sensor(&format!("s{task}"));
                let write = expecting(version, write(stream, vec![moved(&n.to_string())]));
                let append = store.append(batch(&format!("{task}/{n}"), vec![write]));
                let Appended::Committed { position } = append.await.unwrap() else {
                    panic!("nobody else writes this stream");
                };
                version = Version(position.0);
            }
        })
    });
    assert!(join_all(tasks).await.into_iter().all(|task| task.is_ok()));
    assert_eq!(store.head().await.unwrap(), Position(640));
    let commits = store.commits();
    assert!(commits < 320, "{commits} commits for 640 batches");
    assert_eq!(Sqlite::verify(folder.path()), []);
}

#[tokio::test]
async fn a_full_disk_fails_an_append_and_later_ones_work_again_once_there_is_space() {
    let folder = tempfile::tempdir().unwrap();
    let filler = |sql: &str| {
        let database = Connection::open(folder.path().join("tripline.db")).unwrap();
        database.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
        database.execute_batch(sql).unwrap();
    };
    drop(open(folder.path()).unwrap());
    // Somebody else's megabyte takes the space that the store may use.
    filler("CREATE TABLE filler AS SELECT zeroblob(1000000)");
    let options = Options { max_pages: Some(1), ..Options::default() };
    let store = Sqlite::open(folder.path(), &options).unwrap();

    let large =
        || write(execution(1), vec![request(Origin::Manual), ended(ExecutionState::Failed, 9)]);
    let bulk = write(sensor("bulk"), vec![moved(&"x".repeat(400_000))]);
    let both = || batch("both", vec![large(), bulk.clone()]);
    let failed = store.append(both()).await.unwrap_err();
    assert!(matches!(failed, StoreError::Full(_)), "{failed}");
    assert_eq!(store.head().await.unwrap(), Position(0));
    assert_eq!(store.execution(&execution_id(1)).await.unwrap(), None);

    filler("DROP TABLE filler");
    let position = Position(3);
    assert_eq!(store.append(both()).await.unwrap(), Appended::Committed { position });
    drop(store);
    assert_eq!(Sqlite::verify(folder.path()).len(), 0);
}
