//! An execution as a document that stands for itself.
#![allow(clippy::unwrap_used)]

mod support;

use engine::{Accepted, NewEvent};
use model::exported::Asked;
use model::{Call, Exported, Record};
use serde_json::json;
use support::{House, ended};

#[tokio::test]
async fn a_document_holds_the_event_the_rule_the_calls_with_their_answers_and_the_packs() {
    let house = House::new();
    house.write("triggers/built.yaml", "payload: { version: { type: string } }\n");
    house.write(
        "rules/built.yaml",
        "trigger: { type: p.built }\naction: { ref: p.release, parameters: { version: \"${trigger.version}\" } }\n",
    );
    house.program("check", "read", "echo '{\"ok\": true}'");
    house.chain(
        "release",
        "version: { type: string }",
        r#"log("begin"); let ok = run("p.check", #{ a: params.version }).ok; try { run("core.fail", #{ message: "no" }) } catch {} ok"#,
    );
    let engine = house.start().await;
    let kind = "p.built".parse().unwrap();
    let new = NewEvent { kind, id: None, subject: None, data: json!({ "version": "1.2" }) };
    let Accepted::New { executions, .. } = engine.emit("test", new).await.unwrap() else {
        panic!("a new event")
    };
    let id = &executions[0];
    ended(&engine, id).await;

    let written = serde_json::to_vec(&engine.export(id).await.unwrap()).unwrap();
    let read = Exported::read(&written).unwrap();
    assert_eq!(read, engine.export(id).await.unwrap());
    assert_eq!(read.execution, *id);
    assert_eq!(read.origin.rule().unwrap().to_string(), "p.built");
    assert_eq!(read.event.unwrap().data, json!({ "version": "1.2" }));
    assert_eq!(read.parameters, json!({ "version": "1.2" }));
    assert_eq!(read.packs[0].name.as_str(), "p");
    assert_eq!(read.packs[0].version.as_deref(), Some("1.0.0"));
    let [log, check, fail] = &read.calls[..] else { panic!("{:#?}", read.calls) };
    assert_eq!(log.asked, Asked::Record(Record::Log("begin".to_owned())));
    assert!(matches!(&check.asked, Asked::Call(Call::Run { version: Some(_), .. })));
    let shown = serde_json::to_value(check).unwrap();
    assert_eq!(shown["asked"]["call"]["run"]["action"], "p.check");
    assert_eq!(shown["result"], json!({ "done": { "ok": true } }));
    let failed = serde_json::to_value(&fail.result).unwrap();
    assert_eq!(failed["failed"]["message"], "no");
    assert_eq!(read.outcome.unwrap().result, Some(json!(true)));
}
