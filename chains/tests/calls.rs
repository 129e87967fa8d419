//! What the functions of chains do, one journaled call at a time.

#![allow(clippy::unwrap_used)]

use chains::testing::Trial;
use expect_test::{Expect, expect};
use model::{ErrorKind, Fact, Journal, Record, UndoReason};
use serde_json::json;

fn ends(text: &str, expected: Expect) {
    expected.assert_eq(Trial::of(text).advance().shown().as_str());
}

#[test]
fn a_step_waits_for_its_answer_and_the_chain_returns_what_it_makes_of_it() {
    let mut chain = Trial::of(r#"let r = run("core.echo", #{ text: params.text }); r.text + "!""#)
        .params(json!({ "text": "hi" }));
    expect![[r#"1: run core.echo {"text":"hi"}"#]].assert_eq(&chain.advance().shown());
    chain.done("1", json!({ "text": "hi" }));
    expect![[r#"succeeded "hi!""#]].assert_eq(&chain.advance().shown());
}

#[test]
fn what_comes_after_a_waiting_step_is_not_evaluated() {
    let mut chain = Trial::of(
        r#"
        let seen = [];
        try { [1, 2].map(|x| run("core.a", #{ x: x })); } catch { seen.push("caught"); run("core.b"); }
        seen
        "#,
    );
    expect![[r#"1: run core.a {"x":1}"#]].assert_eq(&chain.advance().shown());
    chain.done("1", json!(null));
    chain.advance();
    chain.done("2", json!(null));
    expect!["succeeded []"].assert_eq(&chain.advance().shown());
}

#[test]
fn a_failed_step_can_be_caught_as_a_map() {
    let mut chain = Trial::of(
        r#"try { run("core.a") } catch (e) { [e.message, e.kind, e.action, e.attempts, e.details] }"#,
    );
    chain.advance().failed("1", ErrorKind::Unavailable, "away").advance();
    // `try` is a statement: the map reaches the end only through a variable.
    expect!["succeeded null"].assert_eq(&chain.shown());
    let mut chain = Trial::of(
        r#"let seen = 0; try { run("core.a") } catch (e) { seen = [e.message, e.kind, e.action, e.attempts, e.details] } seen"#,
    );
    chain.advance().failed("1", ErrorKind::Unavailable, "away").advance();
    expect![[r#"succeeded ["away","unavailable","core.a",1,null]"#]].assert_eq(&chain.shown());
}

#[test]
fn an_uncaught_step_error_is_the_chains_error() {
    let mut chain = Trial::of(r#"[1].map(|x| run("core.a"))"#);
    chain.advance().failed("1", ErrorKind::Unavailable, "away").advance();
    expect!["failed: away (unavailable)"].assert_eq(&chain.shown());
    assert_eq!(chain.outcome().unwrap().error.as_ref().unwrap().attempts, 1);
}

#[test]
fn a_scripts_own_errors_name_their_place() {
    ends(
        "let m = #{};\n m.x",
        expect![[
            r#"failed: missing property `x`: use get(…, "x", default) where it may be absent (chain.rhai:2:4) (failed)"#
        ]],
    );
    ends("throw \"no\"", expect!["failed: no (chain.rhai:1:1) (failed)"]);
    ends("throw #{ message: \"m\", code: 3 }", expect!["failed: m (chain.rhai:1:1) (failed)"]);
    ends("fail(\"stop here\")", expect!["failed: stop here (failed)"]);
    ends(
        "let f = |x| x.y; f.call(1)",
        expect![
            "failed: `y` of a whole number, which has no properties (chain.rhai:1:15) (failed)"
        ],
    );
    ends(
        "[1].map(|x| nope(x))",
        expect!["failed: Function not found: nope (i64) (chain.rhai:1:13) (failed)"],
    );
    ends(
        "|| 1",
        expect![
            "failed: the chain's result cannot be stored: the value is a function, which JSON cannot hold (failed)"
        ],
    );
    ends(
        "\"a\" < 1",
        expect![
            "failed: `<` cannot compare a string with a whole number: convert one of them, or test the type first (chain.rhai:1:5) (failed)"
        ],
    );
}

#[test]
fn wrong_arguments_are_named() {
    ends(
        "run(1)",
        expect![
            "failed: `run` needs the action as a string, found a whole number (invalid_parameters)"
        ],
    );
    ends(
        "run(\"echo\")",
        expect![
            "failed: `echo` is not an action reference: expected names joined by dots, such as `core.echo` (invalid_parameters)"
        ],
    );
    ends(
        "run(\"core.echo\", [1])",
        expect!["failed: `run` needs the parameters as a map, found a list (invalid_parameters)"],
    );
    ends(
        "run(\"core.echo\", #{ f: || 1 })",
        expect![
            "failed: the parameters of `run`: `f` is a function, which JSON cannot hold (invalid_parameters)"
        ],
    );
    ends(
        "run(\"core.echo\", #{}, #{ retyr: 1 })",
        expect!["failed: option `retyr`: unknown; did you mean `retry`? (invalid_parameters)"],
    );
    ends(
        "sleep(5)",
        expect![[
            r#"failed: `sleep` needs a length with its unit: write sleep("5s") (invalid_parameters)"#
        ]],
    );
    ends(
        "sleep_until(\"tomorrow\")",
        expect![
            "failed: `tomorrow` is not a time: expected RFC 3339 such as `2026-12-24T18:00:00Z` (invalid_parameters)"
        ],
    );
    ends(
        "parallel([1])",
        expect![
            "failed: `parallel` needs a list of closures such as `|| run(…)`, found a whole number (invalid_parameters)"
        ],
    );
    ends(
        "approve(\"go?\")",
        expect![
            "failed: `approve` is known, but this version of Tripline does not support it yet (rejected)"
        ],
    );
}

#[test]
fn a_sleep_ends_when_it_was_first_said_to() {
    let mut chain = Trial::of(r#"sleep("1h"); sleep_until("2030-01-01T00:00:00Z"); "woke""#);
    expect!["1: sleep until 1970-01-01T01:00:00Z"].assert_eq(&chain.advance().shown());
    chain.now = "1970-01-01T00:30:00Z".parse().unwrap();
    chain.advance();
    let model::Call::Sleep { until } = chain.journal.entries.values().next().unwrap().call else {
        panic!()
    };
    assert_eq!(until.to_string(), "1970-01-01T01:00:00Z");
    chain.done("1", json!(null));
    expect!["2: sleep until 2030-01-01T00:00:00Z"].assert_eq(&chain.advance().shown());
    chain.done("2", json!(null));
    expect![[r#"succeeded "woke""#]].assert_eq(&chain.advance().shown());
}

#[test]
fn records_are_made_once_and_read_afterwards() {
    let text = r#"let t = now(); log(#{ at: t }); let u = uuid(); let e = emit("app.built", #{ n: 1 }); run("core.a"); [t, now(), u, e]"#;
    let mut chain = Trial::of(text);
    chain.advance();
    chain.now = "2001-01-01T00:00:00Z".parse().unwrap();
    chain.done("5", json!(null)).advance();
    expect![[r#"succeeded ["1970-01-01T00:00:00Z","2001-01-01T00:00:00Z","944f7315-f0a7-800c-8a3b-e77045c97d9b","ex_aaaaaaaaaaaaaaaaaaaaaaaaaa/4"]"#]].assert_eq(&chain.shown());
    let records: Vec<String> =
        chain.journal.records.iter().map(|(at, (_, r))| format!("{at} {}", r.function())).collect();
    assert_eq!(records, ["1 now", "2 log", "3 uuid", "4 emit", "6 now"]);
    assert_eq!(chain.evaluate().records, [], "a replay makes none anew");
}

#[test]
fn a_poll_waits_until_an_answer_satisfies() {
    let mut chain = Trial::of(
        r#"let want = "up"; let r = poll("core.get", #{ id: 1 }, |r| r.state == want, #{ every: "5s" }); r.state"#,
    );
    expect![[r#"1: poll core.get {"id":1}"#]].assert_eq(&chain.advance().shown());
    chain.answered("1", json!({ "state": "down" }));
    expect![[r#"1: poll core.get {"id":1}"#]].assert_eq(&chain.advance().shown());
    chain.answered("1", json!({ "state": "up" }));
    expect![[r#"succeeded "up""#]].assert_eq(&chain.advance().shown());
}

#[test]
fn a_condition_that_fails_settles_the_poll_and_fails_again_on_replay() {
    let text = r#"
        let seen = ();
        try { poll("core.get", #{}, |r| r.state == "up") } catch (e) { seen = e.message.contains("state"); }
        run("core.a", #{ seen: seen })
    "#;
    let mut chain = Trial::of(text);
    chain.advance().answered("1", json!({})).advance();
    let asked = expect![[r#"2: run core.a {"seen":true}"#]];
    asked.assert_eq(&chain.shown());
    chain.done("1", json!({})).advance();
    asked.assert_eq(&chain.shown());
}

#[test]
fn the_condition_of_a_poll_only_looks() {
    for (condition, error) in [
        (
            "|r| run(\"core.a\")",
            "`run` cannot be called in the condition of `poll`, which only looks at an answer",
        ),
        ("|r| 5", "the condition of `poll` must be true or false, found a whole number"),
    ] {
        let mut chain = Trial::of(&format!("poll(\"core.get\", #{{}}, {condition})"));
        chain.advance().answered("1", json!(1)).advance();
        assert_eq!(chain.outcome().unwrap().error.as_ref().unwrap().message, error);
    }
}

#[test]
fn functions_of_a_script_see_what_the_chain_is_given() {
    let chain = |text: &str| Trial::of(text).params(json!({ "n": 2 })).advance().shown();
    expect!["succeeded 4"].assert_eq(&chain("fn twice() { params.n * 2 } twice()"));
    expect!["succeeded 7"].assert_eq(&chain("fn f(params) { params } f(7)"));
    expect!["succeeded [2,3]"].assert_eq(&chain("[0, 1].map(|x| x + params.n)"));
    expect!["failed: Cannot modify constant params (chain.rhai:1:1) (failed)"]
        .assert_eq(&chain("params.n = 3"));
}

#[test]
fn libraries_are_imported_by_name_and_run_steps_as_the_chain_does() {
    let lib = r#"
        import "lib/base" as base;
        const PREFIX = "db-";
        fn name(x) { global::PREFIX + base::clean(x) }
        fn greet(x) { run("core.echo", #{ text: x, who: params.who }) }
        fn both(xs) { xs.map(|x| name(x)) }
        fn guard() { undo(|e| run("core.undo", #{ name: name("u") })); }
    "#;
    let base = "fn clean(x) { x.to_lower() }";
    let text = r#"
        import "lib/naming" as naming;
        fn inner() { naming::name("In") }
        naming::guard();
        undo(|e| run("core.own", #{ name: naming::name("O") }));
        naming::greet(naming::name("A"));
        fail(inner() + naming::both(["B", "C"]).to_json() + [1].map(|x| naming::name("D"))[0])
    "#;
    let mut chain = Trial::with_libs(text, &[("lib/naming", lib), ("lib/base", base)])
        .params(json!({ "who": "me" }));
    expect![[r#"3: run core.echo {"text":"db-a","who":"me"}"#]].assert_eq(&chain.advance().shown());
    chain.done("3", json!(null));
    expect![[r#"undo.2.1: run core.own {"name":"db-o"}"#]].assert_eq(&chain.advance().shown());
    chain.done("undo.2.1", json!(null));
    expect![[r#"undo.1.1: run core.undo {"name":"db-u"}"#]].assert_eq(&chain.advance().shown());
    chain.done("undo.1.1", json!(null));
    expect![[r#"failed: db-in["db-b","db-c"]db-d (failed)"#]].assert_eq(&chain.advance().shown());
}

#[test]
fn an_error_in_a_library_names_the_librarys_file() {
    let lib = "fn instance(claim) {\n    if claim == 1 { throw \"no claim\"; }\n    claim.name\n}";
    let text = "import \"lib/naming\" as naming;\n\nnaming::instance(params.claim)";
    for (claim, place) in
        [(json!(1), "(lib/naming.rhai:2:21)"), (json!({}), "(lib/naming.rhai:3:11)")]
    {
        let mut chain =
            Trial::with_libs(text, &[("lib/naming", lib)]).params(json!({ "claim": claim }));
        let shown = chain.advance().shown();
        assert!(shown.contains(place), "{shown}");
    }
}

#[test]
fn an_error_of_the_script_itself_is_caught_too_and_get_reads_it_like_a_steps() {
    ends(
        r#"let seen = 0; try { let m = #{}; m.x } catch (e) { seen = [e.message, get(e, "kind", "failed")]; } seen"#,
        expect![[r#"succeeded ["Property not found: x","failed"]"#]],
    );
    ends(
        r#"let seen = 0; try { throw "no" } catch (e) { seen = get(e, "kind", "failed"); } seen"#,
        expect![[r#"succeeded "failed""#]],
    );
}

#[test]
fn a_journal_without_its_uuids_as_earlier_versions_wrote_it_is_undone_all_the_same() {
    let mut chain = Trial::of(
        r#"let u = uuid(); undo(|e| run("core.b", #{ id: u })); run("core.a", #{ id: u });"#,
    );
    chain.advance();
    let uuid = |fact: &Fact| matches!(fact, Fact::StepRecorded { record: Record::Uuid(_), .. });
    chain.facts.retain(|fact| !uuid(fact));
    chain.journal = Journal::of(&chain.facts);
    chain.undo(UndoReason::Cancelled).advance();
    expect![[r#"undo.2.1: run core.b {"id":"25c4f186-1285-8380-9039-4ea61cf54f9d"}"#]]
        .assert_eq(&chain.shown());
}

#[test]
fn a_uuid_is_the_same_on_every_replay_and_differs_per_call_and_per_execution() {
    let text = r#"
        let all = [uuid(), uuid()];
        all += parallel([|| uuid(), || { run("core.a"); uuid() }]);
        run("core.b");
        all.push(uuid());
        all
    "#;
    let uuids = |execution: u8, order: [&str; 2]| {
        let mut chain = Trial::of(text);
        chain.input.execution = model::ExecutionId::random(&[execution; 32]);
        for path in order {
            chain.advance().done(path, json!(null));
        }
        let result = chain.advance().outcome().unwrap().result.clone().unwrap();
        serde_json::from_value::<Vec<String>>(result).unwrap()
    };
    let once = uuids(1, ["3.1.1", "4"]);
    assert_eq!(once, uuids(1, ["3.1.1", "4"]));
    let mut all = [once, uuids(2, ["3.1.1", "4"])].concat();
    let form = |uuid: &String| uuid.len() == 36 && uuid.as_bytes()[14] == b'8';
    assert!(all.iter().all(form), "{all:?}");
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 10, "{all:?}");
}
