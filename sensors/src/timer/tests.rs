#![allow(clippy::unwrap_used)]

use expect_test::{Expect, expect};
use model::{Duration, Timestamp};
use serde_json::json;

use super::*;
use crate::{BuildContext, Built, build};

const SOURCE: &str = "tripline:test/timer.cron/0a1b";

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn cron(expression: &str, zone: &str, misfire: Misfire) -> Timer {
    let schedule = Schedule::cron(expression, zone, Jitter(Duration::from_millis(0))).unwrap();
    Timer { kind: "timer.cron".parse().unwrap(), schedule, misfire }
}

fn interval(every: &str) -> Timer {
    let schedule = Schedule::Interval(every.parse().unwrap());
    Timer { kind: "timer.interval".parse().unwrap(), schedule, misfire: Misfire::Once }
}

fn at(at: &str) -> Timer {
    let schedule = Schedule::At(time(at));
    Timer { kind: "timer.at".parse().unwrap(), schedule, misfire: Misfire::Once }
}

/// What is due at `now`, and where the timer stands then.
fn check(timer: &Timer, handled: Option<&str>, now: &str, expected: Expect) {
    let due = timer.due(SOURCE, handled.map(time), time(now));
    let firings = due.firings.iter().map(|firing| {
        let late = if firing.misfired { " late" } else { "" };
        format!("{}{late}, ", firing.scheduled_at)
    });
    let handled = due.handled.map_or("nothing".to_owned(), |time| time.to_string());
    expected.assert_eq(&format!("{}handled {handled}", firings.collect::<String>()));
}

/// The next firings after `since`, in UTC, on the clock of Berlin.
fn check_berlin(expression: &str, since: &str, expected: Expect) {
    let timer = cron(expression, "Europe/Berlin", Misfire::Once);
    let firings = timer.upcoming(Some(&json!({ "handled": since })), time(since), 4);
    let shown: Vec<String> = firings.iter().map(ToString::to_string).collect();
    expected.assert_eq(&shown.join(" "));
    // Looking back from the last one finds the same ones.
    let all = Timer { misfire: Misfire::All(100), ..timer };
    let due = all.due(SOURCE, Some(time(since)), *firings.last().unwrap());
    assert_eq!(due.firings.iter().map(|f| f.scheduled_at).collect::<Vec<_>>(), firings);
}

#[test]
fn a_timer_first_seen_waits_for_its_next_time() {
    let hourly = cron("0 * * * *", "UTC", Misfire::All(100));
    let now = "2026-01-01T10:30:00Z";
    check(&hourly, None, now, expect!["handled 2026-01-01T10:30:00Z"]);
    let next = hourly.next(SOURCE, Some(time(now)), time(now));
    assert_eq!(next, Some(time("2026-01-01T11:00:00Z")));
}

#[test]
fn a_time_that_comes_fires_once() {
    let hourly = cron("0 * * * *", "UTC", Misfire::Skip);
    check(
        &hourly,
        Some("2026-01-01T10:00:00Z"),
        "2026-01-01T11:00:00.7Z",
        expect!["2026-01-01T11:00:00Z, handled 2026-01-01T11:00:00Z"],
    );
    check(
        &hourly,
        Some("2026-01-01T11:00:00Z"),
        "2026-01-01T11:00:01Z",
        expect!["handled 2026-01-01T11:00:00Z"],
    );
}

#[test]
fn times_missed_while_down_fire_as_misfire_says() {
    let (down, up) = (Some("2026-01-01T08:10:00Z"), "2026-01-01T12:20:00Z");
    let hourly = |misfire| cron("0 * * * *", "UTC", misfire);
    check(&hourly(Misfire::Skip), down, up, expect!["handled 2026-01-01T12:00:00Z"]);
    check(
        &hourly(Misfire::Once),
        down,
        up,
        expect!["2026-01-01T12:00:00Z late, handled 2026-01-01T12:00:00Z"],
    );
    check(
        &hourly(Misfire::All(100)),
        down,
        up,
        expect![
            "2026-01-01T09:00:00Z late, 2026-01-01T10:00:00Z late, 2026-01-01T11:00:00Z late, 2026-01-01T12:00:00Z late, handled 2026-01-01T12:00:00Z"
        ],
    );
    check(
        &hourly(Misfire::All(2)),
        down,
        up,
        expect![
            "2026-01-01T11:00:00Z late, 2026-01-01T12:00:00Z late, handled 2026-01-01T12:00:00Z"
        ],
    );
}

#[test]
fn a_time_that_is_on_time_fires_even_where_missed_ones_are_skipped() {
    check(
        &cron("0 * * * *", "UTC", Misfire::Skip),
        Some("2026-01-01T08:10:00Z"),
        "2026-01-01T12:00:01Z",
        expect!["2026-01-01T12:00:00Z, handled 2026-01-01T12:00:00Z"],
    );
}

#[test]
fn an_interval_keeps_its_beat_and_never_fires_once_per_missed_time() {
    let timer = interval("10s");
    check(
        &timer,
        Some("2026-01-01T00:00:00Z"),
        "2026-01-02T00:00:07Z",
        expect!["2026-01-02T00:00:00Z late, handled 2026-01-02T00:00:00Z"],
    );
    let next = timer.next(SOURCE, Some(time("2026-01-02T00:00:00Z")), time("2026-01-02T00:00:07Z"));
    assert_eq!(next, Some(time("2026-01-02T00:00:10Z")));
    check(
        &interval("1s"),
        Some("2026-01-01T00:00:00Z"),
        "2026-01-01T00:00:03.2Z",
        expect!["2026-01-01T00:00:03Z, handled 2026-01-01T00:00:03Z"],
    );
}

#[test]
fn a_point_in_time_fires_once_however_late_it_is_first_seen() {
    let timer = at("2026-01-01T12:00:00Z");
    check(&timer, None, "2026-01-01T11:59:59Z", expect!["handled nothing"]);
    assert_eq!(
        timer.next(SOURCE, None, time("2026-01-01T11:00:00Z")),
        Some(time("2026-01-01T12:00:00Z"))
    );
    check(
        &timer,
        None,
        "2026-01-01T12:00:00Z",
        expect!["2026-01-01T12:00:00Z, handled 2026-01-01T12:00:00Z"],
    );
    check(
        &timer,
        None,
        "2027-01-01T12:00:00Z",
        expect!["2026-01-01T12:00:00Z late, handled 2026-01-01T12:00:00Z"],
    );
    let done = Some("2026-01-01T12:00:00Z");
    check(&timer, done, "2027-01-01T12:00:00Z", expect!["handled 2026-01-01T12:00:00Z"]);
    assert_eq!(timer.next(SOURCE, done.map(time), time("2027-01-01T12:00:00Z")), None);
}

#[test]
fn a_fixed_time_in_the_gap_fires_at_its_end() {
    // On 2026-03-29 the clocks of Berlin go from 02:00 (01:00Z) to 03:00.
    check_berlin(
        "30 2 * * *",
        "2026-03-27T12:00:00Z",
        expect![
            "2026-03-28T01:30:00Z 2026-03-29T01:00:00Z 2026-03-30T00:30:00Z 2026-03-31T00:30:00Z"
        ],
    );
}

#[test]
fn a_fixed_time_in_the_overlap_fires_once() {
    // On 2026-10-25 the clocks of Berlin go from 03:00 (01:00Z) back to 02:00.
    check_berlin(
        "30 2 * * *",
        "2026-10-23T12:00:00Z",
        expect![
            "2026-10-24T00:30:00Z 2026-10-25T00:30:00Z 2026-10-26T01:30:00Z 2026-10-27T01:30:00Z"
        ],
    );
}

#[test]
fn wildcards_follow_the_wall_clock_through_gap_and_overlap() {
    check_berlin(
        "30 * * * *",
        "2026-03-28T23:45:00Z",
        expect![
            "2026-03-29T00:30:00Z 2026-03-29T01:30:00Z 2026-03-29T02:30:00Z 2026-03-29T03:30:00Z"
        ],
    );
    check_berlin(
        "30 * * * *",
        "2026-10-24T23:45:00Z",
        expect![
            "2026-10-25T00:30:00Z 2026-10-25T01:30:00Z 2026-10-25T02:30:00Z 2026-10-25T03:30:00Z"
        ],
    );
}

#[test]
fn jitter_is_the_same_for_the_same_time_and_stays_below_its_bound() {
    let jitter = Jitter(Duration::from_secs(3_000));
    let schedule = Schedule::cron("*/10 * * * *", "UTC", jitter).unwrap();
    let kind = "timer.cron".parse().unwrap();
    let timer = Timer { kind, schedule, misfire: Misfire::All(100) };
    let since = time("2026-01-01T00:00:00Z");
    let firings = timer.upcoming(None, since, 50);
    let delays: Vec<u64> = firings
        .iter()
        .map(|at| {
            let fire_at = timer.schedule.fire_at(SOURCE, *at);
            assert_eq!(fire_at, timer.schedule.fire_at(SOURCE, *at));
            fire_at.as_millisecond().abs_diff(at.as_millisecond())
        })
        .collect();
    assert!(delays.iter().all(|delay| *delay < 600_000), "never past the next one: {delays:?}");
    assert!(delays.iter().any(|delay| *delay != delays[0]), "{delays:?}");
    let first = timer.next(SOURCE, Some(since), since).unwrap();
    assert!(
        timer
            .due(SOURCE, Some(since), Duration::from_millis(1).after(firings[0]))
            .firings
            .is_empty()
    );
    let due = timer.due(SOURCE, Some(since), first);
    assert_eq!(due.firings, [Firing { scheduled_at: firings[0], misfired: false }]);
}

fn errors(kind: &str, parameters: serde_json::Value) -> String {
    let context = BuildContext::new(SOURCE, ".");
    match build(kind, parameters.as_object().unwrap(), &context) {
        Ok(Built::Task(_)) => "good".to_owned(),
        Ok(other) => format!("{other:?}"),
        Err(errors) => errors
            .iter()
            .map(|error| {
                let hint = error.hint.as_ref().map_or(String::new(), |hint| format!(" ({hint})"));
                format!("{}: {}{hint}", error.path, error.message)
            })
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

#[test]
fn parameters_of_timers_are_checked_at_load() {
    for (kind, parameters, expected) in [
        ("timer.cron", json!({ "cron": "0 9 * * 1-5", "zone": "Europe/Berlin" }), expect!["good"]),
        ("timer.cron", json!({ "cron": "@daily" }), expect!["good"]),
        (
            "timer.cron",
            json!({ "cron": "0 9 31 2 *" }),
            expect![
                "cron: `0 9 31 2 *` never fires: there is no such date (name a day that its months have)"
            ],
        ),
        (
            "timer.cron",
            json!({ "cron": "0 0 9 * * *" }),
            expect![
                "cron: `0 0 9 * * *` is not a cron expression of five fields (minute hour day month weekday): it has 6 (write it as `30 2 * * 1-5`: 02:30 on weekdays)"
            ],
        ),
        (
            "timer.cron",
            json!({ "cron": "0 9 * FEBR 1-5" }),
            expect![
                "cron: `0 9 * FEBR 1-5` is not a cron expression of five fields (minute hour day month weekday): `FEBR` is no month: expected 1-12 or JAN-DEC (write it as `30 2 * * 1-5`: 02:30 on weekdays)"
            ],
        ),
        (
            "timer.cron",
            json!({ "cron": "@dayly" }),
            expect![
                "cron: `@dayly` is not a cron expression of five fields (minute hour day month weekday): pattern must have 5 fields when seconds are disallowed (write it as `30 2 * * 1-5`: 02:30 on weekdays)"
            ],
        ),
        (
            "timer.cron",
            json!({ "cron": "0 9 * * *", "zone": "Mars/Olympus" }),
            expect![
                "zone: `Mars/Olympus` is not a time zone: expected a name such as UTC or Europe/Berlin"
            ],
        ),
        (
            "timer.cron",
            json!({ "cron": "0 9 * * *", "jitter": "soon", "misfire": "once" }),
            expect![
                "jitter: `jitter`: `soon` is not a duration: expected numbers with units ms, s, m, h, d or w, such as `30s` or `1h30m`, at most ten years"
            ],
        ),
        (
            "timer.cron",
            json!({ "cron": "0 9 * * *", "misfire": "never", "zon": "UTC" }),
            expect![[r#"
                zon: unknown parameter `zon` (did you mean `zone`?)
                misfire: `misfire`: expected one of "skip", "once" or "all", found "never""#]],
        ),
        (
            "timer.interval",
            json!({ "every": "500ms" }),
            expect!["every: `every: 500ms` is too often: at least 1s is expected"],
        ),
        (
            "timer.at",
            json!({ "time": "tomorrow" }),
            expect![
                "time: `time: tomorrow` is not a point in time (write it with its offset, such as `2026-03-29T02:30:00Z`)"
            ],
        ),
        (
            "timer.crn",
            json!({}),
            expect![": unknown sensor type `timer.crn` (did you mean `timer.cron`?)"],
        ),
    ] {
        expected.assert_eq(&errors(kind, parameters));
    }
}
