//! What `check` says of a program before it runs.

#![allow(clippy::unwrap_used)]

mod closures;

use chains::{Catalog, Program, Signature, Source, calls_named, check};
use expect_test::{Expect, expect};
use model::{ActionRef, Diagnostic, Effect, Schema, TriggerType};
use serde_json::json;

struct Actions;

impl Catalog for Actions {
    fn payload(&self, kind: &TriggerType) -> Option<Schema> {
        let payload =
            json!({ "at": { "type": "string", "required": true }, "size": { "type": "integer" } });
        kind.as_str()
            .ends_with(".up")
            .then(|| Schema::compile(payload.as_object().unwrap()).unwrap())
    }

    fn trigger_types(&self) -> Vec<String> {
        vec!["app.up".to_owned(), "other.up".to_owned()]
    }

    fn not_emitted(&self, kind: &TriggerType) -> Option<(String, String)> {
        let denied = || ("the pack emits `other.up`".to_owned(), "ask for it".to_owned());
        (kind.as_str() == "other.up").then(denied)
    }

    fn get(&self, action: &ActionRef) -> Option<Signature> {
        let (properties, effect) = match action.as_str() {
            "http.request" => (
                json!({
                    "url": { "type": "string", "required": true },
                    "method": { "type": "string", "enum": ["GET", "POST"] },
                    "body": {},
                    "download": {
                        "type": "object",
                        "properties": {
                            "to": { "type": "string", "required": true },
                            "max_size": { "type": "integer" },
                        },
                    },
                }),
                None,
            ),
            "core.echo" => (json!({ "text": {} }), Some(Effect::Read)),
            "aws.rds.ensure" => {
                (json!({ "size": { "type": "integer" } }), Some(Effect::Idempotent))
            }
            _ => return None,
        };
        let parameters = Schema::compile(properties.as_object().unwrap()).unwrap();
        Some(Signature { parameters, effect })
    }

    fn names(&self) -> Vec<String> {
        ["http.request", "core.echo", "aws.rds.ensure"].map(str::to_owned).into()
    }
}

fn program(text: &str) -> Program {
    let lib = "fn instance(team) { `db-${team}` }";
    let libs = [("lib/naming".to_owned(), lib.to_owned())].into();
    Program::compile(Source { file: "a.rhai".to_owned(), text: text.to_owned(), libs }).unwrap()
}

/// What the chains of these tests declare.
fn parameters() -> Schema {
    let names =
        ["all", "attempts", "bad", "data", "f", "id", "items", "kind", "name", "team", "url", "x"];
    Schema::compile(&names.map(|name| (name.to_owned(), json!({}))).into_iter().collect()).unwrap()
}

fn finds(text: &str, expected: Expect) {
    let found = check(&program(text), &parameters(), &Actions);
    let shown: Vec<String> = found
        .iter()
        .map(|d| {
            let hint = d.hint.as_ref().map(|hint| format!(" -- {hint}")).unwrap_or_default();
            format!("{}:{} {}{hint}", d.at.line, d.at.column, d.message)
        })
        .collect();
    expected.assert_eq(&shown.join("\n"));
}

#[test]
fn a_sound_chain_has_no_findings() {
    finds(
        r#"
        import "lib/naming" as naming;
        const LIMIT = 3;
        fn url(name) { `https://${name}.${config.domain}/${params.id}` }
        let name = naming::instance(params.team);
        undo(|error| run("core.echo", #{ text: error.message }));
        on_exit(|outcome| log(outcome.state));
        let all = [];
        for (item, i) in params.items {
            if item.skip { continue; }
            all.push(run("http.request", #{ url: url(item.name), method: "POST", body: #{ i: i } }, #{
                retry: #{ attempts: params.attempts, only: ["unavailable", "timeout"] }, timeout: "5s",
            }));
            undo(|e| run("core.echo", #{ text: item.name }));
        }
        let count = all.len;
        let big = all.filter(|x| x.size > count).map(|x| x.size).reduce(|sum, x| sum + x, 0);
        let r = parallel([|| run("core.echo", #{ text: name }), || run("core.echo", #{ text: big })]);
        let mapped = parallel_map(all, |x| run("core.echo", #{ text: x + name }), #{ max: 4 });
        try { sleep("1h30m"); sleep_until("2030-01-01T00:00:00Z"); } catch (e) { log(e.kind ?? "none"); }
        let done = poll("core.echo", #{}, |r| r.state == name, #{ every: "5s", max_every: "1m" });
        let counter = 0;
        let bump = || { counter += 1; counter };
        bump.call();
        switch done.state { "up" => emit("app.up", #{ at: now() }), _ => fail(uuid()) }
        get(done, "a.b", null) ?? params?.x ?? execution.id
        "#,
        expect![""],
    );
}

#[test]
fn what_does_not_exist_is_named_with_what_was_meant() {
    finds("rnu(\"core.echo\")", expect!["1:1 there is no function `rnu` -- did you mean `run`?"]);
    finds(
        "let counter = 1; conter + 1",
        expect!["1:18 there is no variable `conter` here -- did you mean `counter`?"],
    );
    finds(
        "let name = 1; fn f() { name } f()",
        expect![
            "1:24 there is no variable `name` here -- a function sees only its parameters, `params`, `config` and `execution`: pass it on"
        ],
    );
    finds(
        "let f = |x| x; f(1)",
        expect!["1:16 `f` is a variable, not a function -- write `f.call(…)`"],
    );
    finds(
        "run(\"core.ehco\")",
        expect!["1:5 there is no action `core.ehco` -- did you mean `core.echo`?"],
    );
    finds(
        "run(\"echo\")",
        expect![
            "1:5 `echo` is not an action reference: expected names joined by dots, such as `core.echo`"
        ],
    );
    finds("run()", expect!["1:1 `run` takes 1 or 2 or 3 arguments, not 0"]);
    finds(
        "let l = []; l.pussh(1);",
        expect!["1:15 there is no method `pussh` -- did you mean `push`?"],
    );
    finds(
        "import \"lib/naming\" as naming; naming::instanc(1); naming::instance(); other::x()",
        expect![[r#"
            1:40 `naming` has no function `instanc` -- did you mean `instance`?
            1:60 `instance` takes 1 argument, not 0
            1:79 nothing is imported as `other` -- write `import "lib/name" as other;`"#]],
    );
    finds(
        "exit(1)",
        expect![
            "1:1 there is no function `exit` -- use `return` at the top of the chain, or `fail(message)`"
        ],
    );
    finds(
        "approve(\"go?\"); lock(\"a\", || 1)",
        expect![[r#"
            1:1 `approve` is not supported by this version of Tripline -- end the chain here, and start what comes next by hand
            1:17 `lock` is not supported by this version of Tripline -- remove it"#]],
    );
}

#[test]
fn literal_parameters_are_held_against_the_schema() {
    finds(
        "run(\"http.request\", #{ method: \"PUT\", ulr: params.url })",
        expect![[r#"
        1:1 `http.request`: missing parameter `url` -- `url` is a value of type string
        1:24 `http.request`: `method`: expected one of "GET" or "POST", found "PUT"
        1:39 `http.request`: unknown parameter `ulr` -- did you mean `url`?"#]],
    );
    finds(
        "run(\"http.request\")",
        expect!["1:1 `http.request`: missing parameter `url` -- `url` is a value of type string"],
    );
    finds(
        "run(\"aws.rds.ensure\", #{ size: \"big\" })",
        expect![[r#"1:26 `aws.rds.ensure`: `size`: expected type "integer", found "big""#]],
    );
    finds("let p = #{}; run(\"http.request\", p)", expect![]);
    finds(
        "parallel([|| [1].map(|x| run(\"aws.rds.ensure\", #{ size: x, name: x }))])",
        expect!["1:60 `aws.rds.ensure`: unknown parameter `name`"],
    );
}

#[test]
fn what_is_required_and_computed_in_a_map_within_the_parameters_is_there() {
    finds(
        r#"run("http.request", #{ url: "x", download: #{ to: params.name, max_size: 3 } });"#,
        expect![""],
    );
    finds(
        r#"run("http.request", #{ url: "x", download: #{ to: params.name, max_size: "3" } });"#,
        expect![[
            r#"1:34 `http.request`: `download.max_size`: expected type "integer", found "3" -- write it without quotes"#
        ]],
    );
    finds(
        r#"run("http.request", #{ url: "x", download: #{ max_size: 3 } });"#,
        expect![[
            r#"1:34 `http.request`: `download`: "to" is a required property -- `download` is a value of type object"#
        ]],
    );
}

#[test]
fn literal_options_and_lengths_are_checked() {
    finds(
        "run(\"core.echo\", #{}, #{ retyr: params.x, timeout: 30, deadline: \"soon\" })",
        expect![[r#"
            1:26 option `retyr`: unknown -- did you mean `retry`?
            1:43 option `timeout`: expected a duration such as "30s", found 30
            1:56 option `deadline`: `soon` is not a duration: expected numbers with units ms, s, m, h, d or w, such as `30s` or `1h30m`, at most ten years"#]],
    );
    finds(
        "run(\"core.echo\", #{}, #{ retry: #{ attempts: 0 } })",
        expect!["1:26 option `retry.attempts`: expected a whole number from 1 to 1000, found 0"],
    );
    finds(
        "run(\"core.echo\", #{}, #{ retry: #{ only: [\"timeuot\"] } })",
        expect![[
            r#"1:26 option `retry.only`: "timeuot" is not an error kind -- did you mean `timeout`?"#
        ]],
    );
    finds(
        "poll(\"core.echo\", #{}, |r| true, #{ evry: \"1s\" })",
        expect!["1:37 option `evry`: unknown -- did you mean `every`?"],
    );
    finds(
        "poll(\"aws.rds.ensure\", #{}, |r| true)",
        expect![
            "1:6 `poll` repeats its action without end, and `aws.rds.ensure` does not only read -- poll an action that only reads"
        ],
    );
    finds(
        "parallel_map([1], |x| x, #{ max: 0 })",
        expect!["1:29 option `max`: expected a whole number from 1 to 1000, found 0"],
    );
    finds(
        "sleep(5); sleep(\"5 minutes\"); sleep_until(\"tomorrow\"); emit(\"built\", 1)",
        expect![[r#"
        1:7 `sleep` needs a length with its unit -- write sleep("5s")
        1:17 `5 minutes` is not a duration: expected numbers with units ms, s, m, h, d or w, such as `30s` or `1h30m`, at most ten years
        1:43 `tomorrow` is not a time -- write RFC 3339 with a zone, such as `2026-12-24T18:00:00Z`
        1:61 `built` is not a trigger type: expected names joined by dots, such as `git.push`"#]],
    );
}

#[test]
fn findings_show_their_line() {
    let found =
        check(&program("let a = 1;\n  run(\"core.ehco\", #{ text: a })"), &parameters(), &Actions);
    expect![[r#"
        error: there is no action `core.ehco`
          at a.rhai:2:7
          2 |   run("core.ehco", #{ text: a })
                    ^
          hint: did you mean `core.echo`?"#]]
    .assert_eq(&found[0].to_string());
}

#[test]
fn the_actions_that_a_chain_names_are_listed() {
    let program = program(
        "run(\"core.echo\"); parallel([|| poll(\"http.request\", #{}, |r| true)]); run(params.x)",
    );
    let named: Vec<String> = calls_named(&program)
        .iter()
        .map(|call| format!("{} {}:{}", call.action, call.at.line, call.at.column))
        .collect();
    expect!["core.echo 1:5, http.request 1:37"].assert_eq(&named.join(", "));
}

#[test]
fn what_a_call_writes_out_is_told_as_far_as_it_is() {
    let program = program(
        r#"run("http.request", #{ url: `https://a/${params.x}`, json: params.y, method: "PUT" })"#,
    );
    let named = calls_named(&program);
    let written: Vec<String> = named[0]
        .parameters
        .iter()
        .map(|(name, written, _)| format!("{name}: {written:?}"))
        .collect();
    expect![[r#"url: Beginning("https://a/"), json: Computed, method: Value(String("PUT"))"#]]
        .assert_eq(&written.join(", "));
}

#[test]
fn a_secret_is_named_like_the_call_of_an_action() {
    let program = program(r#"base64(secret("a/b")); secret(`c/${params.x}`); secret(params.y)"#);
    let named: Vec<String> = calls_named(&program)
        .iter()
        .map(|call| format!("{} {:?}", call.action, call.parameters[0].1))
        .collect();
    expect![[r#"
        secrets.get Value(String("a/b"))
        secrets.get Beginning("c/")
        secrets.get Computed"#]]
    .assert_eq(&named.join("\n"));
}

#[test]
fn an_undo_after_the_step_it_undoes_is_told_as_far_as_it_can_be_seen() {
    let late = r#"
        let db = run("aws.rds.ensure", #{ size: 1 });
        undo(|e| run("core.echo", #{ text: db.id }));
        run("core.echo");
        if db.new {
            let copy = run("aws.rds.ensure", #{ size: 2 });
            undo(|e| { log("gone"); run("core.echo", #{ text: copy.id }) });
        }
        parallel([|| { let own = run("aws.rds.ensure"); undo(|e| run("core.echo", #{ text: own })); sleep("1s"); }]);
        run("aws.rds.ensure");
        undo(|e| run("core.echo"));
        #{ id: db.id + 1 }
    "#;
    finds(
        late,
        expect![[r#"
        3:9 `undo` is registered after the step it undoes: it uses the result of `aws.rds.ensure` -- register it before that step, with what is known by then, and let it bear that there is nothing to undo
        7:13 `undo` is registered after the step it undoes: it uses the result of `aws.rds.ensure` -- register it before that step, with what is known by then, and let it bear that there is nothing to undo
        9:57 `undo` is registered after the step it undoes: it uses the result of `aws.rds.ensure` -- register it before that step, with what is known by then, and let it bear that there is nothing to undo
        11:9 `undo` is registered after every step: nothing is left that could fail -- register it before that step, with what is known by then, and let it bear that there is nothing to undo"#]],
    );
    let found = check(&program(late), &parameters(), &Actions);
    assert!(found.iter().all(|found| found.severity == model::Severity::Warning));
}

#[test]
fn an_undo_that_may_be_there_for_what_follows_is_not_told() {
    for fine in [
        // It uses what was read, or made for the step that follows.
        r#"let old = run("core.echo"); undo(|e| run("core.echo", #{ text: old })); run("aws.rds.ensure");"#,
        r#"let name = run("aws.rds.ensure"); undo(|e| run("core.echo", #{ text: name })); run("core.echo", #{ text: name });"#,
        // It uses nothing of the step before.
        r#"let a = run("aws.rds.ensure"); undo(|e| run("core.echo")); run("aws.rds.ensure");"#,
        // Something may fail after it.
        r#"run("aws.rds.ensure"); undo(|e| run("core.echo")); if params.bad { fail("bad") }"#,
        r#"for x in params.all { run("aws.rds.ensure"); undo(|e| run("core.echo")); }"#,
    ] {
        finds(fine, expect![""]);
    }
}

#[test]
fn an_emit_names_a_known_type_and_data_that_fits_it() {
    finds(
        r#"emit("app.pu", #{ at: now() })"#,
        expect!["1:6 there is no trigger type `app.pu` -- did you mean `app.up`?"],
    );
    finds(
        r#"emit("app.up", #{ size: 1 })"#,
        expect!["1:1 `app.up`: missing parameter `at` -- `at` is a value of type string"],
    );
    finds(
        r#"emit("app.up", #{ at: now(), size: "1", name: params.name })"#,
        expect![[r#"
        1:30 `app.up`: `size`: expected type "integer", found "1" -- write it without quotes
        1:41 `app.up`: unknown parameter `name`"#]],
    );
    finds(r#"emit("other.up", #{})"#, expect!["1:6 the pack emits `other.up` -- ask for it"]);
    finds(r#"emit("app.up", params.data); emit(params.kind, #{})"#, expect![""]);
}

#[test]
fn what_is_no_map_or_no_text_where_one_belongs_is_refused() {
    finds(
        "run(\"core.noop\", 5); run(\"core.echo\", \"text\", [1]); run(5); run(\"core.echo\", ())",
        expect![[r#"
            1:5 there is no action `core.noop` -- known here: core.echo
            1:18 `run` needs the parameters as a map, found a whole number -- write it as `#{ name: value }`
            1:39 `run` needs the parameters as a map, found a string -- write it as `#{ name: value }`
            1:47 `run` needs the options as a map, found a list -- write it as `#{ name: value }`
            1:57 `run` needs the action as a string, found a whole number -- write it in quotes"#]],
    );
    finds(
        "secret(1); continue_as([params]); poll(\"core.echo\", `a${1}`, |r| true, || 1)",
        expect![[r#"
            1:8 `secret` needs the path as a string, found a whole number -- write it in quotes
            1:24 `continue_as` needs the parameters as a map, found a list -- write it as `#{ name: value }`
            1:53 `poll` needs the parameters as a map, found a string -- write it as `#{ name: value }`
            1:72 `poll` needs the options as a map, found a closure -- write it as `#{ name: value }`"#]],
    );
}

#[test]
fn a_parameter_that_the_chain_does_not_declare_is_told_where_it_is_read() {
    finds(
        "let n = 1; log(params.nmae); parallel([|| log(params.teem.size + n)]); fn f() { params[\"itmes\"] } params?.nothing",
        expect![[r#"
            1:23 the chain has no parameter `nmae` -- did you mean `name`?
            1:54 the chain has no parameter `teem` -- did you mean `team`?
            1:88 the chain has no parameter `itmes` -- did you mean `items`?
            1:107 the chain has no parameter `nothing` -- declare it: `parameters: { nothing: { type: … } }`"#]],
    );
    for fine in [
        "log(params.name); get(params, \"other\", 1); \"other\" in params; params.len()",
        "let n = 1; [1].map(|params| params.other + n)",
        "let params = #{ other: 1 }; params.other",
        "params.other = 1; params.other",
        "fn f(params) { params.other } f(#{ other: 1 })",
    ] {
        finds(fine, expect![""]);
    }
}
