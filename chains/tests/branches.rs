//! `parallel` and `parallel_map`: branches see nothing of one another, in whatever order their
//! steps finish.

#![allow(clippy::unwrap_used)]

use chains::testing::Trial;
use expect_test::expect;
use model::ErrorKind;
use serde_json::{Value, json};

#[test]
fn all_branches_are_under_way_at_once_and_their_results_keep_their_order() {
    let mut chain = Trial::of(
        r#"
        let r = parallel([
            || { let a = run("core.a"); run("core.a2", #{ after: a }) },
            || run("core.b"),
            || parallel([|| run("core.c"), || run("core.d")]),
        ]);
        run("core.last", #{ all: r })
        "#,
    );
    expect![[r#"
        1.0.1: run core.a {}
        1.1.1: run core.b {}
        1.2.1.0.1: run core.c {}
        1.2.1.1.1: run core.d {}"#]]
    .assert_eq(&chain.advance().shown());
    chain.done("1.2.1.1.1", json!("d")).done("1.0.1", json!("a"));
    expect![[r#"
        1.0.2: run core.a2 {"after":"a"}
        1.1.1: run core.b {}
        1.2.1.0.1: run core.c {}"#]]
    .assert_eq(&chain.advance().shown());
    chain.done("1.1.1", json!("b")).done("1.2.1.0.1", json!("c")).done("1.0.2", json!("a2"));
    expect![[r#"2: run core.last {"all":["a2","b",["c","d"]]}"#]]
        .assert_eq(&chain.advance().shown());
}

/// A chain whose branches change what they captured in every way rhai allows.
fn tangled() -> Trial {
    Trial::of(
        r#"
        let count = 0;
        let list = [0];
        let map = #{ n: 0 };
        let bump = || { count += 1; count };
        let tools = [|| { list.push(1); list.len }];
        let r = parallel([
            || { run("core.a"); count += 1; [count, bump.call(), tools[0].call()] },
            || { run("core.b"); list.push(2); map.n += 1; [count, list.len, map.n, bump.call()] },
            || { run("core.c"); map.n += 10; tools[0].call(); [map.n, list.len, tools[0].call()] },
        ]);
        #{ r: r, count: count, list: list, map: map }
        "#,
    )
}

#[test]
fn branches_change_copies_whatever_order_their_steps_finish_in() {
    let mut seen = Vec::new();
    for order in
        [["1.0.1", "1.1.1", "1.2.1"], ["1.2.1", "1.1.1", "1.0.1"], ["1.1.1", "1.0.1", "1.2.1"]]
    {
        let mut chain = tangled();
        chain.advance();
        for path in order {
            chain.done(path, Value::Null).advance();
        }
        seen.push(chain.shown());
    }
    expect![[r#"succeeded {"count":0,"list":[0],"map":{"n":0},"r":[[1,1,2],[0,2,1,1],[10,1,3]]}"#]]
        .assert_eq(&seen[0]);
    assert!(seen.iter().all(|end| *end == seen[0]), "{seen:?}");
}

#[test]
fn the_failed_branch_of_lowest_index_is_raised_once_all_are_over() {
    let text = r#"
        let seen = ();
        try { parallel([|| run("core.a"), || run("core.b"), || throw "own", || run("core.d")]); } catch (e) { seen = e; }
        seen
    "#;
    let mut chain = Trial::of(text);
    chain.advance().failed("1.3.1", ErrorKind::Timeout, "late").advance();
    chain.failed("1.1.1", ErrorKind::Conflict, "taken").advance();
    expect!["1.0.1: run core.a {}"].assert_eq(&chain.shown());
    chain.done("1.0.1", json!(1)).advance();
    expect![[r#"succeeded {"action":"core.b","attempts":1,"details":{"details":{"at":"chain.rhai:3:46"},"errors":[{"action":"core.b","attempts":1,"branch":1,"kind":"conflict","message":"taken"},{"action":null,"attempts":0,"branch":2,"kind":"failed","message":"own (chain.rhai:3:64)"},{"action":"core.d","attempts":1,"branch":3,"kind":"timeout","message":"late"}]},"kind":"conflict","message":"taken"}"#]]
    .assert_eq(&chain.shown());
}

#[test]
fn parallel_map_keeps_at_most_max_branches_under_way() {
    let mut chain =
        Trial::of(r#"parallel_map([1, 2, 3, 4, 5], |x| run("core.a", #{ x: x }), #{ max: 2 })"#);
    assert_eq!(chain.advance().waiting(), ["1.0.1", "1.1.1"]);
    chain.done("1.1.1", json!("b"));
    assert_eq!(chain.advance().waiting(), ["1.0.1", "1.2.1"]);
    chain.done("1.2.1", json!("c")).done("1.0.1", json!("a"));
    assert_eq!(chain.advance().waiting(), ["1.3.1", "1.4.1"]);
    chain.done("1.4.1", json!("e")).done("1.3.1", json!("d"));
    expect![[r#"succeeded ["a","b","c","d","e"]"#]].assert_eq(&chain.advance().shown());
}

#[test]
fn sixteen_branches_are_under_way_unless_said_otherwise() {
    let mut chain = Trial::of(r#"parallel_map(params.list, |x| run("core.a", #{ x: x }))"#)
        .params(json!({ "list": (0..40).collect::<Vec<_>>() }));
    assert_eq!(chain.advance().waiting().len(), 16);
    expect!["succeeded []"].assert_eq(Trial::of("parallel([])").advance().shown().as_str());
}

#[test]
fn a_branch_that_waits_does_not_run_its_own_catch() {
    let mut chain = Trial::of(
        r#"parallel([|| { try { [1].map(|x| run("core.a")) } catch { run("core.never") } }, || run("core.b")])"#,
    );
    expect![[r#"
        1.0.1: run core.a {}
        1.1.1: run core.b {}"#]]
    .assert_eq(&chain.advance().shown());
}

#[test]
fn a_bound_reached_in_a_branch_ends_the_chain_and_no_catch_sees_it() {
    let mut chain =
        Trial::of("let seen = 0; try { parallel([|| { loop {} }]) } catch { seen = 1 } seen");
    expect!["failed: the chain used more than 500000 operations: move heavy computing into an action (limit)"].assert_eq(&chain.advance().shown());
    let mut chain = Trial::of(
        "fn f(x) { f(x + 1) } let seen = 0; try { parallel([|| f(0)]) } catch { seen = 1 } seen",
    );
    expect!["failed: functions call one another too deep (chain.rhai:1:42) (limit)"]
        .assert_eq(&chain.advance().shown());
}
