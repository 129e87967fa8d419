//! An execution's row.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use expect_test::expect;
use model::{Actor, ExecutionState, Fact, Hash, Origin, Resolution, Sequence, UndoReason};
use store::{Asked, AskedTo, ExecutionFilter, ExecutionRow, Store};

use crate::common::*;

contract!(
    an_executions_row_follows_its_facts,
    a_request_to_cancel_makes_a_waiting_execution_due,
    an_executions_row_tells_where_it_comes_from,
    an_executions_row_tells_who_asked_for_its_end_or_holds_it_and_why,
    facts_of_an_execution_that_nobody_requested_make_no_row,
);

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
        Origin::Rerun { of: execution_id(2), rule: None },
        Origin::Rerun { of: execution_id(2), rule: Some("app.push".parse().unwrap()) },
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
            asked: None,
            pack: Some(Hash::of(b"app")),
            position,
        };
        assert_eq!(store.execution(&id).await.unwrap(), Some(row));
    }
}

async fn an_executions_row_tells_who_asked_for_its_end_or_holds_it_and_why(store: &dyn Store) {
    let why = |why: &str| Some(why.to_owned());
    let paused = |reason| Fact::ExecutionPaused { reason, with_parent: false, at: at(20) };
    let cancelled = Fact::CancelRequested { reason: why("wrong commit"), at: at(40) };
    let asked =
        |to, reason, second| Some(Asked { to, by: Actor::token("ann"), reason, at: at(second) });
    let held = asked(AskedTo::Pause, why("the shop is open"), 20);
    let to_end = asked(AskedTo::Cancel, why("wrong commit"), 40);
    for (fact, told) in [
        (request(Origin::Manual), None),
        (paused(why("the shop is open")), held.clone()),
        (paused(None), held),
        (Fact::ExecutionResumed { at: at(30) }, None),
        (paused(None), asked(AskedTo::Pause, None, 20)),
        (cancelled, to_end.clone()),
        (ended(ExecutionState::Cancelled, 51), to_end),
    ] {
        put(store, execution(1), vec![fact]).await;
        let row = store.execution(&execution_id(1)).await.unwrap().unwrap();
        assert_eq!(row.asked, told);
        let filter = ExecutionFilter { limit: 1, ..ExecutionFilter::default() };
        assert_eq!(store.executions(&filter).await.unwrap(), [row]);
    }
}

async fn facts_of_an_execution_that_nobody_requested_make_no_row(store: &dyn Store) {
    put(store, execution(1), vec![intended("1", 11), ended(ExecutionState::Failed, 12)]).await;
    assert_eq!(store.execution(&execution_id(1)).await.unwrap(), None);
    assert_eq!(store.counts().await.unwrap(), BTreeMap::new());
}
