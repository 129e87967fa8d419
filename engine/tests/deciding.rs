//! Outcomes that nobody knows: what a person, or the action itself, says of them.
#![allow(clippy::unwrap_used)]

mod support;

use model::{Actor, ExecutionState, Resolution, Value};
use serde_json::json;
use support::{House, ended, result, run, until};

#[tokio::test]
async fn an_unsafe_step_of_unknown_outcome_waits_for_a_person() {
    let house = House::new();
    house.program("pay", "unsafe", "kill -9 $$");
    house.chain("once", "", r#"run("p.pay", #{}).paid"#);
    let engine = house.start().await;
    let id = run(&engine, "p.once", json!({})).await;
    let view = until(&engine, &id, &[ExecutionState::NeedsAttention]).await;
    assert_eq!(view.attention.unwrap().path.unwrap().to_string(), "1");
    let done = Resolution::Done(json!({ "paid": 7 }));
    engine.resolve(Actor::token("test"), &id, None, done).await.unwrap();
    let view = ended(&engine, &id).await;
    assert_eq!((view.row.state, result(&view)), (ExecutionState::Succeeded, &json!(7)));
}

#[tokio::test]
async fn a_decision_must_bring_a_result_that_fits_and_neither_catch_nor_undo_sees_the_wait() {
    let house = House::new();
    house.program("pay", "unsafe", "kill -9 $$");
    let declared = "entry_point: pay.sh\neffect: unsafe\nresult: { paid: { type: integer, required: true } }\n";
    house.write("actions/pay.yaml", declared);
    house.chain(
        "once",
        "",
        r#"
        undo(|e| run("datastore.set", #{ key: "undone", value: true }));
        let caught = false;
        try { run("p.pay"); } catch { caught = true; }
        caught
    "#,
    );
    let engine = house.start().await;
    let id = run(&engine, "p.once", json!({})).await;
    until(&engine, &id, &[ExecutionState::NeedsAttention]).await;
    let resolve =
        |value: Value| engine.resolve(Actor::token("test"), &id, None, Resolution::Done(value));
    let refused = resolve(json!({ "paid": "much" })).await.unwrap_err();
    assert!(refused.to_string().contains("does not fit"), "{refused}");
    resolve(json!({ "paid": 3 })).await.unwrap();
    assert_eq!(result(&ended(&engine, &id).await), &json!(false));
    assert!(engine.store().key("p/undone", engine.now()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_deadline_stands_still_while_a_person_is_asked() {
    let start = model::Timestamp::from_second(1_800_000_000).unwrap();
    let house = House { clock: host::Clock::simulated(start), ..House::new() };
    house.program("pay", "unsafe", "kill -9 $$");
    house.chain("once", "", r#"run("p.pay"); "done""#);
    house.write("actions/once.yaml", "entry_point: once.rhai\ndeadline: 1m\n");
    let engine = house.start().await;
    let id = run(&engine, "p.once", json!({})).await;
    until(&engine, &id, &[ExecutionState::NeedsAttention]).await;
    house.advance(model::Duration::from_secs(3_600));
    engine.resolve(Actor::token("test"), &id, None, Resolution::Done(json!({}))).await.unwrap();
    assert_eq!(ended(&engine, &id).await.row.state, ExecutionState::Succeeded);
}

#[tokio::test]
async fn a_decision_to_retry_performs_the_step_again_and_one_to_fail_fails_it() {
    let house = House::new();
    let marker = house.path("marker").display().to_string();
    house.program(
        "pay",
        "unsafe",
        &format!("[ -e {marker} ] || {{ touch {marker}; kill -9 $$; }}"),
    );
    house.chain("once", "", r#"run("p.pay"); "paid""#);
    let engine = house.start().await;
    let first = run(&engine, "p.once", json!({})).await;
    until(&engine, &first, &[ExecutionState::NeedsAttention]).await;
    engine.resolve(Actor::token("test"), &first, None, Resolution::Retry).await.unwrap();
    assert_eq!(result(&ended(&engine, &first).await), &json!("paid"));

    std::fs::remove_file(house.path("marker")).unwrap();
    let second = run(&engine, "p.once", json!({})).await;
    until(&engine, &second, &[ExecutionState::NeedsAttention]).await;
    let fail = Resolution::Fail("the bank said no".to_owned());
    engine.resolve(Actor::token("test"), &second, None, fail).await.unwrap();
    let view = ended(&engine, &second).await;
    assert_eq!(view.row.message.as_deref(), Some("the bank said no"));
}

#[tokio::test]
async fn an_action_may_say_what_becomes_of_an_outcome_that_nobody_knows() {
    let house = House::new();
    let ledger = house.path("ledger").display().to_string();
    // The first attempt dies without an answer.
    let dies =
        format!("echo $TRIPLINE_KEY >>{ledger}; [ $TRIPLINE_ATTEMPT = 1 ] && kill -9 $$; exit 0");
    for (name, more) in [("again", "on_unknown: retry"), ("fails", "on_unknown: fail")] {
        house.program(name, "unsafe", &dies);
        house.write(
            &format!("actions/{name}.yaml"),
            &format!("entry_point: {name}.sh\neffect: unsafe\n{more}\n"),
        );
    }
    house.chain(
        "retried",
        "",
        r#"run("p.again", #{}, #{ retry: #{ attempts: 2, delay: "1ms" } }); "done""#,
    );
    house.chain(
        "failed",
        "",
        r#"let n = 0; try { run("p.fails"); } catch (e) { n = e.attempts; } n"#,
    );
    let engine = house.start().await;
    let retried = run(&engine, "p.retried", json!({})).await;
    assert_eq!(result(&ended(&engine, &retried).await), &json!("done"));
    let failed = run(&engine, "p.failed", json!({})).await;
    assert_eq!(result(&ended(&engine, &failed).await), &json!(1));
    let told = std::fs::read_to_string(house.path("ledger")).unwrap();
    assert_eq!(told, format!("{retried}/1\n{retried}/1\n{failed}/1\n"));
}
