//! Many objects in one apply: side by side, and told in their order.

use std::time::{Duration, Instant};

use lab::Parts;
use model::ErrorKind;
use serde_json::{Value, json};

use super::{Lab, config_map, says};

fn maps(count: usize, value: &str) -> Vec<Value> {
    (0..count).map(|n| config_map(&format!("m{n:03}"), value)).collect()
}

fn results(applied: &Value) -> Vec<(&str, &str)> {
    let all = applied["objects"].as_array().unwrap().iter();
    all.map(|one| (one["name"].as_str().unwrap(), one["result"].as_str().unwrap())).collect()
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn many_objects_are_told_in_their_order_with_what_became_of_each() {
    let lab = Lab::start(Parts::Bare).await;
    let mut first = maps(40, "x");
    first.retain(|map| map["metadata"]["name"] != "m017");
    lab.done("apply", json!({ "manifest": first })).await;
    let mut all = maps(40, "x");
    all[33]["data"]["key"] = json!("y");
    let expected = |n: usize| match n {
        17 => "created",
        33 => "configured",
        _ => "unchanged",
    };
    let names: Vec<String> = (0..40).map(|n| format!("m{n:03}")).collect();
    let expected: Vec<(&str, &str)> =
        names.iter().enumerate().map(|(n, name)| (name.as_str(), expected(n))).collect();
    let compared = lab.done("diff", json!({ "manifest": all })).await;
    assert_eq!(results(&compared), expected);
    let applied = lab.done("apply", json!({ "manifest": all })).await;
    assert_eq!(results(&applied), expected);
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn one_of_many_that_is_refused_ends_the_step_with_what_was_done_beside_it() {
    let lab = Lab::start(Parts::Bare).await;
    let mut all = maps(40, "x");
    all[20]["data"]["not a key"] = json!("y");
    let error = lab.failed("apply", json!({ "manifest": all })).await;
    says(&error, ErrorKind::Rejected, "v1 ConfigMap m020: ");
    assert_eq!(error.details["object"]["name"], "m020");
    let done = error.details["done"].as_array().unwrap();
    let done: Vec<&str> = done.iter().map(|one| one["name"].as_str().unwrap()).collect();
    let maps = json!({ "api_version": "v1", "kind": "ConfigMap", "namespace": "default" });
    let there = lab.done("list", maps).await;
    let there = there["items"].as_array().unwrap().iter();
    let there: Vec<&str> = there
        .map(|map| {
            map["name"].as_str().unwrap_or_else(|| map["metadata"]["name"].as_str().unwrap())
        })
        .collect();
    let there: Vec<&str> = there.into_iter().filter(|name| name.starts_with('m')).collect();
    assert_eq!(done, there, "what is told is what is there");
    assert_eq!(done.len(), 31, "those beside it, and none after them");
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn objects_side_by_side_keep_to_the_connections_rate() {
    let lab = Lab::start(Parts::Bare).await;
    let begun = Instant::now();
    lab.done("apply", json!({ "manifest": maps(20, "x"), "connection": "slow" })).await;
    // Two requests for each, at 20 a second.
    assert!(begun.elapsed() > Duration::from_millis(1_900), "{:?}", begun.elapsed());
}

#[tokio::test]
#[ignore = "needs the lab"]
async fn the_namespace_of_many_objects_is_looked_at_once_for_those_that_are_written_together() {
    let (lab, proxy) = Lab::behind_a_proxy(Parts::Bare).await;
    lab.done("apply", json!({ "manifest": maps(32, "x") })).await;
    proxy.asked();
    lab.done("apply", json!({ "manifest": maps(32, "y") })).await;
    let asked = proxy.asked();
    let of_namespace = asked.iter().filter(|one| one.path.ends_with("/namespaces/default"));
    let of_namespace = of_namespace.count();
    assert!((1..32).contains(&of_namespace), "{of_namespace} of {}", asked.len());
}
