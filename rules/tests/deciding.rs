//! What a set of rules makes of an event.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{active, decide, event, event_from, listening, rule};
use expect_test::{Expect, expect};
use model::source::Emitter;
use model::{SensorRef, Value};
use rules::{ActiveRule, Rule, RuleSet};
use serde_json::json;

const ECHO: &str = "trigger: { type: a.b }\naction: { ref: core.echo }\n";

fn names(set: &RuleSet, source: &str) -> Vec<String> {
    let decision = set.decide(
        &mut rules::Evaluator::new(),
        &event_from(source, "a.b", json!({})),
        common::now(),
    );
    decision.selected.iter().map(|selected| selected.rule.to_string()).collect()
}

/// What one rule with this middle part and these parameters makes of an event.
fn check(middle: &str, parameters: &str, data: Value, expected: Expect) {
    let text = format!(
        "trigger: {{ type: a.b }}\n{middle}\naction:\n  ref: core.echo\n  parameters: {parameters}\n"
    );
    let rule = Rule::parse("rules/r.yaml", &text, "app.r".parse().unwrap());
    let rule = rule.unwrap_or_else(|problems| panic!("{}", problems[0]));
    let (selected, failed) = decide(&RuleSet::new(vec![active(rule)]), &event(data));
    expected.assert_eq(&[selected, failed].concat().join("\n"));
}

#[test]
fn selected_rules_come_in_the_order_of_their_names() {
    let rules = ["b.x", "a.z", "a.b", "c.a"].map(|name| listening(name, ECHO, &[]));
    let set = RuleSet::new(rules.to_vec());
    assert_eq!(names(&set, "tripline:main/api/x"), ["a.b", "a.z", "b.x", "c.a"]);
    assert_eq!(set.get(&"a.z".parse().unwrap()).unwrap().rule.reference.to_string(), "a.z");
    assert!(set.get(&"a.y".parse().unwrap()).is_none());
}

#[test]
fn a_rule_hears_the_sensors_it_listens_to_and_what_a_person_hands_in() {
    let sensor = |name: &str| Emitter::Sensor(name.parse::<SensorRef>().unwrap());
    let timer = Emitter::Subscription("timer.cron".parse().unwrap(), "0a".to_owned());
    let set = RuleSet::new(vec![
        listening("p.any", ECHO, &[]),
        listening("p.one", ECHO, &[sensor("p.one")]),
        listening("p.timer", ECHO, &[timer]),
        listening("p.two", ECHO, &[sensor("p.one"), sensor("p.two")]),
    ]);
    let all = ["p.any", "p.one", "p.timer", "p.two"];
    for (source, expected) in [
        ("tripline:main/p/one", &["p.any", "p.one", "p.two"][..]),
        ("tripline:main/p/two", &["p.any", "p.two"]),
        ("tripline:other/p/one", &["p.any", "p.one", "p.two"]),
        ("tripline:main/p/three", &["p.any"]),
        ("tripline:main/timer.cron/0a", &["p.any", "p.timer"]),
        ("tripline:main/timer.cron/0b", &["p.any"]),
        ("tripline:main/api/admin", &all),
        ("tripline:main/execution", &["p.any"]),
        ("tripline:main/engine", &["p.any"]),
        ("https://ci.example.com", &all),
    ] {
        assert_eq!(names(&set, source), expected, "{source}");
    }
}

#[test]
fn events_of_another_type_are_not_looked_at() {
    let set = RuleSet::new(vec![active(rule("when: trigger.absent == 1").unwrap())]);
    let other = event_from("tripline:main/api/x", "a.c", json!({}));
    assert_eq!(decide(&set, &other), (vec![], vec![]));
}

#[test]
fn parameters_are_literals_and_templates_that_keep_their_type() {
    check(
        "",
        "{ a: 1, b: \"${trigger.o}\", c: \"${trigger.n}\", d: \"n=${trigger.n}, o=${trigger.o}\", e: [\"${trigger.s}\", { f: \"$${x}\" }], g: null, h: \"${config.limit}\", i: \"${event.type}\" }",
        json!({ "o": { "k": [1, null] }, "n": 5, "s": "text" }),
        expect![[
            r#"app.r -> core.echo {"a":1,"b":{"k":[1,null]},"c":5,"d":"n=5, o={\"k\":[1,null]}","e":["text",{"f":"${x}"}],"g":null,"h":5,"i":"a.b"}"#
        ]],
    );
}

#[test]
fn a_condition_decides_after_the_criteria() {
    check(
        "when: trigger.n < config.limit",
        "{}",
        json!({ "n": 4 }),
        expect!["app.r -> core.echo {}"],
    );
    check("when: trigger.n < config.limit", "{}", json!({ "n": 5 }), expect![""]);
    // The criteria hold it back, so that nothing fails.
    check(
        "criteria: { trigger.n: { exists: true } }\nwhen: trigger.n < 5",
        "{}",
        json!({}),
        expect![""],
    );
    check(
        "when: now() == \"2026-01-31T12:00:00Z\"",
        "{ at: \"${now()}\" }",
        json!({}),
        expect![[r#"app.r -> core.echo {"at":"2026-01-31T12:00:00Z"}"#]],
    );
}

#[test]
fn what_is_missing_or_cannot_be_ordered_fails_the_rule_and_says_where() {
    check(
        "when: trigger.sise <= 5",
        "{}",
        json!({ "size": 5 }),
        expect![[
            r#"app.r: when: missing property `sise`: use get(…, "sise", default) where it may be absent (rules/r.yaml:2:15)"#
        ]],
    );
    check(
        "when: trigger.size <= 5",
        "{}",
        json!({ "size": "5" }),
        expect![
            "app.r: when: `<=` cannot compare a string with a whole number: convert one of them, or test the type first (rules/r.yaml:2:20)"
        ],
    );
    check(
        "when: trigger.size",
        "{}",
        json!({ "size": 5 }),
        expect![
            "app.r: when: the condition gives a whole number, not true or false (rules/r.yaml:2:7)"
        ],
    );
    check(
        "when: trigger.a.b == 1",
        "{}",
        json!({ "a": null }),
        expect!["app.r: when: `b` of null: use `??` where it may be null (rules/r.yaml:2:17)"],
    );
    check(
        "when: |\n  trigger.a == 1 &&\n    trigger.b == 1",
        "{}",
        json!({ "a": 1 }),
        expect![[
            r#"app.r: when: missing property `b`: use get(…, "b", default) where it may be absent (rules/r.yaml:4:13)"#
        ]],
    );
    check(
        "",
        "{ a: { b: [\"x\", \"${trigger.c}\"] } }",
        json!({}),
        expect![[
            r#"app.r: parameter `a`: missing property `c`: use get(…, "c", default) where it may be absent (rules/r.yaml:5:42)"#
        ]],
    );
}

#[test]
fn what_may_be_missing_is_asked_for_explicitly() {
    check(
        "when: get(trigger, \"spec.size\", 1) <= 5",
        "{}",
        json!({}),
        expect!["app.r -> core.echo {}"],
    );
    check("when: '\"size\" in trigger && trigger.size <= 5'", "{}", json!({}), expect![""]);
    check(
        "when: (trigger.size ?? 1) <= 5",
        "{}",
        json!({ "size": null }),
        expect!["app.r -> core.echo {}"],
    );
}

#[test]
fn one_rule_that_fails_leaves_the_others_alone() {
    let text = |when: &str| format!("{ECHO}when: {when}\n");
    let set = RuleSet::new(vec![
        listening("p.a", &text("trigger.absent == 1"), &[]),
        listening("p.b", &text("trigger.size == 1"), &[]),
        listening("p.c", &text("trigger.list.some(|x| x > trigger.size)"), &[]),
        listening("p.d", &text("trigger.list.len > 5"), &[]),
        listening("p.e", &text("trigger.size == \"1\""), &[]),
    ]);
    let (selected, failed) = decide(&set, &event(json!({ "size": 1, "list": [1, 2] })));
    assert_eq!(selected, ["p.b -> core.echo {}", "p.c -> core.echo {}"]);
    assert_eq!(failed.len(), 1);
    assert!(failed[0].starts_with("p.a: "), "{failed:?}");
}

#[test]
fn each_rule_sees_the_configuration_of_its_own_pack() {
    let text = "trigger: { type: a.b }\naction: { ref: core.echo, parameters: { v: \"${config.v + 0}\" } }\n";
    let with = |name: &str, config: Value| ActiveRule {
        config: std::sync::Arc::new(config),
        ..listening(name, text, &[])
    };
    let set = RuleSet::new(vec![
        with("p.a", json!({ "v": 1 })),
        with("p.b", json!({})),
        with("p.c", json!({ "v": 3 })),
    ]);
    let (selected, failed) = decide(&set, &event(json!({})));
    assert_eq!(selected, ["p.a -> core.echo {\"v\":1}", "p.c -> core.echo {\"v\":3}"]);
    assert_eq!(failed.len(), 1, "{failed:?}");
}

#[test]
fn a_set_may_be_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>(_: &T) {}
    shared(&RuleSet::new(vec![active(rule("when: trigger.a == 1").unwrap())]));
}

#[test]
fn a_large_value_passes_through_a_plain_path_whole() {
    let large = "x".repeat(1_000_000);
    let text =
        "trigger: { type: a.b }\naction: { ref: core.echo, parameters: { v: \"${trigger.v}\" } }\n";
    let set = RuleSet::new(vec![listening("p.a", text, &[])]);
    let decision =
        set.decide(&mut rules::Evaluator::new(), &event(json!({ "v": large })), common::now());
    assert_eq!(decision.selected[0].parameters["v"], large);
}

#[test]
fn parameters_are_checked_against_the_action_as_far_as_they_are_known() {
    let schema = json!({
        "to": { "type": "string", "required": true },
        "count": { "type": "integer" },
        "body": { "type": "object" },
    });
    let schema = model::Schema::compile(schema.as_object().unwrap()).unwrap();
    let told = |parameters: &str| {
        let text = format!(
            "trigger: {{ type: a.b, parameters: {{ to: [] }} }}\naction: {{ ref: core.echo{parameters} }}\n"
        );
        let rule = common::parse(&text).unwrap();
        let all = rule.trigger.check(&schema).into_iter().chain(rule.action.check(&schema));
        all.map(|finding| finding.to_string()).collect::<Vec<_>>().join("\n")
    };
    expect![[r#"
        error: `to`: expected type "string", found []
          at r.yaml:1:37
          1 | trigger: { type: a.b, parameters: { to: [] } }
                                                  ^"#]].assert_eq(&told(", parameters: { to: \"${trigger.x}\", count: \"${trigger.n}\", body: { a: \"${trigger.x}\" } }"));
    expect![[r#"
        error: `to`: expected type "string", found []
          at r.yaml:1:37
          1 | trigger: { type: a.b, parameters: { to: [] } }
                                                  ^
        error: unknown parameter `too`
          at r.yaml:2:41
          2 | action: { ref: core.echo, parameters: { too: "${trigger.x}", count: many } }
                                                      ^
          hint: did you mean `to`?
        error: missing parameter `to`
          at r.yaml:2:39
          2 | action: { ref: core.echo, parameters: { too: "${trigger.x}", count: many } }
                                                    ^
          hint: `to` is a value of type string
        error: `count`: expected type "integer", found "many"
          at r.yaml:2:62
          2 | action: { ref: core.echo, parameters: { too: "${trigger.x}", count: many } }
                                                                           ^"#]]
    .assert_eq(&told(", parameters: { too: \"${trigger.x}\", count: many }"));
    expect![[r#"
        error: `to`: expected type "string", found []
          at r.yaml:1:37
          1 | trigger: { type: a.b, parameters: { to: [] } }
                                                  ^
        error: missing parameter `to`
          at r.yaml:2:16
          2 | action: { ref: core.echo }
                             ^
          hint: `to` is a value of type string"#]]
    .assert_eq(&told(""));
}
