//! `undo` and `on_exit`: what runs when a chain fails, is cancelled, or ends well.

#![allow(clippy::unwrap_used)]

use chains::testing::Trial;
use expect_test::expect;
use model::{ErrorKind, ExecutionState, UndoReason};
use serde_json::Value;

const GUARDED: &str = r#"
    on_exit(|o| run("core.exit", #{ state: o.state, error: o.error?.message, result: o.result }));
    let name = "first";
    undo(|e| run("core.undo", #{ name: name, because: e.message }));
    name = "second";
    undo(|e| { run("core.undo", #{ name: name }); run("core.undo2"); });
    run("core.a");
    run("core.b");
    "fine"
"#;

#[test]
fn a_failure_undoes_newest_first_with_what_was_captured_then_exits() {
    let mut chain = Trial::of(GUARDED);
    chain.advance().done("4", Value::Null).advance();
    chain.failed("5", ErrorKind::Denied, "no").advance();
    expect![[r#"undo.3.1: run core.undo {"name":"second"}"#]].assert_eq(&chain.shown());
    chain.done("undo.3.1", Value::Null).advance().done("undo.3.2", Value::Null).advance();
    expect![[r#"undo.2.1: run core.undo {"because":"no","name":"first"}"#]]
        .assert_eq(&chain.shown());
    chain.done("undo.2.1", Value::Null).advance();
    expect![[r#"undo.1.1: run core.exit {"error":"no","result":null,"state":"failed"}"#]]
        .assert_eq(&chain.shown());
    chain.done("undo.1.1", Value::Null).advance();
    expect!["failed: no (denied)"].assert_eq(&chain.shown());
}

#[test]
fn on_success_only_exit_handlers_run_and_need_no_cut() {
    let mut chain = Trial::of(GUARDED);
    chain.advance().done("4", Value::Null).advance().done("5", Value::Null).advance();
    expect![[r#"undo.1.1: run core.exit {"error":null,"result":"fine","state":"succeeded"}"#]]
        .assert_eq(&chain.shown());
    assert!(chain.journal.undo.is_none());
    chain.done("undo.1.1", Value::Null).advance();
    expect![[r#"succeeded "fine""#]].assert_eq(&chain.shown());
}

#[test]
fn a_failing_handler_is_reported_and_the_others_still_run() {
    let mut chain = Trial::of(
        r#"
        undo(|e| run("core.last"));
        undo(|e| { throw "handler"; });
        undo(|e| { loop {} });
        undo(|e| run("core.first"));
        fail("why");
        "#,
    );
    chain.advance();
    assert_eq!(chain.waiting(), ["undo.4.1"]);
    chain.failed("undo.4.1", ErrorKind::NotFound, "gone").advance();
    assert_eq!(chain.waiting(), ["undo.1.1"]);
    chain.done("undo.1.1", Value::Null).advance();
    expect![[r#"
        failed: why (failed)
        handler 4: gone (not_found)
        handler 3: the chain used more than 500000 operations: move heavy computing into an action (limit)
        handler 2: handler (chain.rhai:3:20) (failed)"#]].assert_eq(&chain.shown());
}

#[test]
fn a_cancel_replays_to_the_cut_and_undoes_what_was_registered_by_then() {
    let mut chain = Trial::of(GUARDED);
    chain.advance().undo(UndoReason::Cancelled);
    // The answer comes late: the chain must not see it, or it would go on to `core.b`.
    chain.done("4", Value::Null).advance();
    assert_eq!(chain.waiting(), ["undo.3.1"]);
    chain.done("undo.3.1", Value::Null).advance().done("undo.3.2", Value::Null).advance();
    chain.done("undo.2.1", Value::Null).advance().done("undo.1.1", Value::Null).advance();
    let outcome = chain.outcome().unwrap();
    assert_eq!(outcome.state, ExecutionState::Cancelled);
    assert_eq!(outcome.error.as_ref().unwrap().kind, ErrorKind::Cancelled);
}

#[test]
fn an_answer_at_hand_that_was_not_evaluated_before_the_cut_makes_no_new_calls() {
    let mut chain =
        Trial::of(r#"run("core.a"); log("on"); undo(|e| run("core.never")); run("core.b")"#);
    chain.advance().done("1", Value::Null).undo(UndoReason::TimedOut).advance();
    expect!["timed_out: the execution's deadline passed (deadline)"].assert_eq(&chain.shown());
    assert!(chain.journal.records.is_empty());
}

#[test]
fn without_handlers_a_failure_is_the_end_and_a_caught_one_is_none() {
    expect!["failed: no (failed)"].assert_eq(Trial::of("fail(\"no\")").advance().shown().as_str());
    let mut chain = Trial::of("undo(|e| run(\"core.never\")); try { fail(\"no\") } catch { } 1");
    expect!["succeeded 1"].assert_eq(&chain.advance().shown());
}

#[test]
fn handlers_of_branches_run_in_the_order_of_their_registration_path() {
    let mut chain = Trial::of(
        r#"
        parallel([
            || { undo(|e| run("core.u0")); run("core.a") },
            || { undo(|e| parallel([|| run("core.u1"), || run("core.u2")])); run("core.b") },
        ])
        "#,
    );
    chain.advance().failed("1.1.2", ErrorKind::Failed, "b").done("1.0.2", Value::Null).advance();
    assert_eq!(chain.waiting(), ["undo.1.1.1.1.0.1", "undo.1.1.1.1.1.1"]);
    chain.done("undo.1.1.1.1.0.1", Value::Null).done("undo.1.1.1.1.1.1", Value::Null).advance();
    assert_eq!(chain.waiting(), ["undo.1.0.1.1"]);
    chain.done("undo.1.0.1.1", Value::Null).advance();
    expect!["failed: b (failed)"].assert_eq(&chain.shown());
}

#[test]
fn a_chain_that_reached_a_bound_is_undone_too() {
    let mut chain = Trial::of("undo(|e| run(\"core.undo\", #{ kind: e.kind })); loop {}");
    expect![[r#"undo.1.1: run core.undo {"kind":"limit"}"#]].assert_eq(&chain.advance().shown());
}

#[test]
fn a_handler_cannot_register_another() {
    let mut chain = Trial::of("undo(|e| undo(|f| 1)); fail(\"x\")");
    expect![[r#"
        failed: x (failed)
        handler 1: `undo` cannot be called in a handler: handlers have none (rejected)"#]]
    .assert_eq(&chain.advance().shown());
}

#[test]
fn exit_handlers_of_a_chain_that_ended_well_cannot_be_cancelled() {
    let mut chain = Trial::of(GUARDED);
    chain.advance().done("4", Value::Null).advance().done("5", Value::Null).advance();
    chain.undo(UndoReason::Cancelled).advance();
    assert_eq!(chain.waiting(), ["undo.1.1"]);
    chain.done("undo.1.1", Value::Null).advance();
    expect![[r#"succeeded "fine""#]].assert_eq(&chain.shown());
}

#[test]
fn a_handler_that_could_not_be_called_is_refused_where_it_is_registered() {
    for (text, refused) in [
        (
            "undo(|| 1); run(\"core.a\")",
            "failed: `undo` calls its closure with 1 argument, and this one takes 0: write `undo(|error| …)` (invalid_parameters)",
        ),
        (
            "let n = 1; undo(|e, f| n); run(\"core.a\")",
            "failed: `undo` calls its closure with 1 argument, and this one takes 2: write `undo(|error| …)` (invalid_parameters)",
        ),
        (
            "let f = || 1; parallel([|| on_exit(f)])",
            "failed: `on_exit` calls its closure with 1 argument, and this one takes 0: write `on_exit(|outcome| …)` (invalid_parameters)",
        ),
    ] {
        let shown = Trial::of(text).advance().shown();
        assert_eq!(shown.lines().next(), Some(refused), "{text}");
    }
}

#[test]
fn a_handler_that_a_journal_of_an_earlier_version_holds_goes_on_as_it_did() {
    let mut chain = Trial::of("undo(|e| 1); run(\"core.a\")");
    chain.advance();
    let mut chain = chain.changed_to("undo(|| 1); run(\"core.a\")");
    chain.advance();
    assert_eq!(chain.waiting(), ["2"]);
}

#[test]
fn a_handler_may_be_a_named_function_or_one_of_a_library() {
    let mut chain = Trial::of("fn gone(e) { run(\"core.undo\") } undo(Fn(\"gone\")); fail(\"x\")");
    expect!["undo.1.1: run core.undo {}"].assert_eq(&chain.advance().shown());
}
