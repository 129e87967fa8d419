//! Timers under a clock that the test moves.

#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::sync::Arc;

use host::Clock;
use model::{Duration, Value};
use sensors::{BuildContext, Built, Sensor, build};
use serde_json::json;
use support::{Recorder, Running};

fn timer(kind: &str, parameters: &Value) -> Arc<dyn Sensor> {
    let context = BuildContext::new("tripline:test/app/sensor", ".");
    match build(kind, parameters.as_object().unwrap(), &context) {
        Ok(Built::Task(sensor)) => sensor,
        other => panic!("{other:?}"),
    }
}

fn clock(at: &str) -> (Clock, impl Fn(u64)) {
    let clock = Clock::simulated(at.parse().unwrap());
    let Clock::Simulated(hands) = clock.clone() else { unreachable!() };
    (clock, move |secs| hands.advance(Duration::from_secs(secs)))
}

#[tokio::test]
async fn an_interval_fires_on_its_beat_and_tells_when_and_why() {
    let (clock, advance) = clock("2026-01-01T00:00:25Z");
    let recorder = Arc::new(Recorder::default());
    let sensor = timer("timer.interval", &json!({ "every": "30s" }));
    let running = Running::start(sensor, recorder.clone(), clock);
    recorder.until("the first sight is stored", |r| r.cursor.is_some()).await;
    for count in 1..=2 {
        advance(30);
        recorder.until("it fires", |r| r.emissions.len() == count + 1).await;
    }
    running.stop().await.unwrap();
    let events = recorder.events();
    let ids: Vec<&str> = events.iter().map(|event| event.envelope.id.as_str()).collect();
    assert_eq!(ids, ["2026-01-01T00:00:30Z", "2026-01-01T00:01:00Z"]);
    events.iter().for_each(support::assert_fits);
    assert_eq!(
        events[0].data,
        json!({
            "scheduled_at": "2026-01-01T00:00:30Z",
            "fired_at": "2026-01-01T00:00:55Z",
            "misfired": true,
        })
    );
}

#[tokio::test]
async fn a_restart_after_downtime_fires_what_was_missed_once() {
    let (clock, advance) = clock("2026-01-01T00:00:00Z");
    let recorder = Arc::new(Recorder::default());
    let sensor = timer("timer.cron", &json!({ "cron": "*/5 * * * *" }));
    let running = Running::start(sensor.clone(), recorder.clone(), clock.clone());
    recorder.until("the first sight is stored", |r| r.cursor.is_some()).await;
    running.stop().await.unwrap();
    assert_eq!(recorder.events(), []);
    advance(3_600);
    let running = Running::start(sensor.clone(), recorder.clone(), clock.clone());
    recorder.until("it catches up", |r| r.emissions.len() == 2).await;
    running.stop().await.unwrap();
    let running = Running::start(sensor, recorder.clone(), clock);
    running.stop().await.unwrap();
    let ids: Vec<String> = recorder.events().into_iter().map(|event| event.envelope.id).collect();
    assert_eq!(ids, ["2026-01-01T01:00:00Z"]);
}

#[tokio::test]
async fn a_point_in_time_that_has_passed_fires_and_ends_the_timer() {
    let (clock, _) = clock("2026-01-01T00:00:00Z");
    let recorder = Arc::new(Recorder::default());
    let sensor = timer("timer.at", &json!({ "time": "2025-12-31T00:00:00+01:00" }));
    Running::start(sensor.clone(), recorder.clone(), clock.clone()).ended().await.unwrap();
    Running::start(sensor, recorder.clone(), clock).ended().await.unwrap();
    let events = recorder.events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].data["misfired"], true);
    assert_eq!(events[0].data["scheduled_at"], "2025-12-30T23:00:00Z");
}

#[tokio::test]
async fn a_firing_that_is_not_stored_fires_again() {
    let (clock, _) = clock("2026-01-01T00:00:00Z");
    let recorder = Arc::new(Recorder::default());
    recorder.look(|recorded| recorded.refuse = 1);
    let sensor = timer("timer.at", &json!({ "time": "2026-01-01T00:00:00Z" }));
    let error = Running::start(sensor.clone(), recorder.clone(), clock.clone()).ended().await;
    assert!(error.is_err());
    Running::start(sensor, recorder.clone(), clock).ended().await.unwrap();
    assert_eq!(recorder.events().len(), 1);
}

#[tokio::test]
async fn a_clock_that_went_ahead_and_is_right_again_leaves_out_no_time() {
    let (clock, advance) = clock("2026-01-01T00:00:25Z");
    let Clock::Simulated(hands) = clock.clone() else { unreachable!() };
    let recorder = Arc::new(Recorder::default());
    let sensor = timer("timer.interval", &json!({ "every": "1h" }));
    let running = Running::start(sensor, recorder.clone(), clock.clone());
    let waits_for = async |time: &str| {
        let time = time.parse().ok();
        recorder.until("it waits", |_| hands.next() == time).await;
    };
    waits_for("2026-01-01T01:00:00Z").await;
    hands.set("2026-01-02T00:00:30Z".parse().unwrap());
    waits_for("2026-01-02T01:00:00Z").await;
    hands.set("2026-01-01T00:59:00Z".parse().unwrap());
    waits_for("2026-01-01T01:00:00Z").await;
    advance(60);
    waits_for("2026-01-01T02:00:00Z").await;
    assert_eq!(recorder.cursor(), Some(json!({ "handled": "2026-01-02T00:00:00Z" })));
    running.stop().await.unwrap();
    let ids: Vec<String> = recorder.events().into_iter().map(|event| event.envelope.id).collect();
    assert_eq!(ids, ["2026-01-02T00:00:00Z", "2026-01-01T01:00:00Z"]);
}

#[tokio::test]
async fn a_clock_that_was_set_back_and_is_right_again_tells_nothing_that_has_been() {
    let (clock, _) = clock("2026-01-01T00:00:25Z");
    let Clock::Simulated(hands) = clock.clone() else { unreachable!() };
    let recorder = Arc::new(Recorder::default());
    let sensor = timer("timer.cron", &json!({ "cron": "0 * * * *", "misfire": "all" }));
    let running = Running::start(sensor, recorder.clone(), clock.clone());
    for (set, next) in [
        ("2026-01-01T00:00:25Z", "2026-01-01T01:00:00Z"),
        ("1970-01-01T00:30:00Z", "1970-01-01T01:00:00Z"),
        ("2026-01-01T03:30:00Z", "2026-01-01T04:00:00Z"),
    ] {
        hands.set(set.parse().unwrap());
        let next = next.parse().ok();
        recorder.until("it waits", |_| hands.next() == next).await;
    }
    running.stop().await.unwrap();
    let ids: Vec<String> = recorder.events().into_iter().map(|event| event.envelope.id).collect();
    let missed = ["2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z", "2026-01-01T03:00:00Z"];
    assert_eq!(ids, missed, "what the downtime of a right clock would be");
}

#[test]
fn upcoming_times_are_known_ahead() {
    let sensor = timer("timer.cron", &json!({ "cron": "0 9 * * 1-5", "zone": "Europe/Berlin" }));
    let now = "2026-03-27T12:00:00Z".parse().unwrap();
    let times: Vec<String> =
        sensor.upcoming(None, now, 2).iter().map(ToString::to_string).collect();
    assert_eq!(times, ["2026-03-30T07:00:00Z", "2026-03-31T07:00:00Z"]);
}
