//! What is refused of a state folder before anything in it is changed.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::*;
use model::{Severity, Stream, Version};
use rusqlite::Connection;
use store::sqlite::{OpenError, Options};
use store::{Position, Sqlite, Store};

fn open(folder: &Path) -> Result<Sqlite, OpenError> {
    Sqlite::open(folder, &Options::default())
}

/// The folder of a server that was killed: some facts, all of them in the write-ahead log.
async fn killed() -> tempfile::TempDir {
    let (folder, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(folder.path()).unwrap();
    for n in 0..5 {
        put(&store, sensor("app/push"), vec![moved(&n.to_string())]).await;
    }
    for file in ["tripline.db", "tripline.db-wal", "head"] {
        fs::copy(folder.path().join(file), copy.path().join(file)).unwrap();
    }
    copy
}

/// The folder of a server that was stopped in order.
async fn stopped() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    let run = |n| put(&store, execution(n), vec![request(model::Origin::Manual)]);
    for n in 0..50 {
        run(n).await;
    }
    drop(store);
    folder
}

fn cut(file: &Path, length: u64) {
    fs::File::options().write(true).open(file).unwrap().set_len(length).unwrap();
}

/// The files' contents, the lock apart: it is taken before anything is looked at.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let files = files.filter(|entry| entry.file_name() != "lock" && entry.path().is_file());
    files
        .map(|entry| {
            (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).unwrap())
        })
        .collect()
}

/// Both the start and the doctor refuse the folder, say `what`, and change nothing in it.
#[track_caller]
fn check_refused(folder: &Path, what: &str) {
    let before = contents(folder);
    let findings = Sqlite::verify(folder);
    assert_eq!(findings[0].severity, Severity::Error, "{findings:?}");
    assert!(findings[0].what.contains(what), "{findings:?}");
    assert!(findings[0].to_do.contains("backup"), "{findings:?}");
    let refused = open(folder).unwrap_err().to_string();
    assert!(refused.contains(what), "{refused}");
    assert!(contents(folder) == before, "{:?}", contents(folder).keys());
}

#[tokio::test]
async fn an_emptied_database_is_told_and_the_log_beside_it_is_kept() {
    let folder = killed().await;
    cut(&folder.path().join("tripline.db"), 0);
    check_refused(folder.path(), "is empty, though the folder was used before, and 5 facts were");
    check_refused(folder.path(), "`tripline.db-wal` beside it was left as it is");
}

#[tokio::test]
async fn a_database_that_was_cut_short_is_told() {
    let folder = stopped().await;
    let database = folder.path().join("tripline.db");
    let whole = fs::metadata(&database).unwrap().len();
    for length in [whole - 4_096, whole / 2, 4_096, 100] {
        cut(&database, length);
        check_refused(folder.path(), &format!("cut short: {length} of {whole} bytes are left"));
    }
    cut(&database, 99);
    check_refused(folder.path(), "cut short");
}

#[tokio::test]
async fn a_database_of_other_bytes_is_told() {
    let folder = stopped().await;
    fs::write(folder.path().join("tripline.db"), b"no database".repeat(1_000)).unwrap();
    check_refused(folder.path(), "it is no SQLite database");
}

#[tokio::test]
async fn a_database_without_its_log_holds_nothing_and_is_told() {
    let folder = killed().await;
    fs::remove_file(folder.path().join("tripline.db-wal")).unwrap();
    let before = fs::read(folder.path().join("tripline.db")).unwrap();
    let refused = open(folder.path()).unwrap_err().to_string();
    assert!(refused.contains("is empty") && refused.contains("5 facts"), "{refused}");
    assert_eq!(Sqlite::verify(folder.path())[0].what, refused.split("; ").next().unwrap());
    assert_eq!(fs::read(folder.path().join("tripline.db")).unwrap(), before);
}

#[tokio::test]
async fn a_folder_that_was_used_and_has_no_database_is_told() {
    let folder = stopped().await;
    fs::remove_file(folder.path().join("tripline.db")).unwrap();
    check_refused(folder.path(), "is not there, though the folder was used before (it holds");
    check_refused(folder.path(), "`head`, and 50 facts were acknowledged in it");
    for trace in ["admin.token", "server.json", "packs", "logs"] {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(trace)).unwrap();
        check_refused(folder.path(), &format!("(it holds `{trace}`)"));
        // Nor is an empty file taken for a new database.
        fs::write(folder.path().join("tripline.db"), "").unwrap();
        check_refused(folder.path(), "is empty, though the folder was used before");
    }
}

#[tokio::test]
async fn a_first_start_that_was_cut_off_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("lock"), "17").unwrap();
    fs::write(folder.path().join("tripline.db"), "").unwrap();
    let store = open(folder.path()).unwrap();
    assert_eq!(store.head().await.unwrap(), Position(0));
}

#[tokio::test]
async fn a_crash_while_the_log_is_copied_into_the_database_is_no_damage() {
    let (folder, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(folder.path()).unwrap();
    let run = |n| put(&store, execution(n), vec![request(model::Origin::Manual)]);
    for n in 0..50 {
        run(n).await;
    }
    let log = fs::read(folder.path().join("tripline.db-wal")).unwrap();
    Connection::open(folder.path().join("tripline.db"))
        .unwrap()
        .query_row("PRAGMA wal_checkpoint(FULL)", [], |_| Ok(()))
        .unwrap();
    for file in ["tripline.db", "head"] {
        fs::copy(folder.path().join(file), copy.path().join(file)).unwrap();
    }
    fs::write(copy.path().join("tripline.db-wal"), log).unwrap();
    // Its first page is written, which tells of pages that are not yet.
    cut(&copy.path().join("tripline.db"), 3 * 4_096);
    assert_eq!(Sqlite::verify(copy.path()), []);
    assert_eq!(open(copy.path()).unwrap().head().await.unwrap(), Position(50));
}

#[tokio::test]
async fn a_clean_stop_leaves_everything_in_the_database() {
    let folder = stopped().await;
    let log = fs::metadata(folder.path().join("tripline.db-wal")).map_or(0, |file| file.len());
    assert_eq!(log, 0);
    let copy = tempfile::tempdir().unwrap();
    for file in ["tripline.db", "head"] {
        fs::copy(folder.path().join(file), copy.path().join(file)).unwrap();
    }
    assert_eq!(Sqlite::verify(copy.path()), []);
    let store = open(copy.path()).unwrap();
    let stream = Stream::Execution(execution_id(49));
    assert_eq!(store.read(&stream, Version::NONE).await.unwrap().0.len(), 1);
}

#[tokio::test]
async fn a_database_that_another_program_locks_is_told_with_what_to_do() {
    let folder = stopped().await;
    let other = Connection::open(folder.path().join("tripline.db")).unwrap();
    other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
    let refused = open(folder.path()).unwrap_err();
    assert!(matches!(refused, OpenError::Locked { .. }), "{refused}");
    assert!(refused.to_string().contains("close whatever has it open"), "{refused}");
    let told = &Sqlite::verify(folder.path())[0];
    assert!(told.to_do.contains("close whatever has it open"), "{told:?}");
    drop(other);
    open(folder.path()).unwrap();
}

#[test]
fn a_new_state_folder_is_its_owners_alone() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("state");
    open(&folder).unwrap();
    let mode = fs::metadata(&folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}
