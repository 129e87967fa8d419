//! What programs and chains return, against what their files declare: a misfit is told in the log,
//! and changes nothing else.
#![allow(clippy::unwrap_used)]

mod support;

use engine::Engine;
use engine::logs::Which;
use model::ExecutionId;
use serde_json::json;
use support::{House, ended, result, run};

async fn logs(engine: &Engine, id: &ExecutionId) -> Vec<(String, String)> {
    let logs = engine.logs(id, Which::default()).await.unwrap().logs;
    logs.into_iter().map(|log| (log.path, log.text)).collect()
}

/// The paths of the logs in each answer.
async fn pages(engine: &Engine, id: &ExecutionId) -> Vec<Vec<String>> {
    let (mut which, mut told) = (Which::default(), Vec::new());
    loop {
        let page = engine.logs(id, which.clone()).await.unwrap();
        told.push(page.logs.into_iter().map(|log| log.path).collect());
        let Some(next) = page.next else { return told };
        which.after = Some(next);
    }
}

#[tokio::test]
async fn logs_that_fill_an_answer_are_told_in_several() {
    let house = House::new();
    let program =
        "i=0; while [ $i -lt 20 ]; do head -c 65536 /dev/zero | tr '\\0' x >&2; i=$((i+1)); done";
    house.program("loud", "read", program);
    house.chain("go", "", r#"for i in 0..6 { run("p.loud"); } log("done");"#);
    let engine = house.start().await;
    let id = run(&engine, "p.go", json!({})).await;
    ended(&engine, &id).await;
    let told = pages(&engine, &id).await;
    assert_eq!(told, [vec!["1", "2", "3", "4"], vec!["5", "6", "7"]]);
    let one = Which { step: "7".parse().ok(), after: None };
    let [one] = engine.logs(&id, one).await.unwrap().logs.try_into().unwrap();
    assert_eq!((&*one.path, &*one.text), ("7", "done"));
}

#[tokio::test]
async fn logs_of_branches_are_told_once_each_however_the_branches_took_turns() {
    let house = House::new();
    house.program("loud", "read", "head -c 1048576 /dev/zero | tr '\\0' x >&2");
    house.chain("go", "", r#"parallel_map([1, 2, 3], |n| { run("p.loud"); run("p.loud"); })"#);
    let engine = house.start().await;
    let id = run(&engine, "p.go", json!({})).await;
    ended(&engine, &id).await;
    let expected = [vec!["1.0.1", "1.0.2", "1.1.1", "1.1.2"], vec!["1.2.1", "1.2.2"]];
    assert_eq!(pages(&engine, &id).await, expected);
}

fn line(action: &str, what: &str) -> String {
    format!("[tripline: the result of `{action}` is not as its file says: {what}]\n")
}

fn house() -> House {
    let house = House::new();
    house.program("measure", "read", r#"echo '{ "size": "3", "colour": "red" }'"#);
    house.write(
        "actions/measure.yaml",
        "entry_point: measure.sh\neffect: read\nresult: { size: { type: integer }, color: {} }\n",
    );
    house.chain("deploy", "", r#"run("p.measure"); #{ urls: ["a", 5] }"#);
    house.write(
        "actions/deploy.yaml",
        "entry_point: deploy.rhai\nresult:\n  urls: { type: array, items: { type: string } }\n  host: { type: string, required: true }\n",
    );
    house
}

#[tokio::test]
async fn what_a_program_and_a_chain_return_besides_what_they_declare_stands_in_the_log() {
    let house = house();
    let engine = house.start().await;
    let id = run(&engine, "p.deploy", json!({})).await;
    assert_eq!(result(&ended(&engine, &id).await), &json!({ "urls": ["a", 5] }));
    let program = [
        line("p.measure", "unknown field `colour` (did you mean `color`?)"),
        line(
            "p.measure",
            r#"`size`: expected type "integer", found "3" (write it without quotes)"#,
        ),
    ];
    let chain = [
        line("p.deploy", "missing field `host` (`host` is a value of type string)"),
        line("p.deploy", r#"`urls.1`: expected type "string", found 5 (quote it)"#),
    ];
    let expected = vec![("1".to_owned(), program.concat()), ("result".to_owned(), chain.concat())];
    assert_eq!(logs(&engine, &id).await, expected);
}

#[tokio::test]
async fn what_a_child_returns_amiss_stands_in_its_own_log_and_in_that_of_its_parents_step() {
    let house = house();
    house.chain("inner", "", "5");
    house.write("actions/inner.yaml", "entry_point: inner.rhai\nresult: { size: {} }\n");
    house.chain("outer", "", r#"run("p.inner")"#);
    let engine = house.start().await;
    let id = run(&engine, "p.outer", json!({})).await;
    assert_eq!(result(&ended(&engine, &id).await), &json!(5));
    let told = line("p.inner", "expected a map, found a whole number");
    assert_eq!(logs(&engine, &id).await, [("1".to_owned(), told.clone())]);
    let child = format!("{id}/1").parse().unwrap();
    assert_eq!(logs(&engine, &child).await, [("result".to_owned(), told)]);
}

#[tokio::test]
async fn nothing_is_said_of_a_result_that_fits_or_of_which_nothing_is_declared() {
    let house = house();
    house.chain("free", "", r#"#{ anything: "goes" }"#);
    house.chain("fits", "", r#"run("p.free"); #{ size: 3 }"#);
    house.write("actions/fits.yaml", "entry_point: fits.rhai\nresult: { size: {} }\n");
    let engine = house.start().await;
    let id = run(&engine, "p.fits", json!({})).await;
    ended(&engine, &id).await;
    assert_eq!(logs(&engine, &id).await, []);
}
