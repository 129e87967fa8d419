//! Timers come and go with the rules that name them.
#![allow(clippy::unwrap_used)]

mod support;

use engine::Engine;
use model::{Actor, Duration, Timestamp};
use store::EventFilter;
use support::{House, eventually};

fn house() -> House {
    let start: Timestamp = "2030-01-01T00:30:00Z".parse().unwrap();
    let house = House { clock: host::Clock::simulated(start), ..House::new() };
    schedule(&house, "1h");
    house
}

fn schedule(house: &House, every: &str) {
    let rule = format!(
        "trigger: {{ type: timer.interval, parameters: {{ every: {every} }} }}\naction: {{ ref: core.noop }}\n"
    );
    house.write("rules/tick.yaml", &rule);
}

/// The times told so far, oldest first, each with whether it was late.
async fn told(engine: &Engine) -> Vec<(String, bool)> {
    let kind = "timer.interval".parse().ok();
    let filter = EventFilter { kind, limit: 100, ..Default::default() };
    let mut told = Vec::new();
    for row in engine.events(&filter).await.unwrap().into_iter().rev() {
        let (row, data) = engine.event(&row.key).await.unwrap();
        told.push((row.envelope.id, data["misfired"].as_bool().unwrap()));
    }
    told
}

/// Waits until the timer has stored that it waits for `next`.
async fn waits_for(engine: &Engine, next: &str) {
    let next: Timestamp = next.parse().unwrap();
    eventually("the timer to be at work", || async {
        let timers = engine.timers(1).await.unwrap();
        let sensors = engine.sensors().await.unwrap();
        timers.iter().any(|timer| timer.next.first() == Some(&next))
            && sensors.iter().all(|sensor| sensor.cursor.as_ref().is_some_and(|c| !c.is_null()))
    })
    .await;
}

#[tokio::test]
async fn a_rule_that_is_enabled_again_fires_for_nothing_that_it_missed() {
    let house = house();
    let engine = house.start().await;
    waits_for(&engine, "2030-01-01T01:00:00Z").await;
    let rule = "p.tick".parse().unwrap();
    engine.switch_rule(Actor::token("test"), &rule, Some(false)).await.unwrap();
    house.advance(Duration::from_secs(5 * 60 * 60));
    engine.switch_rule(Actor::token("test"), &rule, None).await.unwrap();
    waits_for(&engine, "2030-01-01T06:00:00Z").await;
    house.advance(Duration::from_secs(45 * 60));
    eventually("the timer to fire", || async { !told(&engine).await.is_empty() }).await;
    assert_eq!(told(&engine).await[0].0, "2030-01-01T06:00:00Z");
}

#[tokio::test]
async fn a_schedule_that_is_changed_and_changed_back_fires_for_nothing_that_it_missed() {
    let house = house();
    let engine = house.start().await;
    waits_for(&engine, "2030-01-01T01:00:00Z").await;
    schedule(&house, "1d");
    waits_for(&engine, "2030-01-02T00:00:00Z").await;
    house.advance(Duration::from_secs(5 * 60 * 60));
    schedule(&house, "1h");
    waits_for(&engine, "2030-01-01T06:00:00Z").await;
    assert_eq!(told(&engine).await, []);
}

#[tokio::test]
async fn a_timer_that_ended_before_the_server_did_begins_anew_after_it() {
    let house = house();
    let engine = house.start().await;
    waits_for(&engine, "2030-01-01T01:00:00Z").await;
    house.write("rules/tick.yaml", "enabled: false\ntrigger: { type: timer.interval, parameters: { every: 1h } }\naction: { ref: core.noop }\n");
    eventually("the timer's end", || async { engine.timers(1).await.unwrap().is_empty() }).await;
    engine.shutdown(std::time::Duration::from_secs(10)).await;
    house.advance(Duration::from_secs(5 * 60 * 60));
    schedule(&house, "1h");
    let engine = house.start().await;
    waits_for(&engine, "2030-01-01T06:00:00Z").await;
    assert_eq!(told(&engine).await, []);
}

#[tokio::test]
async fn a_timer_that_a_downtime_interrupted_fires_for_what_it_missed() {
    let house = house();
    let engine = house.start().await;
    waits_for(&engine, "2030-01-01T01:00:00Z").await;
    engine.shutdown(std::time::Duration::from_secs(10)).await;
    house.advance(Duration::from_secs(5 * 60 * 60));
    let engine = house.start().await;
    eventually("the timer to fire", || async { !told(&engine).await.is_empty() }).await;
    assert_eq!(told(&engine).await, [("2030-01-01T05:00:00Z".to_owned(), true)]);
}
