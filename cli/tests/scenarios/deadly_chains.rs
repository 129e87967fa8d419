//! A process that dies while it evaluates a chain, again and again.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::files::{PATIENCE, chain, start, world};
use crate::support::{Server, World, eventually};

/// Computes for as long as a chain may: there is time to end the process amid it.
const LONG: &str = "let sum = 0; for n in 0..70_000 { sum += n % 7; } run(\"core.noop\"); sum";

/// Which executions are being evaluated at this moment.
fn evaluated(world: &World) -> Vec<String> {
    let slots = fs::read_dir(world.path("state/evaluating")).into_iter().flatten().flatten();
    let slots = slots.filter(|slot| slot.file_name().to_string_lossy().starts_with("evaluator-"));
    let marks = slots.filter_map(|slot| fs::read_to_string(slot.path()).ok());
    marks.filter_map(|mark| Some(mark.lines().next()?.split_once(' ')?.0.to_owned())).collect()
}

/// How many deaths the server that runs has counted at this execution.
fn deaths(world: &World, id: &str) -> u64 {
    let counted = fs::read(world.path("state/evaluating/deaths.json")).unwrap_or_default();
    let counted: Value = serde_json::from_slice(&counted).unwrap_or_default();
    let mut counted = counted.as_array().into_iter().flatten();
    let of_it = counted.find(|pair| pair[0]["execution"] == *id);
    of_it.map_or(0, |pair| pair[1].as_u64().unwrap())
}

/// Ends the process while it evaluates this execution, at which so many ended before.
fn die_amid(world: &World, server: Server, id: &str, before: u64) {
    // Before that, the marks are those of the process that is dead.
    eventually(PATIENCE, || (deaths(world, id) == before).then_some(()));
    let is_evaluated = || evaluated(world).iter().any(|it| it == id);
    eventually(PATIENCE, || {
        if !is_evaluated() {
            return None;
        }
        // Held still, to see whether it is so.
        server.signal(Signal::SIGSTOP);
        let hit = is_evaluated();
        if !hit {
            server.signal(Signal::SIGCONT);
        }
        hit.then_some(())
    });
    server.kill();
}

#[test]
fn a_chain_amid_which_the_process_dies_three_times_is_set_aside_for_a_person() {
    let world = world();
    chain(&world, "heavy", LONG);
    let mut server = world.serve();
    let id = start(&world, "p.heavy");
    for before in 0..2 {
        die_amid(&world, server, &id, before);
        server = world.spawn(&[]);
    }
    die_amid(&world, server, &id, 2);
    let _server = world.serve();
    let execution = world.reaches(&id, &["needs_attention", "succeeded", "failed"]);
    assert_eq!(execution["state"], "needs_attention", "{execution:#}");
    assert!(execution["message"].to_string().contains("3 times in a row"), "{execution:#}");
    assert_eq!(execution["steps"], serde_json::json!([]), "it was not evaluated: {execution:#}");
    world.run(&["run", "core.noop"]).succeeded();
    world.run(&["execution", "resolve", &id, "--retry"]).succeeded();
    world.reaches(&id, &["succeeded"]);
}

#[test]
fn a_chain_amid_which_the_process_dies_twice_goes_on() {
    let world = world();
    chain(&world, "heavy", LONG);
    let mut server = world.serve();
    let id = start(&world, "p.heavy");
    die_amid(&world, server, &id, 0);
    server = world.spawn(&[]);
    die_amid(&world, server, &id, 1);
    let _server = world.serve();
    world.reaches(&id, &["succeeded"]);
}
