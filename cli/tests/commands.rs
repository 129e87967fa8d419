//! Client commands against a running server: what they do, and how they end.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use support::{SOON, World, eventually};

/// A shop: an order selects a rule, whose chain runs a program.
fn shop() -> World {
    let world = World::new();
    let pack = |name: &str, text: &str| world.write(&format!("packs/shop/{name}"), text);
    pack("pack.yaml", "name: shop\nversion: 1.0.0\npermissions: { exec: true }\n");
    pack("triggers/ordered.yaml", "payload: { item: { type: string, required: true } }\n");
    pack(
        "rules/ship.yaml",
        "trigger: { type: shop.ordered }\ncriteria: { trigger.item: { ne: nothing } }\n\
         action: { ref: shop.ship, parameters: { item: '${trigger.item}' } }\n",
    );
    pack(
        "actions/ship.yaml",
        "entry_point: ship.rhai\nparameters: { item: { type: string, required: true } }\n",
    );
    pack("actions/ship.rhai", "log(\"shipping\");\nrun(\"shop.pack\", #{ item: params.item })\n");
    pack(
        "actions/pack.yaml",
        "entry_point: pack.sh\nparameters: { item: { type: string, required: true } }\n\
         result: { box: { type: integer } }\n",
    );
    // An item called `lost` ends the program by a signal: nobody knows what it did.
    pack(
        "actions/pack.sh",
        "#!/bin/sh\ninput=$(cat)\necho \"packing $input\" >&2\n\
         case $input in *broken*) exit 3;; *lost*) kill -9 $$;; *slow*) sleep 60;; esac\n\
         echo '{\"box\": 7}'\n",
    );
    world
}

#[test]
fn run_waits_prints_the_result_and_ends_as_the_execution_did() {
    let world = shop();
    let _server = world.serve();
    let done = world.run(&["run", "shop.ship", "item=12"]).succeeded();
    // The schema says that an item is a string: 12 was not read as a number.
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&done.stdout).unwrap(),
        json!({ "box": 7 })
    );
    assert_eq!(done.stderr, "");
    let failed = world.run(&["run", "shop.ship", "item=broken"]).ended(1);
    assert!(failed.stderr.contains("the program exited with 3"), "{}", failed.stderr);
    let attention = world.run(&["run", "shop.ship", "item=lost"]).ended(6);
    assert!(attention.stderr.contains("a person must decide"), "{}", attention.stderr);
    let misfit = world.run(&["run", "shop.ship", "itme=x"]).ended(2);
    assert!(misfit.stderr.contains("did you mean `item`?"), "{}", misfit.stderr);
    let unknown = world.run(&["run", "shop.shp"]).ended(2);
    assert!(unknown.stderr.contains("error[not_found]"), "{}", unknown.stderr);
}

#[test]
fn parameters_come_from_a_file_and_single_ones_win() {
    let world = shop();
    let _server = world.serve();
    world.write("params.yaml", "item: broken\n");
    world.run(&["run", "shop.ship", "--params", "params.yaml"]).ended(1);
    world.run(&["run", "shop.ship", "--params", "params.yaml", "item=bike"]).succeeded();
    world
        .run_with_input(&["run", "shop.ship", "--params", "-"], "{\"item\": \"bike\"}")
        .succeeded();
}

#[test]
fn interrupting_run_leaves_the_execution_running() {
    let world = shop();
    let _server = world.serve();
    let mut command = world.client(&["run", "shop.ship", "item=slow"]);
    let child = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let id = eventually(SOON, || {
        let running = world.json(&["execution", "list", "--states", "running"]);
        running[0]["id"].as_str().map(ToOwned::to_owned)
    });
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains(&format!("tripline execution watch {id}")), "{told}");
    assert_eq!(world.execution(&id)["state"], "running");
    world.run(&["execution", "cancel", &id, "--reason", "enough"]).succeeded();
}

#[test]
fn an_unknown_outcome_is_shown_and_resolved_by_a_person() {
    let world = shop();
    let _server = world.serve();
    let id = world.emit("shop.ordered", &json!({ "item": "lost" })).remove(0);
    world.reaches(&id, &["needs_attention"]);
    let shown = world.run(&["execution", "get", &id]).succeeded().stdout;
    for told in [
        "needs_attention",
        "rule shop.ship on event ev_",
        "step 2 needs attention",
        "shop.pack  (unsafe)",
        "packing {\"item\":\"lost\"}",
        &format!("tripline execution resolve {id} --step 2 --done --result '{{}}'"),
    ] {
        assert!(shown.contains(told), "{told}\n{shown}");
    }
    let watched = world.run(&["execution", "watch", &id]).ended(6);
    assert!(watched.stdout.contains("needs_attention"), "{}", watched.stdout);
    let resolve = |with: &[&str]| world.run(&[&["execution", "resolve", &id], with].concat());
    let misfit = resolve(&["--done", "--result", "{\"box\": \"seven\"}"]);
    assert_ne!(misfit.code, 0, "{misfit:?}");
    resolve(&["--step", "2", "--done", "--result", "{\"box\": 8}"]).succeeded();
    let execution = world.reaches(&id, &["succeeded"]);
    assert_eq!(execution["outcome"]["result"], json!({ "box": 8 }));
    let watched = world.run(&["execution", "watch", &id]).succeeded();
    assert!(watched.stdout.contains("resolved"), "{}", watched.stdout);
    resolve(&["--retry"]).ended(1);
}

#[test]
fn a_failure_shows_its_step_and_its_logs() {
    let world = shop();
    let _server = world.serve();
    let id = world.emit("shop.ordered", &json!({ "item": "broken" })).remove(0);
    world.reaches(&id, &["failed"]);
    let shown = world.run(&["execution", "get", &id]).succeeded().stdout;
    for told in ["step 2 failed", "(program)", "stderr      packing", "tripline execution logs"] {
        assert!(shown.contains(told), "{told}\n{shown}");
    }
    let logs = world.run(&["execution", "logs", &id]).succeeded().stdout;
    assert!(logs.contains("shipping") && logs.contains("packing {\"item\":\"broken\"}"), "{logs}");
    let listed = world.run(&["execution", "list", "--states", "failed"]).succeeded().stdout;
    assert!(listed.contains(&id) && listed.lines().count() == 2, "{listed}");
}

#[test]
fn an_event_that_no_rule_selects_is_explained() {
    let world = shop();
    let _server = world.serve();
    let emit = ["event", "emit", "shop.ordered", "--id", "1", "--data", "-"];
    let emitted = world.run_with_input(&emit, "item: nothing").succeeded().stdout;
    assert!(emitted.contains("no rule selected it"), "{emitted}");
    let again = world.run_with_input(&emit, "item: nothing").succeeded().stdout;
    assert!(again.contains("known already"), "{again}");
    let event = emitted.split_whitespace().next().unwrap();
    let explained = world.run(&["rule", "explain", event, "shop.ship"]).succeeded().stdout;
    for told in ["shop.ship: no match", "✗ trigger.item ne \"nothing\": found \"nothing\""] {
        assert!(explained.contains(told), "{told}\n{explained}");
    }
    world.run(&["event", "get", event]).succeeded();
    world.run(&["event", "reemit", event]).succeeded();
    assert_eq!(
        world.json(&["event", "list", "--type", "shop.ordered"]).as_array().unwrap().len(),
        2
    );
    let unfit = world.run_with_input(&emit, "itm: bike").ended(2);
    assert!(unfit.stderr.contains("error[invalid_parameters]"), "{}", unfit.stderr);
}

#[test]
fn rules_are_switched_and_shown() {
    let world = shop();
    let _server = world.serve();
    world.run(&["rule", "disable", "shop.ship"]).succeeded();
    assert_eq!(world.emit("shop.ordered", &json!({ "item": "bike" })), Vec::<String>::new());
    assert_eq!(world.json(&["rule", "list"])[0]["enabled"], false);
    world.run(&["rule", "clear", "shop.ship"]).succeeded();
    assert_eq!(world.emit("shop.ordered", &json!({ "item": "bike" })).len(), 1);
    let shown = world.run(&["rule", "get", "shop.ship"]).succeeded().stdout;
    assert!(shown.contains("criteria: { trigger.item: { ne: nothing } }"), "{shown}");
}

#[test]
fn keys_are_set_listed_and_deleted() {
    let world = World::new();
    let _server = world.serve();
    world.run(&["key", "set", "pack.shop/last", "{n: 1}", "--ttl", "1h"]).succeeded();
    assert_eq!(world.run(&["key", "get", "pack.shop/last"]).line(), "{\n  \"n\": 1\n}");
    assert_eq!(world.json(&["key", "list", "pack.shop"])[0]["key"], "pack.shop/last");
    world.run(&["key", "delete", "pack.shop/last"]).succeeded();
    world.run(&["key", "get", "pack.shop/last"]).ended(2);
}

#[test]
fn every_listing_prints_a_table_json_and_yaml() {
    let world = shop();
    let _server = world.serve();
    world.emit("shop.ordered", &json!({ "item": "bike" }));
    for noun in
        ["execution", "event", "rule", "trigger", "action", "pack", "sensor", "timer", "key"]
    {
        let table = world.run(&[noun, "list"]).succeeded().stdout;
        let rows = world.json(&[noun, "list"]).as_array().unwrap().len();
        let yaml = world.run(&[noun, "list", "-o", "yaml"]).succeeded().stdout;
        match rows {
            0 => assert_eq!(table, "nothing found\n"),
            rows => assert_eq!(table.lines().count(), rows + 1, "{table}"),
        }
        assert!(!yaml.is_empty());
    }
}

#[test]
fn server_and_token_are_found_each_by_itself() {
    let world = shop();
    let server = world.serve();
    let api = server.api();
    let elsewhere = World::new();
    let list = ["execution", "list", "--server", &api];
    let refused = elsewhere.run(&list).ended(5);
    assert!(refused.stderr.contains("error[unauthenticated]"), "{}", refused.stderr);
    let token = server.token();
    elsewhere.run(&[&list[..], &["--token", &token]].concat()).succeeded();
    elsewhere.run(&[&list[..], &["--token", "tripline_wrong"]].concat()).ended(5);
    let state = world.path("state");
    elsewhere.run(&[&list[..], &["--state", state.to_str().unwrap()]].concat()).succeeded();
    elsewhere.run(&["execution", "list", "--state", state.to_str().unwrap()]).succeeded();
}

#[test]
fn the_doctor_looks_beside_a_running_server() {
    let world = shop();
    let server = world.serve();
    let told = world.run(&["doctor"]).succeeded().stdout;
    assert!(told.contains(&format!("process {}", server.pid())), "{told}");
    server.stop();
    let told = world.run(&["doctor", "--state", "state"]).succeeded().stdout;
    assert!(told.contains("are whole"), "{told}");
    std::fs::write(world.path("state/head"), "nonsense").unwrap();
    world.run(&["doctor"]).ended(1);
}

#[test]
fn output_that_nobody_reads_is_no_error() {
    let world = World::new();
    let _server = world.serve();
    let mut command = world.client(&["action", "list"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
