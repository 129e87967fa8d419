//! What a watch of a cluster remembered goes some time after the last rule that wanted it.
#![allow(clippy::unwrap_used)]

mod support;

use engine::Engine;
use model::{Actor, BatchId, Duration, Fact, Stream, Value};
use serde_json::json;
use store::{Batch, Write};
use support::{House, eventually};

const DAY: u64 = 24 * 60 * 60;
const UNWANTED: &str = "kubernetes.object/0123456789ab";

fn house() -> House {
    let clock = host::Clock::simulated("2026-01-01T00:00:00Z".parse().unwrap());
    House { clock, ..House::new() }.in_cluster()
}

/// Stores what the watch with this id remembers of so many objects, and where it stands.
async fn remember(house: &House, id: &str, cursor: Value, objects: usize) {
    let write = |stream, fact| Write::new(stream, None, [fact]);
    let seen = |n: usize| {
        let entry = json!({ "uid": n.to_string() });
        write(Stream::Seen(format!("{id}/default/{n}")), Fact::ObjectSeen { entry })
    };
    let moved = write(Stream::Sensor(id.to_owned()), Fact::CursorMoved { cursor, behind: false });
    let all: Vec<Write> = (0..objects).map(seen).chain([moved]).collect();
    for (n, writes) in all.chunks(400).enumerate() {
        let (id, at) = (BatchId::new(format!("{id}/{n}")), house.clock.now());
        let batch = Batch { id, actor: Actor::engine(), at, writes: writes.to_vec() };
        house.store.append(batch).await.unwrap();
    }
}

async fn start(house: &House) -> Engine {
    let mut settings = house.settings();
    settings.environment = Some(house.path("dev.yaml"));
    settings.forget_every = Duration::from_millis(20);
    Engine::start(settings, house.store.clone(), house.clock.clone()).await.unwrap()
}

async fn remembered(house: &House, id: &str) -> (usize, Option<Value>) {
    let objects = house.store.all_seen(id, "", 2000).await.unwrap().len();
    let cursor = house.store.cursor(id).await.unwrap().map(|row| row.cursor);
    (objects, cursor.filter(|cursor| !cursor.is_null()))
}

/// A rule that watches maps; the id of its watch.
async fn watch(house: &House) -> String {
    let trigger = "{ type: kubernetes.object, parameters: { api_version: v1, kind: ConfigMap } }";
    house.write("rules/map.yaml", &format!("trigger: {trigger}\naction: {{ ref: core.noop }}\n"));
    let engine = house.start_in_environment().await;
    let id = engine.sensors().await.unwrap()[0].id.clone();
    engine.shutdown(support::PATIENCE).await;
    id
}

#[tokio::test]
async fn what_a_watch_remembered_goes_when_nobody_wanted_it_for_as_long_as_events_are_kept() {
    let house = house();
    let wanted = watch(&house).await;
    let cursor = json!({ "begun": "2026-01-01T00:00:00Z" });
    remember(&house, &wanted, cursor.clone(), 3).await;
    remember(&house, UNWANTED, cursor.clone(), 1000).await;
    house.advance(Duration::from_secs(6 * DAY));
    remember(&house, "kubernetes.object/younger", cursor.clone(), 2).await;
    let engine = start(&house).await;
    house.advance(Duration::from_secs(2 * DAY));
    eventually("it is forgotten", || async { remembered(&house, UNWANTED).await == (0, None) })
        .await;
    assert_eq!(remembered(&house, &wanted).await.0, 3, "a rule wants it");
    assert_eq!(remembered(&house, "kubernetes.object/younger").await, (2, Some(cursor)));
    engine.shutdown(support::PATIENCE).await;
}

#[tokio::test]
async fn forgetting_that_was_cut_short_goes_on_also_when_a_rule_is_back() {
    let house = house();
    let wanted = watch(&house).await;
    let begun = json!({ "forgetting": true });
    remember(&house, &wanted, begun.clone(), 5).await;
    remember(&house, UNWANTED, begun, 5).await;
    let engine = start(&house).await;
    eventually("it is forgotten", || async { remembered(&house, UNWANTED).await == (0, None) })
        .await;
    eventually("the watch begins anew", || async {
        let (objects, cursor) = remembered(&house, &wanted).await;
        objects == 0 && cursor.is_some_and(|cursor| !cursor["begun"].is_null())
    })
    .await;
    engine.shutdown(support::PATIENCE).await;
}
