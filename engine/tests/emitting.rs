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
        ("git.push", json!({ "ref": "main" }), "denied"),
    ] {
        let id = run(&engine, "p.tell", json!({ "kind": kind, "data": data })).await;
        assert_eq!(result(&ended(&engine, &id).await), &json!(told), "{kind} {data}");
    }
    let filter = store::EventFilter { kind: "p.done".parse().ok(), limit: 9, ..Default::default() };
    assert_eq!(engine.events(&filter).await.unwrap().len(), 1);
}

/// Packs `p` and `q`, each with a type, and `q` with a webhook; what `p`'s chain emits is a parameter.
fn neighbours(permissions: &str) -> House {
    let house = House::new();
    let pack = |name: &str, rest: &str| format!("name: {name}\nversion: 1.0.0\n{rest}\n");
    house.write("pack.yaml", &pack("p", &format!("permissions: {permissions}")));
    house.write("triggers/done.yaml", "payload: {}\n");
    let emits = "let kind = \"told\"; try { emit(params.kind, params.data); } catch (e) { kind = e.kind + \": \" + e.message; } kind";
    house.chain("tell", "kind: {}, data: {}", emits);
    let hook =
        "type: webhook\nparameters: { secrets: [{ file: key }], signature: { header: x-s } }\n";
    let on_hook = "trigger: { type: webhook.received }\naction: { ref: core.noop }\n";
    for (name, text) in [
        ("pack.yaml", pack("q", "permissions: { actions: [core.*] }").as_str()),
        ("key", "0123456789abcdef"),
        ("triggers/done.yaml", "payload: {}\n"),
        ("sensors/hook.yaml", hook),
        ("rules/hook.yaml", on_hook),
        ("rules/done.yaml", "trigger: { type: q.done }\naction: { ref: core.noop }\n"),
    ] {
        house.write(&format!("../q/{name}"), text);
    }
    house
}

fn forged() -> serde_json::Value {
    let request = json!({ "method": "POST", "path": "/webhooks/q/hook", "query": {}, "headers": {}, "body": {} });
    json!({ "kind": "webhook.received", "data": request })
}

#[tokio::test]
async fn a_chain_emits_types_of_its_own_pack_and_those_that_the_pack_asks_for() {
    for (permissions, told) in [
        (
            "{}",
            "denied: the pack `p` may not emit `q.done`: add `events: [q.done]` to `permissions` in its pack.yaml",
        ),
        (
            "{ actions: ['*'] }",
            "denied: the pack `p` may not emit `q.done`: add `events: [q.done]` to `permissions` in its pack.yaml",
        ),
        ("{ events: [q.*] }", "told"),
    ] {
        let engine = neighbours(permissions).start().await;
        let own = run(&engine, "p.tell", json!({ "kind": "p.done", "data": {} })).await;
        assert_eq!(result(&ended(&engine, &own).await), &json!("told"));
        let other = run(&engine, "p.tell", json!({ "kind": "q.done", "data": {} })).await;
        assert_eq!(result(&ended(&engine, &other).await), &json!(told), "{permissions}");
    }
}

#[tokio::test]
async fn no_chain_forges_what_a_sensor_or_the_engine_tells() {
    let engine = neighbours("{ events: ['*'] }").start().await;
    let id = run(&engine, "p.tell", forged()).await;
    let told = result(&ended(&engine, &id).await).clone();
    assert!(
        told.as_str().unwrap().starts_with("denied: `webhook.received` is not emitted by chains"),
        "{told}"
    );
    let notice = json!({ "kind": "tripline.rule.error", "data": {} });
    let id = run(&engine, "p.tell", notice).await;
    let told = result(&ended(&engine, &id).await).clone();
    assert!(told.as_str().unwrap().starts_with("denied: "), "{told}");
    let rule = Some("q.hook".parse().unwrap());
    let filter = store::ExecutionFilter { rule, limit: 9, ..Default::default() };
    assert_eq!(engine.executions(&filter).await.unwrap(), []);
}

#[tokio::test]
async fn an_emit_that_would_always_be_denied_is_an_error_of_check() {
    let house = neighbours("{}");
    house.chain("wrong", "", "emit(\"q.done\", #{}); emit(\"webhook.received\", #{});");
    let engine = engine::Engine::start(house.settings(), house.store.clone(), house.clock.clone());
    let views = engine.await.unwrap().pack_views();
    let found = format!("{:?}", views.iter().find(|view| view.name == "p").unwrap().findings);
    for part in [
        "the pack emits `q.done` but does not ask for it",
        "add `q.done` to `permissions.events` in its pack.yaml",
        "`webhook.received` is not emitted by chains",
    ] {
        assert!(found.contains(part), "{part}: {found}");
    }
}
