//! What a chain's file calls secret of its result: a token wherever the result goes.

use std::collections::BTreeMap;

use engine::Engine;
use model::{Actor, ExecutionState, Map, Resolution};
use serde_json::json;

use super::support::{House, die_after, ended, error_kind, live, result, run, until};
use super::{house, kept, stored, token};

const MADE: &str = "composed-by-a-chain";

/// The chain `p.make`, which composes a secret, and `p.go`, which hands it to `p.keep`.
async fn maker(house: &House, engine: &Engine) {
    write(house);
    engine.reload().await.unwrap();
}

fn write(house: &House) {
    let made = "let key = \"composed-by-\" + params.part; #{ key: key, note: `the key is ${key}`, short: \"abc\" }";
    house.chain("make", "", made);
    house.write(
        "actions/make.yaml",
        "entry_point: make.rhai\nparameters: { part: { default: a-chain } }\n\
         result: { key: { type: string, minLength: 3, secret: true }, note: {}, short: { secret: true } }\n",
    );
    house.gate();
    house.chain(
        "go",
        "",
        "let made = run(\"p.make\"); run(\"p.wait\"); run(\"p.keep\", #{ a: made.key }); made",
    );
}

#[tokio::test]
async fn a_secret_result_of_a_chain_is_a_token_to_who_runs_it_and_a_value_to_actions() {
    let (house, engine) = house().await;
    maker(&house, &engine).await;
    house.open();
    let id = run(&engine, "p.go", json!({})).await;
    let view = ended(&engine, &id).await;
    let told = result(&view);
    let key = token(&told["key"]);
    token(&told["short"]);
    assert_eq!(told["note"], format!("the key is {key}"), "wherever it stands");
    assert!(kept(&house).contains(MADE), "the action got the value");
    let child = id.child(&"1".parse().unwrap());
    let stored = [stored(&house, &id).await, stored(&house, &child).await].concat();
    for value in [MADE, "\"abc\""] {
        assert!(!stored.contains(value), "{value} in {stored}");
    }
    let logs = engine.logs(&child, engine::logs::Which::default()).await.unwrap().logs;
    assert!(logs.is_empty(), "the token fits what the file declares: {:?}", logs[0].text);
}

#[tokio::test]
async fn who_runs_such_a_chain_by_hand_or_tries_it_sees_tokens_alone() {
    let (house, engine) = house().await;
    maker(&house, &engine).await;
    let id = run(&engine, "p.make", json!({})).await;
    let told = result(&ended(&engine, &id).await).clone();
    token(&told["key"]);
    assert!(!stored(&house, &id).await.contains(MADE));
    house.open();
    for action in ["p.make", "p.go"] {
        let dry = engine.dry_run(action.parse().unwrap(), Map::new(), BTreeMap::new());
        let dry = serde_json::to_string(&dry.await.unwrap()).unwrap();
        assert!(dry.contains("tlsec_") && !dry.contains(MADE), "{dry}");
    }
}

#[test]
fn the_token_of_a_result_stands_for_its_value_over_a_kill() {
    let (house, id) = die_after_result();
    live(async {
        let engine = house.start().await;
        house.open();
        let view = ended(&engine, &id).await;
        let key = token(&result(&view)["key"]);
        assert!(kept(&house).contains(MADE));
        assert!(stored(&house, &id).await.contains(key.as_str()));
    });
}

fn die_after_result() -> (House, model::ExecutionId) {
    die_after(async {
        let (house, engine) = house().await;
        maker(&house, &engine).await;
        let id = run(&engine, "p.go", json!({})).await;
        house.reached().await;
        (engine, (house, id))
    })
}

#[tokio::test]
async fn a_result_that_nothing_can_encrypt_waits_for_a_person() {
    let house = House::new();
    write(&house);
    house.program("keep", "idempotent", "cat");
    let engine = house.start().await;
    // Where a key is to be made stands a folder.
    let key = house.path("state.key");
    std::fs::create_dir(&key).unwrap();
    let id = run(&engine, "p.make", json!({})).await;
    until(&engine, &id, &[ExecutionState::NeedsAttention]).await;
    assert!(!stored(&house, &id).await.contains(MADE));
    std::fs::remove_dir(&key).unwrap();
    engine.resolve(Actor::token("test"), &id, None, Resolution::Retry).await.unwrap();
    token(&result(&ended(&engine, &id).await)["key"]);
}

#[tokio::test]
async fn a_result_that_is_too_long_to_be_kept_is_told_and_stored_nowhere() {
    let (house, engine) = house().await;
    maker(&house, &engine).await;
    // A chain holds no text that long, but its token may stand for one.
    let big = "printf '{\"big\":\"'; head -c 515000 /dev/zero | tr '\\0' x; printf '\"}'";
    house.program("big", "read", big);
    let declared = "entry_point: big.sh\neffect: read\nresult: { big: { secret: true } }\n";
    house.write("actions/big.yaml", declared);
    let text = "let key = \"composed-by-a-chain\"; key.pad(6_000, \"x\"); \
                #{ key: key + run(\"p.big\").big }";
    house.write("actions/make.rhai", text);
    engine.reload().await.unwrap();
    let id = run(&engine, "p.make", json!({})).await;
    let view = ended(&engine, &id).await;
    assert_eq!(error_kind(&view), "too_large", "{view:#?}");
    assert!(!stored(&house, &id).await.contains(MADE));
}
