//! Objects of a real cluster, a chain for each change of them, and `kill -9` in between.

use std::sync::Arc;

use host::kubernetes::{Access, Cluster, Patch, Request};
use host::rate::Limiter;
use host::secret::SecretRef;
use lab::{ADMIN, Parts};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::files::{PATIENCE, events_of, pack, world};
use crate::support::{World, eventually};

const RULE: &str = "trigger: { type: kubernetes.object, parameters: { api_version: v1, kind: ConfigMap, \
                    namespaces: [default], operations: [added, modified] } }\n\
                    action: { ref: core.noop }\n";

/// The values of the map, as they were told.
fn told(world: &World) -> Vec<u64> {
    let events = events_of(world, "kubernetes.object");
    let mut told: Vec<u64> = events
        .iter()
        .filter_map(|data| data["object"]["data"]["n"].as_str()?.parse().ok())
        .collect();
    told.sort_unstable();
    told
}

fn has_told(world: &World, count: usize) {
    let list = ["event", "list", "--type", "kubernetes.object", "--limit", "200"];
    eventually(PATIENCE, || {
        let listed = world.json(&list);
        (listed.as_array().unwrap().len() >= count).then_some(())
    });
}

fn stands(world: &World, state: &str) {
    eventually(PATIENCE, || {
        let sensors = world.json(&["sensor", "list"]);
        (sensors[0]["state"] == state).then_some(())
    });
}

#[test]
#[ignore = "needs the lab"]
fn each_change_is_told_once_however_often_the_server_is_killed() {
    let runtime = Runtime::new().unwrap();
    let lab = runtime.block_on(lab::Cluster::start(Parts::Bare)).unwrap();
    let kubeconfig = lab.kubeconfig(ADMIN).unwrap();
    let world = world().with_variable("KUBECONFIG", &kubeconfig.display().to_string());
    pack(&world, "rules/map.yaml", RULE);
    let access = Access::Kubeconfig { kubeconfig: SecretRef::File(kubeconfig), context: None };
    let no_secrets: host::secret::Lookup = Arc::new(|path| Err(format!("no secret {path}")));
    let cluster = Cluster::new("lab", access, Limiter::per_second(1e4), no_secrets);
    let ask = |request: Request| runtime.block_on(cluster.request(&request)).unwrap();
    let maps = "/api/v1/namespaces/default/configmaps";
    let server = world.serve();
    stands(&world, "running");
    let data = |n: u64| json!({ "data": { "n": n.to_string() } });
    let mut first = data(0);
    first["metadata"] = json!({ "name": "m" });
    ask(Request::post(maps, first));
    has_told(&world, 1);
    let mut server = Some(server);
    for n in 1..=60 {
        ask(Request::patch(&format!("{maps}/m"), Patch::Merge, data(n)));
        match n % 15 {
            // While the events of the last changes are on their way.
            7 => server.take().unwrap().kill(),
            12 => server = Some(world.serve()),
            _ => {}
        }
    }
    let expected: Vec<u64> = (0..=60).collect();
    has_told(&world, expected.len());
    assert_eq!(told(&world), expected);
    let executions: Value = world.json(&["execution", "list", "--limit", "200"]);
    assert_eq!(executions.as_array().unwrap().len(), expected.len());
}
