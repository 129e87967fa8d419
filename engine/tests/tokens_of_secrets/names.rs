//! What is judged by its name cannot be named by a secret.

use std::os::unix::fs::PermissionsExt;

use engine::Engine;
use model::Value;
use serde_json::json;

use super::support::{House, ended, error_kind, run};
use super::{chain, house, stored};

/// A pack `q` that may use every connection, with the chains `q.fetch` and `q.poll`, which use the one
/// that their parameters name; `production` is lent to it alone.
async fn lender(house: &House) -> Engine {
    house.write(
        "pack.yaml",
        "name: p\nversion: 1.0.0\npermissions: { actions: [q.*], exec: true }\n",
    );
    house.write_in(
        "q",
        "pack.yaml",
        "name: q\nversion: 1.0.0\npermissions: { actions: [http.request, kubernetes.get], connections: ['*'] }\n",
    );
    let request = "#{ connection: params.connection, url: \"x\" }";
    let pod = "#{ connection: params.connection, api_version: \"v1\", kind: \"Pod\", name: \"x\" }";
    for (name, text) in [
        ("fetch", format!("run(\"http.request\", {request}, #{{ retry: #{{ attempts: 1 }} }})")),
        (
            "poll",
            format!(
                "poll(\"http.request\", {request}, |r| true, #{{ every: \"1s\", deadline: \"1s\" }})"
            ),
        ),
        ("look", format!("run(\"kubernetes.get\", {pod}, #{{ retry: #{{ attempts: 1 }} }})")),
    ] {
        let file =
            format!("entry_point: {name}.rhai\nparameters: {{ connection: {{ type: string }} }}\n");
        house.write_in("q", &format!("actions/{name}.yaml"), &file);
        house.write_in("q", &format!("actions/{name}.rhai"), &text);
    }
    house.environment(
        "connections:\n  production: { type: http, base_url: 'http://127.0.0.1:1/', packs: [q] }\n",
    );
    house.start_in_environment().await
}

/// Writes the program `p.name`, whose result is secret.
fn teller(house: &House) {
    let declared =
        "entry_point: name.sh\neffect: read\nresult: { name: { type: string, secret: true } }\n";
    house.write("actions/name.yaml", declared);
    house.write("actions/name.sh", "#!/bin/sh\necho '{\"name\": \"production\"}'\n");
    let program = house.path("packs/p/actions/name.sh");
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
}

async fn refusal(engine: &Engine, action: &str, parameters: Value) -> String {
    let view = ended(engine, &run(engine, action, parameters).await).await;
    view.outcome.as_ref().unwrap().error.as_ref().unwrap().message.clone()
}

#[tokio::test]
async fn a_connection_cannot_be_named_by_a_secret() {
    let house = House::new();
    teller(&house);
    for name in ["fetch", "poll", "look"] {
        let text = format!("run(\"q.{name}\", #{{ connection: params.name }})");
        house.chain(name, "name: { type: string, secret: true }", &text);
    }
    house.chain(
        "part",
        "name: { type: string, secret: true }",
        "run(\"q.fetch\", #{ connection: `x${params.name}` })",
    );
    house.chain(
        "derived",
        "name: { type: string, secret: true }",
        "run(\"q.fetch\", #{ connection: url_encode(params.name) })",
    );
    house.chain("told", "", "run(\"q.fetch\", #{ connection: run(\"p.name\").name })");
    let engine = lender(&house).await;
    for (action, parameters) in [
        ("p.fetch", json!({ "name": "production" })),
        ("p.poll", json!({ "name": "production" })),
        ("p.look", json!({ "name": "production" })),
        ("p.part", json!({ "name": "roduction" })),
        ("p.derived", json!({ "name": "production" })),
        ("p.told", json!({})),
    ] {
        let message = refusal(&engine, action, parameters).await;
        assert!(message.contains("names of connections are no secrets"), "{action}: {message}");
    }
}

#[tokio::test]
async fn a_secrets_path_cannot_be_a_secret() {
    let (house, engine) = house().await;
    for (name, call) in [
        ("get", "run(\"secrets.get\", #{ path: params.path })"),
        ("store", "run(\"secrets.store\", #{ path: params.path, value: \"a value of its own\" })"),
    ] {
        chain(&house, &engine, name, "path: { type: string, secret: true }", call).await;
        let parameters = json!({ "path": "other/hidden-place" });
        let id = run(&engine, &format!("p.{name}"), parameters).await;
        let view = ended(&engine, &id).await;
        assert_eq!(error_kind(&view), "invalid_parameters", "{name}: {view:#?}");
        let stored = stored(&house, &id).await;
        assert!(!stored.contains("hidden-place"), "{stored}");
    }
}
