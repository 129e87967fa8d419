//! What controllers do, waited for: rollouts that succeed, that never can, and Jobs.

use lab::Parts;
use model::{ErrorKind, Performance};
use serde_json::{Value, json};

use super::{Lab, of, says};

/// A Deployment whose pods do what `behaviour` says (`lab/kwok/stages.yaml`).
fn deployment(behaviour: &str, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
        "spec": {
            "replicas": 2, "progressDeadlineSeconds": 600,
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web", "lab.tripline.dev/pod": behaviour } },
                "spec": { "containers": [{ "name": "main", "image": image }] },
            },
        },
    })
}

fn apply(object: Value, timeout: &str) -> Value {
    json!({ "manifest": object, "wait": { "for": "healthy", "timeout": timeout } })
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn an_apply_is_done_when_the_rollout_is_and_fails_as_soon_as_it_cannot_be() {
    let lab = Lab::start(Parts::Rollouts).await;
    let web = |more: Value| of("apps/v1", "Deployment", "web", more);
    lab.done("apply", apply(deployment("ready", "web:1"), "60s")).await;
    let found = lab.done("get", web(json!({}))).await;
    assert_eq!(found["object"]["status"]["availableReplicas"], 2);

    let error = lab.failed("apply", apply(deployment("ready", "web:bad"), "10m")).await;
    says(
        &error,
        ErrorKind::Failed,
        "apps/v1 Deployment default/web will not become healthy: pod web-",
    );
    says(&error, ErrorKind::Failed, "ImagePullBackOff");
    assert!(error.details["pods"][0]["reason"].is_string(), "{error:?}");

    lab.done("apply", apply(deployment("ready", "web:1"), "60s")).await;
    let error = lab.failed("apply", apply(deployment("crash", "web:2"), "10m")).await;
    says(&error, ErrorKind::Failed, "CrashLoopBackOff");

    let available = json!({ "for": { "condition": "Available" }, "timeout": "10m" });
    lab.done("wait", web(available.clone())).await;
    lab.done("delete", web(json!({ "wait": true }))).await;
    lab.done("apply", json!({ "manifest": deployment("crash", "web:2") })).await;
    let error = lab.failed("wait", web(available)).await;
    says(&error, ErrorKind::Failed, "CrashLoopBackOff");
    lab.done("delete", web(json!({ "wait": true }))).await;

    let error = lab.failed("apply", apply(deployment("never-ready", "web:3"), "3s")).await;
    says(&error, ErrorKind::Deadline, "not within 3s: progressing: ");
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_workload_is_scaled_and_restarted_once_for_each_step_and_no_other_of_its_name() {
    let lab = Lab::start(Parts::Rollouts).await;
    let web = |more: Value| of("apps/v1", "Deployment", "web", more);
    lab.done("apply", apply(deployment("ready", "web:1"), "60s")).await;
    assert_eq!(lab.done("scale", web(json!({ "replicas": 3 }))).await["changed"], true);
    assert_eq!(lab.done("scale", web(json!({ "replicas": 3 }))).await["changed"], false);
    let available =
        json!({ "for": { "field": "status.availableReplicas", "equals": 3 }, "timeout": "60s" });
    lab.done("wait", web(available)).await;
    let found = lab.done("get", web(json!({}))).await;
    let uid = &found["object"]["metadata"]["uid"];
    assert_eq!(
        lab.done("scale", web(json!({ "replicas": 3, "uid": uid }))).await["changed"],
        false
    );
    let other = web(json!({ "replicas": 0, "uid": "of-another" }));
    let error = lab.failed("scale", other).await;
    says(&error, ErrorKind::NotFound, "default/web: it is another object by now: its uid is");
    // What `scale` sends is refused by the API server itself, too.
    let sent = json!({ "metadata": { "uid": "of-another" }, "spec": { "replicas": 0 } });
    let error = lab.failed("patch", web(json!({ "subresource": "scale", "patch": sent }))).await;
    says(&error, ErrorKind::Conflict, "default/web: others changed it");
    let plan = lab.plan("scale", web(json!({ "replicas": 1 }))).await.unwrap();
    assert!(plan.changes[0].diff.as_ref().unwrap().contains("+  replicas: 1"), "{plan:?}");
    assert_eq!(lab.done("restart", web(json!({}))).await["changed"], true);
    assert_eq!(lab.done("restart", web(json!({}))).await["changed"], false, "the same step");
    lab.done("wait", web(json!({ "timeout": "60s" }))).await;
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_step_has_one_job_however_often_it_is_performed() {
    let lab = Lab::start(Parts::Rollouts).await;
    let job = |behaviour: &str| json!({ "image": "job:1", "labels": { "lab.tripline.dev/pod": behaviour }, "timeout": "2m" });
    let plan = lab.plan("run_job", job("ready")).await.unwrap();
    assert!(plan.summary.starts_with("creates batch/v1 Job default/tripline-"), "{plan:?}");
    let first = lab.done("run_job", job("ready")).await;
    assert_eq!(first["exit_code"], 0);
    assert_eq!(lab.done("run_job", job("ready")).await["pod"], first["pod"]);
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_job_that_fails_says_how_and_one_that_is_cancelled_is_deleted() {
    let lab = Lab::start(Parts::Rollouts).await;
    let job = |behaviour: &str| json!({ "image": "job:1", "labels": { "lab.tripline.dev/pod": behaviour }, "timeout": "2m" });
    let error = lab.failed("run_job", job("fail")).await;
    says(&error, ErrorKind::Program, "the program exited with 1");
    let name = error.details["job"].as_str().unwrap().to_owned();
    lab.done("delete", of("batch/v1", "Job", &name, json!({ "wait": true }))).await;

    let step = lab.step("run_job", job("endless"));
    let cancel = step.cancel.clone();
    let running = lab.action("run_job").perform(step);
    let there = async {
        let exists = of("batch/v1", "Job", &name, json!({ "for": { "field": "metadata.uid" } }));
        lab.done("wait", exists).await;
        cancel.cancel();
    };
    let (performance, ()) = tokio::join!(running, there);
    let Performance::Unknown(error) = performance else { panic!("{performance:?}") };
    assert_eq!(error.message, "the Job was deleted before it ended");
    lab.done("wait", of("batch/v1", "Job", &name, json!({ "for": "deleted" }))).await;
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_wave_is_applied_once_the_one_before_is_healthy_and_never_after_one_that_cannot_be() {
    let lab = Lab::start(Parts::Rollouts).await;
    let late = |name: &str| {
        let mut late = super::config_map(name, "x");
        late["metadata"]["annotations"] = json!({ "tripline.dev/wave": "1" });
        late
    };
    let there = async |name: &str| {
        let found =
            lab.done("get", of("v1", "ConfigMap", name, json!({ "missing": "null" }))).await;
        found["found"] == true
    };
    let all = json!([late("after"), deployment("ready", "web:1")]);
    lab.done("apply", json!({ "manifest": all })).await;
    assert!(there("after").await);
    let found = lab.done("get", of("apps/v1", "Deployment", "web", json!({}))).await;
    assert_eq!(found["object"]["status"]["availableReplicas"], 2, "it was waited for");

    let all = json!([late("never"), deployment("ready", "web:bad")]);
    let error = lab.failed("apply", json!({ "manifest": all })).await;
    says(&error, ErrorKind::Failed, "ImagePullBackOff");
    assert!(!there("never").await);
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn the_first_of_several_objects_that_will_never_be_healthy_ends_the_wait() {
    let lab = Lab::start(Parts::Rollouts).await;
    let named = |name: &str, behaviour: &str, image: &str| {
        let mut object = deployment(behaviour, image);
        object["metadata"]["name"] = json!(name);
        object["spec"]["selector"]["matchLabels"]["app"] = json!(name);
        object["spec"]["template"]["metadata"]["labels"]["app"] = json!(name);
        object
    };
    let both = json!([named("slow", "never-ready", "web:1"), named("stuck", "ready", "web:bad")]);
    let error = lab.failed("apply", apply(both.clone(), "10m")).await;
    says(&error, ErrorKind::Failed, "Deployment default/stuck will not become healthy");
    says(&error, ErrorKind::Failed, "ImagePullBackOff");

    let mut after = super::config_map("after", "x");
    after["metadata"]["annotations"] = json!({ "tripline.dev/wave": "1" });
    let waves = json!([both[0], both[1], after]);
    let error = lab.failed("apply", json!({ "manifest": waves })).await;
    says(&error, ErrorKind::Failed, "Deployment default/stuck will not become healthy");
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn an_object_that_somebody_deletes_is_not_waited_for_whoever_makes_another_one() {
    let lab = Lab::start(Parts::Rollouts).await;
    let web = |more: Value| of("apps/v1", "Deployment", "web", more);
    let applied =
        async || lab.failed("apply", apply(deployment("never-ready", "web:1"), "10m")).await;
    let deleted = async || {
        lab.done("wait", web(json!({ "for": { "field": "status.updatedReplicas" } }))).await;
        lab.done("delete", web(json!({}))).await;
    };
    let (error, ()) = tokio::join!(applied(), deleted());
    says(&error, ErrorKind::Failed, "is not waited for any longer: somebody deleted it");

    // Another one of its name says nothing of it.
    let replaced = async || {
        deleted().await;
        lab.done("wait", web(json!({ "for": "deleted" }))).await;
        lab.done("apply", json!({ "manifest": deployment("ready", "web:1") })).await;
    };
    let (error, ()) = tokio::join!(applied(), replaced());
    says(&error, ErrorKind::Failed, "somebody deleted it");

    let hold = web(json!({ "finalizer": "lab.tripline.dev/cleanup" }));
    let held = async || {
        lab.done("wait", web(json!({ "for": { "field": "status.updatedReplicas" } }))).await;
        lab.done("add_finalizer", hold.clone()).await;
        lab.done("delete", web(json!({}))).await;
    };
    lab.done("delete", web(json!({ "wait": true }))).await;
    let (error, ()) = tokio::join!(applied(), held());
    says(&error, ErrorKind::Failed, "held by its finalizers lab.tripline.dev/cleanup");
    lab.done("remove_finalizer", hold).await;
}
