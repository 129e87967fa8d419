//! A chain whose server is killed between all of its steps, amid its branches, while it starts.

use std::collections::BTreeSet;

use crate::files::{chain, has_lines, lines, note, open_gate, open_gates, start, world};

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

#[test]
fn branches_under_way_go_on_through_kills_at_work_and_while_starting() {
    const BRANCHES: usize = 24;
    let world = world();
    note(&world);
    open_gates(&world);
    let text = "let items = [];
        for item in 0..24 { items.push(item); }
        let done = parallel_map(items, |item| {
            run(\"datastore.increment\", #{ key: \"count\" });
            run(\"p.note\", #{ a: item });
            item
        });
        #{ done: done.len(), count: run(\"datastore.get\", #{ key: \"count\" }).value }";
    chain(&world, "wide", text);
    let mut server = world.serve();
    let id = start(&world, "p.wide");
    for goal in [1, 6, 12, 18] {
        has_lines(&world, "ledger", goal);
        server.kill();
        // The next one has no time to get ready.
        world.spawn(&[]).kill();
        server = world.serve();
    }
    let execution = world.reaches(&id, &["succeeded", "failed", "needs_attention"]);
    let told = serde_json::json!({ "done": BRANCHES, "count": BRANCHES });
    assert_eq!(execution["outcome"]["result"], told, "{execution:#}");
    let ledger = lines(&world, "ledger");
    assert_eq!(ledger.len(), BRANCHES);
    assert_eq!(ledger.iter().collect::<BTreeSet<_>>().len(), BRANCHES, "{ledger:?}");
}
