//! A journal that does not fit its program: a named error, never a guess.

#![allow(clippy::unwrap_used)]

use chains::testing::Trial;
use expect_test::{Expect, expect};
use serde_json::{Value, json};

/// A chain of two answered calls, then its file changed to `text`.
fn changed(text: &str, expected: Expect) {
    let mut chain = Trial::of(r#"log("a"); run("core.a", #{ x: 1 }); run("core.b")"#);
    chain.advance().done("2", json!(1)).advance();
    let mut chain = chain.changed_to(text);
    expected.assert_eq(chain.advance().shown().as_str());
}

#[test]
fn another_call_at_a_step_is_named_with_both_sides() {
    changed(
        r#"log("a"); run("core.c", #{ x: 1 });"#,
        expect![[
            r#"broken: the journal does not fit the program: at step 2 the program makes `run` of `core.c` with {"x":1}, the journal holds `run` of `core.a` with {"x":1}; the chain's file was changed under a running execution (journal_mismatch)"#
        ]],
    );
    changed(
        r#"log("a"); run("core.a", #{ x: 2 });"#,
        expect![[
            r#"broken: the journal does not fit the program: at step 2 the program makes `run` of `core.a` with {"x":2}, the journal holds `run` of `core.a` with {"x":1}; the chain's file was changed under a running execution (journal_mismatch)"#
        ]],
    );
    changed(
        r#"log("a"); sleep("1s");"#,
        expect![[
            r#"broken: the journal does not fit the program: at step 2 the program makes `sleep`, the journal holds `run` of `core.a` with {"x":1}; the chain's file was changed under a running execution (journal_mismatch)"#
        ]],
    );
    changed(
        r#"log("a"); uuid();"#,
        expect![[
            r#"broken: the journal does not fit the program: at step 2 the program makes `uuid`, the journal holds `run` of `core.a` with {"x":1}; the chain's file was changed under a running execution (journal_mismatch)"#
        ]],
    );
    changed(
        r#"now(); run("core.a", #{ x: 1 });"#,
        expect![
            "broken: the journal does not fit the program: at step 1 the program makes `now`, the journal holds `log`; the chain's file was changed under a running execution (journal_mismatch)"
        ],
    );
    changed(
        r#"run("core.a", #{ x: 1 });"#,
        expect![[
            r#"broken: the journal does not fit the program: at step 1 the program makes `run` of `core.a` with {"x":1}, the journal holds `log`; the chain's file was changed under a running execution (journal_mismatch)"#
        ]],
    );
    changed(
        r#"log("a"); parallel([]);"#,
        expect![[
            r#"broken: the journal does not fit the program: at step 2 the program makes `parallel`, the journal holds `run` of `core.a` with {"x":1}; the chain's file was changed under a running execution (journal_mismatch)"#
        ]],
    );
}

#[test]
fn a_program_that_ends_before_its_journal_does_is_named() {
    changed(
        r#"log("a"); run("core.a", #{ x: 1 });"#,
        expect![
            "broken: the journal does not fit the program: at step 3 the program makes no call, the journal holds `run` of `core.b` with {}; the chain's file was changed under a running execution (journal_mismatch)"
        ],
    );
    changed(
        r#"fail("early")"#,
        expect![
            "broken: the journal does not fit the program: at step 1 the program makes no call, the journal holds `log`; the chain's file was changed under a running execution (journal_mismatch)"
        ],
    );
}

#[test]
fn no_catch_sees_a_mismatch() {
    changed(
        r#"try { log("a"); [1].map(|x| run("core.c")); } catch { } "went on""#,
        expect![[
            r#"broken: the journal does not fit the program: at step 2 the program makes `run` of `core.c` with {}, the journal holds `run` of `core.a` with {"x":1}; the chain's file was changed under a running execution (journal_mismatch)"#
        ]],
    );
}

#[test]
fn what_is_added_after_the_end_of_the_journal_fits() {
    changed(
        r#"log("changed text"); run("core.a", #{ x: 1 }); run("core.b"); run("core.c")"#,
        expect!["3: run core.b {}"],
    );
}

#[test]
fn parameters_filled_in_from_defaults_fit() {
    let mut chain = Trial::of(r#"run("core.a", #{ x: 1 })"#);
    let mut filled = Trial::of(r#"run("core.a", #{ x: 1, y: 2 })"#);
    filled.advance().done("1", Value::Null);
    chain.journal = filled.journal;
    expect!["succeeded null"].assert_eq(&chain.advance().shown());
}
