//! `continue_as`: a run ends, and a new one goes on.

#![allow(clippy::unwrap_used)]

use chains::testing::Trial;
use expect_test::{Expect, expect};
use serde_json::json;

fn ends(text: &str, expected: Expect) {
    expected.assert_eq(Trial::of(text).advance().shown().as_str());
}

#[test]
fn a_run_ends_where_it_continues_and_no_catch_sees_it() {
    let mut chain = Trial::of(
        r#"
        let seen = run("core.a", #{ n: params.n });
        try { continue_as(#{ n: params.n + 1, seen: seen }); } catch { run("core.never"); }
        run("core.never")
    "#,
    )
    .params(json!({ "n": 1 }));
    expect![[r#"1: run core.a {"n":1}"#]].assert_eq(&chain.advance().shown());
    let expected = expect![[r#"
        succeeded null
        continued with {"n":2,"seen":"x"}"#]];
    expected.assert_eq(&chain.done("1", json!("x")).advance().shown());
    expected.assert_eq(&chain.advance().shown());
}

#[test]
fn exit_handlers_run_before_the_new_run_is_asked_for() {
    let mut chain = Trial::of(
        r#"on_exit(|outcome| run("core.told", #{ state: outcome.state })); continue_as(#{ n: 2 });"#,
    );
    expect![[r#"undo.1.1: run core.told {"state":"succeeded"}"#]]
        .assert_eq(&chain.advance().shown());
    expect![[r#"
        succeeded null
        continued with {"n":2}"#]]
    .assert_eq(&chain.done("undo.1.1", json!(null)).advance().shown());
}

#[test]
fn where_it_cannot_be_it_is_refused_with_what_to_do() {
    ends(
        r#"undo(|e| ()); continue_as(#{});"#,
        expect![
            "failed: `continue_as` cannot be called once `undo` is registered: the new run would not know what to undo; keep what must be undone in a chain of its own (rejected)"
        ],
    );
    ends(
        r#"parallel([|| continue_as(#{})])"#,
        expect![
            "failed: `continue_as` ends the whole chain: call it in the chain itself, not in a branch or handler (rejected)"
        ],
    );
    ends(
        r#"continue_as(1)"#,
        expect![
            "failed: `continue_as` needs the parameters as a map, found a whole number (invalid_parameters)"
        ],
    );
}

#[test]
fn a_journal_with_more_calls_than_the_program_makes_before_it_continues_does_not_fit() {
    let mut chain = Trial::of(r#"run("core.a"); continue_as(#{})"#);
    chain.advance();
    let mut changed = chain.changed_to("continue_as(#{})");
    expect!["broken: the journal does not fit the program: at step 1 the program makes `continue_as`, the journal holds `run` of `core.a` with {}; the chain's file was changed under a running execution (journal_mismatch)"].assert_eq(&changed.advance().shown());
}
