//! Jobs whose containers really run: what they print, and that they run once.

use lab::Parts;
use model::{ErrorKind, Performance};
use serde_json::{Value, json};

use super::{Lab, says};

fn job(script: &str) -> Value {
    json!({ "image": "any", "command": ["sh", "-c", script], "timeout": "2m" })
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn what_a_job_prints_is_its_result_and_stands_in_the_steps_log() {
    let lab = Lab::start(Parts::Programs).await;
    let folder = tempfile::tempdir().unwrap();
    let mut step = lab.step("run_job", job(r#"echo "{"; echo "\"rows\": 3 }""#));
    step.log = folder.path().to_owned();
    let done = lab.action("run_job").perform(step).await;
    let Performance::Done(result) = done else { panic!("{done:?}") };
    assert_eq!((&result["output"], &result["exit_code"]), (&json!({ "rows": 3 }), &json!(0)));
    let log = std::fs::read_to_string(folder.path().join("stderr.log")).unwrap();
    assert_eq!(log, "{\n\"rows\": 3 }\n");
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_program_that_fails_is_told_with_its_exit_code_and_words() {
    let lab = Lab::start(Parts::Programs).await;
    let error = lab.failed("run_job", job("echo no such table >&2; exit 3")).await;
    says(&error, ErrorKind::Program, "the program ended with exit code 3");
    assert_eq!(error.details["output"], json!({ "text": "no such table\n" }));
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_server_that_ends_leaves_the_job_and_its_successor_finds_it() {
    let lab = Lab::start(Parts::Programs).await;
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().display();
    let script = format!(
        "echo begun >>{place}/begun; until [ -e {place}/gate ]; do sleep 0.05; done; echo done"
    );
    let step = lab.step("run_job", job(&script));
    let (cancel, stopping) = (step.cancel.clone(), step.stopping.clone());
    let first = lab.action("run_job").perform(step);
    let ends = async {
        let begun = async || folder.path().join("begun").exists().then_some(());
        lab::until("the program has begun", begun).await.unwrap();
        stopping.cancel();
        cancel.cancel();
    };
    let (first, ()) = tokio::join!(first, ends);
    let Performance::Unknown(error) = first else { panic!("{first:?}") };
    assert!(error.message.contains("it goes on, and is found again"), "{error}");
    std::fs::write(folder.path().join("gate"), "").unwrap();
    let result = lab.done("run_job", job(&script)).await;
    assert_eq!(result["output"], json!({ "text": "done\n" }));
    assert_eq!(std::fs::read_to_string(folder.path().join("begun")).unwrap(), "begun\n");
}
