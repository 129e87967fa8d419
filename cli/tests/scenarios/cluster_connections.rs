//! Ways into a cluster that an environment names: a context of a kubeconfig, and an address with a token
//! and an authority from the store of secrets.

use std::fs;
use std::time::Duration;

use host::kubernetes::{Patch, Request};
use lab::{ADMIN, NARROW, Parts};
use model::ErrorKind;
use serde_json::{Value, json};

use crate::clusters::{MAPS, Stage, cluster, started};
use crate::files::{PATIENCE, chain, events_of, pack, sensor_is, world};
use crate::support::{World, eventually};

/// A world with an environment of these connections, and the pack that uses them.
fn connected(connections: &[(&str, String)]) -> World {
    let world = world();
    world.write("tripline.yaml", "environment: environments/e.yaml\n");
    let lines = connections
        .iter()
        .map(|(name, of)| format!("  {name}: {{ type: kubernetes, packs: [p], {of} }}\n"));
    world.write("environments/e.yaml", &format!("connections:\n{}", lines.collect::<String>()));
    let names: Vec<&str> = connections.iter().map(|(name, _)| *name).collect();
    let permissions =
        format!("actions: [kubernetes.get, core.noop], connections: [{}]", names.join(", "));
    pack(
        &world,
        "pack.yaml",
        &format!("name: p\nversion: 1.0.0\npermissions: {{ {permissions} }}\n"),
    );
    world
}

/// A rule on the maps of a namespace, as this connection sees them.
fn watches(world: &World, connection: &str, namespace: &str) {
    let rule = format!(
        "trigger: {{ type: kubernetes.object, parameters: {{ api_version: v1, kind: ConfigMap, \
         namespaces: [{namespace}], connection: {connection} }} }}\naction: {{ ref: core.noop }}\n"
    );
    pack(world, &format!("rules/{connection}.yaml"), &rule);
}

/// The id of the sensor of this connection.
fn sensor_of(world: &World, connection: &str) -> String {
    let listed = world.json(&["sensor", "list"]);
    let of = |row: &&Value| row["parameters"]["connection"] == connection;
    let ids = listed.as_array().unwrap().iter().filter(of).map(|row| row["id"].as_str().unwrap());
    let [id] = ids.collect::<Vec<_>>().try_into().unwrap();
    id.to_owned()
}

#[test]
#[ignore = "needs the lab"]
fn each_context_of_a_kubeconfig_is_a_connection_of_its_own() {
    let (_runtime, lab) = started(Parts::Bare);
    let kubeconfig = fs::read_to_string(lab.kubeconfig(NARROW).unwrap()).unwrap();
    let users = format!("users: [{{ name: two, user: {{ token: {ADMIN} }} }}, ");
    let contexts =
        "contexts: [{ name: two, context: { cluster: lab, user: two, namespace: shop } }, ";
    let both = kubeconfig.replace("users: [", &users).replace("contexts: [", contexts);
    let file = "credentials: { file: both.kubeconfig }";
    let world = connected(&[
        ("one", file.to_owned()),
        ("two", format!("{file}, context: two")),
        ("none", format!("{file}, context: none")),
    ]);
    world.write("environments/both.kubeconfig", &both);
    for connection in ["one", "two", "none"] {
        watches(&world, connection, "default");
    }
    let get = r#"run("kubernetes.get", #{ connection: params.a, api_version: "v1", kind: "Namespace", name: "default" }).object.metadata.name"#;
    chain(&world, "get", get);
    let _server = world.serve();
    sensor_is(&world, &sensor_of(&world, "two"), "running");
    let current = sensor_is(&world, &sensor_of(&world, "one"), "waiting");
    let says = current["message"].as_str().unwrap();
    assert!(says.contains("`system:serviceaccount:default:narrow` may not list"), "{says}");
    let none = sensor_is(&world, &sensor_of(&world, "none"), "failing");
    assert!(none["message"].as_str().unwrap().contains("it has no context `none`"), "{none:#}");
    let done = world.run(&["run", "p.get", "a=two"]).succeeded();
    assert!(done.stdout.contains("default"), "{done:?}");
    let denied = world.run(&["run", "p.get", "a=one"]).ended(1);
    assert!(denied.stderr.contains("default:narrow` may not get namespaces"), "{denied:?}");
}

/// Waits until the API server takes this token no more: it does for some seconds longer than it asks.
fn until_refused(stage: &Stage, token: &str) {
    let owner = cluster(&stage.lab, token);
    let maps = Request::get(MAPS);
    eventually(PATIENCE, || {
        let refused = stage.runtime.block_on(owner.request(&maps)).err()?;
        (refused.kind == ErrorKind::Unauthenticated).then_some(())
    });
}

#[test]
#[ignore = "needs the lab"]
fn an_address_with_a_token_and_an_authority_of_the_secret_store_is_a_way_in_and_a_new_token_too() {
    let stage = Stage::set();
    let token = |life| {
        let token = stage.lab.account_token("tripline", "tripline", life);
        stage.runtime.block_on(token).unwrap()
    };
    let rights = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": { "name": "maps", "namespace": "shop" },
        "rules": [{ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch"] }] });
    stage.apply(&rights);
    stage.apply(&json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": { "name": "maps", "namespace": "shop" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "maps" },
        "subjects": [{ "kind": "ServiceAccount", "name": "tripline", "namespace": "tripline" }] }));
    let server = stage.lab.url();
    let secrets = "credentials: { secret: shop/token }, ca: { secret: shop/authority }";
    let world = connected(&[("shop", format!("server: '{server}', {secrets}"))]);
    watches(&world, "shop", "shop");
    let _server = world.serve();
    let sensor = sensor_of(&world, "shop");
    let missing = sensor_is(&world, &sensor, "failing");
    assert!(missing["message"].as_str().unwrap().contains("shop/authority"), "{missing:#}");

    let authority = fs::read_to_string(stage.lab.folder().join("certs/apiserver.crt")).unwrap();
    let set = |path: &str, value: &str| {
        drop(world.run_with_input(&["secret", "set", path], value).succeeded());
    };
    set("shop/authority", &authority);
    let short = token(Duration::from_secs(15));
    set("shop/token", &short);
    sensor_is(&world, &sensor, "running");
    let change = |n: u64| {
        let data = json!({ "data": { "n": n.to_string() } });
        stage.admin(&Request::patch(&format!("{MAPS}/settings"), Patch::Merge, data));
    };
    let has_told = |count: usize| {
        eventually(PATIENCE, || {
            let told = events_of(&world, "kubernetes.object");
            (told.len() >= count).then_some(told)
        })
    };
    change(1);
    has_told(1);
    // A watch that has begun goes on until its end: whoever begins another one is refused.
    until_refused(&stage, &short);
    world.run(&["sensor", "restart", &sensor]).succeeded();
    let refused = sensor_is(&world, &sensor, "failing");
    let says = refused["message"].as_str().unwrap();
    assert!(says.contains("(Unauthorized)") && says.contains("at shop/token"), "{says}");
    change(2);
    change(3);
    set("shop/token", &token(Duration::from_secs(3600)));
    let told = has_told(3);
    let values: Vec<&Value> = told.iter().map(|data| &data["object"]["data"]["n"]).collect();
    assert_eq!(values, ["1", "2", "3"]);
}
