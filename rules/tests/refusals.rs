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

fn refuse_criteria(criteria: &str, expected: Expect) {
    let tail = "\naction: { ref: core.echo }\n";
    refuse(&format!("trigger: {{ type: a.b }}\ncriteria:\n  {criteria}{tail}"), expected);
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
        error: missing field `action`
          at r.yaml:1:1
          1 | description: x
              ^"#]],
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
fn operators_are_known_by_name() {
    refuse_criteria(
        "trigger.a: { eqals: 1 }",
        expect![[r#"
        error: unknown operator `eqals`
          at r.yaml:3:16
          3 |   trigger.a: { eqals: 1 }
                             ^
          hint: did you mean `equals`?"#]],
    );
    refuse_criteria(
        "trigger.a: { name: x }",
        expect![[r#"
        error: unknown operator `name`
          at r.yaml:3:16
          3 |   trigger.a: { name: x }
                             ^
          hint: eq, ne, in, nin, lt, le, gt, ge, matches, contains, exists and others; a path goes on with dots: `trigger.a.b`"#]],
    );
    refuse_criteria(
        "trigger.a: { type: equals, pattern: x }",
        expect![[r#"
        error: unknown operator `type`
          at r.yaml:3:16
          3 |   trigger.a: { type: equals, pattern: x }
                             ^
          hint: write `{ operator: pattern }`, such as `{ eq: value }`
        error: unknown operator `pattern`
          at r.yaml:3:30
          3 |   trigger.a: { type: equals, pattern: x }
                                           ^
          hint: write `{ operator: pattern }`, such as `{ eq: value }`"#]],
    );
    refuse_criteria(
        "trigger.a: { search: { item.b: 1 } }",
        expect![[r#"
        error: unknown operator `search`
          at r.yaml:3:16
          3 |   trigger.a: { search: { item.b: 1 } }
                             ^
          hint: write `any: { path: { eq: value } }` or `all: …`: criteria of the list's items"#]],
    );
    refuse_criteria(
        "trigger.a: { iexists: true }",
        expect![[r#"
        error: unknown operator `iexists`
          at r.yaml:3:16
          3 |   trigger.a: { iexists: true }
                             ^
          hint: did you mean `exists`?"#]],
    );
}

#[test]
fn patterns_fit_their_operators() {
    refuse_criteria(
        "trigger.a: [x, y]",
        expect![[r#"
        error: a bare list says no operator
          at r.yaml:3:14
          3 |   trigger.a: [x, y]
                           ^
          hint: `{ in: […] }` is any of these, `{ eq: […] }` this very list"#]],
    );
    refuse_criteria(
        "trigger.a:",
        expect![[r#"
        error: there is no pattern here
          at r.yaml:3:12
          3 |   trigger.a:
                         ^
          hint: `{ eq: null }` is null, `{ exists: false }` is absent"#]],
    );
    refuse_criteria(
        "trigger.a: {}",
        expect![[r#"
        error: there is no operator here
          at r.yaml:3:14
          3 |   trigger.a: {}
                           ^
          hint: write `{ eq: value }`"#]],
    );
    refuse_criteria(
        "trigger.a: { contains: null }",
        expect![[r#"
        error: `contains` has no pattern
          at r.yaml:3:26
          3 |   trigger.a: { contains: null }
                                       ^
          hint: null goes with eq and ne only"#]],
    );
    refuse_criteria(
        "trigger.a: { in: 5 }",
        expect![[r#"
        error: `in` compares with a list, or a string to be part of, not with a whole number
          at r.yaml:3:20
          3 |   trigger.a: { in: 5 }
                                 ^"#]],
    );
    refuse_criteria(
        "trigger.a: { lt: [1] }",
        expect![[r#"
        error: `lt` compares with a number or a string, not with a list
          at r.yaml:3:20
          3 |   trigger.a: { lt: [1] }
                                 ^"#]],
    );
    refuse_criteria(
        "trigger.a: { startswith: 1 }",
        expect![[r#"
        error: `startswith` compares with a string, not with a whole number
          at r.yaml:3:28
          3 |   trigger.a: { startswith: 1 }
                                         ^"#]],
    );
}

#[test]
fn patterns_that_are_read_further_are_checked_inside() {
    refuse_criteria(
        "trigger.a: { exists: yes }",
        expect![[r#"
        error: `exists` compares with true or false, not with a string
          at r.yaml:3:24
          3 |   trigger.a: { exists: yes }
                                     ^"#]],
    );
    refuse_criteria(
        "trigger.a: { timediff_lt: soon }",
        expect![[r#"
        error: `timediff_lt` compares with seconds or a duration such as 10m, not with a string
          at r.yaml:3:29
          3 |   trigger.a: { timediff_lt: soon }
                                          ^"#]],
    );
    refuse_criteria(
        "trigger.a: { matches: \"(a\" }",
        expect![[r#"
        error: `(a` is not a regular expression: unclosed group
          at r.yaml:3:25
          3 |   trigger.a: { matches: "(a" }
                                      ^
          hint: see docs.rs/regex for the syntax; there is no look-around and no back-reference"#]],
    );
    refuse_criteria(
        "trigger.a: { matchregex: \"a(?=b)\" }",
        expect![[r#"
        error: `a(?=b)` is not a regular expression: look-around, including look-ahead and look-behind, is not supported
          at r.yaml:3:28
          3 |   trigger.a: { matchregex: "a(?=b)" }
                                         ^
          hint: see docs.rs/regex for the syntax; there is no look-around and no back-reference"#]],
    );
    refuse_criteria(
        "trigger.a: { in: [\"${config.x}\"] }",
        expect![[r#"
        error: a pattern is a fixed value: `${…}` is not read
          at r.yaml:3:20
          3 |   trigger.a: { in: ["${config.x}"] }
                                 ^
          hint: compare with other values in `when`, such as `trigger.x == config.y`"#]],
    );
    refuse_criteria(
        "trigger.a: { any: { item: { lt: null } } }",
        expect![[r#"
        error: `lt` has no pattern
          at r.yaml:3:35
          3 |   trigger.a: { any: { item: { lt: null } } }
                                                ^
          hint: null goes with eq and ne only"#]],
    );
    refuse_criteria(
        "trigger.a: { all: {} }",
        expect![[r#"
        error: there is no criterion here, so it would always hold
          at r.yaml:3:21
          3 |   trigger.a: { all: {} }
                                  ^"#]],
    );
    refuse_criteria(
        "trigger.a: { all: [1] }",
        expect![[r#"
        error: criteria are a map, not a list
          at r.yaml:3:21
          3 |   trigger.a: { all: [1] }
                                  ^
          hint: write them as `path: { operator: pattern }`"#]],
    );
}

#[test]
fn paths_begin_with_a_known_name_and_groups_are_a_list() {
    refuse_criteria(
        "body.a: 1",
        expect![[r#"
        error: `body` is not known here: a path begins with trigger, event or config
          at r.yaml:3:3
          3 |   body.a: 1
                ^
          hint: the event's data is `trigger`: `trigger.body`?"#]],
    );
    refuse_criteria(
        "trigger..a: 1",
        expect![[r#"
        error: `trigger..a` is not a path: a name is missing
          at r.yaml:3:3
          3 |   trigger..a: 1
                ^
          hint: write it like `trigger.labels["a.b/c"].items.0`"#]],
    );
    refuse_criteria(
        "trigger.labels[a.b/c]: 1",
        expect![[r#"
        error: `trigger.labels[a.b/c]` is not a path: a bracket holds no key
          at r.yaml:3:3
          3 |   trigger.labels[a.b/c]: 1
                ^
          hint: write it like `trigger.labels["a.b/c"].items.0`"#]],
    );
    refuse_criteria(
        "any: { trigger.a: 1 }",
        expect![[r#"
        error: `any` is a list of groups, of which at least one must hold
          at r.yaml:3:8
          3 |   any: { trigger.a: 1 }
                     ^
          hint: write `any:` and below it `- { trigger.x: 1 }`, one line a group"#]],
    );
    refuse_criteria(
        "any: []",
        expect![[r#"
        error: `any` is a list of groups, of which at least one must hold
          at r.yaml:3:8
          3 |   any: []
                     ^
          hint: write `any:` and below it `- { trigger.x: 1 }`, one line a group"#]],
    );
    refuse_criteria(
        "any: [{}]",
        expect![[r#"
        error: there is no criterion here, so it would always hold
          at r.yaml:3:9
          3 |   any: [{}]
                      ^"#]],
    );
    refuse_criteria(
        "- trigger.a: 1",
        expect![[r#"
        error: criteria are a map, not a list
          at r.yaml:3:3
          3 |   - trigger.a: 1
                ^
          hint: write them as `path: { operator: pattern }`"#]],
    );
    refuse_criteria(
        "trigger.a: 1\n  trigger.a: 2",
        expect![[r#"
        error: the key `trigger.a` stands twice in this map
          at r.yaml:4:3
          4 |   trigger.a: 2
                ^
          hint: a key stands once: join the two, or rename one"#]],
    );
}

#[test]
fn a_key_with_brackets_in_a_flow_map_must_be_quoted() {
    refuse(
        "trigger: { type: a.b }\ncriteria: { trigger.labels[\"a.b/c\"]: x }\naction: { ref: a.b }\n",
        expect![[r#"
            error: while parsing a flow mapping, did not find expected ',' or '}'
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
                    ^"#]],
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
        error: `when` is a condition such as `trigger.size <= 5`, not a list
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
                               ^"#]],
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
        error: `${}` holds no expression: `$${` is a literal `${`
          at r.yaml:5:8
          5 |     a: ${}
                     ^"#]],
    );
}
