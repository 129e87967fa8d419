//! Results with secrets that one commit has no room for, and those that cannot be encrypted.
#![allow(clippy::unwrap_used)]

mod support;

use engine::Engine;
use engine::rerun::Repetition;
use model::{Actor, ExecutionId, ExecutionState, Resolution};
use serde_json::{Value, json};
use support::{House, ended, error_kind, result, run, until};

/// A program that prints `lines` as its result, which has a secret `key` and secret `keys`, and notes that
/// it ran; one that keeps what it is given.
fn house(effect: &str, lines: &str) -> House {
    let house = House::new();
    let (ran, kept) = (house.path("ran"), house.path("kept"));
    house.program("make", effect, &format!("echo made >>{}\n{lines}", ran.display()));
    let declared = format!(
        "entry_point: make.sh\neffect: {effect}\nresult: {{ key: {{ secret: true }}, keys: {{ secret: true }} }}\n"
    );
    house.write("actions/make.yaml", &declared);
    house.program("keep", "idempotent", &format!("tee -a {}", kept.display()));
    house
}

/// 700 keys.
const MANY: &str = r#"awk 'BEGIN { printf "{\"keys\":["; for (n = 0; n < 700; n++) printf "%s\"key-number-%d\"", n ? "," : "", n; print "]}" }'"#;
/// One of 600 KiB.
const LONG: &str = r#"printf '{"key":"'; head -c 614400 /dev/zero | tr '\0' x; printf '"}'"#;

fn ran(house: &House) -> usize {
    std::fs::read_to_string(house.path("ran")).unwrap_or_default().lines().count()
}

/// What was kept last.
fn kept(house: &House) -> Value {
    let text = std::fs::read_to_string(house.path("kept")).unwrap();
    let last = serde_json::Deserializer::from_str(&text).into_iter::<Value>().last();
    last.unwrap().unwrap()
}

fn first_and_last() -> Value {
    json!({ "a": "key-number-0", "b": "key-number-699" })
}

async fn succeeded(engine: &Engine, id: &ExecutionId) -> Value {
    result(&ended(engine, id).await).clone()
}

#[tokio::test]
async fn a_result_with_more_secrets_than_a_commit_takes_is_kept_whole_and_taken_over_whole() {
    let house = house("unsafe", MANY);
    let text = r#"
        let got = run("p.make");
        run("p.keep", #{ a: got.keys[0], b: got.keys[699] });
        got.keys.len()"#;
    house.chain("go", "", text);
    let engine = house.start().await;
    let id = run(&engine, "p.go", json!({})).await;
    assert_eq!(succeeded(&engine, &id).await, json!(700));
    assert_eq!(kept(&house), first_and_last());
    std::fs::remove_file(house.path("kept")).unwrap();

    let how = || Repetition {
        from: Some("2".parse().unwrap()),
        name: Some("again".to_owned()),
        ..Repetition::default()
    };
    let again = engine.rerun(Actor::token("test"), &id, how()).await.unwrap();
    assert_eq!(succeeded(&engine, &again.id).await, json!(700));
    assert_eq!(kept(&house), first_and_last());
    assert_eq!(ran(&house), 1);
    let same = engine.rerun(Actor::token("test"), &id, how()).await.unwrap();
    assert_eq!(same.id, again.id);
}

#[tokio::test]
async fn a_chain_goes_on_with_more_secrets_than_a_commit_takes() {
    let house = house("unsafe", MANY);
    let text = r#"
        if params.keys.len() == 0 { continue_as(#{ keys: run("p.make").keys }); }
        run("p.keep", #{ a: params.keys[0], b: params.keys[699] });
        params.keys.len()"#;
    house.chain("go", "keys: { type: array, default: [] }", text);
    let engine = house.start().await;
    let id = run(&engine, "p.go", json!({})).await;
    let next = ended(&engine, &id).await.outcome.unwrap().continued_as.unwrap();
    assert_eq!(succeeded(&engine, &next).await, json!(700));
    assert_eq!(kept(&house), first_and_last());
    assert_eq!(ran(&house), 1);
}

#[tokio::test]
async fn what_could_not_be_stored_for_want_of_a_key_is_not_done() {
    let house = house("unsafe", r#"echo '{"key":"made just now"}'"#);
    house.chain("go", "", r#"run("p.make").key"#);
    let engine = house.start().await;
    // Where a key would be written.
    std::fs::create_dir(house.path("state.key.new")).unwrap();
    let id = run(&engine, "p.go", json!({})).await;
    let view = ended(&engine, &id).await;
    assert_eq!(error_kind(&view), "unavailable", "{view:#?}");
    assert_eq!(ran(&house), 0);
    std::fs::remove_dir(house.path("state.key.new")).unwrap();
    let id = run(&engine, "p.go", json!({})).await;
    assert!(model::token::is_within(&succeeded(&engine, &id).await));
    assert_eq!(ran(&house), 1);
}

#[tokio::test]
async fn a_secret_that_is_too_long_to_be_kept_is_an_error_and_what_was_done_is_not_done_again() {
    for (effect, state) in
        [("idempotent", ExecutionState::Failed), ("unsafe", ExecutionState::NeedsAttention)]
    {
        let house = house(effect, LONG);
        house.chain("go", "", r#"run("p.make").key"#);
        let engine = house.start().await;
        let id = run(&engine, "p.go", json!({})).await;
        let view = until(&engine, &id, &[state]).await;
        let told = format!("{view:?}");
        assert!(told.contains("TooLarge") && told.contains("614400 bytes"), "{told}");
        assert_eq!(ran(&house), 1, "{effect}");
        if state == ExecutionState::NeedsAttention {
            let done = Resolution::Done(json!({ "key": "what it was in short" }));
            engine.resolve(Actor::token("test"), &id, None, done).await.unwrap();
            assert!(model::token::is_within(&succeeded(&engine, &id).await));
        }
    }
}
