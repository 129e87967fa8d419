//! What a step does in the commit of its result, what a deadline and a chain of causes count from:
//! none of it knows of the server's death.

use host::Clock;
use model::Duration;
use serde_json::json;

use crate::files::{
    PATIENCE, chain, events_of, executions_of, has_lines, lines, note, open_gates, pack, start,
    world,
};
use crate::support::eventually;

const ENDS: [&str; 4] = ["succeeded", "failed", "timed_out", "needs_attention"];

#[test]
fn an_emit_and_a_datastore_change_happen_once_each_over_kills() {
    const ROUNDS: usize = 40;
    let world = world();
    note(&world);
    open_gates(&world);
    pack(&world, "triggers/told.yaml", "payload: { n: { type: integer } }\n");
    let count = "trigger: { type: p.told }\naction: { ref: datastore.increment, parameters: { key: heard } }\n";
    pack(&world, "rules/count.yaml", count);
    let text = r#"for n in 0..40 {
            run("datastore.increment", #{ key: "count" });
            emit("p.told", #{ n: n });
            run("p.note");
        }
        run("datastore.get", #{ key: "count" }).value"#;
    chain(&world, "tells", text);
    let mut server = world.serve();
    let id = start(&world, "p.tells");
    for goal in [3, 11, 19, 27, 35] {
        has_lines(&world, "ledger", goal);
        server.kill();
        server = world.serve();
    }
    let execution = world.reaches(&id, &ENDS);
    assert_eq!(execution["outcome"]["result"], ROUNDS, "{execution:#}");
    assert_eq!(lines(&world, "ledger").len(), ROUNDS);
    let told: Vec<_> = events_of(&world, "p.told").iter().map(|data| data["n"].clone()).collect();
    assert_eq!(json!(told), json!((0..ROUNDS).collect::<Vec<_>>()));
    let ended = || {
        let rows = world.json(&["execution", "list", "--action", "datastore.increment"]);
        let rows = rows.as_array().unwrap().clone();
        rows.iter().all(|row| row["state"] == "succeeded").then_some(rows.len())
    };
    assert_eq!(eventually(PATIENCE, ended), ROUNDS);
    assert_eq!(world.json(&["key", "get", "p/heard"])["value"], ROUNDS);
}

#[test]
fn a_deadline_that_passes_while_the_server_is_dead_undoes_and_times_out() {
    let world = world();
    note(&world);
    open_gates(&world);
    chain(&world, "late", r#"undo(|error| run("p.note", #{ a: error.kind })); sleep("1h");"#);
    pack(&world, "actions/late.yaml", "entry_point: late.rhai\ndeadline: 5s\n");
    let server = world.serve();
    let id = start(&world, "p.late");
    // Later than the execution's beginning, and so later than its deadline.
    let passed = Duration::from_secs(5).after(Clock::System.now());
    world.reaches(&id, &["waiting"]);
    server.kill();
    assert!(lines(&world, "ledger").is_empty(), "nothing was to be undone before the kill");
    eventually(PATIENCE, || (Clock::System.now() > passed).then_some(()));
    let _server = world.serve();
    let execution = world.reaches(&id, &ENDS);
    assert_eq!(execution["state"], "timed_out", "{execution:#}");
    assert_eq!(lines(&world, "ledger"), [format!("{id}/undo.1.1")]);
}

#[test]
fn a_loop_of_events_ends_after_sixteen_hops_over_kills() {
    let world = world();
    note(&world);
    open_gates(&world);
    pack(&world, "triggers/again.yaml", "description: told by itself\n");
    pack(&world, "rules/again.yaml", "trigger: { type: p.again }\naction: { ref: p.again }\n");
    let text =
        r#"run("datastore.increment", #{ key: "hops" }); run("p.note"); emit("p.again", #{});"#;
    chain(&world, "again", text);
    let mut server = world.serve();
    start(&world, "p.again");
    for goal in [4, 9, 14] {
        has_lines(&world, "ledger", goal);
        server.kill();
        server = world.serve();
    }
    let cut = eventually(PATIENCE, || {
        let cut = events_of(&world, "tripline.loop_detected");
        (!cut.is_empty()).then_some(cut)
    });
    assert_eq!(cut.len(), 1, "{cut:#?}");
    assert_eq!(executions_of(&world, "p.again").len(), 17);
    let failed = world.json(&["execution", "list", "--states", "failed"]);
    assert_eq!(failed.as_array().unwrap().len(), 1, "{failed:#}");
    assert_eq!(world.json(&["key", "get", "p/hops"])["value"], 17);
}
