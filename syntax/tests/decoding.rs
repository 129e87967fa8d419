//! How a tree is decoded: fields, types, places.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use expect_test::{Expect, expect};
use model::{Duration, TriggerType, Value};
use serde_json::json;
use syntax::{Document, Fields, Node, parse};

fn read(text: &str) -> Document {
    parse("a.yaml", text).unwrap()
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Effect {
    Read,
    Unsafe,
}

/// A decoder as the other crates write them.
fn decode(node: &Node) -> Result<(TriggerType, Duration, i64), Vec<model::Diagnostic>> {
    let known = ["type", "every", "limit", "name", "enabled", "effect", "refs", "parameters"];
    let fields = Fields::new(node, &known, &["throttle"]);
    let kind = fields.required("type").parsed::<TriggerType>();
    let every = fields.required("every").duration();
    let limit = fields.optional("limit").integer(1, 100).unwrap_or(1);
    fields.optional("name").string();
    fields.optional("enabled").bool();
    fields.optional("effect").one_of(&[("read", Effect::Read), ("unsafe", Effect::Unsafe)]);
    fields.optional("refs").strings();
    fields.optional("parameters").map();
    fields.finish(kind.zip(every).map(|(kind, every)| (kind, every, limit)))
}

fn check(text: &str, expected: Expect) {
    let shown: Vec<String> = match decode(read(text).root()) {
        Ok(read) => vec![format!("{read:?}")],
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    };
    expected.assert_eq(&shown.join("\n"));
}

#[test]
fn what_fits_is_decoded() {
    check(
        "type: git.push\nevery: 1m30s\nlimit: 7\n",
        expect![[r#"(TriggerType("git.push"), Duration(90000), 7)"#]],
    );
}

#[test]
fn all_misfits_of_a_file_are_told_together_and_in_order() {
    check(
        "tpye: git.push\nevery: 30\nlimit: 101\nname: 1.10\nenabled: yes\neffect: raed\nrefs: [a, 1]\nparameters: [x]\nthrottle: { limit: 1 }\n",
        expect![[r#"
            error: unknown field `tpye`
              at a.yaml:1:1
              1 | tpye: git.push
                  ^
              hint: did you mean `type`?
            error: missing field `type`
              at a.yaml:1:1
              1 | tpye: git.push
                  ^
              hint: add `type:` to the map that begins here
            error: `every`: expected a duration, found a whole number
              at a.yaml:2:8
              2 | every: 30
                         ^
              hint: say its unit: 30s
            error: `limit`: 101 is out of range: expected at least 1, at most 100
              at a.yaml:3:8
              3 | limit: 101
                         ^
            error: `name`: expected a string, found a number
              at a.yaml:4:7
              4 | name: 1.10
                        ^
              hint: quote it
            error: `enabled`: expected true or false, found a string
              at a.yaml:5:10
              5 | enabled: yes
                           ^
              hint: write true
            error: `effect`: unknown value `raed`
              at a.yaml:6:9
              6 | effect: raed
                          ^
              hint: did you mean `read`?
            error: `refs`: expected a string, found a whole number
              at a.yaml:7:11
              7 | refs: [a, 1]
                            ^
              hint: quote it
            error: `parameters`: expected a map, found a list
              at a.yaml:8:13
              8 | parameters: [x]
                              ^
            error: `throttle` is not supported by this version of Tripline
              at a.yaml:9:1
              9 | throttle: { limit: 1 }
                  ^
              hint: remove it"#]],
    );
}

#[test]
fn a_value_that_does_not_read_says_why() {
    check(
        "type: push\nevery: 30 minutes\nlimit: many\neffect: sometimes\n",
        expect![[r#"
        error: `type`: `push` is not a trigger type: expected names joined by dots, such as `git.push`
          at a.yaml:1:7
          1 | type: push
                    ^
        error: `every`: `30 minutes` is not a duration: expected numbers with units ms, s, m, h, d or w, such as `30s` or `1h30m`, at most ten years
          at a.yaml:2:8
          2 | every: 30 minutes
                     ^
        error: `limit`: expected a whole number, found a string
          at a.yaml:3:8
          3 | limit: many
                     ^
        error: `effect`: unknown value `sometimes`
          at a.yaml:4:9
          4 | effect: sometimes
                      ^
          hint: one of read, unsafe"#]],
    );
    check(
        "type:\nevery: {}\n",
        expect![[r#"
        error: `type`: expected a string, found nothing
          at a.yaml:1:5
          1 | type:
                  ^
          hint: give it a value, or leave the field out
        error: `every`: expected a string, found a map
          at a.yaml:2:8
          2 | every: {}
                     ^"#]],
    );
}

#[test]
fn what_is_no_map_is_said_once() {
    check(
        "- type: x\n",
        expect![[r#"
        error: expected a map, found a list
          at a.yaml:1:1
          1 | - type: x
              ^
          hint: known here: type, every, limit, name, enabled, effect, refs, parameters"#]],
    );
    check(
        "",
        expect![[r#"
        error: expected a map, found nothing
          at a.yaml:1:1
          hint: known here: type, every, limit, name, enabled, effect, refs, parameters"#]],
    );
    check(
        "# only a comment\n",
        expect![[r#"
        error: expected a map, found nothing
          at a.yaml:2:1
          hint: known here: type, every, limit, name, enabled, effect, refs, parameters"#]],
    );
}

#[test]
fn a_tree_gives_plain_json_values() {
    let text = "\u{feff}a: [1, 2.5, ~, true, yes, on, \"x\", 2026-01-02]\nb: |\n  two\n  lines\nc: >-\n  folded\n  text\nd: {}\n200: ok\ntrue: x\ne:\n";
    let expected = json!({
        "a": [1, 2.5, null, true, "yes", "on", "x", "2026-01-02"],
        "b": "two\nlines\n", "c": "folded text", "d": {}, "200": "ok", "true": "x", "e": null,
    });
    assert_eq!(read(text).root().to_value(), expected);
    assert_eq!(
        syntax::parse_bytes("a", b"\xef\xbb\xbfa: 1").unwrap().root().to_value(),
        json!({"a": 1})
    );
    assert_eq!(read("").root().to_value(), Value::Null);
    assert_eq!(read("a: &x [1]\nb: *x\n").root().to_value(), json!({"a": [1], "b": [1]}));
}

#[test]
fn the_deepest_file_is_read_on_a_small_stack() {
    let nested = (0..63).map(|n| " ".repeat(n) + "a:\n").collect::<String>();
    assert!(parse("a.yaml", &nested).is_ok());
}

#[test]
fn places_are_exact_also_for_what_a_path_names() {
    let document = read(
        "first: 1\nöä: { x: [1, { y: 2 }], 'a.b': { c: 3 } }\nlist:\n  - name: x\n    size: 5\n",
    );
    let root = document.root();
    for (path, line, column) in [
        ("first", 1, 1),
        ("öä", 2, 1),
        ("öä.x", 2, 7),
        ("öä.x.0", 2, 11),
        ("öä.x.1.y", 2, 16),
        ("öä.a.b.c", 2, 34),
        ("list.0.size", 5, 5),
        ("list.0.missing", 4, 5),
        ("first.deeper", 1, 1),
        ("absent", 1, 1),
    ] {
        let at = root.location_of(path);
        assert_eq!((at.line, at.column), (line, column), "{path}");
    }
}

#[test]
fn a_place_inside_a_text_is_found_where_the_text_shows_its_lines() {
    let document =
        read("a: one two\nb: \"öne ${x}\"\nc: |\n  first\n  second line\nd: \"\\tone ${x}\"\n");
    for (key, line, column, found) in [
        ("a", 1, 5, (1, 8)),
        ("b", 1, 5, (2, 9)),
        ("c", 1, 1, (4, 3)),
        ("c", 2, 8, (5, 10)),
        // The text does not show its lines: its beginning.
        ("d", 1, 3, (6, 4)),
    ] {
        let at = document.root().get(key).unwrap().location_within(line, column);
        assert_eq!((at.line, at.column), found, "{key} {line}:{column}");
    }
}
