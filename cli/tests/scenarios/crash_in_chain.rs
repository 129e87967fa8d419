//! A chain whose server is killed between all of its steps.

use crate::files::{chain, has_lines, lines, note, open_gate, start, world};

#[test]
fn a_kill_between_every_two_steps_repeats_no_effect_and_skips_none() {
    let world = world();
    note(&world);
    chain(&world, "ten", r#"for step in 0..10 { run("p.note"); } "done""#);
    let mut server = world.serve();
    let id = start(&world, "p.ten");
    for step in 1..=10 {
        // The next step stands at its gate, or this one's result is on its way: the kill hits
        // either.
        open_gate(&world, &step.to_string());
        has_lines(&world, "ledger", step);
        server.kill();
        server = world.serve();
    }
    let execution = world.reaches(&id, &["succeeded", "failed", "needs_attention"]);
    assert_eq!(execution["outcome"]["result"], "done", "{execution:#}");
    let keys: Vec<String> = (1..=10).map(|step| format!("{id}/{step}")).collect();
    assert_eq!(lines(&world, "ledger"), keys);
    let mut tried: Vec<String> = lines(&world, "attempts")
        .iter()
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect();
    tried.dedup();
    assert_eq!(tried, keys, "no step began again after the next one had");
}
