//! Executions of a server as tests of a pack: they go the same today, or it is told what differs.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::fs;

use engine::packtest::Suite;
use expect_test::{Expect, expect};
use serde_json::json;
use support::{House, ended, run};

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
    let exported = engine.export(&id).await.unwrap();
    engine.shutdown(std::time::Duration::from_secs(5)).await;
    let file = house.path("run.json");
    fs::write(&file, serde_json::to_vec(&exported).unwrap()).unwrap();
    house.chain("go", "to: { type: string, required: true }", &change(CHAIN));
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
    told.replace(id.as_str(), "ex_…")
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
