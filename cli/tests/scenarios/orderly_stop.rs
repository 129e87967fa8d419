//! SIGTERM while a program runs.

use nix::sys::signal::Signal;

use crate::files::{chain, has_lines, lines, open_gate, program, start, world};
use crate::support::eventually;

#[test]
fn a_running_program_is_let_finish_and_nothing_needs_attention_afterwards() {
    let world = world();
    let work = r#"echo begun >>"$W/ledger"
        until [ -e "$W/gate-work" ]; do [ -d "$W" ] || exit 1; sleep 0.02; done
        echo ended >>"$W/ledger""#;
    program(&world, "work", "unsafe", work);
    chain(&world, "one", r#"run("p.work"); run("core.noop"); "done""#);
    let mut server = world.serve();
    let id = start(&world, "p.one");
    has_lines(&world, "ledger", 1);
    server.signal(Signal::SIGTERM);
    eventually(crate::files::PATIENCE, || server.log().contains("stopping").then_some(()));
    open_gate(&world, "work");
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
    assert_eq!(lines(&world, "ledger"), ["begun", "ended"]);
    let _server = world.serve();
    let execution = world.reaches(&id, &["succeeded", "failed", "needs_attention"]);
    assert_eq!(execution["outcome"]["result"], "done", "{execution:#}");
    assert_eq!(lines(&world, "ledger"), ["begun", "ended"]);
    assert_eq!(
        world.json(&["execution", "list", "--states", "needs_attention"]),
        serde_json::json!([])
    );
}
