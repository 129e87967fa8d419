//! Objects of a real cluster, a chain for each change of them, and `kill -9` in between.

use host::kubernetes::{Cluster, Patch, Request};
use lab::{ADMIN, Parts};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::clusters::{cluster, in_cluster, started};
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
        let (runtime, lab) = started(Parts::Bare);
        let cluster = cluster(&lab, ADMIN);
        Self { runtime, lab, cluster }
    }

    /// A world whose server looks at this cluster, with a pack `p`.
    fn world(&self) -> World {
        let world = in_cluster(world(), &self.lab, ADMIN);
        let permissions =
            "permissions: { actions: [core.*, kubernetes.*], connections: [default] }";
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

#[test]
#[ignore = "needs the lab"]
fn very_many_deletions_at_once_call_a_person_once_and_are_told_when_one_confirms() {
    let mut stage = Stage::new();
    let world = stage.world();
    pack(&world, "rules/map.yaml", &RULE.replace("modified", "deleted"));
    let called = "tripline.sensor.needs_confirmation";
    let call = format!("trigger: {{ type: {called} }}\naction: {{ ref: core.noop }}\n");
    pack(&world, "rules/call.yaml", &call);
    let server = world.serve();
    stands(&world, "running");
    for n in 0..15 {
        stage.make(&format!("m{n}"));
    }
    has_told(&world, 15);
    server.kill();
    stage.ask(&Request::delete(MAPS, Value::Null));
    stage.runtime.block_on(stage.lab.forget_history()).unwrap();
    let _server = world.serve();
    stands(&world, "waiting");
    eventually(PATIENCE, || {
        let list = ["execution", "list", "--rule", "p.call", "--states", "succeeded"];
        (world.json(&list).as_array().unwrap().len() == 1).then_some(())
    });
    let calls = events_of(&world, called);
    let sensor = calls[0]["sensor"].as_str().unwrap();
    assert_eq!((&calls[0]["missing"], &calls[0]["of"]), (&json!(15), &json!(15)));
    assert_eq!(world.json(&["sensor", "get", sensor])["message"], calls[0]["message"]);
    world.run(&["sensor", "confirm", sensor]).succeeded();
    has_told(&world, 30);
    stands(&world, "running");
    let refused = world.run(&["sensor", "confirm", sensor]).ended(1);
    assert!(refused.stderr.contains("asks for nothing to be confirmed"), "{}", refused.stderr);
    assert_eq!(events_of(&world, called).len(), 1);
    eventually(PATIENCE, || {
        (events_of(&world, "tripline.sensor.recovered").len() == 1).then_some(())
    });
}

#[test]
#[ignore = "needs the lab"]
fn an_object_that_no_rule_can_be_given_is_told_of_and_harms_no_other() {
    let stage = Stage::new();
    let world = stage.world();
    pack(&world, "rules/map.yaml", RULE);
    let _server = world.serve();
    stands(&world, "running");
    stage.make("large");
    // Six characters each in JSON.
    let half = "\u{1}".repeat(400_000);
    for name in ["x", "y"] {
        let data = json!({ "data": { name: half } });
        stage.ask(&Request::patch(&format!("{MAPS}/large"), Patch::Merge, data));
    }
    stage.make("other");
    has_told(&world, 3);
    stands(&world, "running");
    let left_out = events_of(&world, "tripline.sensor.left_out");
    assert_eq!(left_out.len(), 1, "{left_out:?}");
    let left_out = &left_out[0];
    let what = (&left_out["subject"], &left_out["operation"]);
    assert_eq!(what, (&json!("default/large"), &json!("modified")));
    let sensor = world.json(&["sensor", "get", left_out["sensor"].as_str().unwrap()]);
    assert_eq!((&sensor["left_out"], &sensor["state"]), (&json!(1), &json!("running")));
}

#[test]
#[ignore = "needs the lab"]
fn a_pack_that_the_cluster_is_not_lent_to_any_more_is_told_nothing_by_a_watch_it_shared() {
    let stage = Stage::new();
    let world = stage.world();
    let other = "name: q\nversion: 1.0.0\n\
                 permissions: { actions: [core.*], connections: [default] }\n";
    world.write("packs/q/pack.yaml", other);
    for pack in ["p", "q"] {
        world.write(&format!("packs/{pack}/rules/map.yaml"), RULE);
    }
    let _server = world.serve();
    stands(&world, "running");
    let ran = |rule: &str| {
        let list = ["execution", "list", "--rule", rule, "--limit", "200"];
        world.json(&list).as_array().unwrap().len()
    };
    stage.make("one");
    eventually(PATIENCE, || ((ran("p.map"), ran("q.map")) == (1, 1)).then_some(()));
    world.write("lent.yaml", "connections: { default: { type: kubernetes, packs: [p] } }\n");
    eventually(PATIENCE, || {
        let packs = world.json(&["pack", "list"]);
        packs.as_array().unwrap().iter().any(|pack| pack["state"] == "stale").then_some(())
    });
    stage.make("two");
    eventually(PATIENCE, || (ran("p.map") == 2).then_some(()));
    assert_eq!(ran("q.map"), 1);
}
