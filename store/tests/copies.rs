//! Copies of the store, made while it is at work.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::*;
use futures::future::join_all;
use model::{BlobRef, Fact, Stream, Timestamp, Version};
use store::sqlite::{Options, about};
use store::{Memory, Position, Restored, Sealed, Sealing, Sqlite, Store, StoreError};

fn open(folder: &std::path::Path) -> Sqlite {
    Sqlite::open(folder, &Options::default()).unwrap()
}

/// Enough that the database is copied in several parts.
const LARGE: usize = 200 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_made_under_load_is_whole_and_the_load_goes_on() {
    let (folder, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Arc::new(open(folder.path()));
    for n in 0..40 {
        put(store.as_ref(), key(&format!("p/{n}")), vec![set(&"x".repeat(LARGE), None)]).await;
    }
    let before = store.head().await.unwrap();
    let copied = Arc::new(AtomicBool::new(false));
    let work = async |store: Arc<Sqlite>, copied: Arc<AtomicBool>, who: usize| {
        let mut done = 0;
        while !copied.load(Ordering::Relaxed) {
            put(store.as_ref(), sensor(&format!("{who}/{done}")), vec![moved("on")]).await;
            done += 1;
        }
        done
    };
    let load: Vec<_> =
        (0..8).map(|who| tokio::spawn(work(store.clone(), copied.clone(), who))).collect();
    store.copy_to(copy.path()).await.unwrap();
    copied.store(true, Ordering::Relaxed);
    let during: usize = join_all(load).await.into_iter().map(Result::unwrap).sum();
    // One of each may have waited for the end of the copy.
    assert!(during > 8, "work went on between the parts: {during}");
    assert_eq!(Sqlite::verify(copy.path()), []);
    let end = about(copy.path()).unwrap().position;
    assert!(end >= before, "{end:?} {before:?}");
    let of_copy = open(copy.path()).log(Position(0), 10_000).await.unwrap();
    let of_store = store.log(Position(0), of_copy.len()).await.unwrap();
    assert_eq!(of_copy, of_store, "the copy is the log up to a moment");
}

#[tokio::test]
async fn a_copy_has_blobs_that_facts_name_and_sealed_records_and_no_other_file() {
    let (folder, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(folder.path());
    let named = BlobRef::of(b"named");
    store.put_blob(b"named".to_vec()).await.unwrap();
    let unnamed = store.put_blob(b"unnamed".to_vec()).await.unwrap();
    let fact = Fact::KeySet { value: named.to_value(), expires_at: None };
    let sealed = Sealed { key: "k".to_owned(), ciphertext: b"cipher".to_vec(), at: at(1) };
    let sealing = vec![Sealing::Put("s".to_owned(), sealed.clone())];
    let change = batch("b", vec![write(key("p/k"), vec![fact])]);
    store.append_sealing(change, sealing).await.unwrap();
    store.copy_to(copy.path()).await.unwrap();
    let copied = open(copy.path());
    assert_eq!(copied.blob(named.blob).await.unwrap(), Some(b"named".to_vec()));
    assert_eq!(copied.blob(unnamed).await.unwrap(), None);
    assert_eq!(copied.sealed("s").await.unwrap(), Some(sealed));
    assert!(!copy.path().join("admin.token").exists());
}

#[tokio::test]
async fn what_was_restored_is_known_and_the_last_time_counts() {
    let folder = tempfile::tempdir().unwrap();
    let (sqlite, memory) = (open(folder.path()), Memory::new());
    for store in [&sqlite as &dyn Store, &memory] {
        assert_eq!(store.restored().await.unwrap(), None);
        for second in [10, 20] {
            let taken_at: Timestamp = at(second);
            let fact = Fact::StateRestored { taken_at, at: at(second + 5) };
            put(store, Stream::Installation, vec![fact]).await;
        }
        let last = Restored { taken_at: at(20), at: at(25) };
        assert_eq!(store.restored().await.unwrap(), Some(last));
    }
}

#[tokio::test]
async fn a_copy_that_cannot_be_made_is_an_error_and_the_store_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let nowhere = folder.path().join("nowhere");
    store.copy_to(&nowhere).await.unwrap_err();
    put(&store, sensor("s"), vec![moved("a")]).await;
    fs::create_dir(&nowhere).unwrap();
    store.copy_to(&nowhere).await.unwrap();
    let (facts, _) = open(&nowhere).read(&sensor("s"), Version::NONE).await.unwrap();
    assert_eq!(facts.len(), 1);
    let memory = Memory::new();
    let refused = memory.copy_to(folder.path()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Refused(_)), "{refused}");
}
