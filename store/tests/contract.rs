//! What every store does, run over each of them.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use common::*;
use expect_test::expect;
use futures::future::join_all;
use model::{
    Actor, Body, ExecutionId, ExecutionState, Fact, Hash, Origin, Resolution, Sequence, Stream,
    UndoReason, Value, Version,
};
use store::sqlite::Options;
use store::{
    Appended, EventFilter, ExecutionFilter, ExecutionRow, MAX_BATCH_FACTS, MAX_FACT_BYTES, Memory,
    Position, RuleCount, Sqlite, Store, StoreError,
};

macro_rules! contract {
    ($($behaviour:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $behaviour() {
                super::$behaviour(&super::Memory::new()).await;
            })*
        }
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() {
                let folder = tempfile::tempdir().unwrap();
                let options = super::Options::default();
                let store = super::Sqlite::open(folder.path(), &options).unwrap();
                super::$behaviour(&store).await;
            })*
        }
    };
}

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
    an_executions_row_follows_its_facts,
    a_request_to_cancel_makes_a_waiting_execution_due,
    an_executions_row_tells_where_it_comes_from,
    facts_of_an_execution_that_nobody_requested_make_no_row,
    executions_are_listed_by_what_the_filter_names,
    executions_are_listed_in_pages,
    unfinished_executions_come_in_pages_in_order_of_id,
    executions_are_counted_by_state,
    an_event_is_found_with_its_data_and_what_rules_made_of_it,
    an_event_told_again_is_counted,
    events_are_listed_by_what_the_filter_names,
    a_rule_is_counted_once_an_event,
    a_key_is_there_until_it_expires_or_is_deleted,
    keys_are_listed_by_prefix_in_order,
    a_cursor_is_the_latest_one,
    a_switch_stands_until_it_is_cleared,
    the_installation_keeps_its_name_and_its_latest_generation,
    a_blob_is_found_by_its_hash,
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
    assert_eq!(store.cursor("app/push").await.unwrap(), Some("b".into()));
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
    assert_eq!(store.cursor("taken").await.unwrap(), Some("2".into()));
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
        let cursor = store.cursor(&format!("s{n}")).await.unwrap();
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

/// A row without what never changes.
fn brief(row: &ExecutionRow) -> String {
    let second = |time: Option<model::Timestamp>| {
        time.map_or("-".to_owned(), |time| time.as_second().to_string())
    };
    format!(
        "{} started {} finished {} wakes {} {}",
        row.state,
        second(row.started_at),
        second(row.finished_at),
        second(row.wake_at),
        row.message.as_deref().unwrap_or("-"),
    )
}

async fn told(store: &dyn Store, facts: Vec<Fact>) -> String {
    let mut told = String::new();
    for fact in facts {
        let name = fact.name();
        put(store, execution(1), vec![fact]).await;
        let row = store.execution(&execution_id(1)).await.unwrap().unwrap();
        writeln!(told, "{name}: {}", brief(&row)).unwrap();
    }
    told
}

async fn an_executions_row_follows_its_facts(store: &dyn Store) {
    let resolved = |step| Fact::StepResolved {
        path: Some(path(step)),
        resolution: Resolution::Fail("no".into()),
        at: at(40),
    };
    let attention =
        Fact::AttentionNeeded { path: Some(path("2")), error: error("unknown"), at: at(30) };
    let undo = Fact::UndoBegan {
        position: Sequence(6),
        reason: UndoReason::Failed(error("no")),
        at: at(41),
    };
    let life = vec![
        request(by_rule("app.release")),
        intended("1", 11),
        parked(Some(90)),
        finished("1", 90),
        parked(None),
        intended("2", 91),
        attention,
        parked(Some(99)),
        resolved("2"),
        undo,
        intended("undo.1.1", 42),
        parked(Some(50)),
        finished("undo.1.1", 50),
        ended(ExecutionState::Failed, 51),
    ];
    expect![[r#"
        ExecutionRequested: queued started - finished - wakes - -
        StepIntended: running started 11 finished - wakes - -
        ExecutionParked: waiting started 11 finished - wakes 90 -
        StepFinished: running started 11 finished - wakes - -
        ExecutionParked: waiting started 11 finished - wakes - -
        StepIntended: running started 11 finished - wakes - -
        AttentionNeeded: needs_attention started 11 finished - wakes - unknown
        ExecutionParked: needs_attention started 11 finished - wakes 99 unknown
        StepResolved: running started 11 finished - wakes - -
        UndoBegan: undoing started 11 finished - wakes - -
        StepIntended: undoing started 11 finished - wakes - -
        ExecutionParked: undoing started 11 finished - wakes 50 -
        StepFinished: undoing started 11 finished - wakes - -
        ExecutionFinished: failed started 11 finished 51 wakes - it broke
    "#]]
    .assert_eq(&told(store, life).await);
    // Several facts of one batch lead to the same row as one at a time.
    let facts =
        vec![request(Origin::Manual), intended("1", 11), ended(ExecutionState::Succeeded, 12)];
    put(store, execution(2), facts).await;
    let row = store.execution(&execution_id(2)).await.unwrap().unwrap();
    assert_eq!(brief(&row), "succeeded started 11 finished 12 wakes - -");
    // The end is the end, whatever comes late.
    put(store, execution(2), vec![finished("2", 13), parked(Some(90))]).await;
    let row = store.execution(&execution_id(2)).await.unwrap().unwrap();
    assert_eq!(brief(&row), "succeeded started 11 finished 12 wakes - -");
}

async fn a_request_to_cancel_makes_a_waiting_execution_due(store: &dyn Store) {
    let cancel = || Fact::CancelRequested { reason: None, at: at(30) };
    let undo = Fact::UndoBegan { position: Sequence(2), reason: UndoReason::Cancelled, at: at(31) };
    let life = vec![
        request(Origin::Manual),
        cancel(),
        parked(Some(90)),
        cancel(),
        undo,
        parked(Some(95)),
        cancel(),
        ended(ExecutionState::Cancelled, 96),
    ];
    expect![[r#"
        ExecutionRequested: queued started - finished - wakes - -
        CancelRequested: queued started - finished - wakes - -
        ExecutionParked: waiting started - finished - wakes 90 -
        CancelRequested: waiting started - finished - wakes 30 -
        UndoBegan: undoing started - finished - wakes - -
        ExecutionParked: undoing started - finished - wakes 95 -
        CancelRequested: undoing started - finished - wakes 95 -
        ExecutionFinished: cancelled started - finished 96 wakes - it broke
    "#]]
    .assert_eq(&told(store, life).await);
}

async fn an_executions_row_tells_where_it_comes_from(store: &dyn Store) {
    let origins = [
        by_rule("app.release"),
        Origin::Manual,
        Origin::Step { parent: execution_id(1), path: path("2.0.1") },
        Origin::Rerun { of: execution_id(2) },
    ];
    for (n, origin) in (1..).zip(origins) {
        let position = put(store, execution(n), vec![request(origin.clone())]).await;
        let id = execution_id(n);
        let row = ExecutionRow {
            id: id.clone(),
            action: "app.deploy".parse().unwrap(),
            state: ExecutionState::Queued,
            origin,
            requested_at: at(10),
            started_at: None,
            finished_at: None,
            wake_at: None,
            message: None,
            pack: Some(Hash::of(b"app")),
            position,
        };
        assert_eq!(store.execution(&id).await.unwrap(), Some(row));
    }
}

async fn facts_of_an_execution_that_nobody_requested_make_no_row(store: &dyn Store) {
    put(store, execution(1), vec![intended("1", 11), ended(ExecutionState::Failed, 12)]).await;
    assert_eq!(store.execution(&execution_id(1)).await.unwrap(), None);
    assert_eq!(store.counts().await.unwrap(), BTreeMap::new());
}

async fn executions_are_listed_by_what_the_filter_names(store: &dyn Store) {
    let child = Origin::Step { parent: execution_id(1), path: path("1") };
    put(store, execution(1), vec![request(by_rule("app.a"))]).await;
    put(store, execution(2), vec![request(by_rule("app.b")), intended("1", 11)]).await;
    put(store, execution(3), vec![request(child)]).await;
    let mut later = requested(Origin::Manual);
    (later.action, later.at) = ("core.echo".parse().unwrap(), at(50));
    put(store, execution(4), vec![Fact::ExecutionRequested(later), parked(None)]).await;

    let all = || ExecutionFilter { limit: 10, ..ExecutionFilter::default() };
    let (running, waiting) = (ExecutionState::Running, ExecutionState::Waiting);
    let elsewhere = model::EventKey::derive("elsewhere", "e1");
    for (filter, ids) in [
        (all(), &[4, 2, 1][..]),
        (ExecutionFilter { children: true, ..all() }, &[4, 3, 2, 1]),
        (ExecutionFilter { parent: Some(execution_id(1)), ..all() }, &[3]),
        (ExecutionFilter { parent: Some(execution_id(2)), ..all() }, &[]),
        (ExecutionFilter { states: vec![running], ..all() }, &[2]),
        (ExecutionFilter { states: vec![running, waiting], ..all() }, &[4, 2]),
        (ExecutionFilter { states: vec![ExecutionState::Failed], ..all() }, &[]),
        (ExecutionFilter { rule: Some("app.a".parse().unwrap()), ..all() }, &[1]),
        (ExecutionFilter { action: Some("core.echo".parse().unwrap()), ..all() }, &[4]),
        (ExecutionFilter { event: Some(event_key("e1")), ..all() }, &[2, 1]),
        (ExecutionFilter { event: Some(elsewhere), ..all() }, &[]),
        (ExecutionFilter { since: Some(at(50)), ..all() }, &[4]),
        (ExecutionFilter { limit: 0, ..all() }, &[]),
    ] {
        let rows = store.executions(&filter).await.unwrap();
        let found: Vec<_> = rows.into_iter().map(|row| row.id).collect();
        let expected: Vec<_> = ids.iter().copied().map(execution_id).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
}

async fn executions_are_listed_in_pages(store: &dyn Store) {
    for n in 0..25 {
        put(store, execution(n), vec![request(Origin::Manual), intended("1", 11)]).await;
    }
    let mut filter = ExecutionFilter { limit: 10, ..ExecutionFilter::default() };
    let mut ids = Vec::new();
    loop {
        let page = store.executions(&filter).await.unwrap();
        let Some(last) = page.last() else { break };
        filter.before = Some(last.position);
        ids.extend(page.into_iter().map(|row| row.id));
    }
    assert!(ids.into_iter().eq((0..25).rev().map(execution_id)));
}

async fn unfinished_executions_come_in_pages_in_order_of_id(store: &dyn Store) {
    for n in 0..30 {
        let facts = match n % 3 {
            0 => vec![request(by_rule("app.a")), ended(ExecutionState::Succeeded, 11)],
            1 => vec![request(by_rule("app.a"))],
            _ => vec![request(Origin::Manual), parked(Some(90))],
        };
        put(store, execution(n), facts).await;
    }
    let mut found = Vec::new();
    loop {
        let after: Option<ExecutionId> = found.last().map(|row: &store::Unfinished| row.id.clone());
        let page = store.unfinished(after.as_ref(), 7).await.unwrap();
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 7);
        found.extend(page);
    }
    let mut ids: Vec<_> = (0..30).filter(|n| n % 3 != 0).map(execution_id).collect();
    ids.sort();
    assert!(found.iter().map(|row| &row.id).eq(&ids));
    for row in found {
        let expected = match row.state {
            ExecutionState::Queued => (Some("app.a".parse().unwrap()), None),
            _ => (None, Some(at(90))),
        };
        assert_eq!((row.rule, row.wake_at), expected);
    }
}

async fn executions_are_counted_by_state(store: &dyn Store) {
    let states = [ExecutionState::Succeeded, ExecutionState::Succeeded, ExecutionState::TimedOut];
    for (n, state) in (0..).zip(states) {
        put(store, execution(n), vec![request(Origin::Manual), ended(state, 12)]).await;
    }
    put(store, execution(9), vec![request(Origin::Manual)]).await;
    let expected = BTreeMap::from([
        (ExecutionState::Queued, 1),
        (ExecutionState::Succeeded, 2),
        (ExecutionState::TimedOut, 1),
    ]);
    assert_eq!(store.counts().await.unwrap(), expected);
}

async fn an_event_is_found_with_its_data_and_what_rules_made_of_it(store: &dyn Store) {
    let fact = accepted_event("e1", &[("app.a", 1), ("app.b", 2)]);
    let stream = Stream::Event(event_key("e1"));
    let position = put(store, stream, vec![Fact::EventAccepted(fact.clone())]).await;
    let row = store.event(&event_key("e1")).await.unwrap().unwrap();
    assert_eq!(row.key, event_key("e1"));
    assert_eq!(row.envelope, fact.event.envelope);
    assert_eq!(row.data, Some(Body::Inline(serde_json::json!({ "ref": "e1" }))));
    assert_eq!((row.accepted_at, row.generation), (at(5), 7));
    assert_eq!(row.matched, fact.matched);
    assert_eq!((row.payload, row.position), (fact.payload, position));
    assert_eq!(store.event(&event_key("e2")).await.unwrap(), None);
}

async fn an_event_told_again_is_counted(store: &dyn Store) {
    let stream = || Stream::Event(event_key("e1"));
    put(store, stream(), vec![accepted("e1", &[]), Fact::EventRepeated { at: at(6) }]).await;
    let differs = Fact::DuplicateDiffers { payload: Hash::of(b"other"), at: at(7) };
    put(store, stream(), vec![Fact::EventRepeated { at: at(7) }, differs]).await;
    let row = store.event(&event_key("e1")).await.unwrap().unwrap();
    // One that was told again with other data was told again.
    assert_eq!((row.duplicates, row.differing), (3, 1));
    assert_eq!(row.payload, accepted_event("e1", &[]).payload);
}

async fn events_are_listed_by_what_the_filter_names(store: &dyn Store) {
    for (n, kind, source) in [
        ("1", "git.push", "tripline:demo/app/push"),
        ("2", "timer.cron", "tripline:demo/timer.cron/x"),
        ("3", "git.push", "tripline:demo/app/push%"),
        ("4", "git.push", "tripline:demo/app/other"),
    ] {
        let mut event = accepted_event(n, &[]);
        event.event.envelope.kind = kind.parse().unwrap();
        event.event.envelope.source = source.to_owned();
        event.accepted_at = at(n.parse().unwrap());
        let stream = Stream::Event(event.event.envelope.key());
        put(store, stream, vec![Fact::EventAccepted(event)]).await;
    }
    let all = || EventFilter { limit: 10, ..EventFilter::default() };
    let source = |source: &str| EventFilter { source: Some(source.to_owned()), ..all() };
    for (filter, ids) in [
        (all(), &["4", "3", "2", "1"][..]),
        (EventFilter { limit: 2, ..all() }, &["4", "3"]),
        (EventFilter { limit: 2, before: Some(Position(3)), ..all() }, &["2", "1"]),
        (EventFilter { kind: Some("timer.cron".parse().unwrap()), ..all() }, &["2"]),
        (source("tripline:demo/app/push"), &["3", "1"]),
        (source("tripline:demo/app/push%"), &["3"]),
        (source("app"), &[]),
        (EventFilter { since: Some(at(3)), ..all() }, &["4", "3"]),
    ] {
        let rows = store.events(&filter).await.unwrap();
        assert!(rows.iter().all(|row| row.data.is_none()), "listings leave data out");
        let found: Vec<_> = rows.iter().map(|row| row.envelope.id.as_str()).collect();
        assert_eq!(found, ids, "{filter:?}");
    }
}

async fn a_rule_is_counted_once_an_event(store: &dyn Store) {
    let failed = Fact::RuleFailed { rule: "app.b".parse().unwrap(), error: "no `size`".into() };
    let first = vec![accepted("e1", &[("app.a", 1), ("app.a", 2), ("app.b", 3)])];
    put(store, Stream::Event(event_key("e1")), first).await;
    let mut later = accepted_event("e2", &[("app.a", 4)]);
    later.accepted_at = at(60);
    let second = vec![Fact::EventAccepted(later), failed];
    put(store, Stream::Event(event_key("e2")), second).await;
    let count = |matched, failed, last| RuleCount { matched, failed, last_matched: Some(at(last)) };
    let expected = BTreeMap::from([
        ("app.a".parse().unwrap(), count(2, 0, 60)),
        ("app.b".parse().unwrap(), count(1, 1, 5)),
    ]);
    assert_eq!(store.rule_counts().await.unwrap(), expected);
}

fn set(value: &str, expires: Option<i64>) -> Fact {
    Fact::KeySet { value: value.into(), expires_at: expires.map(at) }
}

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
    for (prefix, now, limit, expected) in [
        ("pack.app/", 0, 10, &["pack.app/a", "pack.app/aa", "pack.app/b", "pack.app/ä%_"][..]),
        ("pack.app/", 60, 2, &["pack.app/a", "pack.app/b"]),
        ("pack.app/ä", 0, 10, &["pack.app/ä%_"]),
        ("pack.app/%", 0, 10, &[]),
        ("", 60, 2, &["global/z", "pack.app/a"]),
        ("z", 0, 10, &[]),
    ] {
        let rows = store.keys(prefix, at(now), limit).await.unwrap();
        let found: Vec<_> = rows.iter().map(|row| row.key.as_str()).collect();
        assert_eq!(found, expected, "{prefix} at {now}");
    }
}

async fn a_cursor_is_the_latest_one(store: &dyn Store) {
    assert_eq!(store.cursor("app/push").await.unwrap(), None);
    put(store, sensor("app/push"), vec![moved("1"), moved("2")]).await;
    put(store, sensor("app/push2"), vec![moved("9")]).await;
    assert_eq!(store.cursor("app/push").await.unwrap(), Some("2".into()));
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
