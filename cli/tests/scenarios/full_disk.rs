//! A disk that fills up under a running server, and has space again.

use std::process::Command;

use lab::Disk;
use serde_json::json;

use crate::files::{
    PATIENCE, chain, events_of, executions_of, has_lines, lines, note, open_gate, pack, start,
    text, world,
};
use crate::support::{Server, eventually};
use crate::webhooks::{Delivery, receiver};

fn order(server: &Server, id: &str) -> u16 {
    let body = json!({ "type": "p.ordered", "id": id, "data": { "n": 1 } });
    server.ask("POST", "/api/v1/events", Some(&body)).status
}

fn ready(server: &Server, status: u16) {
    eventually(PATIENCE, || (server.ask("GET", "/readyz", None).status == status).then_some(()));
}

#[test]
fn a_full_disk_refuses_what_is_new_loses_nothing_and_goes_on_by_itself() {
    let world = world();
    let Some(disk) = Disk::mount(&world.path("state")).unwrap() else { return };
    note(&world);
    chain(&world, "one", r#"run("p.note"); run("core.noop"); "done""#);
    pack(&world, "triggers/ordered.yaml", "payload: { n: { type: integer } }\n");
    pack(
        &world,
        "rules/ordered.yaml",
        "trigger: { type: p.ordered }\naction: { ref: core.noop }\n",
    );
    pack(
        &world,
        "rules/tick.yaml",
        "trigger: { type: timer.interval, parameters: { every: 1s } }\naction: { ref: core.noop }\n",
    );
    let server = world.serve();
    assert_eq!(order(&server, "before"), 202);
    // A program is at work as the disk fills up, and ends while it is full.
    let id = start(&world, "p.one");
    world.reaches(&id, &["running"]);
    eventually(PATIENCE, || {
        let begun = !world.execution(&id)["steps"].as_array().unwrap().is_empty();
        begun.then_some(())
    });
    disk.fill().unwrap();
    assert_eq!(order(&server, "during"), 503);
    ready(&server, 503);
    let timer = eventually(PATIENCE, || {
        let sensors = world.json(&["sensor", "list"]);
        (sensors[0]["state"] == "waiting").then(|| text(&sensors[0]["message"]))
    });
    assert!(timer.contains("its events wait: the store takes nothing"), "{timer}");
    assert!(server.log().contains("the store takes nothing"), "{}", server.log());
    assert_eq!(server.ask("GET", "/healthz", None).status, 200);
    open_gate(&world, "1");
    has_lines(&world, "attempts", 1);
    disk.free().unwrap();
    eventually(PATIENCE, || server.log().contains("commits work again").then_some(()));
    let told = |part: &str| server.log().matches(part).count();
    assert_eq!(told("commits fail"), 1, "{}", server.log());
    assert_eq!(told("the store takes nothing"), 1, "{}", server.log());
    // Told again, as a sender does that was answered with 503: one event.
    eventually(PATIENCE, || [200, 202].contains(&order(&server, "during")).then_some(()));
    ready(&server, 200);
    let execution = world.reaches(&id, &["succeeded", "failed", "needs_attention"]);
    assert_eq!(execution["outcome"]["result"], "done", "{execution:#}");
    assert_eq!(lines(&world, "attempts"), [format!("{id}/1 1")], "its result was not lost");
    assert_eq!(order(&server, "after"), 202);
    assert_eq!(events_of(&world, "p.ordered").len(), 3);
    let runs = world.json(&["execution", "list", "--rule", "p.ordered"]);
    assert_eq!(runs.as_array().unwrap().len(), 3);
    server.stop();
    world.run(&["doctor"]).succeeded();
}

#[test]
fn a_server_that_died_on_a_full_disk_starts_once_there_is_space_and_goes_on() {
    let world = world();
    let Some(disk) = Disk::mount(&world.path("state")).unwrap() else { return };
    chain(&world, "sleeps", "sleep(\"1h\")");
    let server = world.serve();
    let id = start(&world, "p.sleeps");
    world.reaches(&id, &["waiting"]);
    disk.fill().unwrap();
    server.kill();
    let mut refused = world.spawn(&[]);
    assert_eq!(refused.wait().code(), Some(1));
    let log = refused.log();
    assert!(log.contains("is full") && log.contains("free some space"), "{log}");
    disk.free().unwrap();
    let _server = world.serve();
    world.reaches(&id, &["waiting"]);
    world.run(&["doctor"]).succeeded();
}

#[test]
fn a_webhook_is_asked_to_come_again_while_the_disk_is_full_and_is_taken_afterwards() {
    let world = receiver();
    let Some(disk) = Disk::mount(&world.path("state")).unwrap() else { return };
    let server = world.serve();
    let deliver = |id| Delivery::of(id, br#"{"n": 1}"#).send(&server);
    assert_eq!(deliver("before").status, 202);
    disk.fill().unwrap();
    let refused = deliver("during");
    assert_eq!(refused.status, 503, "{refused:?}");
    let seconds = refused.headers["retry-after"].to_str().unwrap().parse::<u32>().unwrap();
    assert!((1..=60).contains(&seconds), "{refused:?}");
    disk.free().unwrap();
    eventually(PATIENCE, || [200, 202].contains(&deliver("during").status).then_some(()));
    assert_eq!(deliver("during").status, 200);
    assert_eq!(events_of(&world, "webhook.received").len(), 2);
    let runs = executions_of(&world, "p.take");
    assert_eq!(runs.len(), 2);
    for id in &runs {
        world.reaches(id, &["succeeded"]);
    }
}

#[test]
fn new_content_of_a_pack_is_active_once_it_is_recorded_and_a_full_disk_holds_up_no_look_at_it() {
    let world = world();
    let Some(disk) = Disk::mount(&world.path("state")).unwrap() else { return };
    chain(&world, "one", "1");
    let server = world.serve();
    let pack_of = |server: &Server| server.ask("GET", "/api/v1/packs/p", None).json();
    let before = pack_of(&server);
    disk.fill().unwrap();
    pack(&world, "triggers/ordered.yaml", "payload: { n: { type: integer } }\n");
    // What the reading of its files wants to record.
    eventually(PATIENCE, || server.log().contains("the store takes nothing").then_some(()));
    assert_eq!(pack_of(&server), before, "nothing else is recorded");
    assert_eq!(server.ask("GET", "/metrics", None).status, 200);
    disk.free().unwrap();
    eventually(PATIENCE, || (pack_of(&server)["hash"] != before["hash"]).then_some(()));
    assert_eq!(order(&server, "after"), 202);
    ready(&server, 200);
}

/// Bounds the size of files that a process may write, as `ulimit -f` does.
fn bound_files(server: &Server, bytes: &str) {
    let pid = server.pid().to_string();
    let limit = format!("--fsize={bytes}:unlimited");
    let bound = Command::new("prlimit").args(["--pid", &pid, &limit]).output().unwrap();
    assert!(bound.status.success(), "{bound:?}");
}

#[test]
fn a_limit_on_the_size_of_files_is_a_full_disk_and_ends_no_server() {
    let world = world();
    chain(&world, "one", "1");
    let server = world.serve();
    world.run(&["run", "p.one"]).succeeded();
    bound_files(&server, "65536");
    let start = || {
        let body = json!({ "action": "p.one" });
        server.ask("POST", "/api/v1/executions", Some(&body)).status
    };
    eventually(PATIENCE, || (start() == 503).then_some(()));
    ready(&server, 503);
    assert!(server.log().contains("`ulimit -f`"), "{}", server.log());
    bound_files(&server, "unlimited");
    ready(&server, 200);
    world.run(&["run", "p.one"]).succeeded();
    server.stop();
    world.run(&["doctor"]).succeeded();
}
