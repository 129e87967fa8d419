//! Events, and what rules made of them.

use std::collections::BTreeMap;

use model::{Body, Fact, Hash, Stream};
use store::{EventFilter, Position, RuleCount, Store};

use crate::common::*;

contract!(
    an_event_is_found_with_its_data_and_what_rules_made_of_it,
    an_event_told_again_is_counted,
    events_are_listed_by_what_the_filter_names,
    a_rule_is_counted_once_an_event,
    an_event_names_the_rules_that_failed_on_it,
);

async fn an_event_is_found_with_its_data_and_what_rules_made_of_it(store: &dyn Store) {
    let fact = accepted_event("e1", &[("app.a", 1), ("app.b", 2)]);
    let stream = Stream::Event(event_key("e1"));
    let position = put(store, stream, vec![Fact::EventAccepted(fact.clone())]).await;
    let row = store.event(&event_key("e1")).await.unwrap().unwrap();
    assert_eq!(row.key, event_key("e1"));
    assert_eq!(row.envelope, fact.event.envelope);
    assert_eq!(row.data, Some(Body::Inline(serde_json::json!({ "ref": "e1" }))));
    assert_eq!((row.accepted_at, row.generation), (at(5), 7));
    assert_eq!(row.matched, fact.matched);
    assert_eq!((row.payload, row.position), (fact.payload, position));
    assert_eq!(store.event(&event_key("e2")).await.unwrap(), None);
}

async fn an_event_told_again_is_counted(store: &dyn Store) {
    let stream = || Stream::Event(event_key("e1"));
    put(store, stream(), vec![accepted("e1", &[]), Fact::EventRepeated { at: at(6) }]).await;
    let differs = Fact::DuplicateDiffers { payload: Hash::of(b"other"), at: at(7) };
    put(store, stream(), vec![Fact::EventRepeated { at: at(7) }, differs]).await;
    let row = store.event(&event_key("e1")).await.unwrap().unwrap();
    // One that was told again with other data was told again.
    assert_eq!((row.duplicates, row.differing), (3, 1));
    assert_eq!(row.payload, accepted_event("e1", &[]).payload);
}

async fn events_are_listed_by_what_the_filter_names(store: &dyn Store) {
    for (n, kind, source) in [
        ("1", "git.push", "tripline:demo/app/push"),
        ("2", "timer.cron", "tripline:demo/timer.cron/x"),
        ("3", "git.push", "tripline:demo/app/push%"),
        ("4", "git.push", "tripline:demo/app/other"),
    ] {
        let mut event = accepted_event(n, &[]);
        event.event.envelope.kind = kind.parse().unwrap();
        event.event.envelope.source = source.to_owned();
        event.accepted_at = at(n.parse().unwrap());
        let stream = Stream::Event(event.event.envelope.key());
        put(store, stream, vec![Fact::EventAccepted(event)]).await;
    }
    let all = || EventFilter { limit: 10, ..EventFilter::default() };
    let source = |source: &str| EventFilter { source: Some(source.to_owned()), ..all() };
    for (filter, ids) in [
        (all(), &["4", "3", "2", "1"][..]),
        (EventFilter { limit: 2, ..all() }, &["4", "3"]),
        (EventFilter { limit: 2, before: Some(Position(3)), ..all() }, &["2", "1"]),
        (EventFilter { kind: Some("timer.cron".parse().unwrap()), ..all() }, &["2"]),
        (source("tripline:demo/app/push"), &["3", "1"]),
        (source("tripline:demo/app/push%"), &["3"]),
        (source("app"), &[]),
        (EventFilter { since: Some(at(3)), ..all() }, &["4", "3"]),
    ] {
        let rows = store.events(&filter).await.unwrap();
        assert!(rows.iter().all(|row| row.data.is_none()), "listings leave data out");
        let found: Vec<_> = rows.iter().map(|row| row.envelope.id.as_str()).collect();
        assert_eq!(found, ids, "{filter:?}");
    }
}

async fn a_rule_is_counted_once_an_event(store: &dyn Store) {
    let failed = Fact::RuleFailed { rule: "app.b".parse().unwrap(), error: "no `size`".into() };
    let first = vec![accepted("e1", &[("app.a", 1), ("app.a", 2), ("app.b", 3)])];
    put(store, Stream::Event(event_key("e1")), first).await;
    let mut later = accepted_event("e2", &[("app.a", 4)]);
    later.accepted_at = at(60);
    let second = vec![Fact::EventAccepted(later), failed];
    put(store, Stream::Event(event_key("e2")), second).await;
    let count = |matched, failed, last| RuleCount { matched, failed, last_matched: Some(at(last)) };
    let expected = BTreeMap::from([
        ("app.a".parse().unwrap(), count(2, 0, 60)),
        ("app.b".parse().unwrap(), count(1, 1, 5)),
    ]);
    assert_eq!(store.rule_counts().await.unwrap(), expected);
}

async fn an_event_names_the_rules_that_failed_on_it(store: &dyn Store) {
    let failed = |rule: &str| Fact::RuleFailed { rule: rule.parse().unwrap(), error: "no".into() };
    put(store, Stream::Event(event_key("e1")), vec![accepted("e1", &[("app.a", 1)])]).await;
    let second = vec![accepted("e2", &[]), failed("app.b"), failed("app.c")];
    put(store, Stream::Event(event_key("e2")), second).await;
    let rows = store.events(&EventFilter { limit: 9, ..Default::default() }).await.unwrap();
    let named = rows.iter().map(|row| row.failed.iter().map(ToString::to_string).collect());
    let named: Vec<Vec<String>> = named.collect();
    assert_eq!(named, [vec!["app.b".to_owned(), "app.c".to_owned()], vec![]]);
    let many = (0..30).map(|n| failed(&format!("app.r{n}"))).collect();
    put(store, Stream::Event(event_key("e1")), many).await;
    let row = store.event(&event_key("e1")).await.unwrap().unwrap();
    assert_eq!(row.failed.len(), store::MAX_FAILED_RULES);
}
