//! Encrypted records beside the log.

use std::collections::BTreeMap;

use model::Version;
use store::{Appended, Position, Sealed, Sealing, Store};

use crate::common::*;

contract!(
    sealed_records_change_with_the_batch_and_only_with_it,
    sealed_records_are_listed_by_name_and_counted_by_key,
);

fn sealed(key: &str, text: &str) -> Sealed {
    Sealed { key: key.to_owned(), ciphertext: text.as_bytes().to_vec(), at: at(1) }
}

async fn seal(store: &dyn Store, id: &str, expected: Version, sealing: Vec<Sealing>) -> Appended {
    let write = expecting(expected, write(sensor("app/push"), vec![moved(id)]));
    store.append_sealing(batch(id, vec![write]), sealing).await.unwrap()
}

async fn sealed_records_change_with_the_batch_and_only_with_it(store: &dyn Store) {
    let put = |text: &str| vec![Sealing::Put("secret/a@1".to_owned(), sealed("k1", text))];
    let committed = Appended::Committed { position: Position(1) };
    assert_eq!(seal(store, "1", Version::NONE, put("one")).await, committed);
    // A conflict changes nothing, and neither does a batch that is in already.
    let conflict = seal(store, "2", Version::NONE, put("two")).await;
    assert!(matches!(conflict, Appended::Conflict { .. }));
    assert_eq!(seal(store, "1", Version::NONE, put("three")).await, committed);
    assert_eq!(store.sealed("secret/a@1").await.unwrap(), Some(sealed("k1", "one")));
    let again = |name: &str| Sealing::Replace(name.to_owned(), sealed("k2", "anew"));
    seal(store, "3", Version(1), vec![again("secret/a@1"), again("secret/gone@1")]).await;
    assert_eq!(store.sealed("secret/a@1").await.unwrap(), Some(sealed("k2", "anew")));
    assert_eq!(store.sealed("secret/gone@1").await.unwrap(), None);
    seal(store, "4", Version(2), vec![Sealing::Delete("secret/a@1".to_owned())]).await;
    assert_eq!(store.sealed("secret/a@1").await.unwrap(), None);
}

async fn sealed_records_are_listed_by_name_and_counted_by_key(store: &dyn Store) {
    let put = |name: &str, key: &str| Sealing::Put(name.to_owned(), sealed(key, name));
    let all = [("b/1", "k1"), ("a/2", "k1"), ("a/1", "k2"), ("a_1", "k1")];
    seal(store, "1", Version::NONE, all.map(|(name, key)| put(name, key)).into()).await;
    let names = |rows: Vec<(String, Sealed)>| rows.into_iter().map(|row| row.0).collect::<Vec<_>>();
    assert_eq!(names(store.sealed_under("a/", "", 9).await.unwrap()), ["a/1", "a/2"]);
    assert_eq!(names(store.sealed_under("", "", 2).await.unwrap()), ["a/1", "a/2"]);
    assert_eq!(names(store.sealed_under("", "a/2", 2).await.unwrap()), ["a_1", "b/1"]);
    let counts = BTreeMap::from([("k1".to_owned(), 3), ("k2".to_owned(), 1)]);
    assert_eq!(store.sealing_keys().await.unwrap(), counts);
    seal(store, "2", Version(1), vec![Sealing::DeleteAll("a/".to_owned())]).await;
    assert_eq!(names(store.sealed_under("", "", 9).await.unwrap()), ["a_1", "b/1"]);
}
