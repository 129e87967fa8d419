//! An event that more rules want than a commit holds, and a server that dies between its pages.

use std::path::Path;

use nix::sys::signal::Signal;
use rusqlite::{Connection, OpenFlags};
use serde_json::json;

use crate::files::{PATIENCE, pack, world};
use crate::support::{Server, World, eventually};

/// 400 go into the event's own commit, as many into each page.
const RULES: u32 = 1_800;
const PAGES: u32 = 4;

fn wanted_by_many() -> World {
    let world = world();
    pack(&world, "triggers/ordered.yaml", "payload: {}\n");
    for n in 0..RULES {
        let rule = "trigger: { type: p.ordered }\naction: { ref: core.noop }\n";
        pack(&world, &format!("rules/r{n}.yaml"), rule);
    }
    world
}

/// How many pages of all events were stored so far.
fn stored(database: &Path) -> u32 {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let database = Connection::open_with_flags(database, flags).unwrap();
    let count = "SELECT count(*) FROM facts WHERE name = 'PageStored'";
    database.query_row(count, [], |row| row.get(0)).unwrap()
}

/// Holds the server still between the first and the last page of the newest event.
fn still_between_pages(world: &World, server: &Server, events: u32) -> bool {
    let database = world.path("state/tripline.db");
    let (none, all) = ((events - 1) * PAGES, events * PAGES);
    eventually(PATIENCE, || (stored(&database) > none).then_some(()));
    server.signal(Signal::SIGSTOP);
    let between = stored(&database) < all;
    if !between {
        server.signal(Signal::SIGCONT);
    }
    between
}

#[test]
fn what_was_not_requested_yet_at_a_kill_is_requested_once_by_the_next_start() {
    let world = wanted_by_many();
    let server = world.serve();
    let emit = |server: &Server, n: u32| {
        let body = json!({ "type": "p.ordered", "id": format!("order-{n}"), "data": {} });
        server.ask("POST", "/api/v1/events", Some(&body))
    };
    // A machine may be so fast that all pages are there before anybody looks: then once more.
    let mut events = 0;
    loop {
        events += 1;
        assert_eq!(emit(&server, events).status, 202);
        if still_between_pages(&world, &server, events) {
            break;
        }
    }
    server.kill();
    let server = world.serve();
    let all = json!({ "succeeded": events * RULES });
    eventually(PATIENCE, || {
        (server.ask("GET", "/api/v1/health", None).json()["executions"] == all).then_some(())
    });
    assert_eq!(stored(&world.path("state/tripline.db")), events * PAGES);
    let rules = world.json(&["rule", "list"]);
    let counts = rules.as_array().unwrap().iter().map(|rule| &rule["counts"]["matched"]);
    assert!(counts.clone().all(|count| *count == events), "each rule once per event");
    assert_eq!(counts.count(), RULES as usize);
    assert_eq!(emit(&server, events).json()["duplicate"], true, "told again, nothing is asked for");
    server.stop();
    world.run(&["doctor"]).succeeded();
}
