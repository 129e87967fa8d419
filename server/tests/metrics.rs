//! `/metrics` tells what was done, in a format that is read strictly.
#![allow(clippy::unwrap_used)]

#[path = "support/exposition.rs"]
mod exposition;
mod support;

use engine::metrics::METRICS;
use exposition::Exposition;
use reqwest::Method;
use serde_json::json;
use support::{Served, send};

async fn look(served: &Served) -> Exposition {
    let answer = served.get("/metrics").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    Exposition::read(&answer.text)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_counted() {
    let served = Served::start().await;
    for item in ["bike", "car", "nothing"] {
        let event = json!({ "type": "shop.ordered", "id": item, "data": { "item": item } });
        let answer = served.post("/api/v1/events", event).await;
        for id in answer.json()["executions"].as_array().unwrap() {
            served.ended(id.as_str().unwrap()).await;
        }
    }
    for (item, status) in [("bike", 200), ("bus", 200)] {
        let event = json!({ "type": "shop.ordered", "id": "bike", "data": { "item": item } });
        assert_eq!(served.post("/api/v1/events", event).await.status, status);
    }
    let failing = json!({ "message": "no", "kind": "unavailable" });
    let failing = json!({ "action": "core.fail", "parameters": failing });
    let failed = served.post("/api/v1/executions", failing).await.json();
    served.ended(failed["id"].as_str().unwrap()).await;

    let told = look(&served).await;
    for (name, labels, value) in [
        ("tripline_events_accepted_total", &[("source", "api")][..], 3.0),
        ("tripline_event_duplicates_total", &[("differs", "false")], 1.0),
        ("tripline_event_duplicates_total", &[("differs", "true")], 1.0),
        ("tripline_rule_matches_total", &[("rule", "shop.ship")], 2.0),
        ("tripline_rule_errors_total", &[("rule", "shop.ship")], 0.0),
        ("tripline_executions_requested_total", &[("origin", "rule")], 2.0),
        ("tripline_executions_requested_total", &[("origin", "manual")], 1.0),
        (
            "tripline_executions_finished_total",
            &[("action", "shop.ship"), ("outcome", "succeeded")],
            2.0,
        ),
        (
            "tripline_executions_finished_total",
            &[("action", "core.fail"), ("outcome", "failed")],
            1.0,
        ),
        (
            "tripline_step_seconds_count",
            &[("action", "core.echo"), ("connection", ""), ("outcome", "done")],
            2.0,
        ),
        // Each attempt.
        (
            "tripline_step_seconds_count",
            &[("action", "core.fail"), ("connection", ""), ("outcome", "failed")],
            3.0,
        ),
        ("tripline_executions", &[("state", "succeeded")], 2.0),
        ("tripline_executions", &[("state", "queued")], 0.0),
        ("tripline_needs_attention", &[], 0.0),
        ("tripline_oldest_queued_seconds", &[], 0.0),
        ("tripline_steps_running", &[("kind", "action")], 0.0),
        ("tripline_packs", &[("state", "active")], 1.0),
        ("tripline_sensor_state", &[("sensor", "shop.hook"), ("state", "running")], 1.0),
        ("tripline_ready", &[], 1.0),
        ("tripline_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0),
    ] {
        assert_eq!(told.value(name, labels), Some(value), "{name} {labels:?}");
    }
    let facts = told.value("tripline_store_facts_total", &[]).unwrap();
    let commits = told.value("tripline_commit_seconds_count", &[]).unwrap();
    assert!(commits > 5.0 && facts >= commits, "{commits} commits of {facts} facts");
    assert!(told.value("tripline_store_bytes", &[]).unwrap() > 4096.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sensor_tells_its_lag_and_what_it_refused() {
    let served = Served::start().await;
    let body = r#"{"item":"bike"}"#;
    let good = served.hook("/webhooks/shop/hook", body).header("X-Delivery", "1");
    let signature = support::signature(body);
    assert_eq!(send(good.header("X-Signature", signature)).await.status, 202);
    let bad = served.hook("/webhooks/shop/hook", body).header("X-Delivery", "2");
    assert_eq!(send(bad.header("X-Signature", "sha256=00")).await.status, 401);

    let (told, hook) = (look(&served).await, ("sensor", "shop.hook"));
    assert_eq!(told.value("tripline_sensor_events_total", &[hook]), Some(1.0));
    assert_eq!(told.value("tripline_events_accepted_total", &[("source", "shop.hook")]), Some(1.0));
    let lag = told.value("tripline_sensor_lag_seconds", &[hook]).unwrap();
    assert!((0.0..30.0).contains(&lag), "{lag}");
    let refused = [hook, ("reason", "bad_signature")];
    assert_eq!(told.value("tripline_webhooks_refused_total", &refused), Some(1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_the_table_is_told_with_its_labels_and_none_other() {
    let served = Served::start().await;
    served.ended(&served.order("bike").await).await;
    let told = look(&served).await;
    for name in told.types.keys() {
        let metric = METRICS.iter().find(|metric| metric.name == name);
        let metric = metric.unwrap_or_else(|| panic!("{name} is not in the table"));
        assert_eq!(told.types[name], metric.kind.name(), "{name}");
        assert!(told.helped.contains(name), "{name} has no help");
        assert!(
            told.labels(name).iter().eq(sorted(metric.labels)),
            "{name}: {:?}",
            told.labels(name)
        );
    }
    let silent = METRICS.iter().filter(|metric| !told.types.contains_key(metric.name));
    let silent: Vec<&str> = silent.map(|metric| metric.name).collect();
    // They begin with the first of what they count.
    let later = [
        "tripline_event_duplicates_total",
        "tripline_event_pages_given_up_total",
        "tripline_cluster_request_seconds",
        "tripline_sensor_lag_seconds",
        "tripline_sensor_last_event_timestamp_seconds",
        "tripline_webhooks_refused_total",
        "tripline_api_requests_refused_total",
        "tripline_spans_total",
    ];
    assert_eq!(silent, later);
}

fn sorted(labels: &[&'static str]) -> Vec<&'static str> {
    let mut labels = labels.to_vec();
    labels.sort_unstable();
    labels
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_take_a_token_that_covers_every_pack() {
    let served = Served::start().await;
    assert_eq!(send(served.request(Method::GET, "/metrics")).await.status, 401);
    for (name, packs, status) in [("all", json!([]), 200), ("some", json!(["shop"]), 403)] {
        let body = json!({ "name": name, "role": "viewer", "packs": packs });
        let token = served.post("/api/v1/tokens", body).await.json();
        let request = served.request(Method::GET, "/metrics");
        let answer = send(request.bearer_auth(token["token"].as_str().unwrap())).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
    let told = look(&served).await;
    for reason in ["unauthenticated", "denied"] {
        let refused = told.value("tripline_api_requests_refused_total", &[("reason", reason)]);
        assert_eq!(refused, Some(1.0), "{reason}");
    }
}
