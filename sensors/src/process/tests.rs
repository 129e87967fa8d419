//! What a line means.
#![allow(clippy::unwrap_used, reason = "a test")]

use expect_test::{Expect, expect};

use host::redact::Redactor;

use super::line::Line;

fn check(line: &[u8], expected: Expect) {
    check_with(&Redactor::default(), line, expected);
}

fn check_with(redactor: &Redactor, line: &[u8], expected: Expect) {
    expected.assert_eq(&match Line::read(line, redactor) {
        Ok(line) => format!("{line:?}"),
        Err(error) => format!("line 3 {error}"),
    });
}

#[test]
fn a_line_is_an_event_or_a_cursor() {
    check(
        br#"{"type": "ready", "data": {"name": "a"}}"#,
        expect![[
            r#"Event(Told { kind: "ready", data: Object {"name": String("a")}, id: None, subject: None, time: None, traceparent: None, tracestate: None })"#
        ]],
    );
    check(
        br#"{"type": "p.ready", "data": {}, "id": "1", "subject": "a", "time": "2026-01-01T01:00:00+01:00"}"#,
        expect![[r#"Event(Told { kind: "p.ready", data: Object {}, id: Some("1"), subject: Some("a"), time: Some(2026-01-01T00:00:00Z), traceparent: None, tracestate: None })"#]],
    );
    check(br#"{"cursor": {"at": 7}}"#, expect![[r#"Cursor(Object {"at": Number(7)})"#]]);
    check(br#"{"cursor": null}"#, expect!["Cursor(Null)"]);
    check(b" \r", expect!["Blank"]);
}

#[test]
fn anything_else_is_told_with_what_is_wrong() {
    check(
        b"Listening on port 80",
        expect!["line 3 is not JSON (expected value): `Listening on port 80`"],
    );
    check(
        br#"{"type": "ready", "data": {"n": 9223372036854775808}}"#,
        expect![
            "line 3 does not fit: the whole number at column 33 does not fit into 64 bits with a sign: write it as a text, in quotes"
        ],
    );
    check(b"[1, 2]", expect!["line 3 is no JSON object: `[1, 2]`"]);
    check(
        br#"{"type": "ready"#,
        expect![[r#"line 3 is not JSON (EOF while parsing a string): `{"type": "ready`"#]],
    );
    check(b"{\"type\": \"\xff\"}", expect!["line 3 is not UTF-8"]);
    check(b"{}", expect!["line 3 has neither `type` and `data` nor `cursor`: `{}`"]);
    check(br#"{"type": "ready"}"#, expect!["line 3 does not fit: missing field `data`"]);
    check(
        br#"{"type": 7, "data": {}}"#,
        expect!["line 3 does not fit: invalid type: integer `7`, expected a string"],
    );
    check(
        br#"{"type": "ready", "data": {}, "severity": 1}"#,
        expect![
            "line 3 does not fit: unknown field `severity`, expected one of `type`, `data`, `id`, `subject`, `time`, `traceparent`, `tracestate`"
        ],
    );
    check(br#"{"type": "ready", "data": {}, "id": ""}"#, expect!["line 3 has an empty `id`"]);
    check(
        br#"{"type": "ready", "data": {}, "time": "yesterday"}"#,
        expect![
            "line 3 does not fit: `time: yesterday` is no point in time such as 2026-01-01T00:00:00Z"
        ],
    );
    check(
        br#"{"cursor": 1, "events": []}"#,
        expect!["line 3 does not fit: unknown field `events`, expected `cursor`"],
    );
    let long = format!(r#"{{"type": "ready", "data": {{}}, "id": "{}"}}"#, "x".repeat(300));
    check(long.as_bytes(), expect!["line 3 has more than 256 bytes in `id`"]);
    let large = format!(r#"{{"cursor": "{}"}}"#, "x".repeat(300_000));
    check(large.as_bytes(), expect!["line 3 holds a cursor of 300002 bytes, more than 262144"]);
}

#[test]
fn a_secret_of_the_sensor_is_in_no_event_cursor_or_error() {
    let redactor = Redactor::new([("a \"secret\"", "[secret key]"), ("12345678", "[secret pin]")]);
    let check = |line: &[u8], expected| check_with(&redactor, line, expected);
    check(
        br#"{"type": "ready", "data": {"a": "x a \"secret\"", "pin": 12345678}, "id": "12345678"}"#,
        expect![[
            r#"Event(Told { kind: "ready", data: Object {"a": String("x [secret key]"), "pin": String("[secret pin]")}, id: Some("[secret pin]"), subject: None, time: None, traceparent: None, tracestate: None })"#
        ]],
    );
    check(
        br#"{"cursor": ["a \"secret\""]}"#,
        expect![[r#"Cursor(Array [String("[secret key]")])"#]],
    );
    check(
        br#"a "secret" is not JSON"#,
        expect!["line 3 is not JSON (expected value): `[secret key] is not JSON`"],
    );
    check(br#"["a \"secret\""]"#, expect![[r#"line 3 is no JSON object: `["[secret key]"]`"#]]);
    check(
        br#"{"type": 12345678, "data": {}}"#,
        expect![[
            r#"Event(Told { kind: "[secret pin]", data: Object {}, id: None, subject: None, time: None, traceparent: None, tracestate: None })"#
        ]],
    );
}
