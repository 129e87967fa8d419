//! Secrets that an event, a rule or a person tells: tokens before they are stored.
#![allow(clippy::unwrap_used)]

mod support;

use engine::{Engine, NewEvent};
use model::{Actor, ExecutionId, ExecutionState, Fact, Resolution, Stream, Value, Version};
use serde_json::json;
use support::{House, die_after, ended, eventually, live, result, run, until};

const VALUE: &str = "told-by-an-event";

/// `rules` rules that pass an event's `word` on to `p.take`, which hands it to `p.keep`.
fn house(rules: usize) -> House {
    let house = House::new();
    house.write(
        "pack.yaml",
        "name: p\nversion: 1.0.0\npermissions: { actions: [core.*], exec: true }\n",
    );
    house.write("triggers/told.yaml", "description: told\npayload: { word: {}, more: {} }\n");
    let kept = house.path("kept");
    house.program("keep", "idempotent", &format!("cat >>{}", kept.display()));
    house.chain(
        "take",
        "word: { secret: true }, more: {}",
        r#"run("p.keep", #{ a: params.word })"#,
    );
    for n in 0..rules {
        rule(&house, &format!("pass{n}"), "p.told", "{ word: '${trigger.word}' }");
    }
    house
}

fn rule(house: &House, name: &str, kind: &str, parameters: &str) {
    let text = format!(
        "trigger: {{ type: {kind} }}\naction: {{ ref: p.take, parameters: {parameters} }}\n"
    );
    house.write(&format!("rules/{name}.yaml"), &text);
}

async fn tell(engine: &Engine, data: Value) {
    let new = NewEvent {
        kind: "p.told".parse().unwrap(),
        data,
        id: Some("one".to_owned()),
        subject: None,
    };
    engine.emit("test", new).await.unwrap();
}

fn kept(house: &House) -> usize {
    std::fs::read_to_string(house.path("kept")).unwrap_or_default().matches(VALUE).count()
}

/// What is stored apart from events themselves.
async fn facts(house: &House) -> Vec<Fact> {
    let log = house.store.log(store::Position(0), 10_000).await.unwrap();
    log.into_iter()
        .map(|recorded| recorded.fact)
        .filter(|fact| !matches!(fact, Fact::EventAccepted(_)))
        .collect()
}

async fn records(house: &House) -> usize {
    house.store.sealed_under("token/", "", 1_000).await.unwrap().len()
}

#[tokio::test]
async fn what_a_rule_passes_to_a_secret_parameter_is_a_token_in_the_request() {
    let house = house(2);
    let engine = house.start().await;
    tell(&engine, json!({ "word": VALUE })).await;
    tell(&engine, json!({ "word": VALUE })).await;
    eventually("both runs", || async { kept(&house) == 2 }).await;
    for fact in facts(&house).await {
        let text = String::from_utf8(fact.encode()).unwrap();
        assert!(!text.contains(VALUE), "{text}");
    }
    assert_eq!(records(&house).await, 2, "the event that was told again left nothing");
}

#[tokio::test]
async fn requests_that_wait_for_a_later_page_have_their_secrets_already() {
    let house = house(260);
    let engine = house.start().await;
    tell(&engine, json!({ "word": VALUE })).await;
    assert_eq!(records(&house).await, 260, "they are in the event's own commit");
    eventually("every run", || async { kept(&house) == 260 }).await;
    assert!(facts(&house).await.iter().any(|fact| matches!(fact, Fact::PageStored { .. })));
    for blob in std::fs::read_dir(house.path("state")).unwrap().flatten() {
        let text = std::fs::read(blob.path()).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&text).contains(VALUE), "{}", blob.path().display());
    }
}

#[tokio::test]
async fn a_secret_that_a_rule_cannot_pass_on_is_that_rules_failure() {
    let house = house(0);
    rule(&house, "short", "p.told", "{ word: '${trigger.more}' }");
    rule(&house, "large", "p.told", "{ word: ['${trigger.word}', 1] }");
    rule(&house, "right", "p.told", "{ word: '${trigger.word}' }");
    house.chain(
        "take",
        "word: { items: { secret: true } }, more: {}",
        r#"run("p.keep", #{ a: params.word })"#,
    );
    let engine = house.start().await;
    tell(&engine, json!({ "word": VALUE, "more": [1, "short"] })).await;
    let told: Vec<String> = facts(&house)
        .await
        .into_iter()
        .filter_map(|fact| match fact {
            Fact::RuleFailed { rule, error } => Some(format!("{rule}: {error}")),
            _ => None,
        })
        .collect();
    assert!(!told.is_empty() && told.iter().all(|told| told.contains("fewer than 8")), "{told:?}");
    eventually("the rule beside them", || async { kept(&house) == 1 }).await;
}

#[tokio::test]
async fn what_a_chain_emits_and_a_rule_passes_on_is_a_token_too() {
    let house = house(1);
    house.chain("emits", "", &format!(r#"emit("p.told", #{{ word: "{VALUE}" }})"#));
    let engine = house.start().await;
    let id = run(&engine, "p.emits", json!({})).await;
    ended(&engine, &id).await;
    eventually("the run", || async { kept(&house) == 1 }).await;
    assert_eq!(records(&house).await, 1);
    for fact in facts(&house).await {
        if let Fact::ExecutionRequested(request) = fact {
            assert!(!request.parameters.to_string().contains(VALUE), "{request:?}");
        }
    }
}

/// The parameters with which `p.take` was asked for.
async fn asked(house: &House) -> Vec<Value> {
    let of_take = |fact: Fact| match fact {
        Fact::ExecutionRequested(request) if request.action.as_str() == "p.take" => {
            Some(request.parameters)
        }
        _ => None,
    };
    facts(house).await.into_iter().filter_map(of_take).collect()
}

#[tokio::test]
async fn what_a_notice_tells_and_a_rule_passes_on_is_a_token_too() {
    let house = house(0);
    rule(&house, "pass", "tripline.execution.failed", "{ word: '${trigger.error.message}' }");
    house.chain("fails", "", &format!(r#"fail("{VALUE}")"#));
    let engine = house.start().await;
    let id = run(&engine, "p.fails", json!({})).await;
    ended(&engine, &id).await;
    eventually("the run", || async { kept(&house) == 1 }).await;
    let asked = asked(&house).await;
    assert!(asked.len() == 1 && asked[0]["word"].as_str().unwrap().starts_with("tlsec_"));
    assert_eq!(records(&house).await, 1);
}

#[tokio::test]
async fn what_a_reload_tells_and_a_rule_passes_on_is_a_token_too() {
    let house = house(0);
    rule(&house, "pass", "tripline.pack.activated", "{ word: '${trigger.hash}' }");
    let engine = house.start().await;
    for change in 1..=2 {
        let hash = engine.pack_views()[0].hash.unwrap().to_string();
        eventually("the run", || async {
            let kept = std::fs::read_to_string(house.path("kept")).unwrap_or_default();
            kept.contains(&hash)
        })
        .await;
        let asked = asked(&house).await;
        assert_eq!(asked.len(), change, "{asked:?}");
        assert!(asked.iter().all(|one| one["word"].as_str().unwrap().starts_with("tlsec_")));
        assert_eq!(records(&house).await, change);
        house.chain("more", "", "()");
        engine.reload().await.unwrap();
    }
}

/// Rules that pass a secret on, and all of them.
const SECRET_RULES: usize = 300;
const RULES: usize = 900;

#[test]
fn a_kill_between_two_pages_loses_no_secret_and_repeats_none() {
    let mut house = house(0);
    for n in 0..RULES {
        let (action, word) = match n % (RULES / SECRET_RULES) {
            0 => ("p.take", "{ word: '${trigger.word}' }"),
            _ => ("core.noop", "{}"),
        };
        let text = format!(
            "trigger: {{ type: p.told }}\naction: {{ ref: {action}, parameters: {word} }}\n"
        );
        house.write(&format!("rules/r{n}.yaml"), &text);
    }
    let sqlite = |house: &House| {
        store::Sqlite::open(&house.path("state"), &store::sqlite::Options::default()).unwrap()
    };
    house.store = std::sync::Arc::new(sqlite(&house));
    // An engine that is stopping begins no page.
    let pages: Vec<std::path::PathBuf> = live(async {
        let engine = house.start().await;
        engine.shutdown(support::PATIENCE).await;
        tell(&engine, json!({ "word": VALUE })).await;
        let deferred = facts(&house).await.into_iter().find_map(|fact| match fact {
            Fact::PagesDeferred { pages } => Some(pages),
            _ => None,
        });
        let file = |hash: model::Hash| {
            let name = hash.to_string();
            house.path("state/blobs").join(&name[..2]).join(name)
        };
        deferred.unwrap().into_iter().map(file).collect()
    });
    assert!(pages.len() > 1, "{pages:?}");
    // Without the last page the engine comes no further than the one before it, and dies there.
    let last = pages.last().unwrap();
    let kept_aside = std::fs::read(last).unwrap();
    std::fs::remove_file(last).unwrap();
    die_after(async {
        let engine = house.start().await;
        eventually("the pages before the last", || async {
            let stored = |fact: &Fact| matches!(fact, Fact::PageStored { .. });
            facts(&house).await.iter().filter(|fact| stored(fact)).count() == pages.len() - 1
        })
        .await;
        (engine, ())
    });
    std::fs::write(last, kept_aside).unwrap();
    live(async {
        let engine = house.start().await;
        eventually("every run", || async { kept(&house) >= SECRET_RULES }).await;
        eventually("their ends", || async { engine.health().await.unwrap().active == 0 }).await;
        assert_eq!(
            (asked(&house).await.len(), records(&house).await),
            (SECRET_RULES, SECRET_RULES)
        );
        for fact in facts(&house).await {
            assert!(!String::from_utf8(fact.encode()).unwrap().contains(VALUE), "{fact:?}");
        }
    });
    for page in pages {
        let text = std::fs::read(&page).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&text).contains(VALUE), "{}", page.display());
    }
}

#[tokio::test]
async fn what_a_person_says_a_step_came_to_is_a_token_where_its_result_is_secret() {
    let house = house(0);
    house.program("login", "unsafe", "kill -9 $$");
    let declared = "entry_point: login.sh\neffect: unsafe\nresult: { session: { type: string, secret: true } }\n";
    house.write("actions/login.yaml", declared);
    house.chain("go", "", r#"run("p.keep", #{ a: run("p.login").session })"#);
    let engine = house.start().await;
    let id = run(&engine, "p.go", json!({})).await;
    until(&engine, &id, &[ExecutionState::NeedsAttention]).await;
    let resolve =
        |value: Value| engine.resolve(Actor::token("test"), &id, None, Resolution::Done(value));
    let refused = resolve(json!({ "session": [VALUE] })).await.unwrap_err().to_string();
    assert!(!refused.contains(VALUE), "{refused}");
    resolve(json!({ "session": VALUE })).await.unwrap();
    result(&ended(&engine, &id).await);
    assert_eq!(kept(&house), 1, "the next step gets the value");
    let stored = stored(&house, &id).await;
    assert!(!stored.contains(VALUE) && stored.contains("tlsec_"), "{stored}");
}

#[tokio::test]
async fn what_a_person_says_is_stored_without_the_values_that_the_execution_knows() {
    let house = house(0);
    house.program("pay", "unsafe", "kill -9 $$");
    house.chain("go", "word: { secret: true }", r#"run("p.pay", #{ a: params.word })"#);
    let engine = house.start().await;
    let who = || Actor::token("test");
    let said = format!("it has {VALUE} in it");
    for n in 0..3 {
        let id = run(&engine, "p.go", json!({ "word": VALUE })).await;
        until(&engine, &id, &[ExecutionState::NeedsAttention]).await;
        let fact = match n {
            0 => {
                let fail = Resolution::Fail(said.clone());
                engine.resolve(who(), &id, None, fail).await.unwrap();
                "StepResolved"
            }
            1 => {
                engine.pause(who(), &id, Some(said.clone())).await.unwrap();
                "ExecutionPaused"
            }
            _ => {
                engine.cancel(who(), &id, Some(said.clone())).await.unwrap();
                "CancelRequested"
            }
        };
        let stored = stored(&house, &id).await;
        assert!(stored.contains("it has tlsec_"), "{fact}: {stored}");
        assert!(!stored.contains(VALUE), "{fact}: {stored}");
    }
}

#[tokio::test]
async fn a_secret_that_cannot_be_kept_is_no_word_about_a_step_and_leaves_it_waiting() {
    let house = house(0);
    house.program("login", "unsafe", "kill -9 $$");
    let declared = "entry_point: login.sh\neffect: unsafe\nresult: { session: { type: string, secret: true } }\n";
    house.write("actions/login.yaml", declared);
    let engine = house.start().await;
    let id = run(&engine, "p.login", json!({})).await;
    until(&engine, &id, &[ExecutionState::NeedsAttention]).await;
    engine.shutdown(std::time::Duration::from_secs(5)).await;
    // No record needs the key that was made; where another one is to be made stands a folder.
    std::fs::remove_file(house.path("state.key")).unwrap();
    let engine = house.start().await;
    std::fs::create_dir(house.path("state.key")).unwrap();
    let resolve = |session: String| {
        let done = Resolution::Done(json!({ "session": session }));
        engine.resolve(Actor::token("test"), &id, None, done)
    };
    let refused = resolve("x".repeat(520 * 1024)).await.unwrap_err().to_string();
    assert!(refused.contains("has 532480 bytes, more than the"), "{refused}");
    let refused = resolve(VALUE.to_owned()).await.unwrap_err();
    assert!(matches!(refused, engine::AskError::Unavailable(_)), "{refused}");
    assert!(refused.to_string().contains("state.key"), "{refused}");
    std::fs::remove_dir(house.path("state.key")).unwrap();
    resolve(VALUE.to_owned()).await.unwrap();
    result(&ended(&engine, &id).await);
}

async fn stored(house: &House, id: &ExecutionId) -> String {
    let stream = Stream::Execution(id.clone());
    let (facts, _) = house.store.read(&stream, Version::NONE).await.unwrap();
    facts.iter().map(|one| String::from_utf8(one.fact.encode()).unwrap()).collect()
}
