//! The index finds exactly the rules that match.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{event_from, listening, now};
use model::Value;
use model::source::Emitter;
use proptest::prelude::*;
use rules::{ActiveRule, Evaluator, Outcome, RuleSet, explain};
use serde_json::json;

const SOURCES: [&str; 4] = [
    "tripline:main/p/one",
    "tripline:main/p/two",
    "tripline:main/a.b/0a",
    "tripline:main/api/admin",
];

/// Few values, so that rules and events meet often.
fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        Just(json!(true)),
        Just(json!(1)),
        Just(json!(1.0)),
        Just(json!(1.5)),
        Just(json!("1")),
        Just(json!("a")),
        Just(json!("A")),
    ]
}

fn data() -> impl Strategy<Value = Value> {
    let leaf =
        prop_oneof![3 => scalar(), 1 => Just(json!([1, "a"])), 1 => Just(json!({ "0": "a" }))];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::btree_map("[xy01]", inner.clone(), 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
            prop::collection::vec(inner, 0..3).prop_map(Value::Array),
        ]
    })
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => prop::collection::vec("[xy01]", 0..3).prop_map(|steps| {
            steps.iter().fold("trigger".to_owned(), |path, step| format!("{path}.{step}"))
        }),
        1 => Just("event.source".to_owned()),
        1 => Just("event.subject".to_owned()),
        1 => Just("config.limit".to_owned()),
    ]
}

fn test() -> impl Strategy<Value = Value> {
    prop_oneof![
        5 => scalar().prop_map(|v| json!({ "eq": v })),
        3 => prop::collection::vec(scalar(), 1..3).prop_map(|v| json!({ "in": v })),
        1 => Just(json!({ "in": [[1, "a"], 1] })),
        1 => Just(json!({ "eq": [1, "a"] })),
        1 => scalar().prop_map(|v| json!({ "ne": v })),
        1 => Just(json!({ "ieq": "a" })),
        1 => Just(json!({ "exists": false })),
        1 => Just(json!({ "eq": "a", "in": ["a", "A"] })),
        1 => Just(json!({ "any": { "item": { "eq": 1 } } })),
    ]
}

fn group(most: usize) -> impl Strategy<Value = Value> {
    prop::collection::btree_map(path(), test(), 1..=most)
        .prop_map(|map| Value::Object(map.into_iter().collect()))
}

fn criteria() -> impl Strategy<Value = Value> {
    let any = prop::option::of(prop::collection::vec(group(2), 1..3));
    (prop::option::of(group(3)), any).prop_map(|(all, any)| {
        let mut all = all.unwrap_or_else(|| json!({}));
        if let Some(any) = any {
            all["any"] = json!(any);
        }
        all
    })
}

fn listens() -> impl Strategy<Value = Vec<Emitter>> {
    prop::sample::subsequence(
        vec![
            Emitter::Sensor("p.one".parse().unwrap()),
            Emitter::Sensor("p.two".parse().unwrap()),
            Emitter::Subscription("a.b".parse().unwrap(), "0a".to_owned()),
        ],
        0..3,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_index_selects_what_asking_every_rule_selects(
        rules in prop::collection::vec((criteria(), listens()), 1..12),
        data in data(),
        source in prop::sample::select(&SOURCES),
    ) {
        let rules: Vec<ActiveRule> = rules.iter().enumerate().map(|(n, (criteria, listens))| {
            // JSON is YAML.
            let text = json!({
                "trigger": { "type": "a.b" }, "criteria": criteria, "action": { "ref": "core.echo" },
            });
            listening(&format!("p.r{n}"), &text.to_string(), listens)
        }).collect();
        let event = event_from(source, "a.b", data);
        let mut evaluator = Evaluator::new();
        let mut asked: Vec<String> = rules
            .iter()
            .map(|active| explain(active, &mut evaluator, &event, now()))
            .filter(|explanation| explanation.outcome == Outcome::Match)
            .map(|explanation| explanation.rule.to_string())
            .collect();
        asked.sort();
        let decision = RuleSet::new(rules).decide(&mut evaluator, &event, now());
        let found: Vec<String> = decision.selected.iter().map(|s| s.rule.to_string()).collect();
        prop_assert_eq!(found, asked);
    }
}

/// How many of `count` rules are asked about the event of one of them, and how many select it.
fn asked_of(count: usize, criteria: impl Fn(usize) -> Value) -> (usize, usize) {
    let rules = (0..count).map(|n| {
        let text = json!({
            "trigger": { "type": "a.b" }, "criteria": criteria(n), "action": { "ref": "core.echo" },
        });
        listening(&format!("p.r{n}"), &text.to_string(), &[])
    });
    let set = RuleSet::new(rules.collect());
    let event = event_from(SOURCES[3], "a.b", json!({ "name": "n7", "kind": "app", "size": 7 }));
    let decision = set.decide(&mut Evaluator::new(), &event, now());
    (decision.asked, decision.selected.len())
}

#[test]
fn an_event_asks_the_rules_that_compare_with_what_it_holds_however_many_others_there_are() {
    let own = |n: usize| json!({ "trigger.kind": "app", "trigger.name": format!("n{n}") });
    let listed = |n: usize| json!({ "trigger.name": { "in": [format!("n{n}"), format!("m{n}")] } });
    let grouped =
        |n: usize| json!({ "any": [{ "trigger.name": format!("n{n}") }, { "trigger.size": n }] });
    for count in [10, 2_000] {
        assert_eq!(asked_of(count, own), (1, 1), "of {count}");
        assert_eq!(asked_of(count, listed), (1, 1), "of {count}");
        assert_eq!(asked_of(count, grouped), (1, 1), "of {count}");
    }
    // Nothing is fixed here: the figure counts every rule that the index cannot rule out.
    let prefix = |n: usize| json!({ "trigger.name": { "startswith": format!("n{n}") } });
    assert_eq!(asked_of(10, prefix), (10, 1));
}
