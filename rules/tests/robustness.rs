//! Whatever a file, a pattern or a template holds, it is read or refused.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{active, event, parse};
use proptest::prelude::*;
use rules::{Evaluator, RuleSet};
use serde_json::json;

/// Pieces that mean something to one of the languages in a rule's file.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "trigger", "event", "config", "item", ".a", ".", "[0]", "[\"", "\"]", "[", "]", "{", "}",
        "${", "$${", "$", "\"", "'", "`", "\\", "(", ")", "|x|", "||", "&&", "==", "<=", "??",
        "?.", "in", "+", "1", "-1", "0", "1e9", "null", "*", "?", "!", "^", "ä", "ß", "𝄞", "\u{0}",
        "\n", "\t", " ", ":", ": ", "- ", "#", "&", "%", ",", "get(", "now()", "len()", "some(",
        "/*", "//",
    ];
    prop_oneof![20 => prop::sample::select(words.to_vec()).prop_map(ToOwned::to_owned), 1 => ".{0,3}"]
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(piece(), 0..12).prop_map(|pieces| pieces.concat())
}

/// Reads the rule and, where it is one, lets it see an event.
fn read(text: &str) {
    if let Ok(rule) = parse(text) {
        let data = json!({ "a": [1, "ä", null, { "a": 2 }], "b": "x" });
        let set = RuleSet::new(vec![active(rule)]);
        set.decide(&mut Evaluator::new(), &event(data), common::now());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_text_as_a_file(text in text()) {
        read(&text);
    }

    #[test]
    fn any_text_inside_a_rule(
        path in text(),
        operator in prop::sample::select(vec!["eq", "in", "matches", "imatchwildcard", "td_lt", "any"]),
        pattern in text(),
        when in text(),
        template in text(),
    ) {
        // JSON is YAML: each text arrives as it is.
        let trigger = json!({ "type": "a.b" });
        let action = json!({ "ref": "core.echo", "parameters": { "v": template } });
        read(&json!({ "trigger": trigger, "action": action }).to_string());
        read(&json!({ "trigger": trigger, "action": action, "when": when }).to_string());
        let criteria = json!({ (path): { (operator): pattern } });
        read(&json!({ "trigger": trigger, "action": action, "criteria": criteria }).to_string());
        let criteria = json!({ "trigger.b": { (operator): pattern } });
        read(&json!({ "trigger": trigger, "action": { "ref": "a.b" }, "criteria": criteria }).to_string());
    }
}
