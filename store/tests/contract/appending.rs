//! What is appended, and when it is not.

use std::fmt::Write as _;
use std::time::Duration;

use expect_test::expect;
use futures::future::join_all;
use model::{Actor, BatchId, Origin, Stream, Version};
use store::{Appended, MAX_BATCH_FACTS, MAX_FACT_BYTES, Position, Store, StoreError};

use crate::common::*;

contract!(
    a_batch_is_appended_only_at_the_versions_it_expects,
    a_batch_that_is_in_is_answered_as_the_first_time,
    a_batch_over_several_streams_is_appended_whole_or_not_at_all,
    one_batchs_conflict_leaves_its_neighbours_alone,
    of_many_that_expect_the_same_version_exactly_one_is_appended,
    a_batch_that_is_not_well_formed_is_refused,
    a_batch_at_the_bounds_is_taken,
    facts_read_as_they_were_appended,
    waiting_ends_when_the_log_moves_on,
);

fn committed(position: u64) -> Appended {
    Appended::Committed { position: Position(position) }
}

async fn a_batch_is_appended_only_at_the_versions_it_expects(store: &dyn Store) {
    let stream = || sensor("app/push");
    let step = |id: &str, expected: u64| {
        batch(id, vec![expecting(Version(expected), write(stream(), vec![moved(id)]))])
    };
    assert_eq!(store.append(step("a", 0)).await.unwrap(), committed(1));
    let conflict = Appended::Conflict { stream: stream(), actual: Version(1) };
    assert_eq!(store.append(step("b", 0)).await.unwrap(), conflict);
    // A version is a position of the whole log, not a count of the stream's facts.
    put(store, sensor("app/other"), vec![moved("x")]).await;
    assert_eq!(store.append(step("c", 1)).await.unwrap(), committed(3));
    assert_eq!(store.append(step("d", 3)).await.unwrap(), committed(4));
    // A batch that met a conflict was not taken, and may come again.
    assert_eq!(store.append(step("b", 4)).await.unwrap(), committed(5));
    assert_eq!(store.cursor("app/push").await.unwrap().map(|it| it.cursor), Some("b".into()));
}

async fn a_batch_that_is_in_is_answered_as_the_first_time(store: &dyn Store) {
    let once = || {
        let first = expecting(Version::NONE, write(sensor("a"), vec![moved("1"), moved("2")]));
        batch("once", vec![first])
    };
    assert_eq!(store.append(once()).await.unwrap(), committed(2));
    put(store, sensor("a"), vec![moved("3")]).await;
    assert_eq!(store.append(once()).await.unwrap(), committed(2));
    assert_eq!(store.head().await.unwrap(), Position(3));
    let late = batch("late", vec![expecting(Version::NONE, write(sensor("a"), vec![moved("4")]))]);
    assert!(matches!(store.append(late).await.unwrap(), Appended::Conflict { .. }));
    for (id, position) in [("once", Some(Position(2))), ("late", None), ("nobody's", None)] {
        assert_eq!(store.appended(&BatchId::new(id)).await.unwrap(), position, "{id}");
    }
    let twice = || store.append(batch("twice", vec![write(sensor("b"), vec![moved("1")])]));
    let answers = join_all((0..20).map(|_| twice())).await;
    assert!(answers.into_iter().all(|answer| answer.unwrap() == committed(4)));
}

async fn a_batch_over_several_streams_is_appended_whole_or_not_at_all(store: &dyn Store) {
    put(store, sensor("taken"), vec![moved("1")]).await;
    let event = write(Stream::Event(event_key("e1")), vec![accepted("e1", &[("app.release", 1)])]);
    let run = write(execution(1), vec![request(by_rule("app.release"))]);
    let both = |cursor: u64| {
        let cursor = expecting(Version(cursor), write(sensor("taken"), vec![moved("2")]));
        batch("event", vec![event.clone(), run.clone(), cursor])
    };
    let conflict = Appended::Conflict { stream: sensor("taken"), actual: Version(1) };
    assert_eq!(store.append(both(0)).await.unwrap(), conflict);
    assert_eq!(store.head().await.unwrap(), Position(1));
    assert_eq!(store.event(&event_key("e1")).await.unwrap(), None);
    assert_eq!(store.execution(&execution_id(1)).await.unwrap(), None);

    assert_eq!(store.append(both(1)).await.unwrap(), committed(4));
    assert!(store.event(&event_key("e1")).await.unwrap().is_some());
    assert!(store.execution(&execution_id(1)).await.unwrap().is_some());
    assert_eq!(store.cursor("taken").await.unwrap().map(|it| it.cursor), Some("2".into()));
}

async fn one_batchs_conflict_leaves_its_neighbours_alone(store: &dyn Store) {
    let appends = (0..60_u64).map(|n| {
        let stream = sensor(&format!("s{n}"));
        // Every third one expects what is not there.
        let expected = if n % 3 == 0 { Version(9_999) } else { Version::NONE };
        let facts = vec![moved("1"), moved("2")];
        store.append(batch(&format!("b{n}"), vec![expecting(expected, write(stream, facts))]))
    });
    for (n, answer) in join_all(appends).await.into_iter().enumerate() {
        let conflict = matches!(answer.unwrap(), Appended::Conflict { .. });
        assert_eq!(conflict, n % 3 == 0, "batch {n}");
        let cursor = store.cursor(&format!("s{n}")).await.unwrap().map(|it| it.cursor);
        assert_eq!(cursor, (!conflict).then(|| "2".into()), "batch {n}");
    }
    assert_eq!(store.head().await.unwrap(), Position(80));
}

async fn of_many_that_expect_the_same_version_exactly_one_is_appended(store: &dyn Store) {
    let appends = (0..40).map(|n| {
        let write = write(key("pack.app/lock"), vec![set(&n.to_string(), None)]);
        store.append(batch(&format!("b{n}"), vec![expecting(Version::NONE, write)]))
    });
    let won = |answer: &Result<_, _>| matches!(answer, Ok(Appended::Committed { .. }));
    assert_eq!(join_all(appends).await.iter().filter(|answer| won(answer)).count(), 1);
}

async fn a_batch_that_is_not_well_formed_is_refused(store: &dyn Store) {
    let many = |n: usize| vec![moved("x"); n];
    let large = |bytes: usize| moved(&"x".repeat(bytes));
    let cases = [
        vec![],
        vec![write(sensor("a"), vec![])],
        vec![write(sensor("a"), many(1)), write(sensor("b"), vec![])],
        vec![write(sensor("a"), many(1)), write(sensor("a"), many(1))],
        vec![write(key("a/b"), many(1))],
        vec![write(sensor("a"), many(250)), write(sensor("b"), many(251))],
        vec![write(sensor("a"), vec![large(MAX_FACT_BYTES)])],
        vec![write(sensor("a"), vec![large(500 * 1024); 9])],
    ];
    let mut told = String::new();
    for writes in cases {
        match store.append(batch("b", writes)).await {
            Err(StoreError::Refused(why)) => writeln!(told, "{why}").unwrap(),
            other => panic!("{other:?}"),
        }
    }
    expect![[r#"
        `b` holds no fact
        `b` holds no fact
        `b` names the stream `sensor/b` without a fact for it
        `b` writes the stream `sensor/a` twice
        `b` puts a CursorMoved into the stream `key/a/b`
        `b` holds 501 facts, more than 500
        `b` holds a CursorMoved of 524317 bytes, more than 524288: keep its body as a blob
        `b` holds 4608261 bytes of facts, more than 4194304
    "#]]
    .assert_eq(&told);
    assert_eq!(store.head().await.unwrap(), Position(0));
}

async fn a_batch_at_the_bounds_is_taken(store: &dyn Store) {
    let most = vec![moved("x"); MAX_BATCH_FACTS];
    assert_eq!(put(store, sensor("a"), most).await, Position(500));
    let empty = moved("").encode().len();
    let largest = vec![moved(&"x".repeat(MAX_FACT_BYTES - empty)); 8];
    assert_eq!(put(store, sensor("a"), largest.clone()).await, Position(508));
    let (facts, _) = store.read(&sensor("a"), Version(500)).await.unwrap();
    assert!(facts.into_iter().map(|recorded| recorded.fact).eq(largest));
}

async fn facts_read_as_they_were_appended(store: &dyn Store) {
    let facts = [request(Origin::Manual), intended("1", 20), finished("1", 21)];
    put(store, execution(1), facts[..1].to_vec()).await;
    put(store, execution(2), vec![request(Origin::Manual)]).await;
    put(store, execution(1), facts[1..].to_vec()).await;

    let (read, version) = store.read(&execution(1), Version::NONE).await.unwrap();
    assert_eq!(version, Version(4));
    let positions = read.iter().map(|recorded| recorded.position.0);
    assert!(positions.eq([1, 3, 4]));
    assert!(read.iter().all(|recorded| recorded.stream == execution(1)));
    assert!(read.iter().all(|recorded| recorded.at == at(100)));
    assert!(read.iter().all(|recorded| recorded.actor == Actor::token("ann")));
    assert!(read.iter().map(|recorded| &recorded.fact).eq(&facts));

    let (later, version) = store.read(&execution(1), Version(1)).await.unwrap();
    assert_eq!((&later[..], version), (&read[1..], Version(4)));
    assert_eq!(store.read(&execution(1), version).await.unwrap(), (vec![], version));
    assert_eq!(store.read(&execution(9), Version::NONE).await.unwrap(), (vec![], Version::NONE));

    let log = store.log(Position(0), 100).await.unwrap();
    assert!(log.iter().map(|recorded| recorded.position.0).eq(1..=4));
    assert_eq!(log[3], read[2]);
    assert_eq!(store.log(Position(1), 2).await.unwrap(), log[1..3]);
    assert_eq!(store.log(Position(4), 10).await.unwrap(), []);
    assert_eq!(store.log(Position(0), 0).await.unwrap(), []);
}

async fn waiting_ends_when_the_log_moves_on(store: &dyn Store) {
    put(store, sensor("a"), vec![moved("1")]).await;
    assert_eq!(store.wait(Position(0)).await.unwrap(), Position(1));
    let waiting = store.wait(Position(1));
    let append = put(store, sensor("a"), vec![moved("2"), moved("3")]);
    let both = async { tokio::join!(waiting, append) };
    let (head, _) = tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
    assert_eq!(head.unwrap(), Position(3));
    assert_eq!(store.head().await.unwrap(), Position(3));
}
