//! The server as a process: it starts, is found, is killed, goes on, stops.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use hmac::{Hmac, KeyInit, Mac};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sha2::Sha256;
use support::{SOON, World, client, eventually, send};

/// A pack whose action sleeps as long as it is told.
fn sleepy() -> World {
    let world = World::new();
    world.write("packs/nap/pack.yaml", "name: nap\nversion: 1.0.0\npermissions: { exec: true }\n");
    world.write(
        "packs/nap/actions/nap.yaml",
        "entry_point: nap.rhai\nparameters: { length: { type: string, required: true } }\n",
    );
    world.write("packs/nap/actions/nap.rhai", "sleep(params.length);\n#{ rested: true }\n");
    world.write(
        "packs/nap/actions/snore.yaml",
        "entry_point: snore.sh\nparameters: { seconds: { type: integer, required: true } }\n",
    );
    world.write(
        "packs/nap/actions/snore.sh",
        "#!/bin/sh\nread -r input\necho started >> \"$(dirname \"$0\")/../../../../started\"\nsleep 60\n",
    );
    world
}

#[test]
fn a_chain_goes_on_where_it_was_after_a_kill() {
    let world = sleepy();
    let server = world.serve();
    let id = world.run(&["run", "nap.nap", "length=2s", "--detach"]).line();
    world.reaches(&id, &["waiting"]);
    server.kill();
    let _server = world.serve();
    let execution = world.reaches(&id, &["succeeded"]);
    assert_eq!(execution["outcome"]["result"], json!({ "rested": true }));
    let watched = world.run(&["execution", "watch", &id]).succeeded();
    assert!(watched.stdout.contains("succeeded"), "{}", watched.stdout);
}

#[test]
fn who_watches_an_execution_sees_its_end_even_if_the_server_is_killed_meanwhile() {
    let world = sleepy();
    let server = world.serve();
    let id = world.run(&["run", "nap.nap", "length=4s", "--detach"]).line();
    let mut watching = world.client(&["execution", "watch", &id]);
    let mut watching = watching.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let mut until = |word: &str| lines.by_ref().any(|line| line.unwrap().contains(word));
    assert!(until("begun            1 sleep"));
    server.kill();
    let _server = world.serve();
    assert!(until("succeeded"));
    assert!(watching.wait().unwrap().success());
}

#[test]
fn webhooks_are_received_with_a_secret_of_the_environment() {
    let world = World::new().with_variable("HOOK_SECRET", "0123456789abcdef");
    world.write(
        "packs/ci/pack.yaml",
        "name: ci\nversion: 1.0.0\npermissions: { actions: [core.echo], secrets: [\"env:HOOK_SECRET\"] }\n",
    );
    world.write(
        "packs/ci/sensors/hook.yaml",
        "type: webhook\nparameters:\n  secrets: [ { env: HOOK_SECRET } ]\n  \
         signature: { header: X-Signature }\n",
    );
    world.write(
        "packs/ci/rules/built.yaml",
        "trigger: { type: webhook.received, parameters: { sensor: hook } }\n\
         action: { ref: core.echo, parameters: { value: '${trigger.body.commit}' } }\n",
    );
    let server = world.serve();
    let body = r#"{"commit": "9fceb02"}"#;
    let mut mac = Hmac::<Sha256>::new_from_slice(b"0123456789abcdef").unwrap();
    mac.update(body.as_bytes());
    let bytes = mac.finalize().into_bytes();
    let signature = bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let deliver = |signature: &str| {
        let request = client().post(format!("{}/webhooks/ci/hook", server.webhooks()));
        let request = request.header("content-type", "application/json").body(body);
        send(request.header("x-signature", signature)).status
    };
    assert_eq!(deliver("00"), 401);
    assert_eq!(deliver(&signature), 202);
    let listed = world.json(&["execution", "list", "--rule", "ci.built"]);
    let execution = world.reaches(listed[0]["id"].as_str().unwrap(), &["succeeded"]);
    assert_eq!(execution["outcome"]["result"], json!({ "value": "9fceb02" }));
    assert_eq!(world.json(&["sensor", "get", "ci.hook"])["refused"], json!({ "bad_signature": 1 }));
    // The API's own address does not know webhooks.
    assert_eq!(server.ask("POST", "/webhooks/ci/hook", Some(&json!({}))).status, 404);
}

#[test]
fn a_server_that_is_told_to_stop_leaves_nothing_behind_but_its_state() {
    let world = World::new();
    let server = world.serve();
    assert_eq!(server.ask("GET", "/readyz", None).status, 200);
    server.stop();
    assert!(!world.path("state/server.json").exists());
    let refused = world.run(&["execution", "list"]).ended(4);
    assert!(refused.stderr.contains("no server runs on the state folder"), "{}", refused.stderr);
}

#[test]
fn a_killed_server_is_told_apart_from_one_that_never_ran() {
    let world = World::new();
    let server = world.serve();
    let told = format!("the last one, process {}, was killed", server.pid());
    server.kill();
    assert!(world.path("state/server.json").exists());
    let refused = world.run(&["execution", "list"]).ended(4);
    assert!(refused.stderr.contains(&told), "{}", refused.stderr);
    assert!(refused.stderr.contains("hint: start it again"), "{}", refused.stderr);
}

#[test]
fn nobody_is_sent_the_token_of_a_server_that_was_killed() {
    let world = World::new();
    world.serve().kill();
    // Its address is another program's by now.
    let heir = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    heir.set_nonblocking(true).unwrap();
    let mut told: Value = serde_json::from_str(&world.read("state/server.json")).unwrap();
    told["api"] = json!(heir.local_addr().unwrap().to_string());
    world.write("state/server.json", &told.to_string());
    world.run(&["execution", "list"]).ended(4);
    let asked = heir.accept().map_err(|error| error.kind());
    assert_eq!(asked.unwrap_err(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_server_that_is_about_to_start_is_told_apart_from_none() {
    let world = World::new();
    world.serve().kill();
    let mut held = std::fs::File::create(world.path("state/lock")).unwrap();
    held.lock().unwrap();
    // As the next server does: it holds the folder, and has not said yet where it listens.
    held.write_all(b"4242").unwrap();
    let refused = world.run(&["execution", "list"]).ended(4);
    let told = "the process 4242 runs on the state folder";
    assert!(refused.stderr.contains(told), "{}", refused.stderr);
}

#[test]
fn a_second_signal_does_not_wait_for_steps_under_way() {
    let world = sleepy();
    let mut server = world.serve();
    world.run(&["run", "nap.snore", "seconds=60", "--detach"]).succeeded();
    eventually(SOON, || world.path("started").exists().then_some(()));
    server.signal(Signal::SIGTERM);
    eventually(SOON, || server.log().contains("a second signal").then_some(()));
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().code(), Some(130));
}

#[test]
fn one_state_folder_has_one_server() {
    let world = World::new();
    let server = world.serve();
    let mut second = world.spawn(&[]);
    assert_eq!(second.wait().code(), Some(1));
    assert!(server.log().contains("error[store]"), "{}", server.log());
    assert_eq!(server.ask("GET", "/readyz", None).status, 200);
}

#[test]
fn an_address_that_is_taken_is_named() {
    let world = World::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut server = world.spawn(&["--listen", &address]);
    assert_eq!(server.wait().code(), Some(1));
    let told = format!("cannot listen on {address}");
    assert!(server.log().contains(&told), "{}", server.log());
}

#[test]
fn settings_come_from_the_file_and_flags_win() {
    let world = World::new();
    world.write("tripline.yaml", "state: elsewhere\npacks: [mine]\n");
    world.write("mine/nap/pack.yaml", "name: nap\nversion: 2.0.0\n");
    let server = world.spawn(&["--packs", "mine"]);
    eventually(SOON, || world.path("elsewhere/server.json").exists().then_some(()));
    // Client commands in the same folder find the server by the same file.
    assert_eq!(world.json(&["pack", "list"])[0]["version"], "2.0.0");
    drop(server);
}

#[test]
fn changed_packs_are_active_without_a_restart_and_broken_ones_are_told() {
    let world = sleepy();
    let _server = world.serve();
    assert_eq!(world.json(&["pack", "get", "nap"])["version"], "1.0.0");
    world.write("packs/nap/pack.yaml", "name: nap\nversion: 1.1.0\npermissions: { exec: true }\n");
    eventually(SOON, || (world.json(&["pack", "get", "nap"])["version"] == "1.1.0").then_some(()));
    world.write("packs/nap/pack.yaml", "name: nap\nverzion: 1.2.0\n");
    let pack = eventually(SOON, || {
        let pack = world.json(&["pack", "get", "nap"]);
        (pack["state"] == "stale").then_some(pack)
    });
    assert_eq!(pack["version"], "1.1.0");
    let told = pack["findings"].to_string();
    assert!(told.contains("pack.yaml:2:1") && told.contains("did you mean `version`?"), "{told}");
}
