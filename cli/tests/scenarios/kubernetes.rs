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

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

const RULE: &str = "trigger: { type: kubernetes.object, parameters: { api_version: v1, kind: ConfigMap, \
                    namespaces: [default], operations: [added, modified] } }\n\
                    action: { ref: core.noop }\n";

/// Each map that says so is copied under a name of its content.
const COPY: &str = "trigger: { type: kubernetes.object, parameters: { api_version: v1, kind: ConfigMap, \
                    labels: copy=yes } }\n\
                    action: { ref: kubernetes.apply, parameters: { manifest: { apiVersion: v1, \
                    kind: ConfigMap, metadata: { name: 'copy-${trigger.object.data.n}' }, \
                    data: '${trigger.object.data}' } } }\n";

/// A cluster, and somebody who changes it.
struct Stage {
    runtime: Runtime,
    lab: lab::Cluster,
    cluster: Cluster,
}

impl Stage {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let lab = runtime.block_on(lab::Cluster::start(Parts::Bare)).unwrap();
        let kubeconfig = SecretRef::File(lab.kubeconfig(ADMIN).unwrap());
        let access = Access::Kubeconfig { kubeconfig, context: None };
        let no_secrets: host::secret::Lookup = Arc::new(|path| Err(format!("no secret {path}")));
        let cluster = Cluster::new("lab", access, Limiter::per_second(1e4), no_secrets);
        Self { runtime, lab, cluster }
    }

    /// A world whose server looks at this cluster, with a pack `p`.
    fn world(&self) -> World {
        let kubeconfig = self.lab.kubeconfig(ADMIN).unwrap();
        let world = world().with_variable("KUBECONFIG", &kubeconfig.display().to_string());
        let permissions = "permissions: { actions: [core.*, kubernetes.*] }";
        pack(&world, "pack.yaml", &format!("name: p\nversion: 1.0.0\n{permissions}\n"));
        world
    }

    fn ask(&self, request: &Request) -> Value {
        self.runtime.block_on(self.cluster.request(request)).unwrap()
    }

    fn make(&self, name: &str) {
        let metadata = json!({ "name": name, "labels": { "copy": "yes" } });
        self.ask(&Request::post(MAPS, json!({ "metadata": metadata, "data": { "n": "0" } })));
    }

    fn set(&self, name: &str, n: u64) {
        let data = json!({ "data": { "n": n.to_string() } });
        self.ask(&Request::patch(&format!("{MAPS}/{name}"), Patch::Merge, data));
    }
}

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
    let stage = Stage::new();
    let world = stage.world();
    pack(&world, "rules/map.yaml", RULE);
    let server = world.serve();
    stands(&world, "running");
    stage.make("m");
    has_told(&world, 1);
    let mut server = Some(server);
    for n in 1..=60 {
        stage.set("m", n);
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

#[test]
#[ignore = "needs the lab"]
fn two_servers_on_one_cluster_each_tell_every_change_and_harm_nothing() {
    let stage = Stage::new();
    let worlds = [stage.world(), stage.world()];
    let mut servers = worlds.each_ref().map(|world| {
        pack(world, "rules/copy.yaml", COPY);
        let server = world.serve();
        stands(world, "running");
        Some(server)
    });
    stage.make("m");
    for world in &worlds {
        has_told(world, 1);
    }
    for n in 1..=20 {
        stage.set("m", n);
        match n {
            5 => servers[0].take().unwrap().kill(),
            10 => servers[1].take().unwrap().kill(),
            15 => servers = worlds.each_ref().map(|world| Some(world.serve())),
            _ => {}
        }
    }
    let expected: Vec<u64> = (0..=20).collect();
    for (world, server) in worlds.iter().zip(servers) {
        has_told(world, expected.len());
        assert_eq!(told(world), expected, "each tells every change, once");
        eventually(PATIENCE, || {
            let list = ["execution", "list", "--states", "succeeded", "--limit", "200"];
            let done = world.json(&list).as_array().unwrap().len();
            (done == expected.len()).then_some(())
        });
        server.unwrap().stop();
        world.run(&["doctor"]).succeeded();
    }
    let copies = stage.ask(&Request::get(MAPS));
    let copies = copies["items"].as_array().unwrap().iter().filter(|map| {
        let name = map["metadata"]["name"].as_str().unwrap();
        name.strip_prefix("copy-") == map["data"]["n"].as_str()
    });
    assert_eq!(copies.count(), expected.len());
}

#[test]
#[ignore = "needs the lab"]
fn a_rule_that_is_added_to_a_running_watch_is_told_what_is_there_once() {
    let stage = Stage::new();
    let world = stage.world();
    pack(&world, "rules/map.yaml", RULE);
    let server = world.serve();
    stands(&world, "running");
    for name in ["a", "b"] {
        stage.make(name);
    }
    has_told(&world, 2);
    let wants = RULE.replace("operations", "initial: emit, operations");
    pack(&world, "rules/wants.yaml", &wants);
    has_told(&world, 4);
    server.kill();
    let _server = world.serve();
    stage.set("a", 1);
    // By the watch that was there, and by that of the rule that wanted what is there.
    has_told(&world, 6);
    assert_eq!(told(&world), [0, 0, 0, 0, 1, 1]);
    let ran = |rule: &str| {
        let list = ["execution", "list", "--rule", rule, "--limit", "200"];
        world.json(&list).as_array().unwrap().len()
    };
    assert_eq!((ran("p.map"), ran("p.wants")), (3, 3));
}
