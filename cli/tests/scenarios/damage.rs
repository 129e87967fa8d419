//! A database that somebody damaged, or holds, under the real server.

use std::fs;
use std::path::PathBuf;

use rusqlite::Connection;
use serde_json::json;

use crate::files::{PATIENCE, has_lines, lines, note, open_gates, start, text, world};
use crate::support::{World, eventually};

const PAGE: usize = 4_096;

fn database(world: &World) -> PathBuf {
    world.path("state/tripline.db")
}

/// Makes `bytes` the database of a server that was stopped.
fn put_back(world: &World, bytes: &[u8]) {
    fs::write(database(world), bytes).unwrap();
    for beside in ["state/tripline.db-wal", "state/tripline.db-shm"] {
        let _ = fs::remove_file(world.path(beside));
    }
}

/// The database with one of its pages turned into something else.
fn with_damaged_page(bytes: &[u8], page: usize) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    damaged[page * PAGE..][..PAGE].iter_mut().for_each(|byte| *byte ^= 0xa5);
    damaged
}

/// Echoes so many values; the executions.
fn echoes(world: &World, count: usize) -> Vec<String> {
    (0..count).map(|n| echo(world, &format!("what was said {n:04}"))).collect()
}

fn echo(world: &World, value: &str) -> String {
    let said = format!("value={value}");
    let id = world.run(&["run", "core.echo", &said, "--detach"]).line();
    world.reaches(&id, &["succeeded"]);
    id
}

#[test]
fn the_doctor_tells_of_every_page_that_is_damaged() {
    let world = world();
    let server = world.serve();
    echoes(&world, 20);
    server.stop();
    let whole = fs::read(database(&world)).unwrap();
    assert!(whole.len() > 20 * PAGE);
    for page in 0..whole.len() / PAGE {
        put_back(&world, &with_damaged_page(&whole, page));
        let found = world.run(&["doctor"]).ended(1);
        let told = found.stdout.contains("damaged") && found.stdout.contains("hint: restore");
        assert!(told, "page {page}: {found:?}");
    }
    put_back(&world, &whole);
    world.run(&["doctor"]).succeeded();
}

#[test]
fn a_damaged_page_is_told_by_what_needs_it_and_the_rest_is_served() {
    let world = world();
    let server = world.serve();
    let ids = echoes(&world, 40);
    server.stop();
    let whole = fs::read(database(&world)).unwrap();
    let said = b"what was said 0020";
    let page = whole.windows(said.len()).position(|some| some == said).unwrap() / PAGE;
    put_back(&world, &with_damaged_page(&whole, page));
    let server = world.serve();
    let told = world.run(&["execution", "get", &ids[20]]).ended(1);
    let (what, to_do) = ("the store is damaged", "run `tripline doctor`");
    assert!(told.stderr.contains(what) && told.stderr.contains(to_do), "{told:?}");
    let other = world.execution(&ids[0]);
    assert_eq!(other["outcome"]["result"]["value"], "what was said 0000", "{other:#}");
    let new = echo(&world, "also now");
    assert_eq!(world.execution(&new)["state"], "succeeded");
    assert_eq!(server.ask("GET", "/healthz", None).status, 200);
}

#[test]
fn a_database_that_another_program_holds_is_told_and_nothing_in_it_is_lost() {
    let world = world();
    let server = world.serve();
    let id = echo(&world, "before");
    server.stop();
    let other = Connection::open(database(&world)).unwrap();
    other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").unwrap();
    let mut refused = world.spawn(&[]);
    assert_eq!(refused.wait().code(), Some(1));
    let log = refused.log();
    assert!(log.contains("state/tripline.db` is locked by another program"), "{log}");
    assert!(log.contains("close whatever has it open"), "{log}");
    drop(other);
    let _server = world.serve();
    assert_eq!(world.execution(&id)["outcome"]["result"]["value"], "before");
}

#[test]
fn a_database_that_another_program_locks_meanwhile_is_waited_for() {
    let world = world();
    note(&world);
    let server = world.serve();
    let id = start(&world, "p.note");
    eventually(PATIENCE, || (world.execution(&id)["state"] == "running").then_some(()));
    let mut other = Connection::open(database(&world)).unwrap();
    let held = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let body = json!({ "action": "core.noop" });
    let refused = server.ask("POST", "/api/v1/executions", Some(&body));
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
    open_gates(&world);
    has_lines(&world, "attempts", 1);
    assert_eq!(world.execution(&id)["state"], "running", "what is there can be read");
    held.rollback().unwrap();
    let execution = world.reaches(&id, &["succeeded", "failed", "needs_attention"]);
    assert_eq!(text(&execution["state"]), "succeeded", "{execution:#}");
    assert_eq!(lines(&world, "attempts").len(), 1, "its result was not lost");
    world.run(&["run", "core.noop"]).succeeded();
}
