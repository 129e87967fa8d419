//! Database files as earlier versions wrote them, under the server of today.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};
use serde_json::json;

use crate::files::{chain, pack, start, text, world};
use crate::support::{Server, World};

/// The migrations that were released, oldest first: a file of schema n has had the first n.
fn migrations() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../store/src/sqlite/migrations");
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
}

fn names(database: &Connection, query: &str) -> Vec<String> {
    let mut query = database.prepare(query).unwrap();
    let names = query.query_map([], |row| row.get(0)).unwrap();
    names.map(Result::unwrap).collect()
}

/// Turns the database into what a version that knew only these migrations would have made of the
/// same facts.
fn turn_back(world: &World, migrations: &[String]) {
    let (path, old) = (world.path("state/tripline.db"), world.path("old.db"));
    let database = Connection::open(&old).unwrap();
    let mode = "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL";
    database.execute_batch(mode).unwrap();
    for migration in migrations {
        database.execute_batch(migration).unwrap();
    }
    database.execute("ATTACH ?1 AS today", params![path.to_str().unwrap()]).unwrap();
    let tables =
        "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'";
    for table in names(&database, tables) {
        let columns = format!("SELECT name FROM pragma_table_info('{table}', 'main')");
        let columns = names(&database, &columns).join(", ");
        let copy =
            format!("INSERT INTO main.{table} ({columns}) SELECT {columns} FROM today.{table}");
        database.execute_batch(&format!("DELETE FROM main.{table}; {copy}")).unwrap();
    }
    database.pragma_update(None, "user_version", migrations.len() as u32).unwrap();
    database.execute("UPDATE written_by SET version = '0.0.1'", []).unwrap();
    database.execute_batch("DETACH today").unwrap();
    drop(database);
    fs::rename(old, path).unwrap();
}

/// What a server has done before the file is turned back.
struct Past {
    sleeping: String,
    /// One that was told to begin nothing, let go on, and told again.
    held: String,
    cancelled: String,
    ended: String,
    event: String,
}

const ORDER: &str = "order-1";

fn order(world: &World) -> serde_json::Value {
    // So large that it lies in a blob, which the database names.
    let data = json!({ "item": "x".repeat(600 * 1024) });
    world.write("order.json", &data.to_string());
    let emit = ["event", "emit", "p.ordered", "--id", ORDER, "--data", "order.json"];
    world.json(&emit)
}

fn past(world: &World) -> Past {
    let sleeping = start(world, "p.sleeps");
    world.reaches(&sleeping, &["waiting"]);
    let held = start(world, "p.sleeps");
    for word in ["pause", "resume", "pause"] {
        world.run(&["execution", word, &held]).succeeded();
    }
    let cancelled = start(world, "p.sleeps");
    world.run(&["execution", "cancel", &cancelled, "--reason", "not today"]).succeeded();
    world.reaches(&cancelled, &["cancelled"]);
    let ended = start(world, "p.counts");
    world.reaches(&ended, &["succeeded"]);
    let order = order(world);
    world.reaches(&text(&order["executions"][0]), &["succeeded"]);
    Past { sleeping, held, cancelled, ended, event: text(&order["event"]) }
}

fn check_all_is_there(world: &World, past: &Past, server: &Server, schema: usize) {
    let told = |what: &str| format!("schema {schema}: {what}");
    assert_eq!(world.execution(&past.sleeping)["state"], "waiting");
    assert_eq!(world.execution(&past.held)["asked"]["to"], "pause", "{}", told("who holds it"));
    let cancelled = world.execution(&past.cancelled);
    assert_eq!(cancelled["asked"]["reason"], "not today", "{}", told("who cancelled it"));
    let ended = world.execution(&past.ended);
    assert_eq!(ended["outcome"]["result"], 1, "{}", told("what had ended"));
    let event = world.json(&["event", "get", &past.event]);
    assert_eq!(event["data"]["item"].as_str().unwrap().len(), 600 * 1024, "{}", told("an event"));
    assert_eq!(order(world)["duplicate"], true, "{}", told("it was told before"));
    assert_eq!(world.json(&["rule", "get", "p.ordered"])["counts"]["matched"], 1);
    assert_eq!(world.json(&["key", "get", "p/n"])["value"], 1, "{}", told("a key"));
    let audit = server.ask("GET", "/api/v1/audit?limit=500", None).body;
    assert!(audit.contains(&past.sleeping), "{}", told("who did what"));
    world.run(&["run", "core.noop"]).succeeded();
}

#[test]
fn a_file_of_each_earlier_schema_is_brought_up_to_date_with_all_that_is_in_it() {
    let world = world();
    chain(&world, "sleeps", "sleep(\"1h\")");
    chain(&world, "counts", "run(\"datastore.increment\", #{ key: \"n\" }).value");
    pack(&world, "triggers/ordered.yaml", "payload: { item: {} }\n");
    let rule = "trigger: { type: p.ordered }\naction: { ref: core.noop }\n";
    pack(&world, "rules/ordered.yaml", rule);
    let server = world.serve();
    let past = past(&world);
    server.stop();
    let migrations = migrations();
    for schema in 1..migrations.len() {
        turn_back(&world, &migrations[..schema]);
        let told = world.run(&["doctor"]).succeeded().stdout;
        assert!(told.contains(&format!("has schema {schema}")), "{told}");
        // Killed at once, and again: a migration is whole or not there.
        world.spawn(&[]).kill();
        let server = world.serve();
        check_all_is_there(&world, &past, &server, schema);
        server.stop();
        let whole = "the log, its projection and its blobs are whole";
        let told = world.run(&["doctor"]).succeeded().stdout;
        assert!(told.contains(whole), "schema {schema}: {told}");
    }
}
