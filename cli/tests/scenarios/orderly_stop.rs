//! SIGTERM while a program runs.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::files::{chain, has_lines, lines, open_gate, open_gates, program, start, world};
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

#[test]
fn a_program_that_outlasts_the_grace_is_told_to_end_and_only_the_repeatable_one_goes_on() {
    let world = world();
    for (name, effect) in [("risky", "unsafe"), ("safe", "idempotent")] {
        let work = format!(
            r#"echo "$TRIPLINE_KEY $TRIPLINE_ATTEMPT" >>"$W/{name}"
            until [ -e "$W/gates" ]; do [ -d "$W" ] || exit 1; sleep 0.02; done"#
        );
        program(&world, name, effect, &work);
        chain(&world, &format!("runs_{name}"), &format!(r#"run("p.{name}"); "done""#));
    }
    let mut server = world.serve_with(&["--grace", "1s"]);
    let (risky, safe) = (start(&world, "p.runs_risky"), start(&world, "p.runs_safe"));
    has_lines(&world, "risky", 1);
    has_lines(&world, "safe", 1);
    let told = Instant::now();
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
    // The grace, the programs' own 5 s, and what a busy machine adds.
    assert!(told.elapsed() < Duration::from_secs(20), "it took {:?}", told.elapsed());
    assert!(server.log().contains("did not end within 1s"), "{}", server.log());
    open_gates(&world);
    let _server = world.serve();
    let execution = world.reaches(&safe, &["succeeded", "failed", "needs_attention"]);
    assert_eq!(execution["outcome"]["result"], "done", "{execution:#}");
    assert_eq!(lines(&world, "safe"), [format!("{safe}/1 1"), format!("{safe}/1 2")]);
    let execution = world.reaches(&risky, &["succeeded", "failed", "needs_attention"]);
    assert_eq!(execution["state"], "needs_attention", "{execution:#}");
    assert_eq!(lines(&world, "risky"), [format!("{risky}/1 1")]);
}
