//! What becomes of steps on a cluster when the API server dies, rights go, or Tripline is killed; and
//! of a chain that writes to what made it run.

use host::kubernetes::Request;
use lab::{ADMIN, Part};
use serde_json::{Value, json};

use crate::clusters::{MAPS, Stage, in_cluster, map};
use crate::files::{PATIENCE, chain, pack, world};
use crate::support::{World, eventually};

const PACK: &str = "name: p\nversion: 1.0.0\n\
                    permissions: { actions: [kubernetes.*], connections: [default] }\n";

/// Applies a ConfigMap and waits until somebody says that it is ready.
const WAITING: &str = r#"
let made = #{ apiVersion: "v1", kind: "ConfigMap", metadata: #{ name: "slow", namespace: "shop" }, data: #{ of: "p" } };
let patient = #{ retry: #{ attempts: 200, delay: "300ms", backoff: 1, only: ["denied", "unavailable"] } };
let wait = #{ "for": #{ field: "data.ready", equals: "yes" }, timeout: "5m" };
run("kubernetes.apply", #{ manifest: made, wait: wait }, patient)
"#;

/// Applies many in one step.
const MANY: &str = r#"
let made = [];
for n in 0..150 {
    made.push(#{ apiVersion: "v1", kind: "ConfigMap", metadata: #{ name: `many-${n}`, namespace: "shop" }, data: #{ n: `${n}` } });
}
run("kubernetes.apply", #{ manifest: made }, #{ retry: #{ attempts: 60, delay: "500ms", backoff: 1 } })
"#;

/// A world whose server is the admin, or the owner of `token`.
fn world_of(stage: &Stage, token: &str) -> World {
    let world = in_cluster(world(), &stage.lab, token);
    pack(&world, "pack.yaml", PACK);
    chain(&world, "waiting", WAITING);
    chain(&world, "many", MANY);
    world
}

fn begun(world: &World, action: &str) -> String {
    world.run(&["run", action, "--detach"]).succeeded().stdout.trim().to_owned()
}

fn maps(stage: &Stage, name: &str) -> Vec<Value> {
    let all = stage.admin(&Request::get(MAPS))["items"].as_array().unwrap().clone();
    let is = |map: &Value| map["metadata"]["name"].as_str().unwrap().starts_with(name);
    all.into_iter().filter(is).collect()
}

/// The map that is waited for, once it is there.
fn slow(stage: &Stage) -> Value {
    eventually(PATIENCE, || maps(stage, "slow").pop())
}

fn make_ready(stage: &Stage) {
    let mut ready = map("slow", &json!({}));
    ready["data"] = json!({ "ready": "yes" });
    ready["metadata"] = json!({ "name": "slow", "namespace": "shop" });
    stage.apply(&ready);
}

/// The only step, attempts and error included.
fn step(world: &World, id: &str) -> Value {
    world.execution(id)["steps"][0].clone()
}

#[test]
#[ignore = "needs the lab"]
fn an_apply_in_whose_middle_the_api_server_is_killed_is_done_once_it_is_back() {
    let mut stage = Stage::set();
    let world = world_of(&stage, ADMIN);
    let server = world.serve();
    let id = begun(&world, "p.many");
    eventually(PATIENCE, || (maps(&stage, "many").len() > 10).then_some(()));
    stage.lab.part(Part::Api).unwrap().kill();
    eventually(PATIENCE, || (step(&world, &id)["attempts"].as_u64() > Some(1)).then_some(()));
    let Stage { runtime, lab, .. } = &mut stage;
    runtime.block_on(lab.part(Part::Api).unwrap().start()).unwrap();
    world.reaches(&id, &["succeeded"]);
    let made = maps(&stage, "many");
    assert_eq!(made.len(), 150);
    let writers = |map: &Value| map["metadata"]["managedFields"].as_array().unwrap().len();
    assert!(made.iter().all(|map| writers(map) == 1), "one manager, once for each");
    let metrics = server.ask("GET", "/metrics", None).body;
    for told in [
        r#"tripline_cluster_request_seconds_count{connection="default",method="PATCH",status="201"} "#,
        r#"tripline_cluster_request_seconds_count{connection="default",method="GET",status="none"}"#,
        r#"tripline_step_seconds_count{action="kubernetes.apply",connection="default",outcome="done"} 1"#,
    ] {
        assert!(metrics.contains(told), "{told}\n{metrics}");
    }
}

#[test]
#[ignore = "needs the lab"]
fn an_apply_that_loses_its_rights_while_it_waits_goes_on_when_they_are_back() {
    let stage = Stage::set();
    let (token, account) = stage.account();
    let world = world_of(&stage, &token);
    let printed = world.json(&["pack", "rbac", "packs/p", "--in", "shop"]);
    let manifests = printed["items"].as_array().unwrap();
    for object in manifests {
        stage.apply(object);
    }
    let role = manifests.iter().find(|object| object["kind"] == "Role").unwrap();
    let rule = &role["rules"][0];
    let may = || stage.allows(&account, role, rule, rule["verbs"][0].as_str().unwrap());
    eventually(PATIENCE, || may().then_some(()));

    let _server = world.serve();
    let id = begun(&world, "p.waiting");
    slow(&stage);
    let mut none = role.clone();
    none["rules"] = json!([]);
    stage.apply(&none);
    let refused = eventually(PATIENCE, || {
        let told = step(&world, &id).to_string();
        told.contains("may not get configmaps in the namespace `shop`").then_some(told)
    });
    assert!(refused.contains("add to a Role"), "{refused}");
    stage.apply(role);
    make_ready(&stage);
    world.reaches(&id, &["succeeded"]);
}

#[test]
#[ignore = "needs the lab"]
fn an_apply_that_waits_is_taken_up_after_a_kill_and_writes_nothing_again() {
    let stage = Stage::set();
    let world = world_of(&stage, ADMIN);
    let server = world.serve();
    let id = begun(&world, "p.waiting");
    let before = slow(&stage);
    server.kill();
    let _server = world.serve();
    eventually(PATIENCE, || (step(&world, &id)["attempts"].as_u64() > Some(1)).then_some(()));
    make_ready(&stage);
    world.reaches(&id, &["succeeded"]);
    let applied = &step(&world, &id)["result"]["objects"][0];
    assert_eq!(applied["uid"], before["metadata"]["uid"]);
    let own = |map: &Value| {
        let all = map["metadata"]["managedFields"].as_array().unwrap().clone();
        all.into_iter().find(|writer| writer["manager"] == "tripline").unwrap()["time"].clone()
    };
    assert_eq!(own(&slow(&stage)), own(&before), "it was written again");
}

#[test]
#[ignore = "needs the lab"]
fn a_chain_that_writes_the_status_of_what_made_it_run_is_not_run_by_that() {
    let stage = Stage::set();
    stage.apply(&json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "claims.lab.tripline.dev" },
        "spec": {
            "group": "lab.tripline.dev", "scope": "Namespaced", "names": { "kind": "Claim", "plural": "claims" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } } }],
        },
    }));
    let world = world_of(&stage, ADMIN);
    let rule = "trigger: { type: kubernetes.object, parameters: { api_version: lab.tripline.dev/v1, kind: Claim } }\n\
                action: { ref: p.seen, parameters: { a: '${trigger.object}' } }\n";
    pack(&world, "rules/claimed.yaml", rule);
    let seen = r#"
        let claim = #{ api_version: "lab.tripline.dev/v1", kind: "Claim", name: params.a.metadata.name, namespace: "shop" };
        claim.status = #{ seen: params.a.spec.size, at: now() };
        claim.conditions = [#{ type: "Ready", status: "True", reason: "Seen" }];
        run("kubernetes.patch_status", claim)
    "#;
    chain(&world, "seen", seen);
    let _server = world.serve();
    eventually(PATIENCE, || {
        (world.json(&["sensor", "list"])[0]["state"] == "running").then_some(())
    });
    let claims = "/apis/lab.tripline.dev/v1/namespaces/shop/claims";
    let claim = |name: &str, size: u64| {
        json!({ "apiVersion": "lab.tripline.dev/v1", "kind": "Claim",
            "metadata": { "name": name, "namespace": "shop" }, "spec": { "size": size } })
    };
    let shown = |name: &str| {
        stage.admin(&Request::get(&format!("{claims}/{name}")))["status"]["seen"].clone()
    };
    for size in [1, 2] {
        stage.apply(&claim("one", size));
        eventually(PATIENCE, || (shown("one") == size).then_some(()));
    }
    // What the first one's status might have made happen came before this.
    stage.apply(&claim("last", 3));
    eventually(PATIENCE, || (shown("last") == 3).then_some(()));
    let runs = world.json(&["execution", "list", "--action", "p.seen"]);
    assert_eq!(runs.as_array().unwrap().len(), 3, "{runs:#}");
}
