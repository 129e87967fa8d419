//! Unsafe steps whose outcome nobody knows: what `verify` and `on_unknown` make of them.
#![allow(clippy::unwrap_used)]

mod support;

use engine::Engine;
use model::{Actor, ExecutionId, ExecutionState, Resolution};
use serde_json::json;
use support::{House, die_after, ended, error_kind, eventually, live, result, run, until};

use ExecutionState::{NeedsAttention, Succeeded};

/// A house whose program `p.pay` notes each attempt in the ledger and pays once the file `gate` is
/// there, or fails if the file `busy` is; `declared` says more of it. `p.look` is there to verify it, and answers with `answer`.
fn house(declared: &str, answer: &str) -> House {
    let house = House::new();
    let [ledger, gate, asked, busy] =
        ["ledger", "gate", "asked", "busy"].map(|name| house.path(name).display().to_string());
    house.program("look", "read", &format!("cat >>{asked}; {answer}"));
    house.write(
        "actions/look.yaml",
        "entry_point: look.sh\neffect: read\nparameters: { parameters: {}, key: {} }\n",
    );
    house.program(
        "pay",
        "unsafe",
        &format!(
            "echo $TRIPLINE_ATTEMPT >>{ledger}; until [ -e {gate} ]; do sleep 0.02; done; rm {busy} 2>/dev/null && exit 75; echo '{{\"paid\": 7}}'"
        ),
    );
    let declared =
        format!("entry_point: pay.sh\neffect: unsafe\nparameters: {{ a: {{}} }}\n{declared}\n");
    house.write("actions/pay.yaml", &declared);
    house.chain("one", "options: {}", r#"run("p.pay", #{ a: 1 }, params.options ?? #{}).paid"#);
    house
}

const VERIFIED: &str = "verify: p.look";
const SAYS_FAILED: &str = r#"echo '{ "outcome": "failed" }'"#;
const SAYS_UNKNOWN: &str = r#"echo '{ "outcome": "unknown" }'"#;

fn open_gate(house: &House) {
    std::fs::write(house.path("gate"), "").unwrap();
}

fn attempts(house: &House) -> Vec<String> {
    let told = std::fs::read_to_string(house.path("ledger")).unwrap_or_default();
    told.lines().map(str::to_owned).collect()
}

async fn attempted(house: &House, times: usize) {
    eventually("an attempt", || async { attempts(house).len() == times }).await;
}

/// Runs the chain until its step is being performed, and ends the engine there, `deaths` times.
fn killed_over_the_step(house: &House, options: serde_json::Value, deaths: usize) -> ExecutionId {
    let id = die_after(async {
        let engine = house.start().await;
        let id = run(&engine, "p.one", json!({ "options": options })).await;
        attempted(house, 1).await;
        (engine, id)
    });
    for death in 2..=deaths {
        die_after(async {
            let engine = house.start().await;
            attempted(house, death).await;
            (engine, ())
        });
    }
    id
}

async fn resolve(engine: &Engine, id: &ExecutionId, resolution: Resolution) {
    engine.resolve(Actor::token("test"), id, None, resolution).await.unwrap();
}

#[test]
fn what_a_kill_cut_off_and_verify_finds_not_done_is_performed_again_however_often() {
    let house = house(VERIFIED, SAYS_FAILED);
    let id = killed_over_the_step(&house, json!({ "retry": { "attempts": 1 } }), 4);
    open_gate(&house);
    live(async {
        let engine = house.start().await;
        assert_eq!(result(&ended(&engine, &id).await), &json!(7));
    });
    assert_eq!(attempts(&house), ["1", "2", "3", "4", "5"]);
    let asked = std::fs::read_to_string(house.path("asked")).unwrap();
    let question = json!({ "key": format!("{id}/1"), "parameters": { "a": 1 } });
    assert_eq!(asked, question.to_string().repeat(4));
}

#[test]
fn kills_dont_use_up_the_attempts_of_an_action_that_is_tried_again_on_unknown_outcomes() {
    let house = house("on_unknown: retry", "");
    let id = killed_over_the_step(&house, json!({ "retry": { "attempts": 1 } }), 4);
    open_gate(&house);
    live(async {
        let engine = house.start().await;
        assert_eq!(result(&ended(&engine, &id).await), &json!(7));
    });
    assert_eq!(attempts(&house), ["1", "2", "3", "4", "5"]);
}

#[test]
fn a_kill_fails_a_step_whose_action_says_so_and_verify_is_asked_before() {
    for (declared, answer, paid) in [
        ("on_unknown: fail", SAYS_FAILED, false),
        ("on_unknown: fail\nverify: p.look", SAYS_UNKNOWN, false),
        ("on_unknown: fail\nverify: p.look", SAYS_FAILED, true),
    ] {
        let house = house(declared, answer);
        let id = killed_over_the_step(&house, json!({ "retry": { "attempts": 3 } }), 1);
        open_gate(&house);
        live(async {
            let engine = house.start().await;
            let view = ended(&engine, &id).await;
            assert_eq!(view.row.state == Succeeded, paid, "{declared} {answer}: {view:#?}");
            assert_eq!(attempts(&house).len(), 1 + usize::from(paid));
        });
    }
}

#[test]
fn a_person_is_asked_where_verify_cannot_tell_and_the_kill_is_no_attempt_then_either() {
    for answer in [SAYS_UNKNOWN, "exit 3", "echo nonsense", "kill -9 $$"] {
        let house = house(VERIFIED, answer);
        let options = json!({ "retry": { "attempts": 2, "delay": "1ms" } });
        let id = killed_over_the_step(&house, options, 1);
        // The next start asks, and leaves it to a person; so does the one after, without asking.
        for _ in 0..2 {
            live(async {
                let engine = house.start().await;
                let view = until(&engine, &id, &[NeedsAttention]).await;
                assert_eq!(view.attention.unwrap().path.unwrap().to_string(), "1", "{answer}");
            });
        }
        // Tried again on request it fails certainly, which is its first failure that counts.
        std::fs::write(house.path("busy"), "").unwrap();
        open_gate(&house);
        live(async {
            let engine = house.start().await;
            resolve(&engine, &id, Resolution::Retry).await;
            assert_eq!(result(&ended(&engine, &id).await), &json!(7), "{answer}");
        });
        assert_eq!(attempts(&house), ["1", "2", "3"], "{answer}");
    }
}

#[tokio::test]
async fn verify_is_asked_after_a_timeout_too_and_that_counts_as_an_attempt() {
    for (answer, attempts_left, end) in [
        (r#"echo '{ "outcome": "done", "result": { "paid": 5 } }'"#, 1, "none"),
        (SAYS_FAILED, 2, "timeout"),
        (SAYS_UNKNOWN, 2, "asked"),
    ] {
        let house = house(VERIFIED, answer);
        let options =
            json!({ "timeout": "100ms", "retry": { "attempts": attempts_left, "delay": "1ms" } });
        let engine = house.start().await;
        let id = run(&engine, "p.one", json!({ "options": options })).await;
        if end == "asked" {
            until(&engine, &id, &[NeedsAttention]).await;
            assert_eq!(attempts(&house).len(), 1, "never repeated on a guess");
            continue;
        }
        let view = ended(&engine, &id).await;
        assert_eq!(error_kind(&view), end);
        assert_eq!(attempts(&house).len(), attempts_left, "{answer}");
    }
}

/// The house with a second pack, whose program `q.look` answers that it was done, and says `yes` in a file.
fn with_neighbour(permissions: &str) -> House {
    use std::os::unix::fs::PermissionsExt;
    let house = house("verify: q.look", SAYS_FAILED);
    let pack = |name: &str, permissions: &str| {
        format!("name: {name}\nversion: 1.0.0\npermissions: {permissions}\n")
    };
    house.write("pack.yaml", &pack("p", permissions));
    house.write("../q/pack.yaml", &pack("q", "{ exec: true }"));
    let declared = "entry_point: look.sh\neffect: read\nparameters: { parameters: {}, key: {} }\n";
    house.write("../q/actions/look.yaml", declared);
    let asked = house.path("neighbour").display().to_string();
    let script = format!(
        "#!/bin/sh\ntouch {asked}\necho '{{ \"outcome\": \"done\", \"result\": {{ \"paid\": 9 }} }}'\n"
    );
    house.write("../q/actions/look.sh", &script);
    let script = house.path("packs/q/actions/look.sh");
    std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).unwrap();
    house
}

#[test]
fn another_packs_program_is_asked_only_where_the_pack_asks_for_it() {
    let house = with_neighbour("{ exec: true, actions: ['q.*'] }");
    let id = killed_over_the_step(&house, json!({}), 1);
    live(async {
        let engine = house.start().await;
        assert_eq!(result(&ended(&engine, &id).await), &json!(9));
    });
    // Loaded while it was asked for; then it is not any more.
    let house = with_neighbour("{ exec: true, actions: ['q.*'] }");
    let id = killed_over_the_step(&house, json!({}), 1);
    live(async {
        let dev = house.path("dev.yaml");
        std::fs::write(&dev, "packs: { p: { permissions: { actions: [] } } }\n").unwrap();
        let settings = engine::Settings { environment: Some(dev), ..house.settings() };
        let engine = Engine::start(settings, house.store.clone(), house.clock.clone());
        let engine = engine.await.unwrap();
        let view = until(&engine, &id, &[NeedsAttention]).await;
        let why = format!("{:?}", view.row.message);
        assert!(why.contains("was not verified"), "{view:#?}");
        assert!(!house.path("neighbour").exists(), "it was not asked");
    });
}

#[test]
fn what_verify_and_plan_name_is_part_of_what_a_pack_asks_for() {
    let house = with_neighbour("{ exec: true }");
    let declared = "entry_point: pay.sh\neffect: unsafe\nparameters: { a: {} }\nverify: q.look\nplan: q.look\n";
    house.write("actions/pay.yaml", declared);
    let told: Vec<String> =
        engine::check_packs(&[house.path("packs")]).iter().map(ToString::to_string).collect();
    let unasked = told
        .iter()
        .filter(|finding| finding.contains("the pack uses `q.look` but does not ask for it"));
    assert_eq!(unasked.count(), 2, "{told:#?}");
}

#[test]
fn what_a_kill_cut_off_has_not_failed_because_its_secret_is_gone() {
    for declared in [VERIFIED, ""] {
        let house = house(declared, SAYS_FAILED);
        let permissions = "{ actions: ['*'], exec: true, secrets: ['p/*'] }";
        house.write("pack.yaml", &format!("name: p\nversion: 1.0.0\npermissions: {permissions}\n"));
        house.chain("one", "", r#"run("p.pay", #{ a: secret("p/admin") }).paid"#);
        let id = die_after(async {
            let engine = house.start().await;
            let value = engine::secrets::Plain::new("correct-horse");
            engine.set_secret(Actor::token("test"), "p/admin", value).await.unwrap();
            let id = run(&engine, "p.one", json!({})).await;
            attempted(&house, 1).await;
            engine.delete_secret(Actor::token("test"), "p/admin").await.unwrap();
            (engine, id)
        });
        open_gate(&house);
        live(async {
            let engine = house.start().await;
            let view = until(&engine, &id, &[NeedsAttention, ExecutionState::Failed]).await;
            assert_eq!(view.row.state, NeedsAttention, "{declared}: {view:#?}");
            let why = format!("{:?}", view.row.message);
            assert!(why.contains("outcome is unknown"), "{why}");
            assert_eq!(why.contains("was deleted"), !declared.is_empty(), "{why}");
        });
        assert_eq!(attempts(&house), ["1"], "{declared}");
        assert!(!house.path("asked").exists());
    }
}
