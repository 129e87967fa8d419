//! Objects of a real cluster become events: none missed, none told twice, whatever ends in between.
#![allow(clippy::unwrap_used, reason = "tests")]

mod busy;
mod faults;
mod guard;
mod kinds;
mod large;
mod lists;
mod narrowed;
mod restored;
mod selected;
mod shared;
mod slow;
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod unfit;

use std::time::Duration;

use host::kubernetes::Request;
use model::Value;
use serde_json::json;
use stage::{Stage, no_labels};
use support::Recorded;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn changes_are_told_as_they_happen_and_once_over_restarts() {
    let stage = Stage::new().await;
    stage.make("old", no_labels()).await;
    stage.next_second().await;
    let watch = stage.maps(json!({}));
    stage.is_watching().await;
    stage.make("a", no_labels()).await;
    stage.set("a", 1).await;
    stage.set("old", 1).await;
    stage.remove("old").await;
    let first = ["added a 0", "modified a 1", "modified old 1", "deleted old 1"];
    stage.tells(&first).await;
    let modified = stage.recorder.events()[1].data.clone();
    assert_eq!(modified["changed"], json!(["data.k"]));
    assert_eq!(modified["old"]["data"]["k"], "0");
    watch.stop().await.unwrap();
    stage.set("a", 2).await;
    stage.make("b", no_labels()).await;
    stage.remove("b").await;
    let watch = stage.maps(json!({}));
    stage.is_watching().await;
    stage.set("a", 3).await;
    let rest = ["modified a 2", "added b 0", "deleted b 0", "modified a 3"];
    stage.tells(&[&first[..], &rest[..]].concat()).await;
    let events = stage.recorder.events();
    let caught_up: Vec<_> = events.iter().map(|event| event.data["catch_up"] == true).collect();
    assert_eq!(caught_up, [[false; 4], [true, true, true, false]].concat());
    watch.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn a_watch_that_hears_nothing_keeps_up_by_bookmarks() {
    let mut stage = Stage::new().await;
    // The API server says how far it is shortly before a watch ends.
    stage.timing.length = Duration::from_secs(5);
    let watch = stage.maps(json!({}));
    stage.is_watching().await;
    stage.make_in("kube-system", "elsewhere", no_labels()).await;
    let elsewhere = Request::get(&stage.maps.object(Some("kube-system"), "elsewhere", None));
    let made = stage.ask(elsewhere).await["metadata"]["resourceVersion"].clone();
    let number = |version: &Value| version.as_str().and_then(|text| text.parse::<u64>().ok());
    let keeps_up = |it: &Recorded| {
        let cursor = it.cursor.as_ref().unwrap();
        number(&cursor["versions"]["default"]) >= number(&made)
    };
    stage.recorder.until("it keeps up", keeps_up).await;
    assert_eq!(stage.told(), [""; 0]);
    watch.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn what_is_there_at_first_is_told_where_that_is_asked_for() {
    let stage = Stage::new().await;
    for n in 0..3 {
        stage.make(&format!("m{n}"), no_labels()).await;
    }
    stage.next_second().await;
    let watch = stage.maps(json!({ "initial": "emit" }));
    stage.tells(&["added m0 0", "added m1 0", "added m2 0"]).await;
    assert!(stage.recorder.events().iter().all(|event| event.data["initial"] == true));
    watch.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the lab"]
async fn an_object_that_a_selector_no_longer_chooses_has_left_and_comes_back() {
    let stage = Stage::new().await;
    let watch = stage.maps(json!({ "labels": "app=web" }));
    stage.is_watching().await;
    stage.make("a", json!({ "app": "web" })).await;
    stage.patch("a", json!({ "metadata": { "labels": { "app": "other" } } })).await;
    stage.recorder.until("left", |it| it.seen.is_empty() && it.emissions.len() >= 3).await;
    stage.patch("a", json!({ "metadata": { "labels": { "app": "web" } } })).await;
    stage.remove("a").await;
    stage.tells(&["added a 0", "left a 0", "entered a 0", "deleted a 0"]).await;
    watch.stop().await.unwrap();
    // While nobody watches.
    stage.make("b", json!({ "app": "web" })).await;
    let watch = stage.maps(json!({ "labels": "app=web" }));
    stage.tells(&["added a 0", "left a 0", "entered a 0", "deleted a 0", "added b 0"]).await;
    watch.stop().await.unwrap();
}
