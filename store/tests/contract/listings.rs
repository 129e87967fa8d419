//! Which executions are listed, and in which order.

use std::collections::BTreeMap;

use model::{Actor, ExecutionId, ExecutionState, Fact, Origin};
use store::{ExecutionFilter, Store};

use crate::common::*;

contract!(
    executions_are_listed_by_what_the_filter_names,
    executions_are_listed_in_pages,
    the_runs_that_an_execution_goes_on_as_are_listed_with_whoever_asked_for_it,
    unfinished_executions_come_in_pages_in_order_of_id,
    executions_are_counted_by_state,
    the_oldest_execution_that_has_not_begun_is_told,
);

async fn executions_are_listed_by_what_the_filter_names(store: &dyn Store) {
    let child = Origin::Step { parent: execution_id(1), path: path("1") };
    put(store, execution(1), vec![request(by_rule("app.a"))]).await;
    put(store, execution(2), vec![request(by_rule("app.b")), intended("1", 11)]).await;
    put(store, execution(3), vec![request(child)]).await;
    let mut later = requested(Origin::Manual);
    (later.action, later.at) = ("core.echo".parse().unwrap(), at(50));
    put(store, execution(4), vec![Fact::ExecutionRequested(later), parked(None)]).await;
    let again = Origin::Rerun { of: execution_id(2), rule: Some("app.b".parse().unwrap()) };
    put(store, execution(5), vec![request(again)]).await;

    let all = || ExecutionFilter { limit: 10, ..ExecutionFilter::default() };
    let (running, waiting) = (ExecutionState::Running, ExecutionState::Waiting);
    let elsewhere = model::EventKey::derive("elsewhere", "e1");
    for (filter, ids) in [
        (all(), &[5, 4, 2, 1][..]),
        (ExecutionFilter { children: true, ..all() }, &[5, 4, 3, 2, 1]),
        (ExecutionFilter { parent: Some(execution_id(1)), ..all() }, &[3]),
        (ExecutionFilter { parent: Some(execution_id(2)), ..all() }, &[]),
        (ExecutionFilter { states: vec![running], ..all() }, &[2]),
        (ExecutionFilter { states: vec![running, waiting], ..all() }, &[4, 2]),
        (ExecutionFilter { states: vec![ExecutionState::Failed], ..all() }, &[]),
        (ExecutionFilter { rule: Some("app.a".parse().unwrap()), ..all() }, &[1]),
        (ExecutionFilter { action: Some("core.echo".parse().unwrap()), ..all() }, &[4]),
        (ExecutionFilter { pack: Some("core".parse().unwrap()), ..all() }, &[4]),
        (ExecutionFilter { pack: Some("cor".parse().unwrap()), ..all() }, &[]),
        (ExecutionFilter { event: Some(event_key("e1")), ..all() }, &[2, 1]),
        (ExecutionFilter { event: Some(elsewhere), ..all() }, &[]),
        (ExecutionFilter { repeats: Some(execution_id(2)), ..all() }, &[5]),
        (ExecutionFilter { actor: Some(Actor::engine()), ..all() }, &[]),
        (ExecutionFilter { actor: Some(Actor::token("ann")), ..all() }, &[5, 4, 2, 1]),
        (ExecutionFilter { repeats: Some(execution_id(1)), ..all() }, &[]),
        (ExecutionFilter { rule: Some("app.b".parse().unwrap()), ..all() }, &[5, 2]),
        (ExecutionFilter { since: Some(at(50)), ..all() }, &[4]),
        (ExecutionFilter { limit: 0, ..all() }, &[]),
    ] {
        let rows = store.executions(&filter).await.unwrap();
        let found: Vec<_> = rows.into_iter().map(|row| row.id).collect();
        let expected: Vec<_> = ids.iter().copied().map(execution_id).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
}

async fn the_runs_that_an_execution_goes_on_as_are_listed_with_whoever_asked_for_it(
    store: &dyn Store,
) {
    let continues = |of: u8, by: Option<&str>| Fact::ExecutionContinues {
        of: execution_id(of),
        in_a_row: 0,
        idle: 0,
        by: by.map(Actor::token),
        at: at(11),
    };
    // What goes on is the engine's own deed.
    let asked = [(1, None), (2, Some(continues(1, Some("ann")))), (3, Some(continues(2, None)))];
    for (n, continues) in asked {
        let facts = std::iter::once(request(Origin::Manual)).chain(continues).collect();
        let actor = if n == 1 { Actor::token("ann") } else { Actor::engine() };
        let batch =
            store::Batch { actor, ..batch(&n.to_string(), vec![write(execution(n), facts)]) };
        store.append(batch).await.unwrap();
    }
    for (actor, ids) in [(Actor::token("ann"), &[2, 1][..]), (Actor::engine(), &[3])] {
        let filter = ExecutionFilter { actor: Some(actor), limit: 9, ..ExecutionFilter::default() };
        let rows = store.executions(&filter).await.unwrap();
        let found: Vec<_> = rows.into_iter().map(|row| row.id).collect();
        assert_eq!(found, ids.iter().copied().map(execution_id).collect::<Vec<_>>(), "{filter:?}");
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

async fn the_oldest_execution_that_has_not_begun_is_told(store: &dyn Store) {
    assert_eq!(store.figures().await.unwrap().oldest_queued, None);
    for (n, second) in [(1, 40), (2, 20), (3, 30)] {
        let mut asked = requested(Origin::Manual);
        asked.at = at(second);
        put(store, execution(n), vec![Fact::ExecutionRequested(asked)]).await;
    }
    assert_eq!(store.figures().await.unwrap().oldest_queued, Some(at(20)));
    put(store, execution(2), vec![intended("1", 50)]).await;
    assert_eq!(store.figures().await.unwrap().oldest_queued, Some(at(30)));
}
