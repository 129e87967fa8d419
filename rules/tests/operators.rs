//! Every operator, over values that fit, that don't, and that are absent.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use common::{event, matches};
use model::Value;
use serde_json::json;

/// Each row: what stands in `trigger.x` (nothing: absent), a pattern, whether it matches.
fn check(rows: &[(Option<Value>, &str, bool)]) {
    for (found, test, expected) in rows {
        let data = found.clone().map_or_else(|| json!({}), |found| json!({ "x": found }));
        let matched = matches(&format!("{{ trigger.x: {test} }}"), &event(data));
        assert_eq!(matched, *expected, "{found:?} against {test}");
    }
}

#[test]
fn equality_compares_values_of_one_type() {
    check(&[
        (Some(json!("a")), "a", true),
        (Some(json!("a")), "{ eq: a }", true),
        (Some(json!("a")), "{ equals: A }", false),
        (Some(json!(5)), "5", true),
        (Some(json!(5.0)), "5", true),
        (Some(json!(5)), "5.0", true),
        (Some(json!("5")), "5", false),
        (Some(json!(true)), "true", true),
        (Some(json!("true")), "true", false),
        (Some(json!([1, { "a": 2 }])), "{ eq: [1, { a: 2.0 }] }", true),
        (Some(json!([1, 2])), "{ eq: [2, 1] }", false),
        (Some(json!(null)), "{ eq: null }", true),
        (Some(json!(0)), "{ eq: null }", false),
        (None, "{ eq: null }", false),
        (None, "a", false),
        (Some(json!("yes")), "yes", true),
    ]);
}

#[test]
fn inequality_holds_across_types_but_not_for_what_is_absent() {
    check(&[
        (Some(json!("a")), "{ ne: b }", true),
        (Some(json!("a")), "{ ne: a }", false),
        (Some(json!("5")), "{ neq: 5 }", true),
        (Some(json!(5.0)), "{ nequals: 5 }", false),
        (Some(json!(null)), "{ ne: null }", false),
        (Some(json!(1)), "{ ne: null }", true),
        (None, "{ ne: a }", false),
    ]);
}

#[test]
fn a_value_is_in_a_list_and_a_text_in_a_text() {
    check(&[
        (Some(json!("b")), "{ in: [a, b] }", true),
        (Some(json!("c")), "{ inside: [a, b] }", false),
        (Some(json!(2.0)), "{ in: [1, 2] }", true),
        (Some(json!(null)), "{ in: [null] }", true),
        (Some(json!([1])), "{ in: [[1], [2]] }", true),
        (Some(json!("ell")), "{ in: hello }", true),
        (Some(json!(1)), "{ in: hello }", false),
        (None, "{ in: [a] }", false),
        (Some(json!("c")), "{ nin: [a, b] }", true),
        (Some(json!("a")), "{ ninside: [a, b] }", false),
        (Some(json!("xyz")), "{ nin: hello }", true),
        (Some(json!(1)), "{ nin: hello }", false),
        (None, "{ nin: [a] }", false),
        (Some(json!("A")), "{ iin: [a] }", true),
        (Some(json!("ELL")), "{ iin: Hello }", true),
        (Some(json!("A")), "{ inin: [a] }", false),
    ]);
}

#[test]
fn order_is_for_numbers_among_themselves_and_texts_among_themselves() {
    check(&[
        (Some(json!(4)), "{ lt: 5 }", true),
        (Some(json!(4.5)), "{ lessthan: 5 }", true),
        (Some(json!(5)), "{ lt: 5 }", false),
        (Some(json!(5)), "{ le: 5.0 }", true),
        (Some(json!(6)), "{ gt: 5 }", true),
        (Some(json!(5)), "{ greaterthan: 5 }", false),
        (Some(json!(5)), "{ ge: 5 }", true),
        (Some(json!(7)), "{ ge: 5, lt: 8 }", true),
        (Some(json!(8)), "{ ge: 5, lt: 8 }", false),
        (Some(json!("abc")), "{ lt: abd }", true),
        (Some(json!("B")), "{ igt: a }", true),
        (Some(json!("4")), "{ lt: 5 }", false),
        (Some(json!(4)), "{ lt: \"5\" }", false),
        (Some(json!(null)), "{ lt: 5 }", false),
        (Some(json!(true)), "{ lt: 5 }", false),
        (Some(json!(u64::MAX)), "{ gt: 9223372036854775807 }", true),
        (None, "{ lt: 5 }", false),
        (None, "{ gt: 5 }", false),
    ]);
}

#[test]
fn a_regex_searches_and_matchregex_starts_at_the_start() {
    check(&[
        (Some(json!("team-a")), "{ matches: \"^team-\" }", true),
        (Some(json!("a team-a")), "{ regex: team }", true),
        (Some(json!("a team-a")), "{ matchregex: team }", false),
        (Some(json!("team-a")), "{ matchregex: \"team|x\" }", true),
        (Some(json!("a\nb")), "{ matches: \"a.b\" }", false),
        (Some(json!("a\nb")), "{ matchregex: \"a.b\" }", true),
        (Some(json!("xa")), "{ matchregex: \"x|a\" }", true),
        (Some(json!("TEAM")), "{ imatches: team }", true),
        (Some(json!("ÄRGER")), "{ iregex: ärger }", true),
        (Some(json!(5)), "{ matches: \"5\" }", false),
        (Some(json!(["team"])), "{ matches: team }", false),
        (None, "{ matches: \".*\" }", false),
    ]);
}

#[test]
fn a_wildcard_covers_the_whole_text() {
    check(&[
        (Some(json!("refs/heads/main")), "{ matchwildcard: \"refs/heads/*\" }", true),
        (Some(json!("refs/heads/a\nb")), "{ matchwildcard: \"refs/heads/*\" }", true),
        (Some(json!("xrefs/heads/a")), "{ matchwildcard: \"refs/heads/*\" }", false),
        (Some(json!("v1")), "{ matchwildcard: \"v?\" }", true),
        (Some(json!("v12")), "{ matchwildcard: \"v?\" }", false),
        (Some(json!("vä")), "{ matchwildcard: \"v?\" }", true),
        (Some(json!("v3")), "{ matchwildcard: \"v[0-9]\" }", true),
        (Some(json!("vx")), "{ matchwildcard: \"v[!0-9]\" }", true),
        (Some(json!("v3")), "{ matchwildcard: \"v[!0-9]\" }", false),
        (Some(json!("v]")), "{ matchwildcard: \"v[]]\" }", true),
        (Some(json!("v^")), "{ matchwildcard: \"v[x^]\" }", true),
        (Some(json!("v[")), "{ matchwildcard: \"v[\" }", true),
        (Some(json!("a.b")), "{ matchwildcard: \"a.b\" }", true),
        (Some(json!("axb")), "{ matchwildcard: \"a.b\" }", false),
        (Some(json!("ABC")), "{ imatchwildcard: \"a*\" }", true),
        (Some(json!(5)), "{ matchwildcard: \"*\" }", false),
        (None, "{ matchwildcard: \"*\" }", false),
    ]);
}

#[test]
fn texts_lists_and_maps_contain() {
    check(&[
        (Some(json!("hello")), "{ contains: ell }", true),
        (Some(json!("hello")), "{ contains: ELL }", false),
        (Some(json!("hello")), "{ icontains: ELL }", true),
        (Some(json!(["a", 1])), "{ contains: a }", true),
        (Some(json!(["a", 1])), "{ contains: 1.0 }", true),
        (Some(json!(["A"])), "{ icontains: a }", true),
        (Some(json!({ "k": 1 })), "{ contains: k }", true),
        (Some(json!({ "k": 1 })), "{ contains: 1 }", false),
        (Some(json!("a1")), "{ contains: 1 }", false),
        (Some(json!(11)), "{ contains: 1 }", false),
        (None, "{ contains: a }", false),
        (Some(json!("hello")), "{ ncontains: xyz }", true),
        (Some(json!(["a"])), "{ ncontains: a }", false),
        (Some(json!(["B"])), "{ incontains: b }", false),
        (Some(json!(11)), "{ ncontains: 1 }", false),
        (None, "{ ncontains: a }", false),
    ]);
}

#[test]
fn texts_begin_and_end() {
    check(&[
        (Some(json!("refs/heads/x")), "{ startswith: refs/heads/ }", true),
        (Some(json!("REFS")), "{ startswith: refs }", false),
        (Some(json!("REFS/x")), "{ istartswith: refs }", true),
        (Some(json!("a.yaml")), "{ endswith: .yaml }", true),
        (Some(json!("GROSSE STRASSE")), "{ iendswith: straße }", true),
        (Some(json!(5)), "{ startswith: \"5\" }", false),
        (None, "{ startswith: \"\" }", false),
        (None, "{ endswith: \"\" }", false),
    ]);
}

#[test]
fn case_is_ignored_only_where_it_is_asked_for() {
    check(&[
        (Some(json!("MySQL")), "{ ieq: mysql }", true),
        (Some(json!("MySQL")), "{ iequals: MYSQL }", true),
        (Some(json!("MySQL")), "{ ine: mysql }", false),
        (Some(json!("ΟΔΟΣ")), "{ ieq: οδος }", true),
        (Some(json!(5)), "{ ieq: 5 }", true),
        (Some(json!(["A", { "k": "B" }])), "{ ieq: [a, { k: b }] }", true),
        (Some(json!({ "K": 1 })), "{ ieq: { k: 1 } }", false),
    ]);
}

#[test]
fn existing_is_being_there_and_not_null() {
    check(&[
        (Some(json!(0)), "{ exists: true }", true),
        (Some(json!(false)), "{ exists: true }", true),
        (Some(json!("")), "{ exists: true }", true),
        (Some(json!(null)), "{ exists: true }", false),
        (None, "{ exists: true }", false),
        (Some(json!(0)), "{ exists: false }", false),
        (None, "{ exists: false }", true),
        (None, "{ nexists: true }", true),
        (Some(json!(null)), "{ nexists: true }", true),
        (Some(json!(1)), "{ nexists: true }", false),
        (Some(json!(1)), "{ nexists: false }", true),
    ]);
}

/// The event is accepted at 2026-01-31T12:00:00Z.
#[test]
fn an_age_is_the_time_since_then_and_without_zone_it_is_utc() {
    check(&[
        (Some(json!("2026-01-31T11:59:00Z")), "{ timediff_lt: 61 }", true),
        (Some(json!("2026-01-31T11:59:00Z")), "{ timediff_lt: 60 }", false),
        (Some(json!("2026-01-31T11:59:00Z")), "{ td_lt: 2m }", true),
        (Some(json!("2026-01-31T11:59:00")), "{ td_lt: 61s }", true),
        (Some(json!("2026-01-31 11:59:00")), "{ td_lt: 61s }", true),
        (Some(json!("2026-01-31T12:59:00+01:00")), "{ td_lt: 61s }", true),
        (Some(json!("2026-01-31T11:59:00.5Z")), "{ td_lt: 59.6 }", true),
        (Some(json!("2026-01-31")), "{ timediff_gt: 11h }", true),
        (Some(json!("2026-01-31")), "{ td_gt: 12h }", false),
        (Some(json!("2026-02-01")), "{ td_lt: 0 }", true),
        (Some(json!("yesterday")), "{ td_gt: 0 }", false),
        (Some(json!(1_700_000_000)), "{ td_gt: 0 }", false),
        (None, "{ td_gt: 0 }", false),
    ]);
}

#[test]
fn any_and_all_look_into_the_items_of_a_list() {
    let items = || Some(json!([{ "n": "a", "v": 1, "l": [1] }, { "n": "b", "v": 2, "l": [2, 3] }]));
    check(&[
        (items(), "{ any: { n: b } }", true),
        (items(), "{ any: { item.n: b } }", true),
        (items(), "{ any: { n: b, v: { gt: 1 } } }", true),
        // Both must hold for one item.
        (items(), "{ any: { n: a, v: { gt: 1 } } }", false),
        (items(), "{ all: { v: { ge: 1 } } }", true),
        (items(), "{ all: { v: { ge: 2 } } }", false),
        (items(), "{ any: { l: { any: { item: 3 } } } }", true),
        (items(), "{ all: { l: { any: { item: 3 } } } }", false),
        (items(), "{ any: { n: a }, all: { v: { lt: 3 } } }", true),
        (items(), "{ any: { absent: 1 } }", false),
        (Some(json!(["refs/a", 5])), "{ any: { item: { startswith: refs/ } } }", true),
        (Some(json!(["refs/a", 5])), "{ all: { item: { startswith: refs/ } } }", false),
        (Some(json!([])), "{ any: { item: 1 } }", false),
        (Some(json!([])), "{ all: { item: 1 } }", true),
        (Some(json!({ "n": "a" })), "{ any: { n: a } }", false),
        (None, "{ all: { item: 1 } }", false),
    ]);
}

#[test]
fn one_group_of_any_must_hold_beside_all_other_criteria() {
    let criteria = "{ trigger.kind: db, any: [{ trigger.class: small }, { trigger.gb: { le: 100 }, trigger.ok: true }] }";
    for (data, expected) in [
        (json!({ "kind": "db", "class": "small" }), true),
        (json!({ "kind": "db", "gb": 50, "ok": true }), true),
        (json!({ "kind": "db", "gb": 50, "ok": false }), false),
        (json!({ "kind": "db", "class": "large", "gb": 101 }), false),
        (json!({ "kind": "x", "class": "small" }), false),
    ] {
        assert_eq!(matches(criteria, &event(data.clone())), expected, "{data}");
    }
}

#[test]
fn paths_lead_to_the_envelope_and_the_configuration_as_well() {
    for (criteria, expected) in [
        ("{ event.type: a.b }", true),
        ("{ event.source: { startswith: \"tripline:main/api\" } }", true),
        ("{ event.time: { timediff_gt: 30s } }", true),
        ("{ event.subject: { exists: true } }", false),
        ("{ event.subject: { eq: null } }", true),
        ("{ event.data: { exists: true } }", false),
        ("{ config.limit: { ge: 5 } }", true),
        ("{ trigger: { eq: { \"a.b\": [7] } } }", true),
        ("{ 'trigger[\"a.b\"].0': 7 }", true),
        ("{ 'trigger[\"a.b\"][0]': 7 }", true),
        ("{ trigger.a.b.0: 7 }", false),
    ] {
        assert_eq!(matches(criteria, &event(json!({ "a.b": [7] }))), expected, "{criteria}");
    }
}
