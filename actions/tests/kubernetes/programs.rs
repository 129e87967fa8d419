//! Jobs whose containers really run: what they print, and that they run once.

use std::sync::Arc;
use std::time::Instant;

use actions::Performing;
use host::redact::Redactor;
use lab::{Part, Parts, Trouble};
use model::{ErrorKind, Performance};
use serde_json::{Value, json};

use super::{Lab, of, says};

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
    let (title, log) = log.split_once('\n').unwrap();
    assert!(title.starts_with("[tripline: batch/v1 Job default/tripline-"), "{title}");
    assert_eq!(log, "{\n\"rows\": 3 }\n");
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_program_that_fails_is_told_with_its_exit_code_and_words() {
    let lab = Lab::start(Parts::Programs).await;
    let error = lab.failed("run_job", job("echo no such table >&2; exit 3")).await;
    says(&error, ErrorKind::Program, "the program exited with 3: no such table");
    assert_eq!(error.details["output"], json!({ "text": "no such table" }));
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_server_that_ends_leaves_the_job_and_its_successor_finds_it() {
    let lab = Lab::start(Parts::Programs).await;
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().display();
    let script = format!(
        "echo begun | tee -a {place}/begun; until [ -e {place}/gate ]; do sleep 0.05; done; echo done"
    );
    let performing =
        || Performing { log: folder.path().to_owned(), ..lab.step("run_job", job(&script)) };
    let log = || std::fs::read_to_string(folder.path().join("stderr.log")).unwrap_or_default();
    let step = performing();
    let (cancel, stopping) = (step.cancel.clone(), step.stopping.clone());
    let first = lab.action("run_job").perform(step);
    let ends = async {
        let begun = async || log().contains("begun").then_some(());
        lab::until("the program has begun", begun).await.unwrap();
        stopping.cancel();
        cancel.cancel();
    };
    let (first, ()) = tokio::join!(first, ends);
    let Performance::Unknown(error) = first else { panic!("{first:?}") };
    assert!(error.message.contains("it goes on, and is found again"), "{error}");
    std::fs::write(folder.path().join("gate"), "").unwrap();
    let second = lab.action("run_job").perform(performing()).await;
    let Performance::Done(result) = second else { panic!("{second:?}") };
    assert_eq!(result["output"], json!({ "text": "begun\ndone" }));
    assert_eq!(log().lines().filter(|line| *line == "begun").count(), 1, "{}", log());
    assert!(log().ends_with("\nbegun\ndone\n"), "{}", log());
    assert_eq!(std::fs::read_to_string(folder.path().join("begun")).unwrap(), "begun\n");
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_job_is_found_again_though_the_api_server_is_away_when_its_step_is_taken_up() {
    let mut lab = Lab::start(Parts::Programs).await;
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
    let (_, ()) = tokio::join!(first, ends);

    lab.cluster.part(Part::Api).unwrap().kill();
    lab.forget();
    let mut step = lab.step("run_job", job(&script));
    step.resumed = true;
    let action = lab.action("run_job").clone();
    let api = lab.cluster.part(Part::Api).unwrap();
    let back = async {
        api.start().await.unwrap();
        std::fs::write(folder.path().join("gate"), "").unwrap();
    };
    let (second, ()) = tokio::join!(action.perform(step), back);
    let Performance::Done(result) = second else { panic!("{second:?}") };
    assert_eq!(result["output"], json!({ "text": "done" }));
    assert_eq!(std::fs::read_to_string(folder.path().join("begun")).unwrap(), "begun\n");
}

/// The one Job there is.
async fn only_job(lab: &Lab) -> Value {
    let jobs = json!({ "api_version": "batch/v1", "kind": "Job", "namespace": "default" });
    let mut found = lab.done("list", jobs).await;
    let jobs = found["items"].as_array_mut().unwrap();
    assert_eq!(jobs.len(), 1, "{jobs:#?}");
    jobs.remove(0)
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap().to_owned()
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_secret_among_the_variables_is_in_no_job_and_goes_with_it() {
    let lab = Lab::start(Parts::Programs).await;
    let mut parameters =
        job(r#"echo "{ \"text\": \"\", \"length\": ${#PASSWORD}, \"user\": \"$USER\" }""#);
    parameters["env"] = json!({ "PASSWORD": "correct horse battery", "USER": "admin" });
    let mut step = lab.step("run_job", parameters);
    step.redactor = Arc::new(Redactor::new([("correct horse battery", "[hidden]")]));
    let Performance::Done(result) = lab.action("run_job").perform(step).await else { panic!() };
    assert_eq!(result["output"], json!({ "text": "", "length": 21, "user": "admin" }));
    let job = only_job(&lab).await;
    assert!(job.to_string().contains("admin") && !job.to_string().contains("correct"), "{job:#}");
    assert_eq!(job["spec"]["ttlSecondsAfterFinished"], 3_600, "its end was seen");
    let secret = lab.done("get", of("v1", "Secret", &name(&job), json!({}))).await;
    assert_eq!(secret["values"], json!({ "PASSWORD": "correct horse battery" }));
    let owner = &secret["object"]["metadata"]["ownerReferences"][0];
    assert_eq!(owner["uid"], job["metadata"]["uid"]);
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_job_that_is_gone_is_not_made_again_unless_its_program_may_run_twice() {
    let lab = Lab::start(Parts::Programs).await;
    let folder = tempfile::tempdir().unwrap();
    let begun = folder.path().join("begun");
    let step = |script: &str, more: Value| {
        let mut parameters = job(&format!("echo x >>{}; {script}", begun.display()));
        parameters.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        lab.step("run_job", parameters)
    };
    let action = lab.action("run_job");
    let running = action.perform(step("sleep 60", json!({})));
    let deleted = async {
        lab::until("it runs", async || begun.exists().then_some(())).await.unwrap();
        let job = name(&only_job(&lab).await);
        lab.done("delete", of("batch/v1", "Job", &job, json!({ "wait": true }))).await;
    };
    let (performance, ()) = tokio::join!(running, deleted);
    let Performance::Unknown(error) = performance else { panic!("{performance:?}") };
    says(&error, ErrorKind::Unavailable, "is gone, and nobody knows how its program ended");

    let mut again = step("true", json!({}));
    again.resumed = true;
    let performance = action.perform(again).await;
    let Performance::Unknown(error) = performance else { panic!("{performance:?}") };
    says(&error, ErrorKind::Unavailable, "nobody knows whether its program ran");
    assert_eq!(std::fs::read_to_string(&begun).unwrap(), "x\n");

    let mut again = step("true", json!({ "effect": "idempotent" }));
    again.resumed = true;
    assert!(matches!(action.perform(again).await, Performance::Done(_)));
    assert_eq!(std::fs::read_to_string(&begun).unwrap(), "x\nx\n");
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn each_attempt_has_a_job_of_its_own_and_begins_when_the_one_before_has_ended() {
    let lab = Lab::start(Parts::Programs).await;
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger");
    let shown = ledger.display();
    let action = lab.action("run_job");
    let slow = format!(
        "trap 'sleep 2; echo ended >>{shown}; exit 1' TERM; echo begun >>{shown}; while :; do sleep 0.05; done"
    );
    let first = lab.step("run_job", job(&slow));
    let cancel = first.cancel.clone();
    // A pod that is not said to run is not given the time to end.
    let is_said_to_run = async || {
        let pods = json!({ "api_version": "v1", "kind": "Pod", "namespace": "default" });
        let pods = lab.done("list", pods).await;
        (pods["items"][0]["status"]["phase"] == "Running" && ledger.exists()).then_some(())
    };
    let timed_out = async {
        lab::until("it runs", is_said_to_run).await.unwrap();
        cancel.cancel();
    };
    let (performance, ()) = tokio::join!(action.perform(first), timed_out);
    assert!(matches!(performance, Performance::Unknown(_)), "{performance:?}");
    let mut names = Vec::new();
    for run in [2, 3] {
        let mut next = lab.step("run_job", job(&format!("echo run {run} >>{shown}; exit 75")));
        next.run = run;
        let Performance::Failed(error) = action.perform(next).await else { panic!() };
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
        names.push(error.details["job"].clone());
    }
    assert_ne!(names[0], names[1]);
    let told = std::fs::read_to_string(&ledger).unwrap();
    assert_eq!(told, "begun\nended\nrun 2\nrun 3\n");
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_right_that_is_missing_to_see_the_program_is_named() {
    let lab = Lab::start(Parts::Programs).await;
    let rules = json!([
        { "apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "create", "patch", "delete"] },
    ]);
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": { "name": "jobs" }, "rules": rules,
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": { "name": "jobs" },
        "subjects": [{ "kind": "ServiceAccount", "name": "narrow", "namespace": "default" }],
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "jobs" },
    });
    lab.done("apply", json!({ "manifest": [role, binding] })).await;
    let folder = tempfile::tempdir().unwrap();
    let mut step = lab.step("run_job", job("echo unseen"));
    step.parameters["connection"] = json!("narrow");
    step.log = folder.path().to_owned();
    let Performance::Done(result) = lab.action("run_job").perform(step).await else { panic!() };
    assert_eq!((&result["output"], &result["exit_code"]), (&Value::Null, &json!(0)));
    let rule = r#"resources: [pods], verbs: [list, watch]"#;
    assert!(result["warning"].as_str().unwrap().contains(rule), "{result:#}");
    let log = std::fs::read_to_string(folder.path().join("stderr.log")).unwrap();
    assert_eq!(log.matches(rule).count(), 1, "{log}");
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn an_output_that_is_too_long_is_marked() {
    let lab = Lab::start(Parts::Programs).await;
    let result =
        lab.done("run_job", job("head -c 5000000 /dev/zero | tr '\\0' x | fold -w 100000")).await;
    assert_eq!(result["output"]["truncated"], true);
    let text = result["output"]["text"].as_str().unwrap();
    assert!(text.len() <= 4 << 20 && text.len() > (4 << 20) - 100_002, "{}", text.len());
}

/// A pod whose containers `a` and `b` print their names, one line more each time.
fn pod(name: &str, annotations: Value) -> Value {
    let container = |name: &str| {
        let script = format!("for n in 1 2 3; do echo {name}$n; done");
        json!({ "name": name, "image": "any", "command": ["sh", "-c", script] })
    };
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "annotations": annotations },
        "spec": { "restartPolicy": "Never", "containers": [container("a"), container("b")] },
    })
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn logs_are_of_the_container_that_is_named_or_that_the_pod_names() {
    let lab = Lab::start(Parts::Programs).await;
    let default = json!({ "kubectl.kubernetes.io/default-container": "b" });
    lab.done("apply", json!({ "manifest": [pod("says", default), pod("silent", json!({}))] }))
        .await;
    for name in ["says", "silent"] {
        let ended =
            json!({ "for": { "field": "status.phase", "equals": "Succeeded" }, "timeout": "1m" });
        lab.done("wait", of("v1", "Pod", name, ended)).await;
    }
    let logs = |more: Value| {
        let mut all = json!({ "pod": "says" });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    for (parameters, expected) in [
        (json!({}), "b1\nb2\nb3\n"),
        (json!({ "container": "a" }), "a1\na2\na3\n"),
        (json!({ "container": "a", "tail": 1 }), "a3\n"),
        (json!({ "pod": "silent", "container": "b", "since": "1h" }), "b1\nb2\nb3\n"),
    ] {
        let told = lab.done("logs", logs(parameters.clone())).await;
        assert_eq!(told, json!({ "text": expected, "truncated": false }), "{parameters}");
    }
    let error = lab.failed("logs", logs(json!({ "pod": "silent" }))).await;
    says(&error, ErrorKind::Rejected, "a container name must be specified for pod silent");
    let error = lab.failed("logs", logs(json!({ "pod": "none" }))).await;
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_job_is_found_again_though_a_server_that_just_began_refuses_everybody_at_first() {
    let (lab, proxy) = Lab::behind_a_proxy(Parts::Programs).await;
    let script = json!({ "image": "any", "command": ["sh", "-c", "echo done"], "timeout": "2m" });
    let first = lab.done("run_job", script.clone()).await;
    let refused = |of| Trouble { of, status: 403, retry_after: None, times: 3 };
    proxy.answer(refused("/apis/batch/v1/namespaces/default/jobs/"));
    let mut step = lab.step("run_job", script.clone());
    step.resumed = true;
    let again = lab.action("run_job").perform(step).await;
    let Performance::Done(again) = again else { panic!("{again:?}") };
    assert_eq!((&again["pod"], &again["output"]), (&first["pod"], &json!({ "text": "done" })));

    // Of a right that is really missing it is told, when it has been missing for long.
    let mut missing = script;
    missing["connection"] = json!("narrow");
    let step = || lab.step("run_job", missing.clone());
    let begun = Instant::now();
    let fresh = lab.action("run_job").perform(step()).await;
    let Performance::Failed(error) = fresh else { panic!("{fresh:?}") };
    says(&error, ErrorKind::Denied, "may not create jobs");
    let soon = begun.elapsed();
    let begun = Instant::now();
    let resumed = lab.action("run_job").perform(Performing { resumed: true, ..step() }).await;
    let Performance::Unknown(error) = resumed else { panic!("{resumed:?}") };
    says(&error, ErrorKind::Denied, "may not get jobs");
    assert!(begun.elapsed() > soon, "who comes back is patient");
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_rollout_that_crashes_is_told_with_the_last_lines_that_its_container_wrote() {
    let lab = Lab::start(Parts::Programs).await;
    let script =
        "for n in $(seq 30); do echo line $n; done; echo cannot open the ledger >&2; exit 3";
    let labels = json!({ "app": "ledger" });
    let manifest = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "ledger" },
        "spec": {
            // It is ready as long as it runs.
            "minReadySeconds": 30,
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": { "containers": [
                    { "name": "main", "image": "any", "command": ["sh", "-c", script] },
                ] },
            },
        },
    });
    let apply = json!({ "manifest": manifest, "wait": { "timeout": "10m" } });
    let error = lab.failed("apply", apply).await;
    says(
        &error,
        ErrorKind::Failed,
        "Deployment default/ledger will not become healthy: pod ledger-",
    );
    says(&error, ErrorKind::Failed, "CrashLoopBackOff");
    let log = error.details["pods"][0]["log"].as_str().unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!((lines.len(), lines[19]), (20, "cannot open the ledger"), "{log}");
    assert_eq!(lines[0], "line 12");
}
