//! Settings of packs that are secret: an environment says where they lie, chains and rules get
//! tokens, actions values.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use engine::environment::Environment;
use engine::packtest::Suite;
use engine::rerun::Repetition;
use engine::secrets::Plain;
use engine::{Engine, NewEvent};
use expect_test::expect;
use model::{Actor, ExecutionId, Map, Value};
use serde_json::json;
use support::{House, ended, error_kind, eventually, result, run};

const STORED: &str = "a-stored-api-key";
const FILED: &str = "a-key-from-a-file";

const SCHEMA: &str = "name: p\nversion: 1.0.0\nconfig_schema:\n  api_key: { type: string, secret: true, required: true }\n  \
                      tls: { type: object, properties: { key: { type: string, secret: true }, host: {} } }\n  \
                      more: { type: array, items: { type: string }, secret: true }\n";

const REFERENCES: &str = "packs:\n  p:\n    config:\n      api_key: { secret: shared/api }\n      \
                          tls: { key: { file: tls.key }, host: h }\n      more: [{ env: CARGO_MANIFEST_DIR }]\n";

/// A pack whose program `p.keep` writes its parameters where the test can look, in an environment
/// that says where its secrets lie.
fn house() -> House {
    let house = House::new();
    house.write("pack.yaml", &format!("{SCHEMA}permissions: {{ actions: ['*'], exec: true }}\n"));
    let kept = house.path("kept");
    house.program("keep", "idempotent", &format!("tee -a {} | tee /dev/stderr", kept.display()));
    house.chain("use", "s: {}", r#"run("p.keep", #{ b: params.s })"#);
    house.chain(
        "go",
        "",
        r#"
        let got = run("p.keep", #{ a: [config.api_key, config.tls.key, config.more[0]] }).a;
        run("p.use", #{ s: config.api_key });
        [config.tls.host, got[0] == config.api_key, config]"#,
    );
    house.write("triggers/told.yaml", "description: told\npayload: { a: {} }\n");
    std::fs::write(house.path("tls.key"), format!("{FILED}\n")).unwrap();
    house.environment(REFERENCES);
    house
}

async fn store(engine: &Engine, value: &str) {
    engine.set_secret(Actor::token("test"), "shared/api", Plain::new(value)).await.unwrap();
}

fn kept(house: &House) -> Vec<Value> {
    let text = std::fs::read_to_string(house.path("kept")).unwrap_or_default();
    serde_json::Deserializer::from_str(&text).into_iter().collect::<Result<_, _>>().unwrap()
}

/// Every fact and every file of the state folder.
async fn stored(house: &House) -> String {
    let log = house.store.log(store::Position(0), 10_000).await.unwrap();
    let mut text: String =
        log.iter().map(|one| String::from_utf8(one.fact.encode()).unwrap()).collect();
    files(&house.path("state"), &mut text);
    text
}

fn files(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        match entry.path() {
            path if path.is_dir() => files(&path, text),
            path => *text += &String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()),
        }
    }
}

#[test]
fn a_secret_that_stands_in_the_environment_itself_is_refused_and_not_shown() {
    let house = house();
    house.environment(
        "packs:\n  p:\n    config:\n      api_key: hunter2-hunter2\n      tls:\n        key: hunter2/hunter2\n        \
         host: h\n      more: [{ env: FINE }, 'hunter2 hunter2', { vault: hunter2hunter2 }, { secret: 'hunter2//' }]\n",
    );
    let (environment, _) = Environment::read(&house.path("dev.yaml")).unwrap();
    let findings = engine::check_packs_in(&[house.path("packs")], Some(&environment));
    let folder = house.folder.path().display().to_string();
    let told: Vec<String> =
        findings.iter().map(|f| f.to_string().replace(&folder, "DIR")).collect();
    expect![[r#"
        error: `api_key` is secret: its value may not stand in the environment's file
          at DIR/dev.yaml:4:7
          hint: write `{ env: NAME }`, `{ file: PATH }` or `{ secret: PATH }`
        error: `tls.key` is secret: its value may not stand in the environment's file
          at DIR/dev.yaml:6:9
          hint: write `{ env: NAME }`, `{ file: PATH }` or `{ secret: PATH }`
        error: `more.1` is secret: its value may not stand in the environment's file
          at DIR/dev.yaml:8:29
          hint: write `{ env: NAME }`, `{ file: PATH }` or `{ secret: PATH }`
        error: `more.2.vault` is secret: its value may not stand in the environment's file
          at DIR/dev.yaml:8:50
          hint: write `{ env: NAME }`, `{ file: PATH }` or `{ secret: PATH }`
        error: `more.3`: not the path of a secret: expected names of letters, digits and `_.-` with slashes between
          at DIR/dev.yaml:8:75
          hint: write `{ env: NAME }`, `{ file: PATH }` or `{ secret: PATH }`"#]].assert_eq(&told.join("\n"));
}

#[test]
fn a_default_for_a_secret_is_refused() {
    let house = house();
    house.write(
        "pack.yaml",
        "name: p\nversion: 1.0.0\nconfig_schema:\n  key: { type: string, secret: true, default: hunter2-hunter2 }\n",
    );
    let findings = engine::check_packs(&[house.path("packs")]);
    let folder = house.folder.path().display().to_string();
    let told: Vec<String> =
        findings.iter().map(|f| f.to_string().replace(&folder, "DIR")).collect();
    expect![[r#"
        error: `key` is secret and has a default, which everybody can read
          at DIR/packs/p/pack.yaml:4:38
          hint: take the default out: the environment says where the value lies"#]]
    .assert_eq(&told[0]);
}

#[tokio::test]
async fn a_chain_gets_tokens_for_its_settings_and_actions_get_the_values() {
    let house = house();
    let engine = house.start_in_environment().await;
    store(&engine, STORED).await;
    let id = run(&engine, "p.go", json!({})).await;
    let view = ended(&engine, &id).await;
    let seen = result(&view).clone();
    assert_eq!((&seen[0], &seen[1]), (&json!("h"), &json!(true)));
    let token = |value: &Value| value.as_str().unwrap().parse::<model::Token>().unwrap();
    token(&seen[2]["api_key"]);
    token(&seen[2]["tls"]["key"]);
    token(&seen[2]["more"][0]);
    let kept = kept(&house);
    assert_eq!(kept[0]["a"], json!([STORED, FILED, env!("CARGO_MANIFEST_DIR")]));
    assert_eq!(kept[1]["b"], STORED, "a chain of the same pack may have it");
    let other = run(&engine, "p.go", json!({})).await;
    let other = result(&ended(&engine, &other).await).clone();
    assert_ne!(seen[2]["api_key"], other[2]["api_key"], "each execution has tokens of its own");
    let stored = stored(&house).await;
    for value in [STORED, FILED] {
        assert!(!stored.contains(value), "{value}");
    }
    assert!(stored.contains(r#""api_key":{"secret":"shared/api"}"#), "pinned as the reference");
}

#[tokio::test]
async fn a_setting_stands_for_what_it_did_when_the_execution_began() {
    let house = house();
    house.gate();
    house.chain(
        "slow",
        "",
        r#"run("p.wait"); run("p.keep", #{ a: [config.api_key, config.tls.key] })"#,
    );
    let engine = house.start_in_environment().await;
    store(&engine, STORED).await;
    let id = run(&engine, "p.slow", json!({})).await;
    house.reached().await;
    store(&engine, "a later api key").await;
    std::fs::write(house.path("tls.key"), "a later key of a file").unwrap();
    engine.shutdown(Duration::from_millis(100)).await;
    let engine = house.start_in_environment().await;
    house.open();
    ended(&engine, &id).await;
    assert_eq!(kept(&house)[0]["a"], json!([STORED, FILED]));
    let later = run(&engine, "p.slow", json!({})).await;
    ended(&engine, &later).await;
    assert_eq!(kept(&house)[1]["a"], json!(["a later api key", "a later key of a file"]));
}

#[tokio::test]
async fn an_execution_whose_setting_cannot_be_had_fails_before_its_chain_does_anything() {
    let house = house();
    let engine = house.start_in_environment().await;
    let id = run(&engine, "p.go", json!({})).await;
    let view = ended(&engine, &id).await;
    assert_eq!((error_kind(&view), view.steps.len()), ("not_found", 0));
    let told = view.outcome.unwrap().error.unwrap().message;
    expect!["the setting `api_key` has no value: there is no secret `shared/api`: `tripline secret set shared/api` stores it"].assert_eq(&told);
}

async fn tell(engine: &Engine, id: &str) {
    let new = NewEvent {
        kind: "p.told".parse().unwrap(),
        data: json!({ "a": 1 }),
        id: Some(id.to_owned()),
        subject: None,
    };
    engine.emit("test", new).await.unwrap();
}

fn rule(house: &House, name: &str, action: &str, parameters: &str) {
    let text = format!(
        "trigger: {{ type: p.told }}\naction: {{ ref: {action}, parameters: {parameters} }}\n"
    );
    house.write(&format!("rules/{name}.yaml"), &text);
}

#[tokio::test]
async fn a_rule_passes_a_setting_on_as_a_token_of_the_new_execution() {
    let house = house();
    rule(&house, "program", "p.keep", "{ a: 'key ${config.api_key}' }");
    rule(&house, "chain", "p.use", "{ s: '${config.tls.key}' }");
    let engine = house.start_in_environment().await;
    tell(&engine, "too early").await;
    let failed = stored(&house).await;
    assert!(failed.contains("the setting `api_key` has no value: there is no secret"), "{failed}");
    eventually("the end of the run beside the failed rule", || async {
        let all = store::ExecutionFilter { limit: 9, ..Default::default() };
        let all = engine.executions(&all).await.unwrap();
        all.len() == 1 && all[0].state.is_end()
    })
    .await;
    store(&engine, STORED).await;
    tell(&engine, "one").await;
    eventually("both runs", || async { kept(&house).len() == 2 }).await;
    let mut kept: Vec<String> = kept(&house).iter().map(ToString::to_string).collect();
    kept.sort();
    assert_eq!(kept[0], json!({ "a": format!("key {STORED}") }).to_string());
    assert_eq!(kept[1], json!({ "b": FILED }).to_string());
    let stored = stored(&house).await;
    assert!(!stored.contains(STORED) && !stored.contains(FILED));
}

#[tokio::test]
async fn a_chain_of_another_pack_gets_no_named_secret_that_it_may_not_use() {
    let house = house();
    let write = |name: &str, text: &str| house.write_in("q", name, text);
    let manifest = |secrets: &str| {
        format!(
            "name: q\nversion: 1.0.0\npermissions: {{ actions: [p.keep], exec: true, secrets: [{secrets}] }}\n"
        )
    };
    write("pack.yaml", &manifest(""));
    write("actions/take.yaml", "entry_point: take.rhai\nparameters: { s: {}, t: {} }\n");
    write("actions/take.rhai", r#"run("p.keep", #{ a: params.s, b: params.t })"#);
    house.chain("lend", "", r#"run("q.take", #{ s: config.api_key, t: config.tls.key })"#);
    rule(&house, "lends", "q.take", "{ s: '${config.api_key}', t: '${config.tls.key}' }");
    let engine = house.start_in_environment().await;
    store(&engine, STORED).await;
    let id = run(&engine, "p.lend", json!({})).await;
    assert_eq!(error_kind(&ended(&engine, &id).await), "denied", "a token that would be dropped");
    tell(&engine, "one").await;
    eventually("the rule's run", || async { kept(&house).len() == 1 }).await;
    for seen in kept(&house) {
        assert!(seen["a"].as_str().unwrap().starts_with("tlsec_"), "{seen}");
        assert_eq!(seen["b"], FILED);
    }
    write("pack.yaml", &manifest("shared/*"));
    engine.reload().await.unwrap();
    let id = run(&engine, "p.lend", json!({})).await;
    ended(&engine, &id).await;
    assert_eq!(kept(&house)[1]["a"], STORED);
}

#[tokio::test]
async fn what_is_repeated_from_a_step_on_has_the_settings_of_the_first_run() {
    let house = house();
    house.chain(
        "twice",
        "",
        r#"run("p.keep", #{ a: config.api_key }); run("p.keep", #{ b: config.api_key })"#,
    );
    let engine = house.start_in_environment().await;
    store(&engine, STORED).await;
    let id = run(&engine, "p.twice", json!({})).await;
    ended(&engine, &id).await;
    store(&engine, "a later api key").await;
    let how = Repetition { from: Some("2".parse().unwrap()), force: false, name: None };
    let again = engine.rerun(Actor::token("test"), &id, how).await.unwrap();
    result(&ended(&engine, &again.id).await);
    assert_eq!(kept(&house)[2], json!({ "b": STORED }));
    let whole = engine.rerun(Actor::token("test"), &id, Repetition::default()).await.unwrap();
    result(&ended(&engine, &whole.id).await);
    assert_eq!(kept(&house)[3], json!({ "a": "a later api key" }));
}

#[tokio::test]
async fn a_dry_run_shows_tokens_for_settings_and_reads_with_the_values() {
    let house = house();
    house.program("look", "read", &format!("tee -a {}", house.path("kept").display()));
    house.chain(
        "plan",
        "",
        r#"run("p.look", #{ a: [config.api_key, config.tls.key] }); run("p.keep", #{ a: config.api_key })"#,
    );
    let engine = house.start_in_environment().await;
    let dry = || async {
        let (action, none) = ("p.plan".parse().unwrap(), BTreeMap::new());
        serde_json::to_string(&engine.dry_run(action, Map::new(), none).await.unwrap()).unwrap()
    };
    let told = dry().await;
    assert!(told.contains("the setting `api_key` has no value"), "{told}");
    store(&engine, STORED).await;
    let told = dry().await;
    assert!(!told.contains(STORED) && !told.contains(FILED) && told.contains("tlsec_"), "{told}");
    assert_eq!(kept(&house)[0]["a"], json!([STORED, FILED]));
}

/// What differs when the execution, exported, is run again without a server.
async fn replayed(engine: &Engine, house: &House, id: &ExecutionId) -> Vec<String> {
    let text = serde_json::to_string(&engine.export(id).await.unwrap()).unwrap();
    assert!(!text.contains(STORED) && !text.contains(FILED) && text.contains("tlsec_"), "{text}");
    let file = house.path("run.json");
    std::fs::write(&file, text).unwrap();
    let suite = Suite::recorded(&house.path("packs/p"), &[], &[file]);
    assert_eq!(suite.findings, []);
    let mut told = Vec::new();
    let run = suite.run(
        false,
        |_| true,
        |_, verdict| {
            let lines = |misfit: engine::packtest::Misfit| {
                std::iter::once(misfit.message).chain(misfit.lines)
            };
            told.push("ran".to_owned());
            told.extend(verdict.misfits.into_iter().flat_map(lines));
        },
    );
    run.unwrap();
    told
}

#[tokio::test]
async fn a_run_with_secrets_that_was_exported_goes_the_same_without_any() {
    let house = house();
    house.chain(
        "all",
        "typed: { secret: true }",
        r#"
        let all = [params.typed, config.api_key, config.tls.key, secret("shared/api"), run("secrets.generate")];
        run("p.keep", #{ a: all, b: base64("u:" + all[0]) });
        run("p.use", #{ s: all[1] });
        all"#,
    );
    house.write(
        "pack.yaml",
        &format!("{SCHEMA}permissions: {{ actions: ['*'], exec: true, secrets: [shared/*] }}\n"),
    );
    rule(&house, "chain", "p.use", "{ s: ['${config.tls.key}', 'x-${config.api_key}'] }");
    let engine = house.start_in_environment().await;
    store(&engine, STORED).await;
    let id = run(&engine, "p.all", json!({ "typed": FILED })).await;
    result(&ended(&engine, &id).await);
    assert_eq!(replayed(&engine, &house, &id).await, ["ran"]);
    let before = kept(&house).len();
    tell(&engine, "one").await;
    eventually("the rule's run", || async { kept(&house).len() > before }).await;
    let filter = store::ExecutionFilter { limit: 9, ..Default::default() };
    let rows = engine.executions(&filter).await.unwrap();
    let by_rule = rows.into_iter().find(|row| row.origin.rule().is_some()).unwrap();
    ended(&engine, &by_rule.id).await;
    assert_eq!(replayed(&engine, &house, &by_rule.id).await, ["ran"]);
}
