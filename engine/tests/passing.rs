//! An action or a connection that a pack passes to another pack's chain must be allowed to both.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use expect_test::expect;
use model::ExecutionState;
use serde_json::json;
use support::{House, ended, error_kind, eventually, message, run};

fn house(permissions: &str) -> House {
    let house = House::new();
    house.write("pack.yaml", &format!("name: p\nversion: 1.0.0\npermissions: {permissions}\n"));
    house
}

/// The chain `q.run` of a pack that may do everything, which runs what its parameters name: itself,
/// or by way of another chain of the same pack; and `q.own`, which names it by itself.
fn deputy(house: &House) {
    let permissions = "{ actions: ['*'], connections: ['*'], exec: true }";
    house.write_in(
        "q",
        "pack.yaml",
        &format!("name: q\nversion: 1.0.0\npermissions: {permissions}\n"),
    );
    let schema = "action: { type: string }, with: { type: object }, by: { type: string }";
    for (name, text) in [
        ("run", "run(params.action, params.with)"),
        (
            "pass",
            "run(\"q.run\", #{ action: get(params, \"by\") ?? params.action, with: params.with })",
        ),
        ("own", "run(\"q.run\", #{ action: \"core.echo\", with: params.with })"),
    ] {
        let file = format!("entry_point: {name}.rhai\nparameters: {{ {schema} }}\n");
        house.write_in("q", &format!("actions/{name}.yaml"), &file);
        house.write_in("q", &format!("actions/{name}.rhai"), text);
    }
}

#[tokio::test]
async fn an_action_passed_to_a_chain_of_another_pack_must_be_allowed_to_who_passed_it() {
    let house = house("{ actions: [q.*, core.fail] }");
    house.chain(
        "call",
        "chain: { type: string }, given: { type: object }",
        "run(params.chain, params.given)",
    );
    deputy(&house);
    let engine = house.start().await;
    let denied = "the pack `p` may not use `core.echo`: add `actions: [core.echo]` to `permissions` in its pack.yaml";
    for (chain, action, expected) in [
        ("q.run", "core.echo", Some(denied)),
        ("q.pass", "core.echo", Some(denied)),
        ("q.run", "core.fail", Some("seven")),
        ("q.own", "p.unused", None),
    ] {
        let given = json!({ "action": action, "with": { "value": 7 } });
        let given = match action {
            "core.fail" => json!({ "action": action, "with": { "message": "seven" } }),
            _ => given,
        };
        let parameters = json!({ "chain": chain, "given": given });
        let dry = parameters.as_object().unwrap().clone();
        let dry = engine.dry_run("p.call".parse().unwrap(), dry, BTreeMap::new()).await.unwrap();
        let view = ended(&engine, &run(&engine, "p.call", parameters).await).await;
        let told = view.outcome.as_ref().unwrap().error.as_ref().map(|e| e.message.as_str());
        assert_eq!(told, expected, "{chain} {action}");
        let dry = dry.error.as_ref().map(|error| error.message.as_str());
        assert_eq!(dry, expected, "a dry run of {chain} {action}");
    }
    // By hand, the role of who runs it decides.
    let given = json!({ "action": "core.echo", "with": { "value": 7 } });
    let view = ended(&engine, &run(&engine, "q.run", given).await).await;
    assert_eq!(view.row.state, ExecutionState::Succeeded);
}

#[tokio::test]
async fn an_action_that_a_rule_passes_to_a_chain_of_another_pack_must_be_allowed_to_its_pack() {
    let house = house("{ actions: [q.*] }");
    house.write("triggers/said.yaml", "payload: {}\n");
    let rule = "trigger: { type: p.said }\naction: { ref: q.run, parameters: { action: core.echo, with: { value: 7 } } }\n";
    house.write("rules/say.yaml", rule);
    deputy(&house);
    let engine = house.start().await;
    let said = engine::NewEvent {
        kind: "p.said".parse().unwrap(),
        id: None,
        subject: None,
        data: json!({}),
    };
    engine.emit("test", said).await.unwrap();
    let all = store::ExecutionFilter { limit: 10, ..Default::default() };
    eventually("its execution", || async { !engine.executions(&all).await.unwrap().is_empty() })
        .await;
    let id = engine.executions(&all).await.unwrap()[0].id.clone();
    let view = ended(&engine, &id).await;
    assert_eq!(error_kind(&view), "denied", "{view:#?}");
    assert!(message(&view).contains("the pack `p` may not use `core.echo`"), "{}", message(&view));
}

#[tokio::test]
async fn a_connection_passed_to_a_chain_of_another_pack_must_be_lent_to_who_passed_it() {
    let house = house("{ actions: [q.*, http.*], connections: ['s*'] }");
    house.chain("call", "name: { type: string }", "run(\"q.run\", #{ action: \"http.request\", with: #{ connection: params.name, url: \"x\" } })");
    deputy(&house);
    let text = [("status", "p, q"), ("other", "p, q"), ("secret", "q")].map(|(name, packs)| {
        format!("  {name}: {{ type: http, base_url: 'http://127.0.0.1:1/', packs: [{packs}] }}\n")
    });
    house.environment(&format!("connections:\n{}", text.concat()));
    let engine = house.start_in_environment().await;
    let mut told = Vec::new();
    for name in ["other", "secret", "status"] {
        let view = ended(&engine, &run(&engine, "p.call", json!({ "name": name })).await).await;
        told.push(message(&view).replace(&house.folder.path().display().to_string(), "DIR"));
    }
    assert!(!told.pop().unwrap().contains("pack"), "nobody listens there: {told:?}");
    expect![[r#"
        the pack `p` may not use the connection `other`: add `connections: [other]` to `permissions` in its pack.yaml
        the connection `secret` is not lent to the pack `p`: add `p` to its `packs` at DIR/dev.yaml:4"#]].assert_eq(&told.join("\n"));
}

#[tokio::test]
async fn a_connection_that_is_left_out_where_one_can_be_said_must_be_lent_to_who_left_it_out() {
    let house = house("{ actions: [q.*, kubernetes.*], connections: [] }");
    house.chain(
        "call",
        "chain: { type: string }, given: { type: object }",
        "run(params.chain, params.given)",
    );
    deputy(&house);
    // Each asks the cluster for a kind that no text names; what is there is not asked.
    for (name, schema, text) in [
        (
            "of",
            "connection: { type: string }",
            "run(\"q.inner\", #{ at: #{ of: get(params, \"connection\") } })",
        ),
        ("inner", "at: { type: object }", "run(\"kubernetes.get\", given(params.at.of))"),
        ("its", "name: { type: string }", "run(\"kubernetes.get\", given(()))"),
    ] {
        let given = "fn given(connection) { let all = #{ api_version: \"v1\", kind: \"Pod\", name: \"x\" }; \
                     if connection != () { all.connection = connection; } all }";
        let file = format!("entry_point: {name}.rhai\nparameters: {{ {schema} }}\n");
        house.write_in("q", &format!("actions/{name}.yaml"), &file);
        house.write_in("q", &format!("actions/{name}.rhai"), &format!("{given}\n{text}"));
    }
    let connection = |name: &str| {
        format!("  {name}: {{ type: kubernetes, credentials: {{ file: none }}, packs: ['*'] }}\n")
    };
    let text = ["default", "other"].map(connection).concat();
    house.environment(&format!("connections:\n{text}"));
    let engine = house.start_in_environment().await;
    let own = "the pack `p` may not use the server's own cluster: add `connections: [default]` to `permissions` in its pack.yaml";
    let other = own
        .replace("the server's own cluster", "the connection `other`")
        .replace("[default]", "[other]");
    let pod = json!({ "api_version": "v1", "kind": "Pod", "name": "x" });
    for (chain, given, expected) in [
        ("q.of", json!({}), Some(own)),
        ("q.of", json!({ "connection": "other" }), Some(other.as_str())),
        ("q.run", json!({ "action": "kubernetes.get", "with": pod }), Some(own)),
        // Nobody could say one: it is the chain's own choice, whatever else is called so.
        ("q.its", json!({ "name": "default" }), None),
    ] {
        let parameters = json!({ "chain": chain, "given": given });
        let dry = parameters.as_object().unwrap().clone();
        let dry = engine.dry_run("p.call".parse().unwrap(), dry, BTreeMap::new()).await.unwrap();
        let told = [
            message(&ended(&engine, &run(&engine, "p.call", parameters).await).await),
            dry.error.unwrap().message,
        ];
        for told in told {
            match expected {
                Some(expected) => assert_eq!(told, expected, "{chain} {given}"),
                None => assert!(told.contains("kubeconfig"), "it is asked: {told}"),
            }
        }
    }
}
