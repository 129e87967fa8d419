//! Rules that meet on one event, and what is told of them afterwards.

use serde_json::{Value, json};

use crate::files::{PATIENCE, pack, text, world};
use crate::support::{World, eventually};

fn orders() -> World {
    let world = world();
    pack(&world, "triggers/ordered.yaml", "payload: { size: { type: integer }, item: {} }\n");
    rule(&world, "small", "criteria: { trigger.size: { le: 10 } }\n");
    rule(&world, "any", "");
    rule(&world, "fails", "when: 'trigger.colour == \"red\"'\n");
    world
}

fn rule(world: &World, name: &str, selects: &str) {
    let text = format!(
        "trigger: {{ type: p.ordered }}\n{selects}action: {{ ref: core.echo, parameters: {{ value: {name} }} }}\n"
    );
    pack(world, &format!("rules/{name}.yaml"), &text);
}

fn key(world: &World) -> String {
    text(&world.json(&["event", "list", "--type", "p.ordered"])[0]["key"])
}

/// Hands an order of size 3 in under an id; the event, and the executions that it started.
fn emit_as(world: &World, id: &str) -> (String, Vec<Value>) {
    let arguments = ["event", "emit", "p.ordered", "--id", id, "--data", "-", "-o", "json"];
    let emitted = world.run_with_input(&arguments, "{\"size\": 3}").succeeded();
    let emitted: Value = serde_json::from_str(&emitted.stdout).unwrap();
    (text(&emitted["event"]), emitted["executions"].as_array().unwrap().clone())
}

/// What is told of a rule on an event.
fn explained(world: &World, event: &str, rule: &str, more: &[&str]) -> Value {
    let told = world.json(&[&["rule", "explain", event, rule], more].concat());
    told.as_array().unwrap().first().cloned().unwrap_or_default()
}

#[test]
fn each_rule_has_its_run_and_one_that_fails_stops_no_other() {
    let world = orders();
    let _server = world.serve();
    let started = world.emit("p.ordered", &json!({ "size": 3 }));
    assert_eq!(started.len(), 2);
    let mut results: Vec<String> = started
        .iter()
        .map(|id| text(&world.reaches(id, &["succeeded"])["outcome"]["result"]["value"]))
        .collect();
    results.sort();
    assert_eq!(results, ["any", "small"]);
    let event = key(&world);
    let listed = world.run(&["event", "list", "--type", "p.ordered"]).succeeded();
    assert!(listed.stdout.contains("p.fails (failed)"), "{listed:?}");
    let failed = explained(&world, &event, "p.fails", &[]);
    assert!(failed["recorded"]["failed"].to_string().contains("colour"), "{failed:#}");
    let counts = world.json(&["rule", "get", "p.fails"])["counts"].clone();
    assert_eq!((&counts["matched"], &counts["failed"]), (&json!(0), &json!(1)));
}

#[test]
fn what_was_decided_is_told_after_the_rule_has_changed_and_a_restart() {
    let world = orders();
    let server = world.serve();
    let (event, started) = emit_as(&world, "order-1");
    let recorded = explained(&world, &event, "p.small", &[])["recorded"].clone();
    assert!(started.contains(&recorded["selected"]), "{recorded}");
    rule(&world, "small", "criteria: { trigger.size: { le: 2 } }\n");
    let now = eventually(PATIENCE, || {
        let now = explained(&world, &event, "p.small", &["--now"]);
        (now["explanation"]["outcome"] == "no_match").then_some(now)
    });
    assert!(now["recorded"].is_null(), "{now:#}");
    let then = explained(&world, &event, "p.small", &[]);
    assert_eq!(then["recorded"], recorded);
    assert_eq!(then["explanation"]["criteria"][0]["expected"], 10, "the rule as it was: {then:#}");
    server.kill();
    let _server = world.serve();
    assert_eq!(explained(&world, &event, "p.small", &[]), then);
    let failed = world.run(&["rule", "explain", &event, "p.fails"]).succeeded().stdout;
    assert!(failed.contains("p/rules/fails.yaml:2") && !failed.contains("state/packs"), "{failed}");
    // Told again, nobody looks at it: what was decided stands.
    let (again, ran) = emit_as(&world, "order-1");
    let same = ran.len() == started.len() && ran.iter().all(|id| started.contains(id));
    assert!(again == event && same, "{ran:?}");
    assert_eq!(explained(&world, &event, "p.small", &[]), then);
    assert_ne!(emit_as(&world, "order-2").0, event);
}

#[test]
fn what_no_rule_could_look_into_is_refused_before_it_is_stored() {
    let world = orders();
    let _server = world.serve();
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let emit = |levels: usize| {
        let data = format!("{{\"item\": {}}}", nested(levels));
        world.run_with_input(&["event", "emit", "p.ordered", "--data", "-"], &data)
    };
    let refused = emit(63).ended(2);
    assert!(refused.stderr.contains("deeper than 64 levels"), "{refused:?}");
    emit(62).succeeded();
    let listed = world.json(&["event", "list", "--type", "p.ordered"]);
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["matched"].as_array().unwrap().len(), 1, "{listed:#}");
}
