//! A pack's permission to use a secret is taken away while an execution has a token for it.
#![allow(clippy::unwrap_used)]

mod support;

use engine::rerun::Repetition;
use engine::secrets::Plain;
use model::Actor;
use serde_json::json;
use support::{House, ended, result, run};

fn permit(house: &House, version: &str, secrets: &str) {
    let permissions = format!("{{ actions: [core.*], exec: true, secrets: [{secrets}] }}");
    let text = format!("name: p\nversion: {version}\npermissions: {permissions}\n");
    house.write("pack.yaml", &text);
}

#[tokio::test]
async fn a_secret_that_may_not_be_used_any_more_is_not_used_by_tokens_in_hand() {
    let house = House::new();
    permit(&house, "1.0.0", "'p/*'");
    let kept = house.path("kept");
    house.program("keep", "idempotent", &format!("tee -a {}", kept.display()));
    house.gate();
    // Also as what is derived of it; the path is computed, so that loading finds nothing wrong.
    let text = r#"
        let s = secret("p/" + params.name);
        run("p.wait");
        let told = "used";
        try { run("p.keep", #{ a: base64(`<${s}>`) }); } catch (e) { told = e.kind + ": " + e.message; }
        told
    "#;
    house.chain("go", "name: {}", text);
    let engine = house.start().await;
    let me = || Actor::token("test");
    engine.set_secret(me(), "p/admin", Plain::new("correct-horse")).await.unwrap();
    let id = run(&engine, "p.go", json!({ "name": "admin" })).await;
    house.reached().await;
    permit(&house, "1.0.1", "'q/*'");
    engine.reload().await.unwrap();
    house.open();
    let denied = "denied: the pack `p` may not use `p/admin`";
    let view = ended(&engine, &id).await;
    assert!(result(&view).as_str().unwrap().starts_with(denied), "{view:#?}");

    let from = Repetition { from: Some("3".parse().unwrap()), ..Repetition::default() };
    let again = engine.rerun(me(), &id, from).await.unwrap();
    let view = ended(&engine, &again.id).await;
    assert!(result(&view).as_str().unwrap().starts_with(denied), "{view:#?}");
    assert!(!kept.exists());

    permit(&house, "1.0.2", "'p/*'");
    engine.reload().await.unwrap();
    let from = Repetition { from: Some("3".parse().unwrap()), ..Repetition::default() };
    let again = engine.rerun(me(), &id, from).await.unwrap();
    assert_eq!(result(&ended(&engine, &again.id).await), &json!("used"));
}
