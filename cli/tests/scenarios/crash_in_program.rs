//! A server that dies while a program with an unsafe effect runs.

use std::fs;

use serde_json::Value;

use crate::files::{PATIENCE, chain, has_lines, lines, program, start, world};
use crate::support::{Server, World, eventually};

/// A world whose program was under way when the server was killed, the next server, the execution.
fn killed_in_the_middle() -> (World, Server, String) {
    let world = world();
    let pay = r#"
        echo paid >>"$W/ledger"
        [ -e "$W/quick" ] && exit 0
        sleep 300 &
        echo $$ $! >"$W/pids.new"
        mv "$W/pids.new" "$W/pids"
        wait"#;
    program(&world, "pay", "unsafe", pay);
    chain(&world, "shop", r#"let paid = run("p.pay"); #{ paid: paid }"#);
    let server = world.serve();
    let id = start(&world, "p.shop");
    eventually(PATIENCE, || world.path("pids").exists().then_some(()));
    server.kill();
    let pids = world.read("pids");
    let alive = || pids.split_whitespace().filter(|pid| is_alive(pid)).count();
    assert_eq!(alive(), 2, "a program and its child outlive their server's kill");
    let server = world.serve();
    let execution = world.reaches(&id, &["needs_attention"]);
    assert_eq!(execution["attention"]["path"], "1", "{execution:#}");
    assert_eq!(alive(), 0, "the survivors were ended before anything went on");
    assert_eq!(lines(&world, "ledger"), ["paid"], "and not run again");
    (world, server, id)
}

/// Whether a process runs; one that has ended and was not waited for yet does not.
fn is_alive(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn resolve(world: &World, id: &str, how: &[&str], ends: &str) -> Value {
    world.run(&[&["execution", "resolve", id], how].concat()).succeeded();
    world.reaches(id, &[ends])
}

#[test]
fn somebody_says_that_it_was_done() {
    let (world, _server, id) = killed_in_the_middle();
    let execution = resolve(&world, &id, &["--done", "--result", "{}"], "succeeded");
    assert_eq!(execution["outcome"]["result"], serde_json::json!({ "paid": {} }));
    assert_eq!(lines(&world, "ledger"), ["paid"]);
}

#[test]
fn somebody_says_that_it_is_to_be_done_again() {
    let (world, _server, id) = killed_in_the_middle();
    world.write("quick", "");
    resolve(&world, &id, &["--retry"], "succeeded");
    assert_eq!(lines(&world, "ledger"), ["paid", "paid"]);
}

#[test]
fn somebody_says_that_it_failed() {
    let (world, server, id) = killed_in_the_middle();
    // What a person has to decide does not go away with another restart.
    server.kill();
    let _server = world.serve();
    world.reaches(&id, &["needs_attention"]);
    let execution = resolve(&world, &id, &["--fail", "the bank says no"], "failed");
    assert!(execution["message"].to_string().contains("the bank says no"), "{execution:#}");
    assert_eq!(lines(&world, "ledger"), ["paid"]);
}

#[test]
fn programs_that_had_no_room_to_begin_yet_are_simply_begun() {
    let world = world();
    let pay = r#"echo "$TRIPLINE_KEY" >>"$W/ledger"; [ -e "$W/quick" ] || exec sleep 300"#;
    program(&world, "pay", "unsafe", pay);
    let server = world.serve();
    let ids: Vec<String> = (0..6).map(|_| start(&world, "p.pay")).collect();
    // Four programs run at the same time.
    has_lines(&world, "ledger", 4);
    let begun = lines(&world, "ledger");
    server.kill();
    world.write("quick", "");
    let _server = world.serve();
    for id in ids {
        let was_begun = begun.iter().any(|key| key.starts_with(&id));
        let expected = if was_begun { "needs_attention" } else { "succeeded" };
        let execution = world.reaches(&id, &["needs_attention", "succeeded"]);
        assert_eq!(execution["state"], expected, "{execution:#}");
    }
}
