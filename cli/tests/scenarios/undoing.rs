//! What was registered is undone, newest first, once each: in loops, in branches, through kills.

use crate::files::{
    PATIENCE, chain, has_lines, lines, note, open_gate, open_gates, program, start, world,
};
use crate::support::{Server, World, eventually};

fn notes(text: &str) -> World {
    let world = world();
    note(&world);
    chain(&world, "falls", text);
    world
}

fn ledger_of_failed(world: &World, id: &str) -> Vec<String> {
    ledger_once(world, id, "failed")
}

/// The steps whose effects were made, once the execution has ended so.
fn ledger_once(world: &World, id: &str, end: &str) -> Vec<String> {
    let ends = ["failed", "needs_attention", "succeeded", "cancelled"];
    let execution = world.reaches(id, &ends);
    assert_eq!(execution["state"], end, "{execution:#}");
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

/// A chain with two things to undo that waits at the gate of its third step, and is cancelled.
fn cancelled_at_work() -> (World, Server, String) {
    let world = notes(
        r#"undo(|error| run("p.note", #{ a: error.kind }));
        run("core.noop");
        undo(|error| run("p.note", #{ a: error.kind }));
        run("p.note", #{ a: "work" });
        run("p.note", #{ a: "never" })"#,
    );
    let server = world.serve();
    let id = start(&world, "p.falls");
    eventually(PATIENCE, || {
        let execution = world.execution(&id);
        let begun = execution["steps"].as_array().unwrap().last()?["path"] == "4";
        begun.then_some(())
    });
    let told = world.run(&["execution", "cancel", &id, "--reason", "not today"]).succeeded();
    assert!(told.stdout.contains("undo handlers run"), "{told:?}");
    (world, server, id)
}

#[test]
fn what_needs_attention_and_is_cancelled_says_what_it_waits_for_and_who_asked() {
    let world = world();
    program(&world, "lost", "unsafe", "kill -9 $$");
    chain(&world, "runs", r#"run("p.lost")"#);
    let _server = world.serve();
    let id = start(&world, "p.runs");
    world.reaches(&id, &["needs_attention"]);
    let listed = || world.run(&["execution", "list"]).succeeded().stdout;
    world.run(&["execution", "pause", &id, "--reason", "a look first"]).succeeded();
    assert!(listed().contains("paused by token:admin: a look first; "), "{}", listed());
    let cancelled = world.run(&["execution", "cancel", &id, "--reason", "not today"]).succeeded();
    for told in ["it is cancelled once", "  step 1 of ex_", "execution resolve ex_", "--fail"] {
        assert!(cancelled.stdout.contains(told), "{cancelled:?}");
    }
    let asked = "to be cancelled, asked by token:admin: not today; ";
    assert!(listed().contains(asked), "{}", listed());
    let shown = world.run(&["execution", "get", &id]).succeeded().stdout;
    assert!(shown.contains(": not today (waits for the decision below)\n"), "{shown}");
    assert!(shown.contains("it ends once somebody has said"), "{shown}");
    assert_eq!(world.execution(&id)["asked"]["by"], "token:admin");
    world.run(&["execution", "resolve", &id, "--fail", "it was not"]).succeeded();
    world.reaches(&id, &["cancelled"]);
    assert!(listed().contains("cancelled by token:admin: not today"), "{}", listed());
}

#[test]
fn what_is_cancelled_lets_its_step_settle_and_is_undone_newest_first() {
    let (world, _server, id) = cancelled_at_work();
    open_gate(&world, "4");
    world.reaches(&id, &["undoing"]);
    open_gates(&world);
    assert_eq!(ledger_once(&world, &id, "cancelled"), ["4", "undo.3.1", "undo.1.1"]);
    let execution = world.execution(&id);
    assert_eq!(execution["outcome"]["error"]["kind"], "cancelled", "{execution:#}");
    let audit = world.json(&["audit", "list"]);
    assert!(audit.to_string().contains("not today"), "who cancelled it says why: {audit:#}");
    let steps = execution["steps"].as_array().unwrap();
    let handed: Vec<&str> = steps
        .iter()
        .filter(|step| step["path"].as_str().unwrap().starts_with("undo."))
        .filter_map(|step| step["parameters"]["a"].as_str())
        .collect();
    assert_eq!(handed, ["cancelled"; 2], "{execution:#}");
    world.run(&["execution", "cancel", &id]).ended(1);
}

/// What was performed when the server died has no survivor that could finish it behind the undo's
/// back, and it is not begun again.
#[test]
fn what_is_cancelled_stays_so_through_a_kill_before_and_while_it_is_undone() {
    let (world, server, id) = cancelled_at_work();
    server.kill();
    let server = world.serve();
    world.reaches(&id, &["undoing"]);
    open_gate(&world, "undo.3.1");
    has_lines(&world, "ledger", 1);
    server.kill();
    let _server = world.serve();
    open_gates(&world);
    assert_eq!(ledger_once(&world, &id, "cancelled"), ["undo.3.1", "undo.1.1"]);
}
