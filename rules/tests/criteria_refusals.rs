//! What is wrong with a rule's criteria, and how it is told.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::rule;
use expect_test::{Expect, expect};

fn refuse_criteria(criteria: &str, expected: Expect) {
    let shown: Vec<String> = match rule(&format!("criteria:\n  {criteria}")) {
        Ok(_) => vec!["accepted".to_owned()],
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    };
    expected.assert_eq(&shown.join("\n"));
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
            error: `in`: expected a list, or a string to be part of, found a whole number
              at r.yaml:3:20
              3 |   trigger.a: { in: 5 }
                                     ^"#]],
    );
    refuse_criteria(
        "trigger.a: { lt: [1] }",
        expect![[r#"
            error: `lt`: expected a number or a string, found a list
              at r.yaml:3:20
              3 |   trigger.a: { lt: [1] }
                                     ^"#]],
    );
    refuse_criteria(
        "trigger.a: { startswith: 1 }",
        expect![[r#"
            error: `startswith`: expected a string, found a whole number
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
            error: `exists`: expected true or false, found a string
              at r.yaml:3:24
              3 |   trigger.a: { exists: yes }
                                         ^"#]],
    );
    refuse_criteria(
        "trigger.a: { timediff_lt: soon }",
        expect![[r#"
            error: `timediff_lt`: expected seconds or a duration such as 10m, found a string
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
                                      ^
              hint: write one, such as `trigger.x: 1`, or remove this"#]],
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
                          ^
              hint: write one, such as `trigger.x: 1`, or remove this"#]],
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
fn one_operator_in_two_spellings_that_cannot_both_hold_is_refused() {
    refuse_criteria(
        "trigger.a: { eq: 1, equals: 2 }",
        expect![[r#"
            error: `eq` and `equals` can never both hold, and both must
              at r.yaml:3:23
              3 |   trigger.a: { eq: 1, equals: 2 }
                                        ^
              hint: for one of several values write `{ in: [a, b] }`; for one of several groups, `any:`"#]],
    );
    refuse_criteria(
        "trigger.a: { eq: A, iequals: b }",
        expect![[r#"
            error: `eq` and `iequals` can never both hold, and both must
              at r.yaml:3:23
              3 |   trigger.a: { eq: A, iequals: b }
                                        ^
              hint: for one of several values write `{ in: [a, b] }`; for one of several groups, `any:`"#]],
    );
    refuse_criteria(
        "trigger.a: { exists: true, nexists: true }",
        expect![[r#"
            error: `exists` and `nexists` can never both hold, and both must
              at r.yaml:3:30
              3 |   trigger.a: { exists: true, nexists: true }
                                               ^
              hint: for one of several values write `{ in: [a, b] }`; for one of several groups, `any:`"#]],
    );
    refuse_criteria(
        "trigger.a: { eq: A, ieq: a, equals: A, gt: 1, greaterthan: 2 }",
        expect!["accepted"],
    );
    refuse_criteria(
        "trigger.a: { exists: true, nexists: false, eq: 1.0, equals: 1 }",
        expect!["accepted"],
    );
}
