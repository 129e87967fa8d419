//! Waiting for an answer: polls, and the limits of time of steps.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::json;
use support::{House, ended, result, run};

#[tokio::test]
async fn a_poll_ends_when_its_condition_holds() {
    let house = House::new();
    let counter = house.path("count").display().to_string();
    house.program(
        "count",
        "read",
        &format!("echo x >>{counter}; echo \"{{\\\"n\\\": $(wc -l <{counter})}}\""),
    );
    house.chain("polls", "", r#"poll("p.count", #{}, |r| r.n >= 3, #{ every: "5ms" }).n"#);
    let engine = house.start().await;
    let id = run(&engine, "p.polls", json!({})).await;
    assert_eq!(result(&ended(&engine, &id).await), &json!(3));
}

#[tokio::test]
async fn a_poll_that_was_satisfied_asks_no_more_while_the_chain_goes_on() {
    let house = House::new();
    let counter = house.path("count").display().to_string();
    house.program(
        "count",
        "read",
        &format!("echo x >>{counter}; echo \"{{\\\"n\\\": $(wc -l <{counter})}}\""),
    );
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

#[tokio::test]
async fn a_poll_that_is_never_satisfied_ends_at_its_deadline() {
    let house = House::new();
    house.chain(
        "polls",
        "",
        r#"
        let kind = "";
        try { poll("core.echo", #{ value: 1 }, |r| false, #{ every: "5ms", deadline: "60ms" }); }
        catch (e) { kind = e.kind; }
        kind
    "#,
    );
    let engine = house.start().await;
    let id = run(&engine, "p.polls", json!({})).await;
    assert_eq!(result(&ended(&engine, &id).await), &json!("deadline"));
}

#[tokio::test]
async fn a_step_that_takes_too_long_is_ended_and_its_kind_is_timeout() {
    let house = House::new();
    house.program("slow", "idempotent", "sleep 60");
    house.chain(
        "hurry",
        "",
        r#"
        let kind = "";
        try { run("p.slow", #{}, #{ timeout: "50ms", retry: #{ attempts: 1 } }); }
        catch (e) { kind = e.kind; }
        kind
    "#,
    );
    let engine = house.start().await;
    let id = run(&engine, "p.hurry", json!({})).await;
    assert_eq!(result(&ended(&engine, &id).await), &json!("timeout"));
}

#[tokio::test]
async fn a_deadline_ends_the_attempt_that_is_under_way() {
    let house = House::new();
    house.program("slow", "idempotent", "sleep 60");
    house.chain(
        "hurry",
        "",
        r#"
        let kind = "";
        try { run("p.slow", #{}, #{ deadline: "50ms" }); } catch (e) { kind = e.kind; }
        kind
    "#,
    );
    let engine = house.start().await;
    let id = run(&engine, "p.hurry", json!({})).await;
    assert_eq!(result(&ended(&engine, &id).await), &json!("deadline"));
}
