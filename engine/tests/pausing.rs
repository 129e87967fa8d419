//! Executions that somebody holds.
#![allow(clippy::unwrap_used)]

mod support;

use engine::{AskError, Engine};
use model::{Actor, BatchId, Duration, ExecutionId, ExecutionState, Fact, Resolution, Stream};
use serde_json::json;
use support::{House, ended, eventually, result, run, until};

use ExecutionState::{NeedsAttention, Paused, Waiting};

fn who() -> Actor {
    Actor::token("test")
}

async fn pause(engine: &Engine, id: &ExecutionId) {
    engine.pause(who(), id, Some("the shop is open".to_owned())).await.unwrap();
    assert_eq!(engine.execution(id).await.unwrap().row.state, Paused);
}

/// A house whose program waits for the file `gate`, and on whose clock nothing passes by itself.
fn house() -> House {
    let start = model::Timestamp::from_second(1_800_000_000).unwrap();
    let house = House { clock: host::Clock::simulated(start), ..House::new() };
    let gate = house.path("gate").display().to_string();
    let begun = house.path("begun").display().to_string();
    let text = format!("touch {begun}; until [ -e {gate} ]; do sleep 0.01; done; echo 7");
    house.program("work", "idempotent", &text);
    house
}

async fn begun(house: &House) {
    eventually("the program", || async { house.path("begun").exists() }).await;
}

#[tokio::test]
async fn a_step_under_way_ends_and_is_stored_and_nothing_begins_until_it_is_resumed() {
    let house = house();
    house.chain("two", "", r#"let a = run("p.work"); run("core.echo", #{ value: a }).value"#);
    let engine = house.start().await;
    let id = run(&engine, "p.two", json!({})).await;
    begun(&house).await;
    pause(&engine, &id).await;
    std::fs::write(house.path("gate"), "").unwrap();
    eventually("the step's end", || async {
        engine.execution(&id).await.unwrap().steps[0].finished_at.is_some()
    })
    .await;
    let view = engine.execution(&id).await.unwrap();
    assert_eq!((view.row.state, view.steps.len()), (Paused, 1));
    engine.resume(who(), &id).await.unwrap();
    assert_eq!(result(&ended(&engine, &id).await), &json!(7));
}

#[tokio::test]
async fn a_sleep_that_ends_meanwhile_is_over_when_it_is_resumed_and_a_deadline_stands_still() {
    let house = house();
    house.chain("naps", "", r#"sleep("1h"); sleep("1h"); "rested""#);
    house.write("actions/naps.yaml", "entry_point: naps.rhai\nparameters: {}\ndeadline: 3h\n");
    let engine = house.start().await;
    let id = run(&engine, "p.naps", json!({})).await;
    until(&engine, &id, &[Waiting]).await;
    pause(&engine, &id).await;
    house.advance(Duration::from_secs(10 * 60 * 60));
    assert_eq!(engine.execution(&id).await.unwrap().row.state, Paused);
    engine.resume(who(), &id).await.unwrap();
    eventually("the second sleep", || async {
        engine.execution(&id).await.unwrap().steps.len() == 2
    })
    .await;
    until(&engine, &id, &[Waiting]).await;
    house.advance(Duration::from_secs(60 * 60));
    assert_eq!(result(&ended(&engine, &id).await), &json!("rested"));
}

#[tokio::test]
async fn a_paused_execution_can_be_cancelled_and_stays_paused_over_a_restart() {
    let house = house();
    house.chain(
        "naps",
        "",
        r#"undo(|e| run("datastore.set", #{ key: "undone", value: 1 })); sleep("1h"); "rested""#,
    );
    let engine = house.start().await;
    let id = run(&engine, "p.naps", json!({})).await;
    until(&engine, &id, &[Waiting]).await;
    pause(&engine, &id).await;
    engine.shutdown(std::time::Duration::from_secs(10)).await;
    house.advance(Duration::from_secs(2 * 60 * 60));
    let engine = house.start().await;
    assert_eq!(engine.execution(&id).await.unwrap().row.state, Paused);
    engine.cancel(who(), &id, None).await.unwrap();
    assert_eq!(ended(&engine, &id).await.row.state, ExecutionState::Cancelled);
    let undone = engine.store().key("p/undone", engine.now()).await.unwrap();
    assert_eq!(undone.unwrap().value, json!(1));
}

#[tokio::test]
async fn the_chains_that_it_runs_are_held_with_it() {
    let house = house();
    house.chain("inner", "", r#"run("p.work"); run("core.noop"); "in""#);
    house.chain("outer", "", r#"run("p.inner")"#);
    let engine = house.start().await;
    let id = run(&engine, "p.outer", json!({})).await;
    begun(&house).await;
    pause(&engine, &id).await;
    let child = engine.execution(&id).await.unwrap().steps[0].child.clone().unwrap();
    until(&engine, &child, &[Paused]).await;
    std::fs::write(house.path("gate"), "").unwrap();
    engine.resume(who(), &id).await.unwrap();
    assert_eq!(result(&ended(&engine, &id).await), &json!("in"));
}

/// Appends to the execution's stream alone, as a process does that is killed right afterwards.
async fn append(house: &House, id: &ExecutionId, fact: Fact) {
    let stream = Stream::Execution(id.clone());
    let writes = vec![store::Write::new(stream, None, [fact])];
    let batch = store::Batch {
        id: BatchId::new(format!("{id} alone at {}", house.store.head().await.unwrap().0)),
        actor: who(),
        at: house.clock.now(),
        writes,
    };
    house.store.append(batch).await.unwrap();
}

#[tokio::test]
async fn a_kill_right_after_a_word_to_the_parent_leaves_no_child_behind() {
    let house = house();
    house.chain("inner", "", r#"run("p.work"); run("core.noop"); "in""#);
    house.chain("middle", "", r#"run("p.inner")"#);
    house.chain("outer", "", r#"run("p.middle")"#);
    let engine = house.start().await;
    let id = run(&engine, "p.outer", json!({})).await;
    begun(&house).await;
    let child = engine.execution(&id).await.unwrap().steps[0].child.clone().unwrap();
    let grandchild = engine.execution(&child).await.unwrap().steps[0].child.clone().unwrap();
    std::fs::write(house.path("gate"), "").unwrap();
    engine.shutdown(std::time::Duration::ZERO).await;

    let at = house.clock.now();
    append(&house, &id, Fact::ExecutionPaused { reason: None, with_parent: false, at }).await;
    let engine = house.start().await;
    for held in [&child, &grandchild] {
        until(&engine, held, &[Paused]).await;
        let refused = engine.resume(who(), held).await.unwrap_err();
        assert!(refused.to_string().contains("resume that one"), "{refused}");
    }
    engine.shutdown(std::time::Duration::from_secs(10)).await;

    append(&house, &id, Fact::ExecutionResumed { at }).await;
    // The attempt that the first end cut short is made again after a second.
    house.advance(Duration::from_secs(1));
    let engine = house.start().await;
    assert_eq!(result(&ended(&engine, &id).await), &json!("in"));
}

#[tokio::test]
async fn a_child_that_was_held_by_itself_stays_so_when_its_parent_goes_on() {
    let house = house();
    house.chain("inner", "", r#"run("p.work"); run("core.noop"); "in""#);
    house.chain("outer", "", r#"run("p.inner")"#);
    let engine = house.start().await;
    let id = run(&engine, "p.outer", json!({})).await;
    begun(&house).await;
    let child = engine.execution(&id).await.unwrap().steps[0].child.clone().unwrap();
    pause(&engine, &child).await;
    pause(&engine, &id).await;
    std::fs::write(house.path("gate"), "").unwrap();
    engine.resume(who(), &id).await.unwrap();
    engine.shutdown(std::time::Duration::from_secs(10)).await;
    let engine = house.start().await;
    assert_eq!(engine.execution(&child).await.unwrap().row.state, Paused);
    engine.resume(who(), &child).await.unwrap();
    assert_eq!(result(&ended(&engine, &id).await), &json!("in"));
}

#[tokio::test]
async fn what_a_person_says_of_a_step_does_not_let_it_go_on() {
    let house = house();
    house.program("doubtful", "unsafe", "kill -9 $$");
    house.chain("asks", "", r#"run("p.doubtful"); run("core.noop"); "done""#);
    let engine = house.start().await;
    let id = run(&engine, "p.asks", json!({})).await;
    until(&engine, &id, &[NeedsAttention]).await;
    engine.pause(who(), &id, None).await.unwrap();
    assert_eq!(engine.execution(&id).await.unwrap().row.state, NeedsAttention);
    engine.resolve(who(), &id, None, Resolution::Done(json!({}))).await.unwrap();
    assert_eq!(engine.execution(&id).await.unwrap().row.state, Paused);
    engine.resume(who(), &id).await.unwrap();
    assert_eq!(result(&ended(&engine, &id).await), &json!("done"));
}

#[tokio::test]
async fn what_cannot_be_paused_or_resumed_is_refused_with_the_reason() {
    let house = house();
    let engine = house.start().await;
    let done = run(&engine, "core.noop", json!({})).await;
    ended(&engine, &done).await;
    let refused = engine.pause(who(), &done, None).await.unwrap_err();
    assert!(matches!(refused, AskError::Conflict(_)), "{refused}");
    let id = run(&engine, "p.work", json!({})).await;
    begun(&house).await;
    let refused = engine.resume(who(), &id).await.unwrap_err();
    assert!(refused.to_string().contains("not paused"), "{refused}");
    engine.cancel(who(), &id, None).await.unwrap();
    let refused = engine.pause(who(), &id, None).await.unwrap_err();
    assert!(refused.to_string().contains("being cancelled"), "{refused}");
}
