//! What is kept by its latest value: keys, cursors, switches, generations; and blobs by their hash.

use std::collections::BTreeMap;

use model::{Fact, Hash, Stream, Value, Version};
use store::{CursorRow, Store};

use crate::common::*;

contract!(
    a_key_is_there_until_it_expires_or_is_deleted,
    keys_are_listed_by_prefix_in_order,
    an_object_is_remembered_as_it_was_seen_last_until_it_is_gone,
    a_cursor_is_the_latest_one,
    sensors_that_have_a_cursor_are_listed_with_it,
    an_event_is_deferred_until_its_last_page_is_stored,
    a_switch_stands_until_it_is_cleared,
    the_installation_keeps_its_name_and_its_latest_generation,
    a_blob_is_found_by_its_hash,
);

async fn a_key_is_there_until_it_expires_or_is_deleted(store: &dyn Store) {
    let name = "pack.app/last";
    assert_eq!(store.key(name, at(0)).await.unwrap(), None);
    put(store, key(name), vec![set("1", None)]).await;
    put(store, key(name), vec![set("2", Some(200))]).await;
    let row = store.key(name, at(199)).await.unwrap().unwrap();
    assert_eq!((row.key.as_str(), row.value, row.version), (name, "2".into(), Version(2)));
    assert_eq!((row.expires_at, row.at), (Some(at(200)), at(100)));
    assert_eq!(store.key(name, at(200)).await.unwrap(), None);

    put(store, key(name), vec![Fact::KeyDeleted]).await;
    assert_eq!(store.key(name, at(0)).await.unwrap(), None);
    // A key that is gone keeps its version, so that setting it anew is a step like any other.
    assert_eq!(store.read(&key(name), Version::NONE).await.unwrap().1, Version(3));
    put(store, key(name), vec![set("3", None)]).await;
    assert_eq!(store.key(name, at(0)).await.unwrap().unwrap().value, Value::from("3"));
}

async fn keys_are_listed_by_prefix_in_order(store: &dyn Store) {
    for name in ["pack.app/b", "pack.app/a", "pack.app/ä%_", "pack.apps/x", "global/z"] {
        put(store, key(name), vec![set("1", None)]).await;
    }
    put(store, key("pack.app/aa"), vec![set("1", Some(50))]).await;
    put(store, key("pack.app/c"), vec![set("1", None), Fact::KeyDeleted]).await;
    for (prefix, after, now, limit, expected) in [
        ("pack.app/", "", 0, 10, &["pack.app/a", "pack.app/aa", "pack.app/b", "pack.app/ä%_"][..]),
        ("pack.app/", "", 60, 2, &["pack.app/a", "pack.app/b"]),
        ("pack.app/ä", "", 0, 10, &["pack.app/ä%_"]),
        ("pack.app/%", "", 0, 10, &[]),
        ("", "", 60, 2, &["global/z", "pack.app/a"]),
        ("z", "", 0, 10, &[]),
        // Pages: after the last key of the one before, which may be gone by now.
        ("", "global/z", 60, 2, &["pack.app/a", "pack.app/b"]),
        ("pack.app/", "pack.app/b", 0, 10, &["pack.app/ä%_"]),
        ("pack.app/", "pack.app/aaa", 0, 1, &["pack.app/b"]),
        ("pack.app/", "global/z", 0, 1, &["pack.app/a"]),
        ("pack.app/", "pack.app/ä%_", 0, 10, &[]),
        ("global/", "pack", 0, 10, &[]),
    ] {
        let rows = store.keys(prefix, after, at(now), limit).await.unwrap();
        let found: Vec<_> = rows.iter().map(|row| row.key.as_str()).collect();
        assert_eq!(found, expected, "{prefix} after {after} at {now}");
    }
}

async fn an_object_is_remembered_as_it_was_seen_last_until_it_is_gone(store: &dyn Store) {
    let seen = |entry: &str| Fact::ObjectSeen { entry: entry.into() };
    let object = |name: &str| Stream::Seen(name.to_owned());
    for (name, fact) in [
        ("k/1/a/x", seen("old")),
        ("k/1/a/x", seen("new")),
        ("k/1/b", seen("b")),
        ("k/1/gone", seen("1")),
        ("k/1/gone", Fact::ObjectGone),
        ("k/1/z", seen("z")),
        ("k/10/a", seen("another sensor's")),
    ] {
        put(store, object(name), vec![fact]).await;
    }
    let several = ["gone", "a/x", "never"].map(ToOwned::to_owned);
    assert_eq!(store.seen("k/1", &several).await.unwrap(), [None, Some("new".into()), None]);
    for (after, limit, expected) in [
        ("", 10, &[("a/x", "new"), ("b", "b"), ("z", "z")][..]),
        ("", 2, &[("a/x", "new"), ("b", "b")]),
        ("b", 10, &[("z", "z")]),
        ("gone", 10, &[("z", "z")]),
        ("z", 10, &[]),
    ] {
        let found = store.all_seen("k/1", after, limit).await.unwrap();
        let found: Vec<_> =
            found.iter().map(|(name, entry)| (name.as_str(), entry.as_str().unwrap())).collect();
        assert_eq!(found, expected, "after {after}");
    }
    put(store, object("k/1/gone"), vec![seen("again")]).await;
    assert_eq!(store.seen("k/1", &["gone".to_owned()]).await.unwrap(), [Some("again".into())]);
}

async fn a_cursor_is_the_latest_one(store: &dyn Store) {
    assert_eq!(store.cursor("app/push").await.unwrap(), None);
    put(store, sensor("app/push"), vec![moved("1"), moved("2")]).await;
    put(store, sensor("app/push2"), vec![moved("9")]).await;
    assert_eq!(store.cursor("app/push").await.unwrap().map(|it| it.cursor), Some("2".into()));
}

async fn sensors_that_have_a_cursor_are_listed_with_it(store: &dyn Store) {
    assert_eq!(store.cursors().await.unwrap(), BTreeMap::new());
    put(store, sensor("app/push"), vec![moved("1"), moved("2")]).await;
    put(store, sensor("timer.cron/0a1b"), vec![moved("9")]).await;
    put(store, sensor("timer.cron/2c3d"), vec![moved("7")]).await;
    let cleared = Fact::CursorMoved { cursor: Value::Null, behind: false };
    put(store, sensor("timer.cron/2c3d"), vec![cleared]).await;
    let expected = [("app/push", "2", 2), ("timer.cron/0a1b", "9", 3)].map(|(id, cursor, n)| {
        let (cursor, version) = (cursor.into(), Version(n));
        (id.to_owned(), CursorRow { cursor, behind: false, version, at: at(100) })
    });
    assert_eq!(store.cursors().await.unwrap(), expected.into());
}

async fn an_event_is_deferred_until_its_last_page_is_stored(store: &dyn Store) {
    let pages = |id: &str| Stream::Pages(event_key(id));
    let two = || vec![Fact::PagesDeferred { pages: vec![Hash::of(b"1"), Hash::of(b"2")] }];
    put(store, pages("e1"), two()).await;
    put(store, pages("e2"), two()).await;
    put(store, pages("e1"), vec![Fact::PageStored { page: 1, of: 2 }]).await;
    assert_eq!(store.deferred().await.unwrap().len(), 2);
    put(store, pages("e1"), vec![Fact::PageStored { page: 2, of: 2 }]).await;
    assert_eq!(store.deferred().await.unwrap(), [event_key("e2")]);
}

async fn a_switch_stands_until_it_is_cleared(store: &dyn Store) {
    let rule = |name: &str| Stream::Rule(name.parse().unwrap());
    let switched = |enabled| vec![Fact::RuleSwitched { enabled }];
    put(store, rule("app.a"), switched(Some(true))).await;
    put(store, rule("app.b"), switched(Some(true))).await;
    put(store, rule("app.b"), switched(Some(false))).await;
    put(store, rule("app.c"), switched(Some(true))).await;
    put(store, rule("app.c"), switched(None)).await;
    let expected =
        BTreeMap::from([("app.a".parse().unwrap(), true), ("app.b".parse().unwrap(), false)]);
    assert_eq!(store.rule_switches().await.unwrap(), expected);
}

async fn the_installation_keeps_its_name_and_its_latest_generation(store: &dyn Store) {
    assert_eq!(store.installation().await.unwrap(), None);
    assert_eq!(store.generation().await.unwrap(), None);
    put(
        store,
        Stream::Installation,
        vec![Fact::InstallationNamed { name: "demo".parse().unwrap() }],
    )
    .await;
    for generation in 1..4 {
        let packs = BTreeMap::from([("app".parse().unwrap(), Hash::of(&[generation as u8]))]);
        put(store, Stream::Installation, vec![Fact::GenerationActivated { generation, packs }])
            .await;
    }
    assert_eq!(store.installation().await.unwrap(), Some("demo".parse().unwrap()));
    let packs = BTreeMap::from([("app".parse().unwrap(), Hash::of(&[3]))]);
    assert_eq!(store.generation().await.unwrap(), Some((3, packs)));
}

async fn a_blob_is_found_by_its_hash(store: &dyn Store) {
    let bytes = vec![7; 600_000];
    let hash = store.put_blob(bytes.clone()).await.unwrap();
    assert_eq!(hash, Hash::of(&bytes));
    assert_eq!(store.put_blob(bytes.clone()).await.unwrap(), hash);
    assert_eq!(store.blob(hash).await.unwrap(), Some(bytes));
    assert_eq!(store.blob(Hash::of(b"other")).await.unwrap(), None);
}
