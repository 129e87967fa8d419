//! An API server that has too much to do, or is in trouble for a moment: it is obeyed, and nothing is done
//! twice or called done.

use std::time::{Duration, Instant};

use actions::Performing;
use lab::{Asked, Parts, Proxy, Trouble};
use model::{ErrorKind, Performance};
use serde_json::{Value, json};

use super::{Lab, config_map, of, says};

/// Later, says the server.
fn later(of: &'static str, status: u16, times: usize) -> Trouble {
    Trouble { of, status, retry_after: Some(1), times }
}

/// Something went wrong, says a gateway.
fn broken(of: &'static str, status: u16, times: usize) -> Trouble {
    Trouble { of, status, retry_after: None, times }
}

fn map(name: &str, more: Value) -> Value {
    of("v1", "ConfigMap", name, more)
}

/// How long after each request that was answered so the next one of the same method came.
fn pauses(asked: &[Asked], status: u16) -> Vec<Duration> {
    let after = |n: usize| {
        let next = asked[n + 1..].iter().find(|next| next.method == asked[n].method);
        next.unwrap().after(&asked[n])
    };
    let refused = (0..asked.len()).filter(|n| asked[*n].status == status);
    refused.map(after).collect()
}

fn count(proxy: &Proxy, method: &str, part: &str) -> usize {
    let is_it = |one: &&Asked| one.method == method && one.path.contains(part);
    proxy.asked().iter().filter(is_it).count()
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_server_that_says_when_to_come_again_is_obeyed() {
    let (lab, proxy) = Lab::behind_a_proxy(Parts::Bare).await;
    proxy.answer(later("GET /api/v1", 503, 1));
    proxy.answer(later("PATCH ", 429, 2));
    let applied = lab.done("apply", json!({ "manifest": config_map("one", "x") })).await;
    assert_eq!(applied["objects"][0]["result"], "created");
    proxy.answer(later("PATCH ", 503, 1));
    lab.done("label", map("one", json!({ "labels": { "a": "b" } }))).await;
    proxy.answer(later("DELETE ", 429, 1));
    proxy.answer(later("DELETE ", 503, 1));
    assert_eq!(lab.done("delete", map("one", json!({}))).await["existed"], true);
    let asked = proxy.asked();
    let pauses = [pauses(&asked, 429), pauses(&asked, 503)].concat();
    assert_eq!(pauses.len(), 6, "{asked:#?}");
    let obeyed = |pause: &Duration| *pause >= Duration::from_secs(1);
    assert!(pauses.iter().all(obeyed), "{pauses:?}");
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn what_may_have_been_done_is_not_sent_again_where_twice_is_once_too_often() {
    let (lab, proxy) = Lab::behind_a_proxy(Parts::Bare).await;
    lab.done("apply", json!({ "manifest": config_map("one", "x") })).await;
    proxy.asked();
    proxy.answer(later("PATCH ", 503, 1));
    let add = json!([{ "op": "add", "path": "/data/more", "value": "y" }]);
    let step = lab.step("patch", map("one", json!({ "type": "json", "patch": add })));
    let performance = lab.action("patch").perform(step).await;
    assert!(matches!(performance, Performance::Unknown(_)), "{performance:?}");
    assert_eq!(count(&proxy, "PATCH", "/one"), 1);
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn trouble_in_the_middle_of_a_change_is_told_as_what_it_is() {
    let (lab, proxy) = Lab::behind_a_proxy(Parts::Bare).await;
    let apply = json!({ "manifest": config_map("one", "x") });
    proxy.answer(broken("PATCH ", 429, 1));
    let error = lab.failed("apply", apply.clone()).await;
    says(&error, ErrorKind::RateLimited, "v1 ConfigMap one: there is trouble");
    for status in [500, 502, 503, 504] {
        proxy.answer(broken("PATCH ", status, 1));
        let performance = lab.perform("apply", apply.clone()).await;
        assert!(matches!(performance, Performance::Unknown(_)), "{status}: {performance:?}");
    }
    lab.done("apply", apply).await;
    proxy.answer(broken("DELETE ", 502, 1));
    let delete = map("one", json!({ "wait": true }));
    let performance = lab.perform("delete", delete.clone()).await;
    assert!(matches!(performance, Performance::Unknown(_)), "{performance:?}");
    assert_eq!(lab.done("delete", delete).await["existed"], true);
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_wait_goes_on_over_trouble_and_ends_when_its_time_is_up() {
    let (lab, proxy) = Lab::behind_a_proxy(Parts::Bare).await;
    lab.done("apply", json!({ "manifest": config_map("one", "x") })).await;
    for status in [500, 502, 503, 504, 429, 403] {
        proxy.answer(broken("configmaps/one", status, 1));
    }
    proxy.answer(broken("watch=true", 503, 2));
    proxy.answer(later("watch=true", 429, 1));
    let there = json!({ "for": { "field": "data.key", "equals": "x" }, "timeout": "60s" });
    lab.done("wait", map("one", there)).await;

    proxy.answer(Trouble { of: "configmaps", status: 429, retry_after: Some(15), times: 100 });
    let begun = Instant::now();
    let never = json!({ "for": { "field": "data.key", "equals": "y" }, "timeout": "1s" });
    let error = lab.failed("wait", map("one", never)).await;
    says(&error, ErrorKind::Deadline, "not within 1s");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_job_runs_once_whatever_trouble_its_step_has_with_the_server() {
    let (lab, proxy) = Lab::behind_a_proxy(Parts::Rollouts).await;
    proxy.answer(later("POST ", 429, 1));
    proxy.answer(broken("GET /apis/batch/v1/namespaces/default/jobs/", 503, 2));
    proxy.answer(later("labelSelector=batch.kubernetes.io%2Fjob-name", 429, 1));
    proxy.answer(broken("labelSelector=batch.kubernetes.io%2Fjob-name", 500, 2));
    let job =
        json!({ "image": "job:1", "labels": { "lab.tripline.dev/pod": "ready" }, "timeout": "2m" });
    let result = lab.done("run_job", job).await;
    assert_eq!(result["exit_code"], 0);
    let jobs = json!({ "api_version": "batch/v1", "kind": "Job", "namespace": "default" });
    assert_eq!(lab.done("list", jobs).await["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn what_somebody_objects_to_is_not_called_deleted() {
    let (lab, proxy) = Lab::behind_a_proxy(Parts::Bare).await;
    lab.done("apply", json!({ "manifest": config_map("one", "x") })).await;
    proxy.answer(broken("DELETE ", 409, 1));
    let error = lab.failed("delete", map("one", json!({}))).await;
    says(&error, ErrorKind::Conflict, "there is trouble");
    assert_eq!(lab.done("get", map("one", json!({}))).await["found"], true);
    assert_eq!(lab.done("delete", map("one", json!({}))).await["existed"], true);
}

/// Whether the pods of a Job were asked for.
fn is_followed(asked: &[Asked]) -> Option<()> {
    asked.iter().any(|asked| asked.path.contains("/pods?")).then_some(())
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_job_whose_making_failed_is_looked_for_and_nobody_knows_where_it_is_not_found() {
    let (lab, proxy) = Lab::behind_a_proxy(Parts::Bare).await;
    let fails = || proxy.answer(broken("POST ", 504, 1));
    let step = |effect: &str| lab.step("run_job", json!({ "image": "any", "effect": effect }));
    fails();
    let performance = lab.action("run_job").perform(step("unsafe")).await;
    assert!(matches!(performance, Performance::Unknown(_)), "{performance:?}");
    fails();
    let performance = lab.action("run_job").perform(step("idempotent")).await;
    assert!(matches!(performance, Performance::Failed(_)), "{performance:?}");
    // The API server goes on with it after its gateway gave up.
    let jobs = "/apis/batch/v1/namespaces/default/jobs/";
    fails();
    proxy.answer(broken("GET /apis/batch/v1/namespaces/default/jobs/", 503, 1_000));
    proxy.asked();
    let performing = step("unsafe");
    let key = performing.key.to_string();
    let late = async {
        let looked = async || {
            let asked = proxy.asked().into_iter().find(|asked| asked.path.starts_with(jobs))?;
            Some(asked.path[jobs.len()..].to_owned())
        };
        let name = lab::until("it is looked for", looked).await.unwrap();
        let container = json!({ "name": "program", "image": "any" });
        let pod = json!({ "restartPolicy": "Never", "containers": [container] });
        let job = json!({ "apiVersion": "batch/v1", "kind": "Job",
            "metadata": { "name": name, "annotations": { "tripline.dev/key": key } },
            "spec": { "template": { "spec": pod } } });
        lab.done("apply", json!({ "manifest": job, "connection": "direct" })).await;
        proxy.recover();
        lab::until("it is followed", async || is_followed(&proxy.asked())).await.unwrap();
        let gone = of("batch/v1", "Job", &name, json!({ "connection": "direct" }));
        lab.done("delete", gone).await;
    };
    let (performance, ()) = tokio::join!(lab.action("run_job").perform(performing), late);
    let Performance::Unknown(error) = performance else { panic!("{performance:?}") };
    assert!(error.message.contains("somebody deleted it"), "{error}");
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn a_job_that_somebody_suspended_is_left_to_him() {
    let (lab, proxy) = Lab::behind_a_proxy(Parts::Bare).await;
    let followed = async |resumed| {
        let step = Performing { resumed, ..lab.step("run_job", json!({ "image": "any" })) };
        let (cancel, stopping) = (step.cancel.clone(), step.stopping.clone());
        let mut all = Vec::new();
        let ends = async {
            let looks = async || {
                all.extend(proxy.asked());
                is_followed(&all)
            };
            lab::until("it is followed", looks).await.unwrap();
            stopping.cancel();
            cancel.cancel();
        };
        tokio::join!(lab.action("run_job").perform(step), ends);
        all
    };
    proxy.asked();
    followed(false).await;
    let jobs = json!({ "api_version": "batch/v1", "kind": "Job", "namespace": "default" });
    let jobs = lab.done("list", jobs).await;
    let name = jobs["items"][0]["metadata"]["name"].as_str().unwrap();
    let suspend = json!({ "patch": { "spec": { "suspend": true } } });
    lab.done("patch", of("batch/v1", "Job", name, suspend)).await;
    proxy.asked();
    let asked = followed(true).await;
    assert!(asked.iter().all(|asked| asked.method == "GET"), "{asked:?}");
}
