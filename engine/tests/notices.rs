//! The engine tells of itself: events that rules can name.
#![allow(clippy::unwrap_used)]

mod support;

use engine::{Engine, NewEvent};
use model::{ExecutionState, Value};
use serde_json::json;
use store::{EventFilter, EventRow, ExecutionFilter, ExecutionRow};
use support::{House, ended, eventually, result, run, until};

/// Stored events of this type, newest first.
async fn told(engine: &Engine, kind: &str) -> Vec<EventRow> {
    let filter = EventFilter { kind: kind.parse().ok(), limit: 1_000, ..EventFilter::default() };
    engine.events(&filter).await.unwrap()
}

async fn data(engine: &Engine, row: &EventRow) -> Value {
    engine.event(&row.key).await.unwrap().1
}

/// The executions that the rule `p.<name>` asked for.
async fn of_rule(engine: &Engine, name: &str) -> Vec<ExecutionRow> {
    let rule = format!("p.{name}").parse().ok();
    engine.executions(&ExecutionFilter { rule, limit: 1_000, ..Default::default() }).await.unwrap()
}

/// A rule on `kind` that echoes what it sees.
fn rule(house: &House, name: &str, kind: &str, more: &str) {
    let text = format!(
        "trigger: {{ type: {kind} }}\n{more}\naction: {{ ref: core.echo, parameters: {{ value: \"${{trigger}}\" }} }}\n"
    );
    house.write(&format!("rules/{name}.yaml"), &text);
}

/// What the only execution of the rule saw, once there is one.
async fn seen(engine: &Engine, name: &str) -> Value {
    eventually(name, || async { !of_rule(engine, name).await.is_empty() }).await;
    let rows = of_rule(engine, name).await;
    assert_eq!(rows.len(), 1, "{rows:#?}");
    result(&ended(engine, &rows[0].id).await)["value"].clone()
}

const ROOT: &str = "criteria: { trigger.rule: { nexists: true } }";

#[tokio::test]
async fn the_end_of_an_execution_is_an_event_where_a_rule_asks_for_it() {
    let house = House::new();
    house.chain("bad", "", r#"fail("no good")"#);
    rule(&house, "end", "tripline.execution.finished", ROOT);
    rule(&house, "bad", "tripline.execution.failed", ROOT);
    let engine = house.start().await;
    let id = run(&engine, "p.bad", json!({})).await;
    let end = seen(&engine, "end").await;
    assert_eq!(end["execution"], id.as_str());
    assert_eq!((&end["outcome"], &end["error"]["kind"]), (&json!("failed"), &json!("failed")));
    assert_eq!(seen(&engine, "bad").await["error"]["message"], "no good");
    let cause = told(&engine, "tripline.execution.failed").await[0].envelope.cause.clone();
    assert_eq!(cause.map(|cause| (cause.execution, cause.depth)), Some((id, 1)));
}

#[tokio::test]
async fn ends_that_no_rule_asks_for_cost_no_event() {
    let house = House::new();
    rule(&house, "bad", "tripline.execution.failed", "");
    let engine = house.start().await;
    let id = run(&engine, "core.noop", json!({})).await;
    ended(&engine, &id).await;
    assert!(told(&engine, "tripline.execution.finished").await.is_empty());
    assert!(told(&engine, "tripline.execution.failed").await.is_empty());
}

#[tokio::test]
async fn a_rule_on_every_end_is_cut_after_sixteen_hops_and_the_loop_is_told_once() {
    let house = House::new();
    rule(&house, "end", "tripline.execution.finished", "");
    rule(&house, "looped", "tripline.loop_detected", "");
    let engine = house.start().await;
    let first = run(&engine, "core.noop", json!({})).await;
    let looped = seen(&engine, "looped").await;
    assert_eq!(looped["type"], "tripline.execution.finished");
    assert_eq!((&looped["depth"], &looped["rule"]), (&json!(16), &json!("p.end")));
    let ends = of_rule(&engine, "end").await;
    assert_eq!(ends.len(), 16);
    assert_eq!(told(&engine, "tripline.loop_detected").await.len(), 1);
    ended(&engine, &first).await;
}

#[tokio::test]
async fn an_emit_beyond_sixteen_hops_is_told_as_a_loop() {
    let house = House::new();
    house.write("triggers/again.yaml", "description: told by itself\n");
    house.write("rules/again.yaml", "trigger: { type: p.again }\naction: { ref: p.again }\n");
    house.chain("again", "", r#"emit("p.again", #{})"#);
    house.write(
        "rules/looped.yaml",
        "trigger: { type: tripline.loop_detected }\naction: { ref: p.again }\n",
    );
    let engine = house.start().await;
    run(&engine, "p.again", json!({})).await;
    eventually("the rule on loops", || async {
        let looped = of_rule(&engine, "looped").await;
        !looped.is_empty() && looped.iter().all(|row| row.state == ExecutionState::Failed)
    })
    .await;
    let loops = told(&engine, "tripline.loop_detected").await;
    assert_eq!(loops.len(), 1, "what tells of the loop does not loop");
    assert_eq!(data(&engine, &loops[0]).await["type"], "p.again");
}

#[tokio::test]
async fn a_step_that_needs_a_person_is_told() {
    let house = House::new();
    house.program("pay", "unsafe", "kill -9 $$");
    rule(&house, "page", "tripline.execution.needs_attention", "");
    let engine = house.start().await;
    house.chain("one", "", r#"run("p.pay")"#);
    eventually("the chain", || async { engine.action(&"p.one".parse().unwrap()).is_ok() }).await;
    let id = run(&engine, "p.one", json!({})).await;
    until(&engine, &id, &[ExecutionState::NeedsAttention]).await;
    let page = seen(&engine, "page").await;
    assert_eq!((&page["execution"], &page["step"]), (&json!(id.as_str()), &json!("1")));
    assert_eq!(page["error"]["action"], "p.pay");
}

#[tokio::test]
async fn a_rule_that_fails_is_told_and_one_that_fails_on_that_is_not() {
    let house = House::new();
    house.write("triggers/built.yaml", "payload: { size: { type: integer } }\n");
    rule(&house, "strict", "p.built", "when: trigger.size < 3");
    rule(&house, "errors", "tripline.rule.error", "");
    rule(&house, "worse", "tripline.rule.error", "when: trigger.absent == 1");
    let engine = house.start().await;
    let new =
        NewEvent { kind: "p.built".parse().unwrap(), id: None, subject: None, data: json!({}) };
    let accepted = engine.emit("ci", new).await.unwrap();
    let error = seen(&engine, "errors").await;
    assert_eq!((&error["rule"], &error["type"]), (&json!("p.strict"), &json!("p.built")));
    assert_eq!(error["event"], accepted.key().as_str());
    assert!(error["error"].as_str().unwrap().contains("size"), "{error}");
    let counts = engine.store().rule_counts().await.unwrap();
    assert_eq!(counts[&"p.worse".parse().unwrap()].failed, 1);
    assert_eq!(told(&engine, "tripline.rule.error").await.len(), 1);
}

/// A sensor of a repository that is not there yet, and an engine that has told so.
async fn without_its_repository(house: &House) -> Engine {
    let repository = house.path("app.git");
    let sensor =
        format!("type: git\nparameters: {{ url: \"{}\", every: 1s }}\n", repository.display());
    house.write("sensors/app.yaml", &sensor);
    house.write("rules/push.yaml", "trigger: { type: git.push }\naction: { ref: core.noop }\n");
    let engine = house.start().await;
    eventually("the failure", || async {
        !told(&engine, "tripline.sensor.failing").await.is_empty()
    })
    .await;
    engine
}

fn make_repository(house: &House) {
    let mut init = std::process::Command::new("git");
    let made = init.args(["init", "-q", "--bare"]).arg(house.path("app.git")).status().unwrap();
    assert!(made.success());
}

async fn recovers_once(engine: &Engine) {
    eventually("the recovery", || async {
        told(engine, "tripline.sensor.recovered").await.len() == 1
    })
    .await;
    assert_eq!(told(engine, "tripline.sensor.failing").await.len(), 1);
}

#[tokio::test]
async fn a_sensor_that_fails_and_recovers_is_told_each_once() {
    let house = House::new();
    let engine = without_its_repository(&house).await;
    let failing = told(&engine, "tripline.sensor.failing").await;
    assert_eq!(failing.len(), 1);
    let failing = data(&engine, &failing[0]).await;
    assert_eq!((&failing["sensor"], &failing["type"]), (&json!("p/app"), &json!("git")));
    make_repository(&house);
    recovers_once(&engine).await;
}

#[tokio::test]
async fn a_sensor_that_was_told_to_fail_before_a_restart_is_told_to_recover_after_it() {
    let house = House::new();
    let engine = without_its_repository(&house).await;
    engine.shutdown(support::PATIENCE).await;
    let engine = house.start().await;
    eventually("the failure", || async { engine.sensors().await.unwrap()[0].state == "failing" })
        .await;
    make_repository(&house);
    recovers_once(&engine).await;
    engine.shutdown(support::PATIENCE).await;
    let engine = house.start().await;
    eventually("it to run", || async { engine.sensors().await.unwrap()[0].state == "running" })
        .await;
    recovers_once(&engine).await;
}

#[tokio::test]
async fn a_sensor_that_failed_and_is_not_wanted_any_more_is_forgotten() {
    let house = House::new();
    let engine = without_its_repository(&house).await;
    let remembered = async |engine: &Engine| {
        !engine.store().all_seen("tripline.sensors", "", 9).await.unwrap().is_empty()
    };
    assert!(remembered(&engine).await);
    engine.shutdown(support::PATIENCE).await;
    let files = ["rules/push.yaml", "sensors/app.yaml"].map(|it| house.path("packs/p").join(it));
    let kept = files.each_ref().map(|file| std::fs::read(file).unwrap());
    let remove = || files.iter().for_each(|file| std::fs::remove_file(file).unwrap());
    remove();
    let engine = house.start().await;
    assert!(!remembered(&engine).await);
    for (file, text) in files.iter().zip(kept) {
        std::fs::write(file, text).unwrap();
    }
    eventually("the failure again", || remembered(&engine)).await;
    remove();
    eventually("its end", || async { !remembered(&engine).await }).await;
}

#[tokio::test]
async fn packs_that_are_activated_or_rejected_are_told_once() {
    let house = House::new();
    rule(&house, "packs", "tripline.pack.activated", "");
    let engine = house.start().await;
    let activated = told(&engine, "tripline.pack.activated").await;
    assert_eq!(activated.len(), 1);
    assert_eq!(data(&engine, &activated[0]).await["version"], "1.0.0");
    house.write("rules/broken.yaml", "trigger: [\n");
    eventually("the refusal", || async {
        !told(&engine, "tripline.pack.rejected").await.is_empty()
    })
    .await;
    let rejected = told(&engine, "tripline.pack.rejected").await;
    let error = data(&engine, &rejected[0]).await["error"].clone();
    assert!(error.as_str().unwrap().contains("broken.yaml"), "{error}");
    std::fs::remove_file(house.path("packs/p/rules/broken.yaml")).unwrap();
    let activated = || async { told(&engine, "tripline.pack.activated").await.len() };
    eventually("that it is good again", || async { activated().await == 2 }).await;
    engine.shutdown(support::PATIENCE).await;
    let engine = house.start().await;
    assert_eq!(told(&engine, "tripline.pack.activated").await.len(), 2, "it was active before");
}

#[tokio::test]
async fn every_type_of_the_engines_own_can_be_named_and_its_payload_is_checked() {
    let house = House::new();
    let engine = house.start().await;
    let types = engine.triggers();
    let own = types.iter().filter(|view| view.kind.as_str().starts_with("tripline."));
    assert_eq!(own.count(), 12);
    let kind = "tripline.execution.failed".parse().unwrap();
    let new = NewEvent { kind, id: None, subject: None, data: json!({ "execution": "ex_1" }) };
    let refused = engine.emit("ci", new).await.unwrap_err().to_string();
    assert!(refused.contains("missing parameter `outcome`"), "{refused}");
}
