//! An interval that fires, through a kill and a time of nobody there.

use host::Clock;
use serde_json::Value;

use crate::files::{PATIENCE, events_of, pack, text, world};
use crate::support::{World, eventually};

/// One beat, as its event tells it, in seconds since 1970.
#[derive(Debug)]
struct Beat {
    scheduled: i64,
    fired: f64,
}

/// The beats so far, once two of them fired after this second.
#[track_caller]
fn beats(world: &World, after: i64) -> Vec<Beat> {
    let beat = |data: &Value| Beat {
        scheduled: time(&data["scheduled_at"]).as_second(),
        fired: time(&data["fired_at"]).as_millisecond() as f64 / 1_000.0,
    };
    eventually(PATIENCE, || {
        let beats: Vec<Beat> = events_of(world, "timer.interval").iter().map(beat).collect();
        let later = beats.iter().filter(|beat| beat.fired > after as f64).count();
        (later >= 2).then_some(beats)
    })
}

fn time(value: &Value) -> model::Timestamp {
    text(value).parse().unwrap()
}

#[test]
fn of_the_beats_of_a_downtime_only_the_newest_fires() {
    let world = world();
    pack(
        &world,
        "rules/beat.yaml",
        "trigger: { type: timer.interval, parameters: { every: 1s } }\naction: { ref: core.noop }\n",
    );
    let server = world.serve();
    beats(&world, 0);
    let timer = world.json(&["timer", "list", "--count", "3"])[0].clone();
    let next = timer["next"].as_array().unwrap().iter().map(|at| time(at).as_second());
    let next: Vec<i64> = next.collect();
    assert!(next.len() == 3 && next[1] == next[0] + 1 && next[2] == next[1] + 1, "{timer:#}");
    server.kill();
    // At least three beats pass with nobody there, and the next one comes.
    let killed_at = Clock::System.now().as_second();
    let back_at = killed_at + 4;
    eventually(PATIENCE, || (Clock::System.now().as_second() >= back_at).then_some(()));
    let _server = world.serve();
    let beats = beats(&world, back_at);
    let missed = killed_at + 1..back_at;
    assert!(beats.iter().all(|beat| !missed.contains(&beat.scheduled)), "{beats:?}");
    // Whenever one fires, it is the newest of its moment: however slow the machine is.
    let newest = |beat: &Beat| (0.0..1.0).contains(&(beat.fired - beat.scheduled as f64));
    assert!(beats.iter().all(newest), "{beats:?}");
    let in_order = |pair: &[Beat]| pair[0].scheduled < pair[1].scheduled;
    assert!(beats.windows(2).all(in_order), "each time once, in order: {beats:?}");
}
