//! `tripline run --dry-run`: what a run would do, told by the real binary, which does none of it.

use serde_json::Value;

use crate::files::{chain, lines, pack, program, world};
use crate::support::World;

const TYPE: &str = "payload: { size: { type: integer } }\n";

/// A world whose chain `p.release` looks, deploys, and goes on by what the deploy answered.
fn release() -> World {
    let world = world();
    program(&world, "look", "read", "echo looked >>\"$W/looks\"; echo '{ \"size\": 3 }'");
    program(&world, "deploy", "unsafe", "echo deployed >>\"$W/ledger\"");
    pack(&world, "triggers/released.yaml", TYPE);
    let text = r#"
        let found = run("p.look");
        run("datastore.set", #{ key: "size", value: found.size });
        emit("p.released", #{ size: found.size });
        undo(|error| run("datastore.delete", #{ key: "size" }));
        switch run("p.deploy") {
            "new" => run("datastore.set", #{ key: "state", value: "new" }),
            _ => run("datastore.set", #{ key: "state", value: "old" }),
        }
    "#;
    chain(&world, "release", text);
    world
}

fn paths(told: &Value) -> Vec<&str> {
    told["steps"].as_array().unwrap().iter().map(|step| step["path"].as_str().unwrap()).collect()
}

#[test]
fn a_dry_run_reads_plans_all_else_and_stops_where_it_depends_on_what_it_did_not_do() {
    let world = release();
    let _server = world.serve();
    let done = world.run(&["run", "p.release", "--dry-run"]).succeeded();
    for said in ["p.look  read, performed", "sets the key p/size", "emits p.released"] {
        assert!(done.stdout.contains(said), "{said}: {done:?}");
    }
    let stopped = "stopped: the chain depends on what `p.deploy` (step 5) would return";
    assert!(done.stdout.contains(stopped), "{done:?}");
    assert!(done.stdout.contains("--assume 5="), "{done:?}");
    assert!(!done.stdout.contains("p/state"), "no branch is taken: {done:?}");

    let told = world.json(&["run", "p.release", "--dry-run", "--assume", "5=new"]);
    assert_eq!(told["end"], "complete", "{told:#}");
    assert_eq!(paths(&told).last(), Some(&"6"), "{told:#}");
    assert_eq!(told["steps"][5]["parameters"]["value"], "new", "{told:#}");

    assert_eq!(lines(&world, "looks").len(), 2, "what only reads was performed");
    assert!(lines(&world, "ledger").is_empty(), "nothing else was");
    for listing in [["execution", "list"], ["event", "list"], ["key", "list"]] {
        assert_eq!(world.json(&listing), serde_json::json!([]), "{listing:?}");
    }
}

#[test]
fn a_dry_run_ends_with_1_where_the_run_would_fail_and_with_2_where_it_could_not_begin() {
    let world = release();
    chain(&world, "refused", r#"run("p.look"); fail("not today")"#);
    let _server = world.serve();
    let failed = world.run(&["run", "p.refused", "--dry-run"]).ended(1);
    assert!(failed.stdout.contains("it would fail: not today"), "{failed:?}");
    world.run(&["run", "p.nothing", "--dry-run"]).ended(2);
    let unmet = world.run(&["run", "p.release", "--dry-run", "--assume", "9=1"]).ended(2);
    assert!(unmet.stderr.contains("met no step there"), "{unmet:?}");
}
