//! What was registered is undone, newest first, once each: in loops, in branches, through kills.

use crate::files::{chain, has_lines, lines, note, open_gate, open_gates, start, world};
use crate::support::World;

fn notes(text: &str) -> World {
    let world = world();
    note(&world);
    chain(&world, "falls", text);
    world
}

fn ledger_of_failed(world: &World, id: &str) -> Vec<String> {
    let execution = world.reaches(id, &["failed", "needs_attention", "succeeded"]);
    assert_eq!(execution["state"], "failed", "{execution:#}");
    let key = |line: &String| line.strip_prefix(&format!("{id}/")).unwrap().to_owned();
    lines(world, "ledger").iter().map(key).collect()
}

#[test]
fn each_turn_of_a_loop_is_undone_newest_first() {
    let world = notes(
        r#"for turn in 0..3 {
            let turn = turn;
            undo(|error| run("p.note", #{ a: turn }));
            run("core.noop");
        }
        fail("down")"#,
    );
    open_gates(&world);
    let _server = world.serve();
    let id = start(&world, "p.falls");
    assert_eq!(ledger_of_failed(&world, &id), ["undo.5.1", "undo.3.1", "undo.1.1"]);
}

#[test]
fn branches_are_undone_when_one_of_them_fails() {
    let world = notes(
        r#"undo(|error| run("p.note", #{ a: "outer" }));
        parallel([
            || { undo(|error| run("p.note", #{ a: "left" })); run("core.noop") },
            || { undo(|error| run("p.note", #{ a: "right" })); run("core.fail", #{ message: "no" }) },
        ])"#,
    );
    open_gates(&world);
    let _server = world.serve();
    let id = start(&world, "p.falls");
    assert_eq!(ledger_of_failed(&world, &id), ["undo.2.1.1.1", "undo.2.0.1.1", "undo.1.1"]);
}

#[test]
fn a_kill_in_every_handler_repeats_none_and_skips_none() {
    let world = notes(
        r#"for turn in 0..3 {
            let turn = turn;
            undo(|error| run("p.note", #{ a: turn }));
        }
        fail("down")"#,
    );
    let mut server = world.serve();
    let id = start(&world, "p.falls");
    let newest_first = ["undo.3.1", "undo.2.1", "undo.1.1"];
    world.reaches(&id, &["undoing"]);
    server.kill();
    server = world.serve();
    for (done, step) in newest_first.iter().enumerate() {
        open_gate(&world, step);
        has_lines(&world, "ledger", done + 1);
        server.kill();
        server = world.serve();
    }
    assert_eq!(ledger_of_failed(&world, &id), newest_first);
}
