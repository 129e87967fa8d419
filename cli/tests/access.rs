//! Tokens and the audit on the command line.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use serde_json::json;
use support::{Done, World};

/// `arguments`, by the holder of `token`.
fn by(world: &World, token: &str, arguments: &[&str]) -> Done {
    world.run(&[arguments, &["--token", token]].concat())
}

#[test]
fn a_token_does_what_its_role_allows_and_the_audit_tells() {
    let world = World::new();
    world.write("packs/web/pack.yaml", "name: web\nversion: 1.0.0\n");
    let _server = world.serve();
    let create =
        |name: &str, role: &str| world.run(&["token", "create", name, "--role", role]).line();
    let (viewer, operator) = (create("eve", "viewer"), create("ci", "operator"));
    let run = ["run", "core.echo", "value=hello"];
    by(&world, &operator, &run).succeeded();
    let refused = by(&world, &viewer, &run).ended(5);
    assert!(refused.stderr.contains("takes the role operator"), "{}", refused.stderr);
    by(&world, &viewer, &["rule", "list"]).succeeded();

    let listed = world.run(&["token", "list"]).succeeded().stdout;
    assert!(listed.contains("eve") && listed.contains("operator"), "{listed}");
    assert!(!listed.contains(&viewer), "{listed}");
    let audit = world.run(&["audit", "list", "--by", "ci"]).succeeded().stdout;
    assert!(audit.contains("ExecutionRequested"), "{audit}");

    world.run(&["token", "revoke", "eve"]).succeeded();
    let revoked = by(&world, &viewer, &["rule", "list"]).ended(5);
    assert!(revoked.stderr.contains("revoked"), "{}", revoked.stderr);
    let again = world.run(&["token", "revoke", "eve"]).ended(2);
    assert!(again.stderr.contains("there is no token `eve`"), "{}", again.stderr);
}

#[test]
fn who_revokes_a_token_is_told_what_it_began_and_how_to_find_it() {
    let world = World::new();
    world.write("packs/web/pack.yaml", "name: web\nversion: 1.0.0\n");
    world.write("packs/web/actions/nap.yaml", "entry_point: nap.rhai\n");
    world.write("packs/web/actions/nap.rhai", "sleep(\"1h\")");
    let _server = world.serve();
    let token = |name: &str| world.run(&["token", "create", name, "--role", "operator"]).line();
    let (ci, idle) = (token("ci"), token("idle"));
    let begun =
        |by_whom: &[&str]| world.run(&[&["run", "web.nap", "--detach"], by_whom].concat()).line();
    let (of_ci, _) = (begun(&["--token", &ci]), begun(&[]));
    by(&world, &ci, &["run", "core.echo", "value=hello"]).succeeded();
    assert_eq!(world.run(&["token", "revoke", "idle"]).succeeded().stderr, "", "{idle}");
    let told = world.run(&["token", "revoke", "ci"]).succeeded().stderr;
    assert!(told.contains("1 of the executions that it asked for"), "{told}");
    let command =
        told.lines().find_map(|line| line.strip_prefix("look at them: tripline ")).unwrap();
    let listed = world.json(&command.split(' ').collect::<Vec<_>>());
    assert_eq!((&listed[0]["id"], listed.as_array().unwrap().len()), (&json!(of_ci), 1));
}

#[test]
fn the_audit_tells_what_leaves_no_other_trace_and_is_read_page_by_page() {
    let world = World::new();
    let pack = "name: web\nversion: 1.0.0\npermissions: { actions: [core.*] }\n";
    world.write("packs/web/pack.yaml", pack);
    world.write("packs/web/rules/tick.yaml", "trigger: { type: timer.interval, parameters: { every: 1h } }\naction: { ref: core.noop }\n");
    let _server = world.serve();
    world.run(&["run", "core.echo", "value=hello", "--dry-run"]).succeeded();
    world.run(&["backup", "kept.tar"]).succeeded();
    let sensor = world.json(&["sensor", "list"])[0]["id"].as_str().unwrap().to_owned();
    world.run(&["sensor", "restart", &sensor]).succeeded();
    let names = |arguments: &[&str]| -> Vec<String> {
        let rows = world.json(&[&["audit", "list"], arguments].concat());
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    };
    let deeds = ["SensorRestarted", "BackupTaken", "DryRunMade"];
    assert_eq!(names(&["--since", "1h", "--limit", "3"]), deeds);
    let row = &world.json(&["audit", "list", "--name", "DryRunMade"])[0];
    assert_eq!(
        (&row["actor"], &row["fact"]["action"]),
        (&json!("token:admin"), &json!("core.echo"))
    );
    let first = world.json(&["audit", "list", "--limit", "1"])[0]["position"].to_string();
    assert_eq!(names(&["--before", &first, "--limit", "2"]), deeds[1..]);
    let page = world.run(&["audit", "list", "--limit", "1"]).succeeded();
    assert!(page.stderr.contains(&format!("there may be more: --before {first}")), "{page:?}");
    world.run(&["audit", "list", "--since", "soon"]).ended(2);
}

#[test]
fn a_limited_token_is_shown_what_it_may_see_behind_what_it_may_not() {
    let world = World::new();
    world.write(
        "packs/web/pack.yaml",
        "name: web\nversion: 1.0.0\npermissions: { actions: [core.*] }\n",
    );
    world.write("packs/web/actions/look.yaml", "entry_point: look.rhai\n");
    world.write("packs/web/actions/look.rhai", "run(\"core.noop\")");
    let _server = world.serve();
    let create = ["token", "create", "eve", "--role", "viewer", "--pack", "web"];
    let token = world.run(&create).line();
    for _ in 0..3 {
        world.run(&["run", "web.look"]).succeeded();
    }
    for _ in 0..5 {
        world.run(&["run", "core.noop"]).succeeded();
    }
    let listed = |limit: &str| {
        let list = ["execution", "list", "-o", "json", "--limit", limit];
        let done = by(&world, &token, &list).succeeded();
        let rows: Vec<serde_json::Value> = serde_json::from_str(&done.stdout).unwrap();
        (rows, done.stderr)
    };
    let (rows, said) = listed("2");
    assert!(rows.len() == 2 && rows.iter().all(|row| row["action"] == "web.look"), "{rows:?}");
    assert!(said.contains(&format!("--before {}", rows[1]["position"])), "{said}");
    assert_eq!(listed("10").0.len(), 3);
}

#[test]
fn a_role_that_does_not_exist_is_wrong_use() {
    let refused = World::new().run(&["token", "create", "eve", "--role", "root"]).ended(2);
    assert!(refused.stderr.contains("expected viewer, operator or admin"), "{}", refused.stderr);
}
