//! A pack that changes under a running server: broken, repaired, changed below a running chain.

use crate::files::{PATIENCE, chain, note, open_gates, start, world};
use crate::support::{World, eventually};

fn state_is(world: &World, state: &str) {
    eventually(PATIENCE, || (world.json(&["pack", "list"])[0]["state"] == state).then_some(()));
}

fn says(world: &World, action: &str) -> String {
    world.run(&["run", action]).line()
}

#[test]
fn a_broken_pack_keeps_working_with_its_last_good_content_until_repaired() {
    let world = world();
    chain(&world, "greet", "\"hello\"");
    let server = world.serve();
    assert_eq!(says(&world, "p.greet"), "\"hello\"");
    chain(&world, "greet", "let x = ;");
    state_is(&world, "stale");
    let finding = world.json(&["pack", "get", "p"])["findings"][0]["at"].to_string();
    assert!(finding.contains("greet.rhai:1:"), "{finding}");
    assert_eq!(says(&world, "p.greet"), "\"hello\"");
    server.kill();
    let _server = world.serve();
    state_is(&world, "stale");
    assert_eq!(says(&world, "p.greet"), "\"hello\"");
    chain(&world, "greet", "\"good morning\"");
    state_is(&world, "active");
    assert_eq!(says(&world, "p.greet"), "\"good morning\"");
}

#[test]
fn a_running_chain_stays_on_the_content_it_began_with_through_a_kill() {
    let world = world();
    note(&world);
    chain(&world, "slow", r#"run("p.note"); "old""#);
    let server = world.serve();
    let hash = || world.json(&["pack", "get", "p"])["hash"].clone();
    let old = hash();
    let id = start(&world, "p.slow");
    world.reaches(&id, &["running"]);
    chain(&world, "slow", r#"run("core.noop"); run("p.note"); "new""#);
    eventually(PATIENCE, || (hash() != old).then_some(()));
    server.kill();
    let _server = world.serve();
    open_gates(&world);
    let execution = world.reaches(&id, &["succeeded", "failed", "needs_attention"]);
    assert_eq!(execution["outcome"]["result"], "old", "{execution:#}");
    assert_eq!(execution["pack"], old);
    assert_eq!(says(&world, "p.slow"), "\"new\"");
}

#[test]
fn a_folder_of_packs_that_is_not_there_at_start_is_an_error_and_one_that_goes_later_is_not() {
    let world = world();
    let mut refused = world.spawn(&["--packs", "packs", "--packs", "mnt/packs"]);
    assert_eq!(refused.wait().code(), Some(2), "{}", refused.log());
    let log = refused.log();
    assert!(log.contains("there is no folder of packs mnt/packs"), "{log}");
    assert!(log.contains("hint: make it (`mkdir mnt/packs`), mount it"), "{log}");
    assert!(!world.path("state").exists(), "nothing was begun");
    chain(&world, "greet", "\"hello\"");
    let _server = world.serve();
    std::fs::rename(world.path("packs"), world.path("elsewhere")).unwrap();
    state_is(&world, "stale");
    let finding = world.json(&["pack", "get", "p"])["findings"][0]["message"].to_string();
    assert!(finding.contains("the folder of packs packs cannot be read"), "{finding}");
    assert_eq!(says(&world, "p.greet"), "\"hello\"");
}
