//! Waiting for an answer: polls, and the limits of time of steps.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::json;
use support::{House, ended, result, run};

/// A program `p.count` that answers how often it was run.
fn counting(house: &House) {
    let counter = house.path("count").display().to_string();
    let text = format!("echo x >>{counter}; echo \"{{\\\"n\\\": $(wc -l <{counter})}}\"");
    house.program("count", "read", &text);
}

#[tokio::test]
async fn a_poll_ends_when_its_condition_holds() {
    let house = House::new();
    counting(&house);
    house.chain("polls", "", r#"poll("p.count", #{}, |r| r.n >= 3, #{ every: "5ms" }).n"#);
    let engine = house.start().await;
    let id = run(&engine, "p.polls", json!({})).await;
    assert_eq!(result(&ended(&engine, &id).await), &json!(3));
}

#[tokio::test]
async fn a_poll_that_was_satisfied_asks_no_more_while_the_chain_goes_on() {
    let house = House::new();
    counting(&house);
    house.chain(
        "polls",
        "",
        r#"
        poll("p.count", #{}, |r| r.n >= 2, #{ every: "5ms", deadline: "5s" });
        sleep("200ms");
        run("p.count").n
    "#,
    );
    let engine = house.start().await;
    let id = run(&engine, "p.polls", json!({})).await;
    let view = ended(&engine, &id).await;
    assert_eq!(result(&view), &json!(3), "two answers, then the step after the sleep");
    assert_eq!(view.steps[0].state, engine::view::StepState::Done);
}

/// The kind of the error that `call` throws in a chain that catches it.
async fn caught(house: &House, call: &str) -> serde_json::Value {
    let chain = format!(r#"let kind = ""; try {{ {call}; }} catch (e) {{ kind = e.kind; }} kind"#);
    house.chain("calls", "", &chain);
    let engine = house.start().await;
    let id = run(&engine, "p.calls", json!({})).await;
    result(&ended(&engine, &id).await).clone()
}

#[tokio::test]
async fn a_poll_that_is_never_satisfied_ends_at_its_deadline() {
    let call =
        r#"poll("core.echo", #{ value: 1 }, |r| false, #{ every: "5ms", deadline: "60ms" })"#;
    assert_eq!(caught(&House::new(), call).await, json!("deadline"));
}

#[tokio::test]
async fn a_step_that_takes_too_long_is_ended_and_its_kind_is_timeout() {
    let house = House::new();
    house.program("slow", "idempotent", "sleep 60");
    let call = r#"run("p.slow", #{}, #{ timeout: "50ms", retry: #{ attempts: 1 } })"#;
    assert_eq!(caught(&house, call).await, json!("timeout"));
}

#[tokio::test]
async fn a_deadline_ends_the_attempt_that_is_under_way() {
    let house = House::new();
    house.program("slow", "idempotent", "sleep 60");
    let call = r#"run("p.slow", #{}, #{ deadline: "50ms" })"#;
    assert_eq!(caught(&house, call).await, json!("deadline"));
}
