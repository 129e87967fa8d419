//! What is wrong with a rule's file, and how it is told.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::parse;
use expect_test::{Expect, expect};

fn refuse(text: &str, expected: Expect) {
    let shown: Vec<String> = match parse(text) {
        Ok(_) => vec!["accepted".to_owned()],
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    };
    expected.assert_eq(&shown.join("\n"));
}

fn refuse_when(when: &str, expected: Expect) {
    refuse(
        &format!("trigger: {{ type: a.b }}\nwhen: {when}\naction: {{ ref: core.echo }}\n"),
        expected,
    );
}

fn refuse_parameters(parameters: &str, expected: Expect) {
    let action = format!("action:\n  ref: core.echo\n  parameters:\n    {parameters}\n");
    refuse(&format!("trigger: {{ type: a.b }}\n{action}"), expected);
}

#[test]
fn all_mistakes_of_a_file_are_told_together() {
    refuse(
        "descripton: x\nenabled: yes\ntrigger: { type: push }\ncriteria: { triger.a: 1 }\nwhen: trigger.a =\naction: { ref: echo, parameters: { a: \"${b}\" } }\n",
        expect![[r#"
            error: unknown field `descripton`
              at r.yaml:1:1
              1 | descripton: x
                  ^
              hint: did you mean `description`?
            error: `enabled`: expected true or false, found a string
              at r.yaml:2:10
              2 | enabled: yes
                           ^
              hint: write true
            error: `type`: `push` is not a trigger type: expected names joined by dots, such as `git.push`
              at r.yaml:3:18
              3 | trigger: { type: push }
                                   ^
            error: `triger` is not known here: a path begins with trigger, event or config
              at r.yaml:4:13
              4 | criteria: { triger.a: 1 }
                              ^
              hint: did you mean `trigger`?
            error: unexpected `=`
              at r.yaml:5:17
              5 | when: trigger.a =
                                  ^
              hint: `==` compares
            error: `ref`: `echo` is not an action reference: expected names joined by dots, such as `core.echo`
              at r.yaml:6:16
              6 | action: { ref: echo, parameters: { a: "${b}" } }
                                 ^
            error: `b` is not known here
              at r.yaml:6:42
              6 | action: { ref: echo, parameters: { a: "${b}" } }
                                                           ^
              hint: known here: event, trigger, config; a text stands in quotes"#]],
    );
}

#[test]
fn a_rule_needs_a_trigger_and_an_action() {
    refuse(
        "",
        expect![[r#"
        error: expected a map, found nothing
          at r.yaml:1:1
          hint: known here: description, enabled, trigger, criteria, when, action"#]],
    );
    refuse(
        "description: x\n",
        expect![[r#"
            error: missing field `trigger`
              at r.yaml:1:1
              1 | description: x
                  ^
              hint: add `trigger:` to the map that begins here
            error: missing field `action`
              at r.yaml:1:1
              1 | description: x
                  ^
              hint: add `action:` to the map that begins here"#]],
    );
    refuse(
        "trigger: git.push\naction: core.echo\n",
        expect![[r#"
        error: expected a map, found a string
          at r.yaml:1:10
          1 | trigger: git.push
                       ^
          hint: known here: type, parameters
        error: expected a map, found a string
          at r.yaml:2:9
          2 | action: core.echo
                      ^
          hint: known here: ref, parameters"#]],
    );
    refuse(
        "trigger: {}\naction: { ref: core.echo, parameters: [1] }\n",
        expect![[r#"
            error: missing field `type`
              at r.yaml:1:10
              1 | trigger: {}
                           ^
              hint: add `type:` to the map that begins here
            error: parameters are a map, not a list
              at r.yaml:2:39
              2 | action: { ref: core.echo, parameters: [1] }
                                                        ^
              hint: write them as `name: value`"#]],
    );
}

#[test]
fn what_later_versions_read_is_named_as_such() {
    refuse(
        "trigger: { type: a.b }\naction: { ref: a.b }\nthrottle: { limit: 1 }\nconcurrency: { limit: 1 }\n",
        expect![[r#"
            error: `throttle` is not supported by this version of Tripline
              at r.yaml:3:1
              3 | throttle: { limit: 1 }
                  ^
              hint: remove it
            error: `concurrency` is not supported by this version of Tripline
              at r.yaml:4:1
              4 | concurrency: { limit: 1 }
                  ^
              hint: remove it"#]],
    );
    refuse(
        "trigger: { type: a.b }\nchain: |\n  run(\"core.echo\")\n",
        expect![[r#"
            error: `chain` is not supported by this version of Tripline
              at r.yaml:2:1
              2 | chain: |
                  ^
              hint: remove it"#]],
    );
    refuse(
        "trigger: { type: a.b }\naction: { ref: a.b }\ndebounce: {}\ndedupe: {}\n",
        expect![[r#"
        error: `debounce` is not supported by this version of Tripline
          at r.yaml:3:1
          3 | debounce: {}
              ^
          hint: remove it
        error: `dedupe` is not supported by this version of Tripline
          at r.yaml:4:1
          4 | dedupe: {}
              ^
          hint: remove it"#]],
    );
}

#[test]
fn trigger_parameters_are_fixed() {
    refuse(
        "trigger: { type: a.b, parameters: { every: \"${config.every}\" } }\naction: { ref: a.b }\n",
        expect![[r#"
            error: trigger parameters are fixed values: `${…}` is not read
              at r.yaml:1:35
              1 | trigger: { type: a.b, parameters: { every: "${config.every}" } }
                                                    ^
              hint: select among events with criteria or `when`"#]],
    );
}

#[test]
fn a_key_with_brackets_in_a_flow_map_must_be_quoted() {
    refuse(
        "trigger: { type: a.b }\ncriteria: { trigger.labels[\"a.b/c\"]: x }\naction: { ref: a.b }\n",
        expect![[r#"
            error: a `,` or `}` is expected here
              at r.yaml:2:27
              2 | criteria: { trigger.labels["a.b/c"]: x }
                                            ^
              hint: inside { … } a key with brackets must be quoted: { 'trigger.labels["a.b"]': x }"#]],
    );
}

#[test]
fn conditions_are_checked_where_they_stand() {
    refuse_when(
        "trigger.size <= limit",
        expect![[r#"
        error: `limit` is not known here
          at r.yaml:2:23
          2 | when: trigger.size <= limit
                                    ^
          hint: known here: event, trigger, config; a text stands in quotes"#]],
    );
    refuse_when(
        "triger.size <= 5",
        expect![[r#"
        error: `triger` is not known here
          at r.yaml:2:7
          2 | when: triger.size <= 5
                    ^
          hint: did you mean `trigger`?"#]],
    );
    refuse_when(
        "trigger.size <= 5 and true",
        expect![[r#"
        error: unexpected `and`
          at r.yaml:2:25
          2 | when: trigger.size <= 5 and true
                                      ^
          hint: write `&&`, `||`, `!`"#]],
    );
    refuse_when(
        "sice(trigger.size) <= 5",
        expect![[r#"
            error: unknown function `sice`
              at r.yaml:2:7
              2 | when: sice(trigger.size) <= 5
                        ^
              hint: here are `get`, `now` and what rhai has for texts, numbers, lists and maps"#]],
    );
    refuse_when(
        "true",
        expect![[r#"
        error: a condition that is always true decides nothing
          at r.yaml:2:7
          2 | when: true
                    ^
          hint: leave `when` out; `enabled: false` switches a rule off"#]],
    );
    refuse_when(
        "[a]",
        expect![[r#"
            error: `when`: expected a condition such as `trigger.size <= 5`, found a list
              at r.yaml:2:7
              2 | when: [a]
                        ^"#]],
    );
    refuse_when(
        "|\n  trigger.a == 1 &&\n    trigger.b = 2",
        expect![[r#"
        error: unexpected `=`
          at r.yaml:4:15
          4 |     trigger.b = 2
                            ^
          hint: `==` compares"#]],
    );
    refuse_when(
        "\"trigger.kind == 'MysqlDb'\"",
        expect![[r#"
            error: 'MysqlDb' is not a text
              at r.yaml:2:24
              2 | when: "trigger.kind == 'MysqlDb'"
                                         ^
              hint: texts stand in double quotes"#]],
    );
}

#[test]
fn templates_are_checked_where_they_stand() {
    refuse_parameters(
        "a: \"x ${triger.size}\"",
        expect![[r#"
        error: `triger` is not known here
          at r.yaml:5:13
          5 |     a: "x ${triger.size}"
                          ^
          hint: did you mean `trigger`?"#]],
    );
    refuse_parameters(
        "a: { b: [1, \"${trigger.size\"] }",
        expect![[r#"
            error: `${` has no closing `}`
              at r.yaml:5:18
              5 |     a: { b: [1, "${trigger.size"] }
                                   ^
              hint: close it; a literal `${` is written `$${`"#]],
    );
    refuse_parameters(
        "a: |\n      one\n      two ${gett(trigger, \"x\", 1)}",
        expect![[r#"
        error: unknown function `gett`
          at r.yaml:7:13
          7 |       two ${gett(trigger, "x", 1)}
                          ^
          hint: did you mean `get`?"#]],
    );
    refuse_parameters(
        "a: ${}",
        expect![[r#"
            error: `${}` holds no expression
              at r.yaml:5:8
              5 |     a: ${}
                         ^
              hint: write one; a literal `${` is written `$${`"#]],
    );
}
