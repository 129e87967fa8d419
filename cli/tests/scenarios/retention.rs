//! A server that is told to keep little: what goes, and what stays.

use serde_json::json;

use crate::files::{PATIENCE, pack, world};
use crate::support::{World, eventually};

/// Emits the same event again and again: the same id, the same data.
fn tell(world: &World) -> String {
    let emit = ["event", "emit", "p.told", "--id", "1", "--data", "-"];
    world.run_with_input(&emit, &json!({ "n": 1 }).to_string()).succeeded().stdout
}

#[test]
fn what_is_forgotten_is_still_known_as_told_and_the_latest_of_each_key_stays() {
    let world = world();
    pack(&world, "triggers/told.yaml", "payload: { n: { type: integer } }\n");
    pack(&world, "rules/told.yaml", "trigger: { type: p.told }\naction: { ref: core.noop }\n");
    pack(&world, "rules/off.yaml", "trigger: { type: p.told }\naction: { ref: core.noop }\n");
    let keep = "retention: { events: 1s, packs: { p: { executions: 1s } } }\n";
    world.write("tripline.yaml", keep);
    let server = world.serve();
    world.run(&["rule", "disable", "p.off"]).succeeded();
    for value in ["1", "2"] {
        world.run(&["key", "set", "p/count", value]).succeeded();
    }
    let told = tell(&world);
    let (key, id) = told.split_once("\n  started ").unwrap();
    let (key, id) = (key.trim(), id.trim());
    world.reaches(id, &["succeeded"]);
    eventually(PATIENCE, || {
        let forgotten = |arguments: &[&str]| world.run(arguments).code == 2;
        (forgotten(&["event", "get", key]) && forgotten(&["execution", "get", id])).then_some(())
    });
    assert!(tell(&world).contains("known already"));
    server.kill();
    let server = world.serve();
    assert!(tell(&world).contains("known already"), "by the next one too");
    assert_eq!(world.json(&["key", "get", "p/count"])["value"], 2);
    assert_eq!(world.json(&["rule", "get", "p.off"])["enabled"], false);
    server.stop();
    world.run(&["doctor", "--state", "state"]).succeeded();
}
