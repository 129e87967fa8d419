//! Executions of a server as tests of a pack: they go the same today, or it is told what differs.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::fs;

use engine::Engine;
use engine::packtest::Suite;
use expect_test::{Expect, expect};
use model::{ExecutionId, ExecutionState};
use serde_json::json;
use support::{House, ended, run, until};

const CHAIN: &str = "\
on_exit(|outcome| log(outcome.state));
undo(|error| run(\"p.stop\", #{ a: params.to }));
let started = now();
let parts = parallel([|| run(\"p.start\", #{ a: started, b: uuid() }).n, || run(\"core.echo\", #{ value: params.to }).value]);
if params.to == \"moon\" { run(\"core.fail\", #{ message: \"too far\" }); }
sleep(\"1ms\");
parts
";

/// A pack whose chain was run to `to` and exported; then the chain is changed by `change`.
async fn replayed(to: &str, change: impl Fn(&str) -> String) -> String {
    let house = House::new();
    house.chain("go", "to: { type: string, required: true }", CHAIN);
    house.program("start", "idempotent", "echo '{\"n\": 7}'");
    house.program("stop", "idempotent", "true");
    let engine = house.start().await;
    let id = run(&engine, "p.go", json!({ "to": to })).await;
    ended(&engine, &id).await;
    export(&house, engine, &id).await;
    house.chain("go", "to: { type: string, required: true }", &change(CHAIN));
    judged(&house).replace(id.as_str(), "ex_…")
}

/// Writes the execution to a file, and ends the engine.
async fn export(house: &House, engine: Engine, id: &ExecutionId) {
    let exported = engine.export(id).await.unwrap();
    engine.shutdown(support::PATIENCE).await;
    fs::write(house.path("run.json"), serde_json::to_vec(&exported).unwrap()).unwrap();
}

/// What the pack of today makes of that file.
fn judged(house: &House) -> String {
    let file = house.path("run.json");
    let suite = Suite::recorded(&house.path("packs/p"), &[], &[file]);
    assert_eq!(suite.findings, []);
    let mut told = String::from("it goes as recorded");
    let run = suite.run(
        false,
        |_| true,
        |_, verdict| {
            let lines = verdict
                .misfits
                .iter()
                .map(|misfit| format!("{}\n{}", misfit.message, misfit.lines.join("\n")));
            if !verdict.passed() {
                told = lines.collect::<Vec<_>>().join("\n");
            }
        },
    );
    run.unwrap();
    told
}

async fn check(to: &str, change: impl Fn(&str) -> String, expected: Expect) {
    expected.assert_eq(&replayed(to, change).await);
}

#[tokio::test]
async fn what_was_recorded_goes_the_same_with_its_times_ids_and_handlers() {
    for to in ["mars", "moon"] {
        check(to, ToOwned::to_owned, expect!["it goes as recorded"]).await;
        let remarked = |chain: &str| format!("// A remark changes nothing.\n{chain}");
        check(to, remarked, expect!["it goes as recorded"]).await;
    }
}

#[tokio::test]
async fn a_chain_that_was_changed_is_told_with_the_first_call_that_differs() {
    let other = |chain: &str| chain.replace("#{ value: params.to }", "#{ value: 1 }");
    check(
        "mars",
        other,
        expect![[r#"
        another call at step 4.1.1
        - `run` of `core.echo` with {"value":"mars"}
        + `run` of `core.echo` with {"value":1}"#]],
    )
    .await;
    let more = |chain: &str| chain.replace("parts\n", "run(\"core.noop\");\nparts\n");
    check(
        "mars",
        more,
        expect![[r#"
        the chain calls what it did not
        + step 6: core.noop {}"#]],
    )
    .await;
    let result = |chain: &str| chain.replace("parts\n", "parts[0]\n");
    check(
        "mars",
        result,
        expect![[r#"
        another result
        - [7,"mars"]
        + 7"#]],
    )
    .await;
    let lenient = |chain: &str| chain.replace("run(\"core.fail\", #{ message: \"too far\" });", "");
    check("moon", lenient, expect![[r#"
        another call at step 5
        - `run` of `core.fail` with {"effect":"read","kind":"failed","message":"too far","outcome":"failed"}
        + `sleep`"#]]).await;
}

#[tokio::test]
async fn calls_at_the_end_that_are_made_no_more_are_told() {
    let house = House::new();
    let chain = r#"
        parallel([|| { run("core.noop"); log("one"); }, || run("core.echo", #{ value: 2 })]);
        run("core.echo", #{ value: 3 });
        emit("p.done", #{});
        7
    "#;
    house.write("triggers/done.yaml", "payload: {}\n");
    house.chain("go", "", chain);
    let engine = house.start().await;
    let id = run(&engine, "p.go", json!({})).await;
    ended(&engine, &id).await;
    export(&house, engine, &id).await;
    assert_eq!(judged(&house), "it goes as recorded");
    for (gone, told) in [
        (r#"emit("p.done", #{});"#, "another call at step 3"),
        (r#"log("one");"#, "another call at step 1.0.2"),
        (r#"run("core.echo", #{ value: 3 });"#, "another call at step 2"),
    ] {
        house.chain("go", "", &chain.replace(gone, ""));
        let judged = judged(&house);
        assert!(judged.contains(told), "{gone}: {judged}");
    }
}

#[tokio::test]
async fn an_execution_that_had_not_ended_is_compared_up_to_where_it_stood() {
    let house = House::new();
    let chain = r#"run("core.echo", #{ value: 1 }); sleep("1h"); run("core.noop"); 7"#;
    house.chain("go", "", chain);
    let engine = house.start().await;
    let id = run(&engine, "p.go", json!({})).await;
    until(&engine, &id, &[ExecutionState::Waiting]).await;
    export(&house, engine, &id).await;
    for (was, is, told) in [
        ("", "", "it goes as recorded"),
        (r#"run("core.noop");"#, "", "it goes as recorded"),
        ("value: 1", "value: 2", "another call at step 1"),
        (r#"sleep("1h"); run("core.noop");"#, "", "another call at step 2\n- `sleep`\n+ no call"),
        (r#"sleep("1h");"#, r#"fail("no");"#, "another call at step 2\n- `sleep`\n+ no call"),
    ] {
        house.chain("go", "", &chain.replace(was, is));
        let judged = judged(&house);
        assert!(judged.contains(told), "{was} → {is}: {judged}");
    }
}

#[tokio::test]
async fn of_a_program_is_compared_what_its_file_declares() {
    let house = House::new();
    house.program("count", "idempotent", "echo '{\"n\": 7}'");
    let declared = "entry_point: count.sh\neffect: idempotent\nparameters: { a: { type: string } }\nresult: { n: { type: integer } }\n";
    house.write("actions/count.yaml", declared);
    let engine = house.start().await;
    let id = run(&engine, "p.count", json!({ "a": "x" })).await;
    ended(&engine, &id).await;
    export(&house, engine, &id).await;
    for (was, is, told) in [
        ("", "", "it goes as recorded"),
        ("{ a: { type: string } }", "{ a: { type: integer } }", "its parameters are refused today"),
        ("{ a: {", "{ b: { required: true }, a: {", "its parameters are refused today"),
        ("{ n: { type: integer } }", "{ n: { type: string } }", "its result is not as its file"),
        ("effect: idempotent", "effect: unsafe", "another effect class\n- idempotent\n+ unsafe"),
    ] {
        house.write("actions/count.yaml", &declared.replace(was, is));
        let judged = judged(&house);
        assert!(judged.contains(told), "{is}: {judged}");
    }
}

#[tokio::test]
async fn a_run_that_went_on_as_another_one_goes_as_recorded_while_it_still_goes_on() {
    let house = House::new();
    let chain = r#"let n = run("core.echo", #{ value: params.n }).value; if n < 2 { continue_as(#{ n: n + 1 }) }"#;
    let parameters = "n: { type: integer, default: 1 }";
    house.chain("go", parameters, chain);
    let engine = house.start().await;
    let first = run(&engine, "p.go", json!({})).await;
    let went_on = ended(&engine, &first).await.outcome.unwrap().continued_as.unwrap();
    ended(&engine, &went_on).await;
    for (run, changed, expected) in [
        (&first, "if n < 0", "another outcome\n- goes on as a new run\n+ succeeded"),
        (&went_on, "if n < 9", "another outcome\n- succeeded\n+ goes on as a new run"),
    ] {
        let exported = serde_json::to_vec(&engine.export(run).await.unwrap()).unwrap();
        fs::write(house.path("run.json"), exported).unwrap();
        house.chain("go", parameters, chain);
        assert_eq!(judged(&house), "it goes as recorded", "its result is null, and it has one");
        house.chain("go", parameters, &chain.replace("if n < 2", changed));
        assert_eq!(judged(&house), expected);
    }
}
