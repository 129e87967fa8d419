//! What the embedded store promises beyond the contract.

use model::{Actor, BatchId, Fact, Stream, Timestamp, Version};
use store::sqlite::Options;
use store::{Appended, Batch, Position, Sqlite, Store, Write};

fn moved(id: &str, cursor: &str) -> Batch {
    let fact = Fact::CursorMoved { cursor: cursor.into() };
    let write = Write { stream: Stream::Sensor(id.to_owned()), expected: None, facts: vec![fact] };
    let (id, actor) = (BatchId::new(format!("{id}/{cursor}")), Actor::engine());
    Batch { id, actor, at: Timestamp::UNIX_EPOCH, writes: vec![write] }
}

#[tokio::test]
async fn what_was_appended_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(folder.path(), &Options::default()).unwrap();
    let first = store.append(moved("a/b", "1")).await.unwrap();
    assert_eq!(first, Appended::Committed { position: Position(1) });
    drop(store);
    let store = Sqlite::open(folder.path(), &Options::default()).unwrap();
    assert_eq!(store.cursor("a/b").await.unwrap(), Some("1".into()));
    assert_eq!(store.append(moved("a/b", "1")).await.unwrap(), first);
    let (facts, version) =
        store.read(&Stream::Sensor("a/b".to_owned()), Version::NONE).await.unwrap();
    assert_eq!((facts.len(), version), (1, Version(1)));
}
