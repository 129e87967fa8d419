//! Events: told once, told again, told differently; what several rules make of one.
#![allow(clippy::unwrap_used)]

mod support;

use engine::{Accepted, Engine, NewEvent};
use model::{ExecutionState, Value};
use serde_json::json;
use store::ExecutionFilter;
use support::{House, ended};

fn house() -> House {
    let house = House::new();
    house.write(
        "triggers/built.yaml",
        "payload: { version: { type: string }, size: { type: integer } }\n",
    );
    house
}

fn rule(house: &House, name: &str, more: &str) {
    let text = format!(
        "trigger: {{ type: p.built }}\n{more}\naction: {{ ref: core.echo, parameters: {{ value: \"${{trigger.version}}\" }} }}\n"
    );
    house.write(&format!("rules/{name}.yaml"), &text);
}

async fn emit(engine: &Engine, token: &str, id: Option<&str>, data: Value) -> Accepted {
    let kind = "p.built".parse().unwrap();
    let new = NewEvent { kind, id: id.map(ToOwned::to_owned), subject: None, data };
    engine.emit(token, new).await.unwrap()
}

async fn executions(engine: &Engine) -> Vec<store::ExecutionRow> {
    engine.executions(&ExecutionFilter { limit: 100, ..Default::default() }).await.unwrap()
}

#[tokio::test]
async fn an_event_told_twice_runs_a_rule_once() {
    let house = house();
    rule(&house, "all", "");
    let engine = house.start().await;
    let first = emit(&engine, "ci", Some("build-7"), json!({ "version": "7" })).await;
    let Accepted::New { key, executions: asked } = first else { panic!("{first:?}") };
    let again = emit(&engine, "ci", Some("build-7"), json!({ "version": "7" })).await;
    assert_eq!(again, Accepted::Duplicate { key: key.clone(), differs: false });
    assert_eq!(executions(&engine).await.len(), 1);
    assert_eq!(engine.event(&key).await.unwrap().0.duplicates, 1);
    let view = ended(&engine, &asked[0]).await;
    assert_eq!(support::result(&view), &json!({ "value": "7" }));
}

#[tokio::test]
async fn the_same_id_with_other_data_is_recorded_and_the_first_stands() {
    let house = house();
    rule(&house, "all", "");
    let engine = house.start().await;
    emit(&engine, "ci", Some("1"), json!({ "version": "a" })).await;
    let other = emit(&engine, "ci", Some("1"), json!({ "version": "b" })).await;
    let Accepted::Duplicate { key, differs: true } = other else { panic!("{other:?}") };
    let (row, data) = engine.event(&key).await.unwrap();
    assert_eq!((row.differing, data), (1, json!({ "version": "a" })));
    assert_eq!(executions(&engine).await.len(), 1);
}

#[tokio::test]
async fn one_sender_cannot_use_up_the_ids_of_another() {
    let house = house();
    rule(&house, "all", "");
    let engine = house.start().await;
    emit(&engine, "mallory", Some("1"), json!({})).await;
    let real = emit(&engine, "ci", Some("1"), json!({ "version": "a" })).await;
    assert!(matches!(real, Accepted::New { .. }), "{real:?}");
}

#[tokio::test]
async fn a_redelivery_is_not_matched_again_after_the_rules_have_changed() {
    let house = house();
    let engine = house.start().await;
    emit(&engine, "ci", Some("1"), json!({ "version": "a" })).await;
    rule(&house, "late", "");
    support::eventually("the new rule", || async { !engine.rules().await.unwrap().is_empty() })
        .await;
    let again = emit(&engine, "ci", Some("1"), json!({ "version": "a" })).await;
    assert!(matches!(again, Accepted::Duplicate { differs: false, .. }));
    assert!(executions(&engine).await.is_empty());
}

#[tokio::test]
async fn two_rules_on_one_event_make_two_executions() {
    let house = house();
    rule(&house, "one", "");
    rule(&house, "two", "criteria: { trigger.version: { startswith: v } }");
    let engine = house.start().await;
    let both = emit(&engine, "ci", None, json!({ "version": "v1" })).await;
    let Accepted::New { executions: asked, .. } = both else { panic!("{both:?}") };
    assert_eq!(asked.len(), 2);
    for id in asked {
        assert_eq!(ended(&engine, &id).await.row.state, ExecutionState::Succeeded);
    }
    let one = emit(&engine, "ci", None, json!({ "version": "1" })).await;
    assert!(matches!(one, Accepted::New { executions, .. } if executions.len() == 1));
}

#[tokio::test]
async fn a_rule_that_fails_keeps_neither_the_event_nor_other_rules_from_being_stored() {
    let house = house();
    rule(&house, "good", "");
    rule(&house, "strict", "when: trigger.size < 3");
    let engine = house.start().await;
    let accepted = emit(&engine, "ci", None, json!({ "version": "a" })).await;
    let Accepted::New { key, executions: asked } = accepted else { panic!("{accepted:?}") };
    assert_eq!(asked.len(), 1);
    let counts = engine.store().rule_counts().await.unwrap();
    assert_eq!(counts[&"p.strict".parse().unwrap()].failed, 1);
    let told = engine.explain(&key, Some(&"p.strict".parse().unwrap()), false).await.unwrap();
    let recorded = format!("{:?}", told[0].recorded);
    assert!(recorded.contains("size"), "{recorded}");
}

#[tokio::test]
async fn data_that_does_not_fit_its_type_is_refused_with_what_is_wrong() {
    let house = house();
    let engine = house.start().await;
    let refused = |kind: &str, data: Value| {
        let new = NewEvent { kind: kind.parse().unwrap(), id: None, subject: None, data };
        let engine = engine.clone();
        async move { engine.emit("ci", new).await.unwrap_err().to_string() }
    };
    assert!(refused("p.built", json!({ "version": 1 })).await.contains("version"));
    assert!(refused("p.biult", json!({})).await.contains("did you mean `p.built`?"));
    let large = json!({ "version": "x".repeat(model::value::MAX_EVENT_BYTES) });
    assert!(refused("p.built", large).await.contains("more than 4194304"));
}

#[tokio::test]
async fn large_data_lies_in_a_blob_and_rules_see_it_whole() {
    let house = house();
    rule(&house, "all", "when: trigger.version.len > 700_000");
    let engine = house.start().await;
    let version = "x".repeat(800_000);
    let accepted = emit(&engine, "ci", None, json!({ "version": version })).await;
    let Accepted::New { key, executions: asked } = accepted else { panic!("{accepted:?}") };
    let (row, data) = engine.event(&key).await.unwrap();
    assert!(matches!(row.data, Some(model::Body::Blob(_))));
    assert_eq!(data["version"].as_str().unwrap().len(), 800_000);
    let view = ended(&engine, &asked[0]).await;
    assert_eq!(view.parameters["value"]["size"], 800_002, "a parameter this large is a blob");
}

#[tokio::test]
async fn a_re_emitted_event_is_a_new_one_that_names_its_origin() {
    let house = house();
    rule(&house, "all", "");
    let engine = house.start().await;
    let first = emit(&engine, "ci", Some("1"), json!({ "version": "a" })).await;
    let again = engine.reemit("ops", first.key(), None).await.unwrap();
    assert_ne!(first.key(), again.key());
    assert_eq!(executions(&engine).await.len(), 2);
    let stream = model::Stream::Event(again.key().clone());
    let (facts, _) = engine.store().read(&stream, model::Version::NONE).await.unwrap();
    let origin = facts.iter().find_map(|recorded| match &recorded.fact {
        model::Fact::EventAccepted(accepted) => accepted.reemit_of.clone(),
        _ => None,
    });
    assert_eq!(origin.as_ref(), Some(first.key()));
}

#[tokio::test]
async fn what_one_event_asks_for_fits_its_commit_however_many_rules_and_however_large() {
    let house = house();
    for n in 0..30 {
        rule(&house, &format!("r{n}"), "");
    }
    for n in 0..600 {
        rule(&house, &format!("f{n}"), "when: trigger.absent == 1");
    }
    let engine = house.start().await;
    let version = "x".repeat(250_000);
    let accepted = emit(&engine, "ci", None, json!({ "version": version })).await;
    let Accepted::New { executions: asked, .. } = accepted else { panic!("{accepted:?}") };
    assert_eq!(asked.len(), 30);
    for id in asked {
        assert_eq!(ended(&engine, &id).await.row.state, ExecutionState::Succeeded);
    }
}

#[tokio::test]
async fn a_chain_may_emit_an_event_that_many_rules_want() {
    let house = house();
    for n in 0..300 {
        rule(&house, &format!("r{n}"), "");
    }
    house.chain("tell", "", r#"emit("p.built", #{ version: "7" }); "told""#);
    let engine = house.start().await;
    let id = support::run(&engine, "p.tell", json!({})).await;
    assert_eq!(support::result(&ended(&engine, &id).await), &json!("told"));
    assert!(executions(&engine).await.len() > 1);
}

/// The executions that exist, children apart.
async fn all_executions(engine: &Engine) -> Vec<store::ExecutionRow> {
    engine.executions(&ExecutionFilter { limit: 5_000, ..Default::default() }).await.unwrap()
}

#[tokio::test]
async fn an_event_that_more_rules_select_than_a_commit_holds_runs_all_of_them_once() {
    let house = house();
    for n in 0..950 {
        rule(&house, &format!("r{n}"), "");
    }
    rule(&house, "strict", "when: trigger.size < 3");
    let engine = house.start().await;
    let accepted = emit(&engine, "ci", Some("1"), json!({ "version": "a" })).await;
    let Accepted::New { key, executions: asked } = accepted else { panic!("{accepted:?}") };
    assert_eq!(asked.len(), 950);
    support::eventually("the last page", || async {
        engine.store().deferred().await.unwrap().is_empty()
    })
    .await;
    assert_eq!(all_executions(&engine).await.len(), 950);
    for id in &asked {
        assert_eq!(ended(&engine, id).await.row.state, ExecutionState::Succeeded);
    }
    let counts = engine.store().rule_counts().await.unwrap();
    assert!((0..950).all(|n| counts[&format!("p.r{n}").parse().unwrap()].matched == 1));
    assert_eq!(counts[&"p.strict".parse().unwrap()].failed, 1);
    let told = engine.explain(&key, Some(&"p.r949".parse().unwrap()), false).await.unwrap();
    assert!(format!("{:?}", told[0].recorded).contains("Selected"), "{told:?}");
}

#[tokio::test]
async fn pages_are_what_the_rules_of_the_event_made_of_it_whatever_came_after() {
    let house = house();
    for n in 0..900 {
        rule(&house, &format!("r{n}"), "");
    }
    let engine = house.start().await;
    // An engine that is stopping begins no page: what it acknowledged is for the next one to do.
    engine.shutdown(support::PATIENCE).await;
    let accepted = emit(&engine, "ci", Some("1"), json!({ "version": "a" })).await;
    let Accepted::New { executions: asked, .. } = accepted else { panic!("{accepted:?}") };
    assert_eq!((asked.len(), all_executions(&engine).await.len()), (900, 400));
    drop(engine);
    std::fs::remove_dir_all(house.path("packs/p/rules")).unwrap();
    let engine = house.start().await;
    for id in &asked {
        support::eventually("its page", || async { engine.execution(id).await.is_ok() }).await;
        assert_eq!(ended(&engine, id).await.row.state, ExecutionState::Succeeded);
    }
    assert_eq!(all_executions(&engine).await.len(), 900);
}

#[tokio::test]
async fn an_execution_that_exists_already_is_left_out_and_the_others_are_stored() {
    let house = house();
    for n in 0..900 {
        rule(&house, &format!("r{n:03}"), "");
    }
    let engine = house.start().await;
    let source = format!("tripline:{}/api/ci", engine.installation());
    let key = model::EventKey::derive(&source, "1");
    let twice = ["p.r000", "p.r899"]
        .map(|rule| model::ExecutionId::for_rule(&key, &rule.parse().unwrap(), None));
    for id in &twice {
        let request = model::fact::ExecutionRequested {
            action: "core.noop".parse().unwrap(),
            parameters: json!({}),
            origin: model::Origin::Manual,
            pack: None,
            depth: 0,
            deadline: None,
            at: engine.now(),
            traceparent: None,
            tracestate: None,
            passed: Vec::new(),
            doubted: false,
        };
        let facts = vec![model::Fact::ExecutionRequested(request)];
        let write = store::Write::new(model::Stream::Execution(id.clone()), None, facts);
        let id = model::BatchId::new(format!("before/{id}"));
        let batch = store::Batch {
            id,
            actor: model::Actor::engine(),
            at: engine.now(),
            writes: vec![write],
        };
        engine.store().append(batch).await.unwrap();
    }
    emit(&engine, "ci", Some("1"), json!({ "version": "a" })).await;
    support::eventually("the last page", || async {
        engine.store().deferred().await.unwrap().is_empty()
    })
    .await;
    let rows = all_executions(&engine).await;
    assert_eq!(rows.len(), 900);
    let stands = |row: &&store::ExecutionRow| row.origin == model::Origin::Manual;
    assert_eq!(rows.iter().filter(stands).count(), 2, "the first ones stand");
}

#[tokio::test]
async fn the_bounds_of_an_events_data_are_half_a_mebibyte_inline_and_four_in_all() {
    let house = house();
    let engine = house.start().await;
    // `{"version":"…"}` adds 14 bytes.
    let of = |bytes: usize| json!({ "version": "x".repeat(bytes - 14) });
    for (bytes, inline) in [
        (model::value::INLINE_EVENT_BYTES, true),
        (model::value::INLINE_EVENT_BYTES + 1, false),
        (model::value::MAX_EVENT_BYTES, false),
    ] {
        let accepted = emit(&engine, "ci", None, of(bytes)).await;
        let (row, data) = engine.event(accepted.key()).await.unwrap();
        let found = matches!(row.data, Some(model::Body::Inline(_)));
        assert_eq!((data.to_string().len(), found), (bytes, inline));
    }
    let kind = "p.built".parse().unwrap();
    let data = of(model::value::MAX_EVENT_BYTES + 1);
    let new = NewEvent { kind, id: Some("too-large".to_owned()), subject: None, data };
    let refused = engine.emit("ci", new).await.unwrap_err().to_string();
    assert!(refused.contains("4194305 bytes of JSON text"), "{refused}");
}

#[tokio::test]
async fn an_explanation_of_a_stored_event_has_the_time_at_which_it_was_accepted() {
    let start = "2026-01-31T12:00:00Z".parse().unwrap();
    let house = House { clock: host::Clock::simulated(start), ..house() };
    rule(&house, "early", r#"when: now() < "2026-01-31T13:00:00Z""#);
    let engine = house.start().await;
    let first = emit(&engine, "ci", Some("1"), json!({ "version": "a" })).await;
    house.advance(model::Duration::from_secs(7_200));
    let late = emit(&engine, "ci", Some("2"), json!({ "version": "a" })).await;
    for (accepted, expected) in [(&first, rules::Outcome::Match), (&late, rules::Outcome::NoMatch)]
    {
        // As it was recorded, and with today's rules: the event's own time counts in both.
        for todays in [false, true] {
            let told = engine.explain(accepted.key(), None, todays).await.unwrap();
            let explained = told[0].explanation.as_ref().unwrap();
            assert_eq!(explained.outcome, expected, "{explained}");
        }
    }
}
