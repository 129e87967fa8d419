//! What chains tell: events that rules see, and those that cannot be told.
#![allow(clippy::unwrap_used)]

mod support;

use model::ExecutionState;
use serde_json::json;
use support::{House, ended, error_kind, key, result, run};

#[tokio::test]
async fn an_emitted_event_is_seen_by_rules() {
    let house = House::new();
    house.write("triggers/done.yaml", "payload: { n: { type: integer } }\n");
    let rule = "trigger: { type: p.done }\naction: { ref: datastore.set, parameters: { key: seen, value: '${trigger.n}' } }\n";
    house.write("rules/note.yaml", rule);
    house.chain("tell", "", r#"emit("p.done", #{ n: 4 }); "told""#);
    let engine = house.start().await;
    let id = run(&engine, "p.tell", json!({})).await;
    ended(&engine, &id).await;
    support::eventually("the rule's execution", || async {
        engine.store().key("p/seen", engine.now()).await.unwrap().is_some()
    })
    .await;
    assert_eq!(key(&engine, "p/seen").await, json!(4));
}

#[tokio::test]
async fn a_loop_of_events_ends_after_sixteen_hops() {
    let house = House::new();
    house.write("triggers/again.yaml", "description: told by itself\n");
    house.write("rules/again.yaml", "trigger: { type: p.again }\naction: { ref: p.again }\n");
    house.chain(
        "again",
        "",
        r#"
        run("datastore.increment", #{ key: "hops" });
        emit("p.again", #{});
    "#,
    );
    let engine = house.start().await;
    run(&engine, "p.again", json!({})).await;
    support::eventually("the chain of causes to be cut", || async {
        let failed = store::ExecutionFilter {
            states: vec![ExecutionState::Failed],
            limit: 1,
            ..Default::default()
        };
        !engine.executions(&failed).await.unwrap().is_empty()
    })
    .await;
    assert_eq!(key(&engine, "p/hops").await, json!(17));
    let filter = store::ExecutionFilter {
        states: vec![ExecutionState::Failed],
        limit: 9,
        ..Default::default()
    };
    let cut = engine.executions(&filter).await.unwrap();
    let view = engine.execution(&cut[0].id).await.unwrap();
    assert_eq!((cut.len(), error_kind(&view)), (1, "rejected"));
    assert_eq!(view.steps.last().unwrap().kind, "emit", "the journal holds the emit that was not");
}

#[tokio::test]
async fn an_emit_that_cannot_be_fails_its_step_and_the_journal_knows() {
    let house = House::new();
    house.write("triggers/done.yaml", "payload: { n: { type: integer, required: true } }\n");
    house.chain(
        "tell",
        "kind: {}, data: {}",
        r#"
        let kind = "told";
        try { emit(params.kind, params.data); } catch (e) { kind = e.kind; }
        run("core.noop");
        kind
    "#,
    );
    let engine = house.start().await;
    for (kind, data, told) in [
        ("p.done", json!({ "n": 1 }), "told"),
        ("p.done", json!({}), "invalid_parameters"),
        ("p.done", json!({ "n": "1" }), "invalid_parameters"),
        ("p.dome", json!({}), "rejected"),
        ("git.push", json!({ "ref": "main" }), "invalid_parameters"),
    ] {
        let id = run(&engine, "p.tell", json!({ "kind": kind, "data": data })).await;
        assert_eq!(result(&ended(&engine, &id).await), &json!(told), "{kind} {data}");
    }
    let filter = store::EventFilter { kind: "p.done".parse().ok(), limit: 9, ..Default::default() };
    assert_eq!(engine.events(&filter).await.unwrap().len(), 1);
}
