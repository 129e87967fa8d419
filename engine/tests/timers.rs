//! Timers come and go with the rules that name them.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs::File;

use engine::Engine;
use model::{Actor, Duration, Timestamp};
use store::EventFilter;
use support::{House, eventually};

fn house() -> House {
    let house = at("2030-01-01T00:30:00Z");
    schedule(&house, "1h");
    house
}

/// A house at this time.
fn at(time: &str) -> House {
    House { clock: host::Clock::simulated(time.parse().unwrap()), ..House::new() }
}

fn schedule(house: &House, every: &str) {
    trigger(house, &format!("timer.interval, parameters: {{ every: {every} }}"));
}

fn cron(house: &House, parameters: &str) {
    trigger(house, &format!("timer.cron, parameters: {{ {parameters} }}"));
}

fn trigger(house: &House, wanted: &str) {
    let rule = format!("trigger: {{ type: {wanted} }}\naction: {{ ref: core.noop }}\n");
    house.write("rules/tick.yaml", &rule);
}

/// Moves the clock to this time.
fn advance_to(house: &House, time: &str) {
    let (now, then) = (house.clock.now(), time.parse::<Timestamp>().unwrap());
    let seconds = u64::try_from(then.as_second() - now.as_second()).unwrap();
    house.advance(Duration::from_secs(seconds));
}

async fn stop(engine: Engine) {
    assert!(engine.shutdown(std::time::Duration::from_secs(10)).await);
}

/// The times told so far, oldest first, each with whether it was late.
async fn told(engine: &Engine) -> Vec<(String, bool)> {
    let filter = EventFilter { limit: 100, ..Default::default() };
    let mut told = Vec::new();
    let events = engine.events(&filter).await.unwrap().into_iter().rev();
    for row in events.filter(|row| row.envelope.kind.to_string().starts_with("timer.")) {
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

#[tokio::test]
async fn a_schedule_that_was_changed_and_changed_back_while_nobody_was_there_begins_anew() {
    let house = house();
    let engine = house.start().await;
    waits_for(&engine, "2030-01-01T01:00:00Z").await;
    stop(engine).await;
    schedule(&house, "1d");
    let engine = house.start().await;
    waits_for(&engine, "2030-01-02T00:00:00Z").await;
    stop(engine).await;
    house.advance(Duration::from_secs(5 * 60 * 60));
    schedule(&house, "1h");
    let engine = house.start().await;
    waits_for(&engine, "2030-01-01T06:00:00Z").await;
    assert_eq!(told(&engine).await, []);
}

/// Waits until so many times were told; they.
async fn times(engine: &Engine, count: usize) -> Vec<String> {
    eventually("the times", || async { told(engine).await.len() >= count }).await;
    let told = told(engine).await.into_iter();
    told.map(|(at, late)| format!("{at}{}", if late { " late" } else { "" })).collect()
}

#[tokio::test]
async fn an_hourly_cron_fires_on_time_and_after_a_downtime_as_misfire_says() {
    for (misfire, missed) in [
        ("misfire: skip", &[][..]),
        ("misfire: once", &["2030-01-01T06:00:00Z late"]),
        ("zone: UTC", &["2030-01-01T06:00:00Z late"]),
        (
            "misfire: all",
            &[
                "2030-01-01T02:00:00Z late",
                "2030-01-01T03:00:00Z late",
                "2030-01-01T04:00:00Z late",
                "2030-01-01T05:00:00Z late",
                "2030-01-01T06:00:00Z late",
            ],
        ),
        ("misfire: all, limit: 2", &["2030-01-01T05:00:00Z late", "2030-01-01T06:00:00Z late"]),
    ] {
        let house = at("2030-01-01T00:30:00Z");
        cron(&house, &format!("cron: '0 * * * *', {misfire}"));
        let engine = house.start().await;
        waits_for(&engine, "2030-01-01T01:00:00Z").await;
        advance_to(&house, "2030-01-01T01:00:01Z");
        assert_eq!(times(&engine, 1).await, ["2030-01-01T01:00:00Z"], "{misfire}");
        waits_for(&engine, "2030-01-01T02:00:00Z").await;
        stop(engine).await;
        advance_to(&house, "2030-01-01T06:20:00Z");
        let engine = house.start().await;
        waits_for(&engine, "2030-01-01T07:00:00Z").await;
        advance_to(&house, "2030-01-01T07:00:01Z");
        let expected = [&["2030-01-01T01:00:00Z"], missed, &["2030-01-01T07:00:00Z"]].concat();
        assert_eq!(times(&engine, expected.len()).await, expected, "{misfire}");
        stop(engine).await;
    }
}

#[tokio::test]
async fn each_time_fires_once_over_many_restarts() {
    let house = at("2030-01-01T00:30:00Z");
    cron(&house, "cron: '0 * * * *', misfire: all");
    let engine = house.start().await;
    waits_for(&engine, "2030-01-01T01:00:00Z").await;
    stop(engine).await;
    for restart in 1..=3 {
        advance_to(&house, &format!("2030-01-01T0{restart}:30:00Z"));
        let engine = house.start().await;
        waits_for(&engine, &format!("2030-01-01T0{}:00:00Z", restart + 1)).await;
        stop(engine).await;
    }
    let engine = house.start().await;
    let told = times(&engine, 3).await;
    assert_eq!(told, [1, 2, 3].map(|hour| format!("2030-01-01T0{hour}:00:00Z late")));
}

#[tokio::test]
async fn a_time_with_jitter_fires_once_within_its_bound_and_bears_its_own_name() {
    let house = at("2030-01-01T00:30:00Z");
    cron(&house, "cron: '0 * * * *', jitter: 10m");
    let engine = house.start().await;
    waits_for(&engine, "2030-01-01T01:00:00Z").await;
    advance_to(&house, "2030-01-01T01:10:00Z");
    waits_for(&engine, "2030-01-01T02:00:00Z").await;
    stop(engine).await;
    let engine = house.start().await;
    waits_for(&engine, "2030-01-01T02:00:00Z").await;
    let told: Vec<String> = told(&engine).await.into_iter().map(|(at, _)| at).collect();
    assert_eq!(told, ["2030-01-01T01:00:00Z"]);
}

#[tokio::test]
async fn clock_changes_leave_out_no_fixed_time_and_repeat_none_also_over_a_downtime() {
    for (start, times_of_it) in [
        // 02:30 is left out on March 29, and fires as the gap ends at 03:00.
        (
            "2026-03-28T12:00:00Z",
            ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z", "2026-03-31T00:30:00Z"],
        ),
        // It comes twice on October 25.
        (
            "2026-10-24T12:00:00Z",
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z", "2026-10-27T01:30:00Z"],
        ),
    ] {
        let house = at(start);
        cron(&house, "cron: '30 2 * * *', zone: Europe/Berlin, misfire: all");
        let engine = house.start().await;
        for time in &times_of_it[..2] {
            waits_for(&engine, time).await;
            advance_to(&house, time);
        }
        waits_for(&engine, times_of_it[2]).await;
        assert_eq!(times(&engine, 2).await, times_of_it[..2]);
        stop(engine).await;
        // The same days, slept through.
        let house = at(start);
        cron(&house, "cron: '30 2 * * *', zone: Europe/Berlin, misfire: all");
        let engine = house.start().await;
        waits_for(&engine, times_of_it[0]).await;
        stop(engine).await;
        advance_to(&house, times_of_it[1]);
        house.advance(Duration::from_secs(3_600));
        let engine = house.start().await;
        waits_for(&engine, times_of_it[2]).await;
        let late = times_of_it[..2].iter().map(|time| format!("{time} late"));
        assert_eq!(times(&engine, 2).await, late.collect::<Vec<_>>());
        stop(engine).await;
    }
}

/// Sets the clock and waits until the timer waits for `next`.
async fn set(house: &House, time: &str, next: &str) {
    let host::Clock::Simulated(hands) = &house.clock else { unreachable!() };
    hands.set(time.parse().unwrap());
    eventually("the timer to look", || async { hands.next() == next.parse().ok() }).await;
}

#[tokio::test]
async fn times_that_come_again_are_no_second_event_and_the_log_says_why_they_came() {
    let house = house();
    let log = File::create(house.path("log")).unwrap();
    let log = tracing_subscriber::fmt().without_time().with_ansi(false).with_writer(log);
    let _logged = tracing::subscriber::set_default(log.finish());
    let engine = house.start().await;
    waits_for(&engine, "2030-01-01T01:00:00Z").await;
    advance_to(&house, "2030-01-01T01:00:00Z");
    waits_for(&engine, "2030-01-01T02:00:00Z").await;
    set(&house, "2030-01-01T00:30:00Z", "2030-01-01T01:00:00Z").await;
    advance_to(&house, "2030-01-01T01:00:00Z");
    let counted = async || engine.sensors().await.unwrap()[0].events;
    eventually("it is told again", || async { counted().await == 2 }).await;
    set(&house, "2030-01-01T03:30:00Z", "2030-01-01T04:00:00Z").await;
    let on_time = ("2030-01-01T01:00:00Z".to_owned(), false);
    assert_eq!(told(&engine).await, [on_time, ("2030-01-01T03:00:00Z".to_owned(), true)]);
    let told = std::fs::read_to_string(house.path("log")).unwrap();
    for line in [
        "the clock went back by 30m: it was set from=2030-01-01T01:00:00Z to=2030-01-01T00:30:00Z",
        "the clock went forward by 2h30m: it was set, or the machine slept from=2030-01-01T01:00:00Z to=2030-01-01T03:30:00Z",
    ] {
        assert!(told.contains(line), "{told}");
    }
    stop(engine).await;
}
