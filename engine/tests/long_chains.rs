//! Chains of so many steps that their evaluation is kept where it waits.
#![allow(clippy::unwrap_used)]

mod support;

use model::{Duration, ExecutionState};
use serde_json::json;
use support::{House, ended, eventually, key, result, run};

/// A house on whose clock nothing passes by itself.
fn house() -> House {
    let start = model::Timestamp::from_second(1_800_000_000).unwrap();
    House { clock: host::Clock::simulated(start), ..House::new() }
}

#[tokio::test]
async fn a_long_chain_has_the_result_that_its_text_says() {
    let house = house();
    let text = r#"
        let sum = 0;
        for n in 0..120 {
            sum += run("core.echo", #{ value: n }).value;
            if n % 10 == 0 { log(`${n}: ${sum}`); }
        }
        let halves = parallel_map([1, 2, 3, 4], |x| {
            run("core.echo", #{ value: x }).value + run("core.echo", #{ value: x }).value
        }, #{ max: 2 });
        for half in halves { sum += run("core.echo", #{ value: half }).value; }
        sum
    "#;
    house.chain("long", "", text);
    let engine = house.start().await;
    let id = run(&engine, "p.long", json!({})).await;
    let view = ended(&engine, &id).await;
    assert_eq!((result(&view), view.steps.len()), (&json!(7160), 120 + 12 + 8 + 4));
}

#[tokio::test]
async fn what_a_long_chain_is_refused_it_can_catch() {
    let house = house();
    house.write("triggers/done.yaml", "payload: { n: { type: integer } }\n");
    let text = r#"
        for n in 0..60 { run("core.noop"); }
        let kind = "none";
        try { emit("p.done", #{ n: params.n }); } catch (e) { kind = e.kind; }
        for n in 0..5 { run("core.noop"); }
        kind
    "#;
    house.chain("long", "n: {}", text);
    let engine = house.start().await;
    let id = run(&engine, "p.long", json!({ "n": "none" })).await;
    let view = ended(&engine, &id).await;
    assert_eq!((result(&view), view.steps.len()), (&json!("invalid_parameters"), 66));
}

#[tokio::test]
async fn a_long_chain_goes_on_after_a_restart_and_is_undone_whole() {
    let house = house();
    let text = r#"
        undo(|e| run("datastore.set", #{ key: "undone", value: e.message }));
        for n in 0..60 { run("core.noop"); }
        sleep("1h");
        for n in 0..60 { run("core.noop"); }
        undo(|e| run("datastore.increment", #{ key: "handlers" }));
        fail("not today")
    "#;
    house.chain("long", "", text);
    let engine = house.start().await;
    let id = run(&engine, "p.long", json!({})).await;
    support::until(&engine, &id, &[ExecutionState::Waiting]).await;
    engine.shutdown(support::PATIENCE).await;
    let engine = house.start().await;
    eventually("the sleep to be known", || async {
        engine.execution(&id).await.unwrap().row.state == ExecutionState::Waiting
    })
    .await;
    house.advance(Duration::from_secs(60 * 60));
    let view = ended(&engine, &id).await;
    assert_eq!(view.row.state, ExecutionState::Failed);
    assert_eq!(key(&engine, "p/undone").await, json!("not today"));
    assert_eq!(key(&engine, "p/handlers").await, json!(1));
}
