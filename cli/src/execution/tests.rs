//! What people are told of executions of each kind.

use super::*;
use expect_test::{Expect, expect};
use serde_json::json;

fn execution(changes: Value) -> Execution {
    let mut all = json!({
        "id": "ex_aaaaaaaaaaaaaaaaaaaaaaaaaa", "action": "web.release", "state": "succeeded",
        "origin": { "rule": { "rule": "web.release", "event": "ev_bbbbbbbbbbbbbbbbbbbbbbbbbb" } },
        "requested_at": "2026-01-02T03:04:05Z", "started_at": "2026-01-02T03:04:05.010Z",
        "finished_at": "2026-01-02T03:04:07.510Z", "wake_at": null, "message": null,
        "pack": "a".repeat(64), "position": 7, "pack_version": "1.0.0",
        "parameters": { "commit": "0a1b" }, "steps": [], "attention": null,
        "outcome": { "state": "succeeded", "result": { "ok": true }, "error": null,
                     "handler_errors": [] },
        "undo": null, "actor": "engine",
        "size": { "steps": 1, "max_steps": 10_000, "bytes": 9, "max_bytes": 16_777_216,
                  "near_limit": false },
    });
    for (name, value) in changes.as_object().unwrap() {
        all[name] = value.clone();
    }
    serde_json::from_value(all).unwrap()
}

fn step(path: &str, changes: Value) -> Value {
    let mut all = json!({
        "path": path, "kind": "run", "action": "web.activate", "parameters": { "host": "a" },
        "effect": "unsafe", "state": "done", "attempts": 1,
        "started_at": "2026-01-02T03:04:05.010Z", "finished_at": "2026-01-02T03:04:06.210Z",
        "next_at": null, "result": null, "error": null, "child": null,
    });
    for (name, value) in changes.as_object().unwrap() {
        all[name] = value.clone();
    }
    all
}

fn check(changes: Value, expected: &Expect) {
    expected.assert_eq(&describe(&execution(changes)));
}

#[test]
fn a_success_says_where_it_came_from_and_what_it_returned() {
    check(
        json!({ "steps": [step("1", json!({})), step("2", json!({ "kind": "log", "action": null, "effect": null, "result": "released\nto a", "finished_at": "2026-01-02T03:04:05.010Z" }))] }),
        &expect![[r#"
            ex_aaaaaaaaaaaaaaaaaaaaaaaaaa  succeeded
              action      web.release  (pack web 1.0.0, content aaaaaaaaaaaa)
              cause       rule web.release on event ev_bbbbbbbbbbbbbbbbbbbbbbbbbb
              requested   2026-01-02T03:04:05Z
              ran         from 2026-01-02T03:04:05Z to 2026-01-02T03:04:07Z, 2.5s
              parameters  {"commit":"0a1b"}
              result      {"ok":true}

              STEP  CALL          STATE            NOTES
              1     web.activate  done             1.2s
              2     log()         done             released
        "#]],
    );
}

#[test]
fn a_failure_shows_the_step_its_parameters_and_the_end_of_its_stderr() {
    let error = json!({ "message": "the program exited with 3: no space", "kind": "program",
        "action": "web.activate", "attempts": 3,
        "details": { "exit_code": 3, "stderr": "copying\nno space\n" } });
    check(
        json!({
            "state": "failed",
            "steps": [step("1", json!({ "state": "failed", "attempts": 3, "error": error }))],
            "outcome": { "state": "failed", "result": null, "error": error, "handler_errors": [] },
        }),
        &expect![[r#"
            ex_aaaaaaaaaaaaaaaaaaaaaaaaaa  failed
              action      web.release  (pack web 1.0.0, content aaaaaaaaaaaa)
              cause       rule web.release on event ev_bbbbbbbbbbbbbbbbbbbbbbbbbb
              requested   2026-01-02T03:04:05Z
              ran         from 2026-01-02T03:04:05Z to 2026-01-02T03:04:07Z, 2.5s
              parameters  {"commit":"0a1b"}

              STEP  CALL          STATE            NOTES
              1     web.activate  failed           1.2s, 3 attempts, the program exited with 3: no space

            step 1 failed
              error       the program exited with 3: no space (program)
              action      web.activate  (unsafe)
              parameters  {"host":"a"}
              attempts    3
              stderr      copying
                          no space

            next: tripline execution logs ex_aaaaaaaaaaaaaaaaaaaaaaaaaa
        "#]],
    );
}

#[test]
fn a_step_says_what_a_person_decided_and_a_later_run_where_it_goes_on() {
    let resolved = json!({ "as": "done", "by": "token:ada", "at": "2026-01-02T03:04:06Z" });
    check(
        json!({
            "origin": "manual", "continues": "ex_bbbbbbbbbbbbbbbbbbbbbbbbbb",
            "steps": [step("1", json!({ "resolved": resolved }))],
        }),
        &expect![[r#"
            ex_aaaaaaaaaaaaaaaaaaaaaaaaaa  succeeded
              action      web.release  (pack web 1.0.0, content aaaaaaaaaaaa)
              cause       goes on from ex_bbbbbbbbbbbbbbbbbbbbbbbbbb
              continues   ex_bbbbbbbbbbbbbbbbbbbbbbbbbb
              requested   2026-01-02T03:04:05Z
              ran         from 2026-01-02T03:04:05Z to 2026-01-02T03:04:07Z, 2.5s
              parameters  {"commit":"0a1b"}
              result      {"ok":true}

              STEP  CALL          STATE            NOTES
              1     web.activate  done             1.2s, taken for done as token:ada said
        "#]],
    );
}

#[test]
fn who_must_decide_is_told_what_there_is_to_choose() {
    let error = json!({ "message": "the program was killed", "kind": "unavailable",
        "action": "web.activate", "attempts": 1, "details": null });
    check(
        json!({
            "state": "needs_attention", "outcome": null, "finished_at": null,
            "steps": [step("1", json!({ "state": "needs_attention", "finished_at": null, "error": error }))],
            "attention": { "path": "1", "error": error },
        }),
        &expect![[r#"
            ex_aaaaaaaaaaaaaaaaaaaaaaaaaa  needs_attention
              action      web.release  (pack web 1.0.0, content aaaaaaaaaaaa)
              cause       rule web.release on event ev_bbbbbbbbbbbbbbbbbbbbbbbbbb
              requested   2026-01-02T03:04:05Z
              ran         from 2026-01-02T03:04:05Z
              parameters  {"commit":"0a1b"}

              STEP  CALL          STATE            NOTES
              1     web.activate  needs_attention  the program was killed

            step 1 needs attention: nobody knows whether it was done
              error       the program was killed (unavailable)
              action      web.activate  (unsafe)
              parameters  {"host":"a"}
              attempts    1

            next: find out whether the step was done, then one of
              tripline execution resolve ex_aaaaaaaaaaaaaaaaaaaaaaaaaa --step 1 --done --result '{}'    it was done, and this is its result
              tripline execution resolve ex_aaaaaaaaaaaaaaaaaaaaaaaaaa --step 1 --retry                 it was not, or doing it twice is harmless
              tripline execution resolve ex_aaaaaaaaaaaaaaaaaaaaaaaaaa --step 1 --fail MESSAGE          go on as if it had failed
        "#]],
    );
}

#[test]
fn a_cancellation_says_who_asked_for_it_why_and_what_it_waits_for() {
    let error = json!({ "message": "the program was killed", "kind": "unavailable",
        "action": "web.activate", "attempts": 1, "details": null });
    let asked = json!({ "to": "cancel", "by": "token:ada", "reason": "wrong commit",
        "at": "2026-01-02T03:04:09Z" });
    let open = json!({ "state": "needs_attention", "finished_at": null, "error": error });
    check(
        json!({
            "state": "needs_attention", "outcome": null, "finished_at": null, "asked": asked,
            "steps": [step("1", open)], "attention": { "path": "1", "error": error },
        }),
        &expect![[r#"
            ex_aaaaaaaaaaaaaaaaaaaaaaaaaa  needs_attention
              action      web.release  (pack web 1.0.0, content aaaaaaaaaaaa)
              cause       rule web.release on event ev_bbbbbbbbbbbbbbbbbbbbbbbbbb
              requested   2026-01-02T03:04:05Z
              ran         from 2026-01-02T03:04:05Z
              cancelled   by token:ada, 2026-01-02T03:04:09Z: wrong commit (waits for the decision below)
              parameters  {"commit":"0a1b"}

              STEP  CALL          STATE            NOTES
              1     web.activate  needs_attention  the program was killed

            step 1 needs attention: nobody knows whether it was done
              error       the program was killed (unavailable)
              action      web.activate  (unsafe)
              parameters  {"host":"a"}
              attempts    1

            next: it ends once somebody has said whether the step was done, by one of
              tripline execution resolve ex_aaaaaaaaaaaaaaaaaaaaaaaaaa --step 1 --done --result '{}'    it was done, and this is its result
              tripline execution resolve ex_aaaaaaaaaaaaaaaaaaaaaaaaaa --step 1 --fail MESSAGE          it was not, and is not performed again
        "#]],
    );
    let below = json!([{ "execution": "ex_aaaaaaaaaaaaaaaaaaaaaaaaaa/1", "step": "2",
        "message": "the program was killed", "command": "tripline execution resolve" }]);
    check(
        json!({
            "state": "waiting", "outcome": null, "finished_at": null, "asked": asked,
            "waits_for": below,
        }),
        &expect![[r#"
            ex_aaaaaaaaaaaaaaaaaaaaaaaaaa  waiting
              action      web.release  (pack web 1.0.0, content aaaaaaaaaaaa)
              cause       rule web.release on event ev_bbbbbbbbbbbbbbbbbbbbbbbbbb
              requested   2026-01-02T03:04:05Z
              ran         from 2026-01-02T03:04:05Z
              cancelled   by token:ada, 2026-01-02T03:04:09Z: wrong commit (waits for the steps under way)
              parameters  {"commit":"0a1b"}

            next: it ends once this is decided about: tripline execution get ex_aaaaaaaaaaaaaaaaaaaaaaaaaa/1
        "#]],
    );
}

#[test]
fn lengths_of_time_are_as_exact_as_they_are_long() {
    let at = |millis| Timestamp::from_millisecond(millis).unwrap();
    for (millis, text) in [(0, "0ms"), (999, "999ms"), (1_250, "1.2s"), (3_723_000, "1h2m3s")] {
        assert_eq!(took(at(0), at(millis)), text);
    }
}
