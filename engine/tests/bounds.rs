//! What bounds an execution, and what becomes of what is too large for the store.
#![allow(clippy::unwrap_used)]

mod support;

use engine::AskError;
use model::{Actor, ExecutionState, Map, Resolution};
use serde_json::json;
use support::{House, ended, error_kind, result, run, until};

fn text() -> String {
    // rhai counts characters; in JSON each of these has six.
    "\u{1}".repeat(40_000)
}

#[tokio::test]
async fn parameters_too_large_to_be_stored_fail_their_step_and_can_be_caught() {
    let house = House::new();
    house.write("triggers/told.yaml", "payload: { value: {} }\n");
    house.chain(
        "large",
        "text: {}",
        r#"
        let text = params.text; // 240,002 bytes as JSON
        let kinds = [];
        for asks in [
            || run("core.echo", #{ value: [text, text] }),
            || poll("core.echo", #{ value: [text, text] }, |answer| true),
            || emit("p.told", #{ value: [text, text] }),
        ] {
            try { asks.call(); } catch (e) { kinds.push(e.kind); }
        }
        run("core.noop");
        kinds
    "#,
    );
    let engine = house.start().await;
    let id = run(&engine, "p.large", json!({ "text": text() })).await;
    let view = ended(&engine, &id).await;
    assert_eq!(result(&view), &json!(["too_large", "too_large", "too_large"]));
}

#[tokio::test]
async fn what_the_store_refuses_is_handed_to_a_person_and_not_tried_for_ever() {
    let house = House::new();
    house.program("work", "read", "echo {}");
    let padding = "x".repeat(200 * 1024);
    house.write(
        "actions/work.yaml",
        &format!(
            "entry_point: work.sh\neffect: read\nparameters: {{ a: {{}}, b: {{ default: {padding} }} }}\n"
        ),
    );
    house.chain(
        "large",
        "text: {}",
        r#"
        let text = params.text; // 240,002 bytes as JSON
        run("p.work", #{ a: [text, text.sub_string(0, 30000)] })
    "#,
    );
    let engine = house.start().await;
    let id = run(&engine, "p.large", json!({ "text": text() })).await;
    let view = until(&engine, &id, &[ExecutionState::NeedsAttention]).await;
    let error = view.attention.unwrap().error;
    assert_eq!(error.kind.as_str(), "too_large");
    assert!(error.message.contains("resolve --fail"), "{}", error.message);
    let resolution = Resolution::Fail("too much".to_owned());
    engine.resolve(Actor::token("test"), &id, None, resolution).await.unwrap();
    assert_eq!(ended(&engine, &id).await.row.state, ExecutionState::Failed);
}

#[tokio::test]
async fn an_error_larger_than_a_fact_is_told_by_its_beginning() {
    let house = House::new();
    house.chain(
        "throws",
        "text: {}",
        r#"
        let text = params.text; // 240,002 bytes as JSON
        throw #{ message: "no good", details: [text, text, text] };
    "#,
    );
    let engine = house.start().await;
    let id = run(&engine, "p.throws", json!({ "text": text() })).await;
    let view = ended(&engine, &id).await;
    let error = view.outcome.unwrap().error.unwrap();
    assert!(error.message.starts_with("no good"), "{}", error.message);
    assert_eq!(error.details["cut"], true);
}

#[tokio::test]
async fn what_a_person_hands_in_is_refused_as_too_large_or_kept_beside_the_journal() {
    let house = House::new();
    house.program("doubtful", "unsafe", "kill -9 $$");
    let engine = house.start().await;
    let large = json!({ "value": "x".repeat(600 * 1024) });
    let stored = engine.set_key(Actor::token("test"), "p/large", Some(large.clone()), None).await;
    assert!(matches!(stored, Err(AskError::TooLarge(_))), "{stored:?}");
    let parameters = Map::default();
    let action = "p.doubtful".parse().unwrap();
    let id = engine.run(Actor::token("test"), action, parameters, None).await.unwrap();
    until(&engine, &id, &[ExecutionState::NeedsAttention]).await;
    let resolution = Resolution::Done(large);
    engine.resolve(Actor::token("test"), &id, None, resolution).await.unwrap();
    let view = ended(&engine, &id).await;
    assert!(result(&view)["blob"].is_string(), "{view:#?}");
}

#[tokio::test]
async fn what_an_action_is_handed_by_a_person_is_never_a_map_of_a_blob() {
    let house = House::new();
    house.chain("takes", "value: {}", "params.value");
    let engine = house.start().await;
    let large = "x".repeat(256 * 1024);
    let deep = (0..70).fold(json!(1), |inner, _| json!([inner]));
    for (value, told) in [
        (json!(large), "has 262156 bytes of JSON text, more than 262144"),
        (json!(vec![0; 5_001]), "holds a list or map of 5001 items"),
        (deep, "is nested deeper than 64 levels"),
        (json!(u64::MAX), "holds the number 18446744073709551615"),
    ] {
        let parameters = json!({ "value": value }).as_object().unwrap().clone();
        let action = "p.takes".parse().unwrap();
        let asked = engine.run(Actor::token("test"), action, parameters, None).await;
        let refused = asked.unwrap_err();
        let too_large = told.contains("more than") || told.contains("items");
        assert_eq!(matches!(refused, AskError::TooLarge(_)), too_large, "{refused:?}");
        assert!(refused.to_string().contains(told), "{refused}");
    }
    let all = store::ExecutionFilter { limit: 10, ..Default::default() };
    let begun = engine.store().executions(&all).await;
    assert_eq!(begun.unwrap(), []);
}

#[tokio::test]
async fn a_journal_of_sixteen_mebibytes_is_the_bound_and_four_fifths_of_it_are_told() {
    let mut house = House::new();
    house.clock = host::Clock::simulated("2030-01-01T00:00:00Z".parse().unwrap());
    house.chain(
        "greedy",
        "text: {}",
        r#"
        on_exit(|outcome| run("datastore.set", #{ key: "exit", value: outcome.error.kind }));
        let text = params.text; // 240,002 bytes as JSON
        for n in 0..100 {
            if n == 30 { sleep("1h"); }
            try { run("core.echo", #{ value: text }); } catch { }
        }
    "#,
    );
    let engine = house.start().await;
    // A step has its parameters and its result in the journal: some 470 KiB.
    let id = run(&engine, "p.greedy", json!({ "text": text() })).await;
    let view = until(&engine, &id, &[ExecutionState::Waiting]).await;
    assert!(view.size.near_limit && view.size.bytes < view.size.max_bytes, "{:?}", view.size);
    house.advance(model::Duration::from_secs(2 * 60 * 60));
    let view = ended(&engine, &id).await;
    assert_eq!((view.row.state, error_kind(&view)), (ExecutionState::Failed, "limit"));
    assert!(view.size.bytes > 16 * 1024 * 1024, "{:?}", view.size);
    let row = engine.store().key("p/exit", engine.now()).await.unwrap();
    assert_eq!(row.unwrap().value, json!("limit"), "its handlers run all the same");
}

#[tokio::test]
async fn ten_thousand_calls_are_the_bound_and_four_fifths_of_it_are_told() {
    let house = House::new();
    house.chain(
        "talks",
        "calls: { type: integer }",
        r#"for n in 0..params.calls { log("x"); } sleep("1h");"#,
    );
    let engine = house.start().await;
    for (calls, near) in [(7_000, false), (8_500, true)] {
        let id = run(&engine, "p.talks", json!({ "calls": calls })).await;
        let view = until(&engine, &id, &[ExecutionState::Waiting]).await;
        assert_eq!((view.size.steps, view.size.near_limit), (calls + 1, near));
    }
    let id = run(&engine, "p.talks", json!({ "calls": 10_001 })).await;
    assert_eq!(error_kind(&ended(&engine, &id).await), "limit");
}
