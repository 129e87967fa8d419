//! What packs may do: denied unless asked for and granted, at every step, by what holds now.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use engine::rerun::Repetition;
use expect_test::expect;
use model::{Actor, ExecutionState};
use serde_json::json;
use support::{House, ended, error_kind, eventually, message, result, run};

fn house(permissions: &str) -> House {
    let house = House::new();
    write(&house, permissions);
    house
}

fn write(house: &House, permissions: &str) {
    house.write("pack.yaml", &format!("name: p\nversion: 1.0.0\npermissions: {permissions}\n"));
}

/// A second pack, `q`, with a chain `q.work` and a program `q.tool`.
fn neighbour(house: &House, permissions: &str) {
    let write = |name: &str, text: &str| house.write_in("q", name, text);
    write("pack.yaml", &format!("name: q\nversion: 1.0.0\npermissions: {permissions}\n"));
    write("actions/work.yaml", "entry_point: work.rhai\n");
    write("actions/work.rhai", "run(\"core.echo\", #{ value: 7 })");
    write("actions/tool.yaml", "entry_point: tool.sh\neffect: read\n");
    write("actions/tool.sh", "#!/bin/sh\necho '{\"done\": true}'\n");
    let program = house.path("packs/q/actions/tool.sh");
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn an_action_named_by_a_parameter_is_denied_unless_the_pack_asks_for_it() {
    let house = house("{ actions: [core.echo], exec: true }");
    house.chain("call", "action: { type: string }", "run(params.action, #{ value: 1 })");
    let engine = house.start().await;
    let id = run(&engine, "p.call", json!({ "action": "core.echo" })).await;
    assert_eq!(ended(&engine, &id).await.row.state, ExecutionState::Succeeded);
    let id = run(&engine, "p.call", json!({ "action": "datastore.get" })).await;
    let view = ended(&engine, &id).await;
    assert_eq!(error_kind(&view), "denied");
    expect!["the pack `p` may not use `datastore.get`: add `actions: [datastore.get]` to `permissions` in its pack.yaml"].assert_eq(&message(&view));
    let step = &view.steps[0];
    assert_eq!((step.attempts, step.error.as_ref().unwrap().kind.as_str()), (0, "denied"));
    assert_eq!(
        step.error.as_ref().unwrap().details,
        json!({ "pack": "p", "permission": "actions", "asked": "datastore.get" })
    );
}

#[tokio::test]
async fn a_denial_is_an_error_like_any_other_and_can_be_caught() {
    let house = house("{ actions: [core.fail], exec: true }");
    house.chain(
        "call",
        "action: { type: string }",
        "let kind = \"\"; try { run(params.action) } catch (e) { kind = e.kind } kind",
    );
    let engine = house.start().await;
    let id = run(&engine, "p.call", json!({ "action": "core.echo" })).await;
    assert_eq!(result(&ended(&engine, &id).await), &json!("denied"));
}

#[tokio::test]
async fn a_chain_of_another_pack_is_governed_by_its_own_permissions() {
    let house = house("{ actions: [q.*], exec: true }");
    house.chain("both", "", "[run(\"q.work\"), run(\"q.tool\").done]");
    neighbour(&house, "{ actions: [core.echo], exec: true }");
    let engine = house.start().await;
    let id = run(&engine, "p.both", json!({})).await;
    assert_eq!(result(&ended(&engine, &id).await), &json!([{ "value": 7 }, true]));
}

#[tokio::test]
async fn running_executions_are_held_to_the_permissions_of_now() {
    let house = house("{ actions: [core.*], exec: true }");
    house.gate();
    house.chain(
        "later",
        "action: { type: string }",
        "run(params.action, #{ value: 1 }); run(\"p.wait\"); run(params.action, #{ value: 2 })",
    );
    let engine = house.start().await;
    let id = run(&engine, "p.later", json!({ "action": "core.echo" })).await;
    house.reached().await;
    write(&house, "{ actions: [core.fail], exec: true }");
    let before = engine.pack_views()[0].hash;
    eventually("the change", || async { engine.pack_views()[0].hash != before }).await;
    house.open();
    let view = ended(&engine, &id).await;
    assert_eq!(error_kind(&view), "denied", "{view:#?}");
    assert_eq!(view.steps[0].state, engine::view::StepState::Done);
}

#[tokio::test]
async fn a_connection_named_by_a_parameter_is_denied_unless_the_pack_asks_for_it() {
    let house = house("{ actions: [http.request], connections: [status] }");
    let call = "run(\"http.request\", #{ connection: params.name, url: \"x\" })";
    house.chain("call", "name: { type: string }", call);
    let text = ["status", "other"].map(|name| {
        format!("  {name}: {{ type: http, base_url: 'http://127.0.0.1:1/', packs: [p] }}\n")
    });
    house.environment(&format!("connections:\n{}", text.concat()));
    let engine = house.start_in_environment().await;
    let id = run(&engine, "p.call", json!({ "name": "other" })).await;
    let view = ended(&engine, &id).await;
    assert_eq!((error_kind(&view), view.steps[0].attempts), ("denied", 0));
    expect!["the pack `p` may not use the connection `other`: add `connections: [other]` to `permissions` in its pack.yaml"].assert_eq(&message(&view));
    let id = run(&engine, "p.call", json!({ "name": "status" })).await;
    assert_ne!(error_kind(&ended(&engine, &id).await), "denied", "nobody listens there");
}

#[tokio::test]
async fn what_an_environment_takes_away_is_denied_to_the_steps_that_come() {
    let house =
        house("{ actions: [http.request], secrets: ['p/*'], hosts: ['127.0.0.1:*'], exec: true }");
    house.gate();
    house.program("tool", "read", "echo done");
    for (name, call) in [
        ("exec", "run(\"p.tool\")"),
        ("secrets", "secret(\"p/admin\")"),
        (
            "hosts",
            "run(\"http.request\", #{ url: \"http://127.0.0.1:1/\" }, #{ retry: #{ attempts: 1 } })",
        ),
    ] {
        let kind =
            |n: &str| format!("let {n} = \"\"; try {{ {call} }} catch (e) {{ {n} = e.kind }}");
        let text = format!("{} run(\"p.wait\"); {} [one, two]", kind("one"), kind("two"));
        house.chain(name, "", &text);
    }
    house.environment("packs: {}\n");
    let engine = house.start_in_environment().await;
    let value = engine::secrets::Plain::new("the first value");
    engine.set_secret(Actor::token("test"), "p/admin", value).await.unwrap();
    let mut running = Vec::new();
    for name in ["exec", "secrets", "hosts"] {
        let id = run(&engine, &format!("p.{name}"), json!({})).await;
        let waits = |step: &engine::view::StepView| {
            step.action.as_ref().is_some_and(|action| action.as_str() == "p.wait")
        };
        eventually("its gate", || async {
            engine.execution(&id).await.unwrap().steps.iter().any(waits)
        })
        .await;
        running.push(id);
    }
    house.environment(
        "packs:\n  p: { permissions: { secrets: [q/*], hosts: [example.com], exec: false } }\n",
    );
    let stale = || async { engine.pack_views()[0].state == "stale" };
    eventually("the change", stale).await;
    house.open();
    let mut seen = Vec::new();
    for id in running {
        seen.push(result(&ended(&engine, &id).await).clone());
    }
    let unreachable = json!(["unavailable", "denied"]);
    assert_eq!(seen, [json!(["", "denied"]), json!(["", "denied"]), unreachable]);
}

#[tokio::test]
async fn a_program_is_denied_to_a_chain_once_its_pack_asks_for_none() {
    let house = house("{ exec: true }");
    house.gate();
    house.program("tool", "read", "echo done");
    house.chain("call", "name: { type: string }", "run(\"p.wait\"); run(params.name)");
    let engine = house.start().await;
    let id = run(&engine, "p.call", json!({ "name": "p.tool" })).await;
    house.reached().await;
    for program in ["tool", "wait"] {
        std::fs::remove_file(house.path(&format!("packs/p/actions/{program}.yaml"))).unwrap();
    }
    house.chain("call", "name: { type: string }", "run(params.name)");
    write(&house, "{}");
    let before = engine.pack_views()[0].hash;
    eventually("the change", || async { engine.pack_views()[0].hash != before }).await;
    house.open();
    let view = ended(&engine, &id).await;
    assert_eq!(error_kind(&view), "denied", "{view:#?}");
    expect!["the pack `p` may not run programs on the server: add `exec: true` to `permissions` in its pack.yaml"].assert_eq(&message(&view));
}

#[tokio::test]
async fn an_environment_that_grants_less_denies_at_once_what_its_packs_ask_for() {
    let house = house("{ actions: [core.*], exec: true }");
    house.chain("call", "action: { type: string }", "run(params.action, #{ value: 1 })");
    house.environment("packs: {}\n");
    let engine = house.start_in_environment().await;
    house.environment("packs:\n  p: { permissions: { actions: [core.fail] } }\n");
    let stale = || async { engine.pack_views()[0].state == "stale" };
    eventually("the change", stale).await;
    let id = run(&engine, "p.call", json!({ "action": "core.echo" })).await;
    let view = ended(&engine, &id).await;
    assert_eq!(error_kind(&view), "denied");
    let told = message(&view).replace(&house.folder.path().display().to_string(), "DIR");
    expect!["the environment does not grant `p` what it asks for, `core.echo`: see `packs.p.permissions.actions` (DIR/dev.yaml:2)"].assert_eq(&told);
}

#[tokio::test]
async fn no_secret_is_used_or_changed_by_an_action_that_is_run_by_hand() {
    let house = house("{ actions: [secrets.*], secrets: ['p/*'] }");
    house.chain("turn", "", r#"run("secrets.store", #{ path: "p/admin", value: "of the pack" })"#);
    let engine = house.start().await;
    let first = engine::secrets::Plain::new("the first value");
    engine.set_secret(Actor::token("test"), "p/admin", first).await.unwrap();
    let store = json!({ "path": "p/admin", "value": "the second value" });
    for (action, parameters) in
        [("secrets.store", store), ("secrets.get", json!({ "path": "p/admin" }))]
    {
        let id = run(&engine, action, parameters.clone()).await;
        let rerun = engine.rerun(Actor::token("test"), &id, Repetition::default()).await.unwrap();
        for id in [id, rerun.id] {
            let view = ended(&engine, &id).await;
            assert_eq!(error_kind(&view), "denied", "{action}: {view:#?}");
            assert!(message(&view).contains("`tripline secret set p/admin`"), "{}", message(&view));
        }
        let parameters = parameters.as_object().unwrap().clone();
        let plan = engine.dry_run(action.parse().unwrap(), parameters, BTreeMap::new()).await;
        assert_eq!(plan.unwrap().error.unwrap().kind.as_str(), "denied", "{action}");
    }
    assert_eq!(engine.secrets()[0].version, 1, "as it was");
    // A chain is governed by its pack, also where a person runs it.
    let id = run(&engine, "p.turn", json!({})).await;
    assert_eq!(ended(&engine, &id).await.row.state, ExecutionState::Succeeded);
    assert_eq!(engine.secrets()[0].version, 2);
}

#[tokio::test]
async fn hosts_are_those_of_the_pack_that_asks() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answered = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = answered.clone();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let mut bytes = [0; 4096];
            let _ = stream.read(&mut bytes).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
            let _ = stream.write_all(answer).await;
        }
    });
    let house = house(&format!("{{ actions: [http.*], hosts: ['127.0.0.1:{port}', '*'] }}"));
    house.chain("get", "url: { type: string }", "run(\"http.request\", #{ url: params.url }).body");
    let engine = house.start().await;
    let url = |host: &str| json!({ "url": format!("http://{host}:{port}/") });
    let id = run(&engine, "p.get", url("127.0.0.1")).await;
    assert_eq!(result(&ended(&engine, &id).await), &json!("ok"));
    for host in ["localhost", "[::ffff:127.0.0.1]", "10.0.0.1"] {
        let id = run(&engine, "p.get", url(host)).await;
        let view = ended(&engine, &id).await;
        assert_eq!(error_kind(&view), "denied", "{host}");
        let hint = "to `permissions.hosts` in the pack.yaml of `p`";
        assert!(message(&view).ends_with(hint), "{}", message(&view));
    }
    // A person is no pack: public hosts only.
    let id = run(&engine, "http.request", url("127.0.0.1")).await;
    assert_eq!(error_kind(&ended(&engine, &id).await), "denied");
    assert_eq!(answered.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[test]
fn what_would_always_be_denied_is_an_error_of_check() {
    let house = house("{ actions: [http.request] }");
    house.chain("call", "", "run(\"core.echo\", #{ value: 1 }); run(\"http.request\", #{ url: \"https://a.example.com/\" })");
    house.program("tool", "read", "true");
    house.write("sensors/app.yaml", "type: git\nparameters: { connection: host, url: app.git }\n");
    let folder = house.folder.path().display().to_string();
    let findings = engine::check_packs(&[house.path("packs")]);
    let told: Vec<String> =
        findings.iter().map(|f| f.to_string().replace(&folder, "DIR")).collect();
    expect![[r#"
        error: the pack uses `core.echo` but does not ask for it
          at DIR/packs/p/actions/call.rhai:1:5
          1 | run("core.echo", #{ value: 1 }); run("http.request", #{ url: "https://a.example.com/" })
                  ^
          hint: add `core.echo` to `permissions.actions` in its pack.yaml
        error: the pack uses `http.request` but asks for no host and no connection
          at DIR/packs/p/actions/call.rhai:1:38
          1 | run("core.echo", #{ value: 1 }); run("http.request", #{ url: "https://a.example.com/" })
                                                   ^
          hint: add the hosts to `permissions.hosts` in its pack.yaml
        error: the pack runs programs but does not ask for `permissions.exec`
          at DIR/packs/p/actions/tool.yaml:1:14
          1 | entry_point: tool.sh
                           ^
          hint: add `exec: true` to its permissions
        error: the pack uses the connection `host` but does not ask for it
          at DIR/packs/p/sensors/app.yaml:1:1
          1 | type: git
              ^
          hint: add `host` to `permissions.connections` in its pack.yaml"#]].assert_eq(&told.join("\n"));
}

#[tokio::test]
async fn the_servers_own_cluster_takes_a_permission() {
    let call = r#"run(params.action, #{ api_version: "v1", kind: "Pod", name: "x" })"#;
    for (connections, expected) in [
        (
            "[]",
            "the pack `p` may not use the server's own cluster: add `connections: [default]` to `permissions` in its pack.yaml",
        ),
        (
            "['*']",
            "the server's own cluster is lent to no pack: add `default: { type: kubernetes, packs: [p] }` to `connections` in the server's environment",
        ),
    ] {
        let house = house(&format!("{{ actions: [kubernetes.*], connections: {connections} }}"));
        house.chain("call", "action: { type: string }", call);
        let engine = house.start().await;
        let id = run(&engine, "p.call", json!({ "action": "kubernetes.get" })).await;
        let view = ended(&engine, &id).await;
        assert_eq!((error_kind(&view), message(&view).as_str()), ("denied", expected));
    }
}
