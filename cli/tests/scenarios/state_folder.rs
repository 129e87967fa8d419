//! The state folder and who may open it: one server, of a version that understands it, on a log
//! that is whole.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::files::{PATIENCE, pack, program, world};
use crate::support::{World, eventually};

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

#[test]
fn an_emptied_or_removed_database_is_told_by_the_doctor_and_not_served() {
    let world = used();
    let database = world.path("state/tripline.db");
    let beside = fs::read(world.path("state/tripline.db-wal")).unwrap();
    fs::write(&database, "").unwrap();
    for _ in 0..2 {
        let found = world.run(&["doctor"]).ended(1);
        assert!(found.stdout.contains("is empty, though the folder was used"), "{found:?}");
        let log = refused(&world);
        assert!(log.contains("facts were acknowledged") && log.contains("restore a"), "{log}");
    }
    assert_eq!(fs::read(world.path("state/tripline.db-wal")).unwrap(), beside);
    fs::remove_file(&database).unwrap();
    let found = world.run(&["doctor"]).ended(1);
    assert!(found.stdout.contains("hint: put it back or restore a backup"), "{found:?}");
    let log = refused(&world);
    assert!(log.contains("is not there, though the folder was used before"), "{log}");
    assert!(!database.exists());
}

#[test]
fn a_stopped_server_leaves_nothing_in_the_write_ahead_log() {
    let world = world();
    let server = world.serve();
    world.run(&["run", "core.noop"]).succeeded();
    server.stop();
    let log = fs::metadata(world.path("state/tripline.db-wal")).map_or(0, |file| file.len());
    assert_eq!(log, 0);
}

#[test]
fn a_state_folder_that_others_may_read_is_told_once() {
    let world = world();
    let server = world.serve();
    let told = |log: &str| log.matches("other users may read").count();
    assert_eq!(told(&server.log()), 0);
    server.stop();
    for (path, mode) in [("state", 0o755), ("state/admin.token", 0o644)] {
        fs::set_permissions(world.path(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::remove_file(world.path("server.log")).unwrap();
    let server = world.serve();
    assert_eq!(told(&server.log()), 1, "{}", server.log());
    assert!(server.log().contains("chmod -R go= "), "{}", server.log());
}

#[test]
fn the_doctor_tells_what_is_missing_or_open_besides_the_log() {
    let world = world();
    pack(&world, "actions/later.yaml", "entry_point: later.rhai\n");
    pack(&world, "actions/later.rhai", "sleep(\"1h\")");
    let server = world.serve();
    world.run_with_input(&["secret", "set", "app/key"], "a value to keep").succeeded();
    let id = world.run(&["run", "p.later", "--detach"]).line();
    eventually(PATIENCE, || {
        (world.json(&["execution", "get", &id])["state"] == "waiting").then_some(())
    });
    server.stop();
    world.run(&["doctor"]).succeeded();
    // Others may read the key, and a restore was cut off: worth a word.
    let key = world.path("state.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    fs::create_dir(world.path("state/restoring")).unwrap();
    let told = world.run(&["doctor"]).succeeded().stdout;
    assert!(told.contains("chmod 600") && told.contains("state.key"), "{told}");
    assert!(told.contains("a restore did not come to its end"), "{told}");
    fs::remove_dir(world.path("state/restoring")).unwrap();
    // The key is gone, and the pack that the execution goes on with: neither works without.
    fs::rename(&key, world.path("elsewhere.key")).unwrap();
    fs::rename(world.path("state/packs"), world.path("packs-of-state")).unwrap();
    let told = world.run(&["doctor"]).ended(1).stdout;
    assert!(told.contains("1 encrypted secrets cannot be opened"), "{told}");
    assert!(told.contains(&format!("`{id}` and others that began with it cannot go on")), "{told}");
}

/// Everything below a folder that others than its owner may read, or use.
fn open_to_others(folder: &std::path::Path) -> Vec<String> {
    let mut open = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, metadata) = (entry.path(), entry.metadata().unwrap());
        if metadata.permissions().mode() & 0o077 != 0 {
            open.push(format!("{} {:o}", path.display(), metadata.permissions().mode()));
        }
        if metadata.is_dir() {
            open.extend(open_to_others(&path));
        }
    }
    open
}

#[test]
fn a_state_folder_is_its_owners_alone_fresh_and_restored_and_what_programs_make_elsewhere_is_not() {
    let world = world();
    program(&world, "make", "idempotent", r#"echo made >>"$W/made""#);
    pack(&world, "triggers/large.yaml", "payload: { text: {} }\n");
    let server = world.serve();
    world.run_with_input(&["secret", "set", "app/key"], "a value to keep").succeeded();
    world.run(&["run", "p.make"]).succeeded();
    world.emit("p.large", &serde_json::json!({ "text": "x".repeat(700_000) }));
    assert!(fs::read_dir(world.path("state/blobs")).unwrap().count() > 1, "there is a blob");
    assert_eq!(open_to_others(&world.path("state")), [""; 0]);
    let made = fs::metadata(world.path("made")).unwrap().permissions().mode();
    let own = fs::File::create(world.path("own")).unwrap().metadata().unwrap().permissions().mode();
    assert_eq!(made, own, "a program has the mask that the server was started with");
    world.run(&["backup", "it.tar"]).succeeded();
    server.stop();
    world.run(&["restore", "it.tar", "--replace"]).succeeded();
    world.serve().stop();
    assert_eq!(open_to_others(&world.path("state")), [""; 0]);
}

#[test]
fn the_doctor_ends_with_1_where_no_server_could_start_and_says_what_to_do() {
    let world = world();
    fs::create_dir(world.path("state")).unwrap();
    let told = world.run(&["doctor"]).ended(1).stdout;
    assert!(told.contains("there is no store in") && told.contains("hint: name the"), "{told}");
    world.serve().stop();
    world.run(&["doctor"]).succeeded();
    for (file, text, wrong, hint) in [
        ("state.key", "", "holds no key", "if no secret was stored yet, delete it"),
        ("state.key", "no key\n", "is no age identity", "put the key back"),
        ("state/admin.token", "short\n", "fewer than 32 characters", "delete it, and the next"),
    ] {
        let before = fs::read(world.path(file)).ok();
        fs::write(world.path(file), text).unwrap();
        let told = world.run(&["doctor"]).ended(1).stdout;
        assert!(told.contains(wrong) && told.contains(hint), "{told}");
        let mut server = world.spawn(&[]);
        assert!(!server.wait().success(), "{}", server.log());
        assert!(server.log().contains(wrong), "{}", server.log());
        match before {
            Some(bytes) => fs::write(world.path(file), bytes).unwrap(),
            None => fs::remove_file(world.path(file)).unwrap(),
        }
    }
    world.run(&["doctor"]).succeeded();
}

#[test]
fn the_doctor_finds_keys_where_the_settings_say_that_it_is_given() {
    let world = world();
    let server = world.serve();
    world.run_with_input(&["secret", "set", "app/key"], "a value to keep").succeeded();
    server.stop();
    let settings = "state: ../state\nsecrets: { keys: [{ file: ops.key }] }\n";
    world.write("conf/tripline.yaml", settings);
    fs::rename(world.path("state.key"), world.path("conf/ops.key")).unwrap();
    let told = world.run(&["doctor"]).ended(1).stdout;
    assert!(told.contains("1 encrypted secrets cannot be opened"), "{told}");
    world.run(&["doctor", "--config", "conf/tripline.yaml"]).succeeded();
    world.run(&["doctor", "--config", "conf/tripline.yaml", "--state", "state"]).succeeded();
    world.run(&["doctor", "--config", "conf/missing.yaml"]).ended(2);
}
