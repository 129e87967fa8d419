//! An interval that fires, through a kill and a time of nobody there.

use std::time::{Duration, Instant};

use host::Clock;
use serde_json::Value;

use crate::files::{PATIENCE, events_of, pack, text, world};
use crate::support::{World, eventually};

/// Long enough to miss some firings of a timer that fires every second.
const DOWNTIME: Duration = Duration::from_millis(3_500);

/// When each firing was scheduled, as seconds since 1970, once there are so many.
#[track_caller]
fn firings(world: &World, count: usize) -> Vec<i64> {
    let events = eventually(PATIENCE, || {
        let events = events_of(world, "timer.interval");
        (events.len() >= count).then_some(events)
    });
    events.iter().map(|data| seconds(&data["scheduled_at"])).collect()
}

fn seconds(time: &Value) -> i64 {
    let time: model::Timestamp = text(time).parse().unwrap();
    time.as_second()
}

fn now() -> i64 {
    Clock::System.now().as_second()
}

#[test]
fn an_interval_fires_and_is_late_at_most_once_after_a_downtime() {
    let world = world();
    pack(
        &world,
        "rules/beat.yaml",
        "trigger: { type: timer.interval, parameters: { every: 1s } }\naction: { ref: core.noop }\n",
    );
    let server = world.serve();
    firings(&world, 2);
    let timer = world.json(&["timer", "list", "--count", "3"])[0].clone();
    let next: Vec<i64> = timer["next"].as_array().unwrap().iter().map(seconds).collect();
    assert!(next.len() == 3 && next[1] == next[0] + 1 && next[2] == next[1] + 1, "{timer:#}");
    server.kill();
    let (killed_at, since) = (now(), Instant::now());
    eventually(PATIENCE, || (since.elapsed() > DOWNTIME).then_some(()));
    let back_at = now();
    let _server = world.serve();
    let fired = eventually(PATIENCE, || {
        let fired = firings(&world, 1);
        (fired.iter().filter(|at| **at > back_at).count() >= 2).then_some(fired)
    });
    let missed = fired.iter().filter(|at| (killed_at + 1..back_at).contains(*at)).count();
    assert_eq!(missed, 0, "of {killed_at} to {back_at} only the newest may fire: {fired:?}");
    assert!(fired.windows(2).all(|pair| pair[0] < pair[1]), "each time once, in order: {fired:?}");
}
