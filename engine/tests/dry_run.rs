//! Dry runs: what only reads is performed, all else says what it would do, and nothing is stored.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use engine::Engine;
use engine::dry_run::DryRun;
use engine::secrets::Plain;
use expect_test::expect;
use model::{Actor, Map, Value};
use serde_json::json;
use store::ExecutionFilter;
use support::House;

const PERMISSIONS: &str =
    "{ actions: ['*'], exec: true, secrets: ['p/*'], hosts: ['api.example.com'] }";

fn house() -> House {
    let house = House::new();
    permit(&house, PERMISSIONS);
    house
}

fn permit(house: &House, permissions: &str) {
    house.write("pack.yaml", &format!("name: p\nversion: 1.0.0\npermissions: {permissions}\n"));
}

async fn assuming(engine: &Engine, action: &str, assumed: &[(&str, Value)]) -> DryRun {
    let assumed = assumed.iter().map(|(path, value)| ((*path).to_owned(), value.clone()));
    engine.dry_run(action.parse().unwrap(), Map::new(), assumed.collect()).await.unwrap()
}

async fn dry(engine: &Engine, action: &str) -> DryRun {
    assuming(engine, action, &[]).await
}

/// The dry run in lines: steps, their changes, the end.
fn shown(told: &DryRun) -> String {
    let mut lines = Vec::new();
    list(&mut lines, "", &serde_json::to_value(told).unwrap());
    lines.join("\n")
}

fn list(lines: &mut Vec<String>, indent: &str, told: &Value) {
    for step in told["steps"].as_array().unwrap() {
        let name = step["action"].as_str().unwrap_or_else(|| step["call"].as_str().unwrap());
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let mut line = format!("{indent}{} {name} {}", text(&step["path"]), text(&step["how"]));
        if let Some(summary) = step["plan"]["summary"].as_str() {
            let _ = write!(line, ": {summary}");
        }
        if let Some(result) = step.get("result") {
            let _ = write!(line, " → {result}");
        }
        if let Some(error) = step.get("error") {
            let _ = write!(line, " ✗ {}", text(&error["message"]));
        }
        lines.push(line);
        for change in step["plan"]["changes"].as_array().into_iter().flatten() {
            let (before, after) = (&change["before"], &change["after"]);
            lines.push(format!("{indent}    {}: {before} → {after}", text(&change["what"])));
        }
        if step["child"].is_object() {
            list(lines, &format!("{indent}  "), &step["child"]);
        }
    }
    let mut end = format!("{indent}{}", told["end"].as_str().unwrap());
    for (name, sign) in [("result", " → "), ("error", " ✗ "), ("stopped", " … ")] {
        if let Some(value) = told.get(name) {
            let value = match (name, value.as_array()) {
                ("error", _) => value["message"].clone(),
                ("stopped", Some(all)) => all.iter().map(placeless).collect(),
                _ => value.clone(),
            };
            let _ = write!(end, "{sign}{value}");
        }
    }
    lines.push(end);
}

/// Where a dry run stopped, without the folder that the test's files lie in.
fn placeless(stopped: &Value) -> Value {
    let mut told = stopped.clone();
    if let Some(at) = told["at"].as_str().and_then(|at| at.rsplit_once('/')) {
        told["at"] = at.1.into();
    }
    told
}

/// Whether the store and the pack's programs were left alone.
async fn nothing_happened(house: &House, engine: &Engine) {
    let executions = engine.executions(&ExecutionFilter::default()).await.unwrap();
    assert!(executions.is_empty(), "{executions:#?}");
    assert!(!house.path("touched").exists());
    assert!(
        house
            .store
            .keys("", "", house.clock.now(), 10)
            .await
            .unwrap()
            .iter()
            .all(|row| row.value == 1)
    );
    assert!(!house.path("state/logs").exists());
}

async fn set_key(engine: &Engine, key: &str, value: Value) {
    engine.set_key(Actor::token("test"), key, Some(value), None).await.unwrap();
}

#[tokio::test]
async fn reads_are_performed_and_all_else_says_what_it_would_change() {
    let house = house();
    let touch = format!("touch {}", house.path("touched").display());
    house.program("deploy", "unsafe", &touch);
    house.program("look", "read", "echo '{ \"size\": 3 }'");
    house.chain(
        "release",
        "",
        r#"
        let found = run("p.look", #{ a: 1 });
        let last = run("datastore.get", #{ key: "last" }).value;
        run("datastore.set", #{ key: "last", value: last + found.size });
        run("datastore.increment", #{ key: "last" });
        run("datastore.delete", #{ key: "gone" });
        sleep_until("2999-01-01T00:00:00Z");
        log("soon");
        run("p.deploy", #{ a: 2 });
        emit("p.released", #{ size: found.size });
        run("datastore.get", #{ key: "last" }).value
        "#,
    );
    house.write("triggers/released.yaml", "payload: { size: { type: integer } }\n");
    let engine = house.start().await;
    set_key(&engine, "p/last", json!(1)).await;
    expect![[r#"
        1 p.look performed → {"size":3}
        2 datastore.get performed → {"found":true,"value":1}
        3 datastore.set planned: sets the key p/last → {}
            p/last: 1 → 4
        4 datastore.increment planned: sets the key p/last → {"value":5}
            p/last: 4 → 5
        5 datastore.delete planned: changes no key → {"deleted":false}
        6 sleep noted: waits until 2999-01-01T00:00:00Z
        7 log noted → "soon"
        8 p.deploy planned: runs the program actions/deploy.sh
            actions/deploy.sh: null → {"stdin":{"a":2}}
        9 emit noted: emits p.released
            p.released: null → {"size":3}
        10 datastore.get performed → {"found":true,"value":5}
        complete → 5"#]]
    .assert_eq(&shown(&dry(&engine, "p.release").await));
    nothing_happened(&house, &engine).await;
}

#[tokio::test]
async fn it_stops_where_the_chain_needs_what_only_performing_gives_unless_that_is_assumed() {
    let house = house();
    let touch = format!("touch {}", house.path("touched").display());
    house.program("make", "unsafe", &touch);
    house.chain(
        "release",
        "",
        r#"
        let made = run("p.make", #{ a: 1 });
        parallel([|| run("p.make", #{ a: 2 }), || run("datastore.set", #{ key: "k", value: 2 })]);
        run("p.make", #{ a: made.id });
        "done"
        "#,
    );
    let engine = house.start().await;
    expect![[r#"
        1 p.make planned: runs the program actions/make.sh
            actions/make.sh: null → {"stdin":{"a":1}}
        2.0.1 p.make planned: runs the program actions/make.sh
            actions/make.sh: null → {"stdin":{"a":2}}
        2.1.1 datastore.set planned: sets the key p/k → {}
            p/k: null → 2
        stopped … [{"at":"release.rhai:2:20","step":"1","why":"`made` holds what `p.make` (step 1) would return, which its plan does not say"}]"#]].assert_eq(&shown(&dry(&engine, "p.release").await));
    let assumed = assuming(&engine, "p.release", &[("1", json!({ "id": 7 }))]).await;
    expect![[r#"
        1 p.make assumed: runs the program actions/make.sh → {"id":7}
            actions/make.sh: null → {"stdin":{"a":1}}
        2.0.1 p.make planned: runs the program actions/make.sh
            actions/make.sh: null → {"stdin":{"a":2}}
        2.1.1 datastore.set planned: sets the key p/k → {}
            p/k: null → 2
        3 p.make planned: runs the program actions/make.sh
            actions/make.sh: null → {"stdin":{"a":7}}
        complete → "done""#]]
    .assert_eq(&shown(&assumed));
    let unused = BTreeMap::from([("9".to_owned(), json!(1))]);
    let refused = engine.dry_run("p.release".parse().unwrap(), Map::new(), unused).await;
    expect!["`9`: the dry run met no step there whose result it did not know (leave it out, or look up the step's path without it)"].assert_eq(&refused.unwrap_err().to_string());
    nothing_happened(&house, &engine).await;
}

#[tokio::test]
async fn a_program_may_say_itself_what_it_would_do() {
    let house = house();
    house.program("make", "unsafe", &format!("touch {}", house.path("touched").display()));
    house.write(
        "actions/make.yaml",
        "entry_point: make.sh\neffect: unsafe\nplan: p.plan_make\nparameters: { a: {} }\n",
    );
    house.program(
        "plan_make",
        "read",
        r#"cat > /dev/null; echo '{ "summary": "makes one", "changes": ["a disk", { "what": "a record", "before": 1, "after": 2 }], "result": { "id": 5 } }'"#,
    );
    house.write(
        "actions/plan_make.yaml",
        "entry_point: plan_make.sh\neffect: read\nparameters: { parameters: { type: object } }\n",
    );
    house.chain("release", "", r#"run("p.make", #{ a: 1 }).id + 1"#);
    let engine = house.start().await;
    expect![[r#"
        1 p.make planned: makes one → {"id":5}
            a disk: null → null
            a record: 1 → 2
        complete → 6"#]]
    .assert_eq(&shown(&dry(&engine, "p.release").await));
    nothing_happened(&house, &engine).await;
}

#[tokio::test]
async fn chains_that_a_chain_runs_are_followed_too() {
    let house = house();
    house.program("make", "unsafe", &format!("touch {}", house.path("touched").display()));
    house.chain("known", "", r#"run("datastore.set", #{ key: "k", value: 2 }); 20"#);
    house.chain("unknown", "", r#"#{ made: run("p.make") }"#);
    house.chain("failing", "", r#"run("p.make"); fail("no room")"#);
    house.chain(
        "all",
        "",
        r#"
        let n = run("p.known");
        let kind = "";
        try { run("p.failing") } catch (e) { kind = e.kind }
        log(`${n} ${kind}`);
        let it = run("p.unknown");
        it.made
        "#,
    );
    let engine = house.start().await;
    expect![[r#"
        1 p.known planned → 20
          1 datastore.set planned: sets the key p/k → {}
              p/k: null → 2
          complete → 20
        2 p.failing planned ✗ no room
          1 p.make planned: runs the program actions/make.sh
              actions/make.sh: null → {"stdin":{}}
          failed ✗ "no room"
        3 log noted → "20 child_failed"
        4 p.unknown planned
          1 p.make planned: runs the program actions/make.sh
              actions/make.sh: null → {"stdin":{}}
          complete → {"made":"(what step 1 returns)"}
        stopped … [{"at":"all.rhai:6:18","step":"4","why":"`it` holds what `p.unknown` (step 4) would return, which its plan does not say"}]"#]]
    .assert_eq(&shown(&dry(&engine, "p.all").await));
    let assumed = assuming(&engine, "p.all", &[("4/1", json!({ "id": 7 }))]).await;
    expect![[r#"{"id":7}"#]].assert_eq(&assumed.result.unwrap().to_string());
    nothing_happened(&house, &engine).await;
}

#[tokio::test]
async fn a_chain_that_would_fail_shows_what_its_handlers_would_do() {
    let house = house();
    house.chain(
        "release",
        "",
        r#"
        undo(|error| run("datastore.set", #{ key: "failed", value: error.message }));
        on_exit(|outcome| log(outcome.state));
        run("core.fail", #{ message: "no such host" });
        run("datastore.set", #{ key: "never", value: 1 });
        "#,
    );
    let engine = house.start().await;
    expect![[r#"
        1 undo noted
        2 on_exit noted
        3 core.fail performed ✗ no such host
        undo.1.1 datastore.set planned: sets the key p/failed → {}
            p/failed: null → "no such host"
        undo.2.1 log noted → "failed"
        failed ✗ "no such host""#]]
    .assert_eq(&shown(&dry(&engine, "p.release").await));
    nothing_happened(&house, &engine).await;
}

#[tokio::test]
async fn a_poll_after_a_planned_change_is_taken_to_be_met_and_its_answer_is_not_made_up() {
    let house = house();
    let look = r#"poll("core.echo", #{ value: 1 }, |r| r.value == 2)"#;
    let change = "run(\"p.change\");";
    house.program("change", "idempotent", "true");
    house.chain("wait", "", &format!("{change} {look}; log(\"over\");"));
    house.chain("use", "", &format!("{change} let seen = {look}; log(seen.value);"));
    let engine = house.start().await;
    expect![[r#"
        1 p.change planned: runs the program actions/change.sh
            actions/change.sh: null → {"stdin":{}}
        2 core.echo planned: waits until its condition holds, which it does not yet
        3 log noted → "over"
        complete → null"#]]
    .assert_eq(&shown(&dry(&engine, "p.wait").await));
    expect![[r#"
        1 p.change planned: runs the program actions/change.sh
            actions/change.sh: null → {"stdin":{}}
        2 core.echo planned: waits until its condition holds, which it does not yet
        stopped … [{"at":"use.rhai:1:29","step":"2","why":"`seen` holds what `core.echo` (step 2) would return, which its plan does not say"}]"#]].assert_eq(&shown(&dry(&engine, "p.use").await));
}

#[tokio::test]
async fn a_poll_is_asked_once_and_stops_the_dry_run_if_that_is_not_the_answer() {
    let house = house();
    house.chain(
        "wait",
        "n: { type: integer, default: 1 }",
        r#"poll("core.echo", #{ value: params.n }, |r| r.value == 2, #{ every: "1h" }).value"#,
    );
    let engine = house.start().await;
    expect![[r#"
        1 core.echo performed → {"value":1}
        stopped … [{"at":"wait.rhai:1:1","step":"1","why":"the condition of `poll` at step 1 does not hold for the present answer"}]"#]].assert_eq(&shown(&dry(&engine, "p.wait").await));
    let parameters = Map::from_iter([("n".to_owned(), json!(2))]);
    let met = engine.dry_run("p.wait".parse().unwrap(), parameters, BTreeMap::new()).await;
    expect![[r#"
        1 core.echo performed → {"value":2}
        complete → 2"#]]
    .assert_eq(&shown(&met.unwrap()));
}

#[tokio::test]
async fn a_chain_that_goes_on_as_a_new_run_is_followed_to_there() {
    let house = house();
    house.chain(
        "watch",
        "n: { type: integer, default: 1 }",
        r#"run("datastore.set", #{ key: "n", value: params.n }); continue_as(#{ n: params.n + 1 })"#,
    );
    let engine = house.start().await;
    expect![[r#"
        1 datastore.set planned: sets the key p/n → {}
            p/n: null → 1
        stopped … [{"why":"the chain goes on as a new run, with {\"n\":2}"}]"#]]
    .assert_eq(&shown(&dry(&engine, "p.watch").await));
    nothing_happened(&house, &engine).await;
}

#[tokio::test]
async fn what_a_pack_may_not_do_it_may_not_plan_either() {
    let house = house();
    permit(&house, "{ actions: [datastore.set, http.request], hosts: ['api.example.com'] }");
    house.chain(
        "do_it",
        "action: { type: string, default: datastore.delete }",
        r#"run(params.action, #{ key: "k" })"#,
    );
    house.chain("send", "host: { type: string, default: evil.example.com }", r#"run("http.request", #{ method: "POST", url: `https://${params.host}/x`, json: #{ a: 1 } })"#);
    let engine = house.start().await;
    expect![[r#"
        1 datastore.delete refused ✗ the pack `p` may not use `datastore.delete`: add `actions: [datastore.delete]` to `permissions` in its pack.yaml
        failed ✗ "the pack `p` may not use `datastore.delete`: add `actions: [datastore.delete]` to `permissions` in its pack.yaml""#]].assert_eq(&shown(&dry(&engine, "p.do_it").await));
    expect![[r#"
        1 http.request refused ✗ requests to `evil.example.com` are not allowed: add `evil.example.com` to `permissions.hosts` in the pack.yaml of `p`
        failed ✗ "requests to `evil.example.com` are not allowed: add `evil.example.com` to `permissions.hosts` in the pack.yaml of `p`""#]].assert_eq(&shown(&dry(&engine, "p.send").await));
    let parameters = Map::from_iter([("host".to_owned(), json!("api.example.com"))]);
    let sent = engine.dry_run("p.send".parse().unwrap(), parameters, BTreeMap::new()).await;
    expect![[r#"
        1 http.request planned: sends POST https://api.example.com/x
            POST https://api.example.com/x: null → {"body":{"a":1},"headers":{"content-type":"application/json"}}
        complete → "(what step 1 returns)""#]].assert_eq(&shown(&sent.unwrap()));
}

#[tokio::test]
async fn secrets_stay_tokens_in_a_plan() {
    let house = house();
    house.program("show", "read", "cat");
    house.program("store", "unsafe", "cat > /dev/null");
    house.chain(
        "rotate",
        "",
        r#"
        let old = secret("p/admin");
        let new = run("secrets.generate", #{ length: 24 });
        run("p.show", #{ a: old, b: new });
        run("http.request", #{ method: "PUT", url: "https://api.example.com/user",
            headers: #{ authorization: `Bearer ${old}` }, json: #{ password: new } });
        run("p.store", #{ a: [old], b: base64(old) });
        run("secrets.store", #{ path: "p/admin", value: new });
        if secret("p/admin") == old { fail("the old one") }
        1
        "#,
    );
    let engine = house.start().await;
    let value = "correct-horse-battery";
    engine.set_secret(Actor::token("test"), "p/admin", Plain::new(value)).await.unwrap();
    let told = dry(&engine, "p.rotate").await;
    let text = serde_json::to_string_pretty(&told).unwrap();
    assert_eq!(told.result, Some(json!(1)), "{text}");
    assert!(!text.contains(value) && !text.contains("Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5"), "{text}");
    let old = told.steps[0].result.as_ref().unwrap().as_str().unwrap();
    let header = told.steps[3].plan.as_ref().unwrap().changes[0].after.as_ref().unwrap();
    assert_eq!(header["headers"]["authorization"], format!("Bearer {old}"), "{text}");
    // Read for real, with the value, and shown without it.
    assert_eq!(told.steps[2].result.as_ref().unwrap()["a"], old, "{text}");
    // The old value is still the one.
    let again = dry(&engine, "p.rotate").await;
    assert_eq!(again.steps[0].how, engine::dry_run::How::Performed);
    assert_eq!(
        again.steps[5].plan.as_ref().unwrap().changes[0].after,
        Some(json!({ "version": 2 }))
    );
}

#[tokio::test]
async fn an_action_by_itself_has_a_plan_and_wrong_parameters_are_refused() {
    let house = house();
    let engine = house.start().await;
    let parameters = |value: Value| value.as_object().cloned().unwrap();
    let set = parameters(json!({ "key": "k", "value": 2, "scope": "global" }));
    let told = engine.dry_run("datastore.set".parse().unwrap(), set, BTreeMap::new()).await;
    expect![[r#"
        1 datastore.set planned: sets the key global/k → {}
            global/k: null → 2
        complete → {}"#]]
    .assert_eq(&shown(&told.unwrap()));
    let wrong = engine.dry_run("datastore.set".parse().unwrap(), Map::new(), BTreeMap::new()).await;
    assert!(wrong.unwrap_err().to_string().contains("missing"));
    let nothing = engine.dry_run("p.nothing".parse().unwrap(), Map::new(), BTreeMap::new()).await;
    expect!["there is no action `p.nothing`"].assert_eq(&nothing.unwrap_err().to_string());
}
