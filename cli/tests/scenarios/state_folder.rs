//! The state folder and who may open it: one server, of a version that understands it, on a log
//! that is whole.

use std::fs;

use crate::files::world;
use crate::support::World;

/// Starts a server that must be refused; what it said.
fn refused(world: &World) -> String {
    let mut server = world.spawn(&[]);
    assert_eq!(server.wait().code(), Some(1), "{}", server.log());
    server.log()
}

/// A world whose server has worked and was killed, with the answer of its last request.
fn used() -> World {
    let world = world();
    let server = world.serve();
    for _ in 0..3 {
        world.run(&["run", "core.noop"]).succeeded();
    }
    server.kill();
    world
}

#[test]
fn a_second_server_is_refused_and_told_who_has_the_folder() {
    let world = world();
    let server = world.serve();
    let told = format!("is in use by process {}", server.pid());
    let log = refused(&world);
    assert!(log.contains(&told), "{log}");
    world.run(&["run", "core.noop"]).succeeded();
}

#[test]
fn a_folder_of_a_newer_version_is_refused_and_left_alone() {
    let world = used();
    let database = rusqlite::Connection::open(world.path("state/tripline.db")).unwrap();
    database.pragma_update(None, "user_version", 9_999).unwrap();
    drop(database);
    let log = refused(&world);
    assert!(log.contains("schema 9999") && log.contains("or a newer one"), "{log}");
    let database = rusqlite::Connection::open(world.path("state/tripline.db")).unwrap();
    let kept: i64 = database.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(kept, 9_999);
    world.run(&["doctor"]).ended(1);
}

#[test]
fn the_doctor_finds_nothing_in_a_folder_that_is_whole() {
    let world = used();
    let whole = "the log, its projection and its blobs are whole";
    assert!(world.run(&["doctor"]).succeeded().stdout.contains(whole));
    let server = world.serve();
    let beside = world.run(&["doctor"]).succeeded().stdout;
    assert!(beside.contains(&format!("the process {} runs on it", server.pid())), "{beside}");
    server.stop();
    assert!(world.run(&["doctor"]).succeeded().stdout.contains(whole));
}

#[test]
fn a_log_that_lost_its_end_is_told_by_the_doctor_and_not_served() {
    let world = used();
    // Cut in the middle of the last commits: SQLite takes what is left for the whole.
    let log = world.path("state/tripline.db-wal");
    let length = fs::metadata(&log).unwrap().len();
    fs::File::options().write(true).open(&log).unwrap().set_len(length - 5_000).unwrap();
    let found = world.run(&["doctor"]).ended(1);
    assert!(found.stdout.contains("the log lost") && found.stdout.contains("hint: "), "{found:?}");
    let log = refused(&world);
    assert!(log.contains("the log lost") && log.contains("restore a backup"), "{log}");
}
