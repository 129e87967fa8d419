//! Few programs run at the same time: the others wait for their place, in turn, and their intent
//! is stored only once they have it.
#![allow(clippy::unwrap_used)]

mod support;

use engine::{Accepted, Engine, NewEvent};
use model::{ExecutionId, ExecutionState};
use serde_json::json;
use support::{House, ended, eventually, result, run};
use tokio::runtime::Runtime;

async fn start(house: &House, programs: usize) -> Engine {
    let mut settings = house.settings();
    settings.programs = programs;
    Engine::start(settings, house.store.clone(), house.clock.clone()).await.unwrap()
}

fn lines(house: &House, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(house.path(name)).unwrap_or_default();
    text.lines().map(ToOwned::to_owned).collect()
}

/// A program that notes its beginning and its end in `ledger`, and waits for `gate` in between.
fn gated(house: &House, name: &str, effect: &str) {
    let (ledger, gate) = (house.path("ledger"), house.path("gate"));
    let text = format!(
        "echo \"+ $TRIPLINE_KEY\" >>{ledger}; until [ -e {gate} ]; do sleep 0.01; done; echo \"- $TRIPLINE_KEY\" >>{ledger}",
        ledger = ledger.display(),
        gate = gate.display(),
    );
    house.program(name, effect, &text);
}

fn open_gate(house: &House) {
    std::fs::write(house.path("gate"), "").unwrap();
}

#[tokio::test]
async fn fifty_branches_share_four_places_and_all_of_them_run_once() {
    let house = House::new();
    open_gate(&house);
    gated(&house, "work", "unsafe");
    house.chain(
        "wide",
        "",
        r#"
        let numbers = [];
        for n in 0..50 { numbers.push(n); }
        parallel_map(numbers, |n| run("p.work", #{ a: n }), #{ max: 50 }).len
    "#,
    );
    let engine = start(&house, 4).await;
    let id = run(&engine, "p.wide", json!({})).await;
    assert_eq!(result(&ended(&engine, &id).await), &json!(50));
    let (mut inside, mut most, mut begun) = (0_i32, 0, 0);
    for line in lines(&house, "ledger") {
        inside += if line.starts_with('+') { 1 } else { -1 };
        begun += i32::from(line.starts_with('+'));
        most = most.max(inside);
    }
    assert_eq!((begun, inside), (50, 0));
    assert!(most <= 4, "{most} at the same time");
}

#[tokio::test]
async fn the_many_programs_of_one_rule_do_not_hold_up_those_of_another() {
    let house = House::new();
    gated(&house, "work", "idempotent");
    house.chain(
        "wide",
        "",
        r#"
        let numbers = [];
        for n in 0..40 { numbers.push(n); }
        parallel_map(numbers, |n| run("p.work", #{ a: n }), #{ max: 40 })
    "#,
    );
    for (kind, action) in [("flood", "p.wide"), ("drop", "p.work")] {
        house.write(&format!("triggers/{kind}.yaml"), "description: told by the test\n");
        let rule = format!("trigger: {{ type: p.{kind} }}\naction: {{ ref: {action} }}\n");
        house.write(&format!("rules/{kind}.yaml"), &rule);
    }
    let engine = start(&house, 1).await;
    let mut ids: Vec<ExecutionId> = Vec::new();
    for kind in ["flood", "drop"] {
        let kind = format!("p.{kind}").parse().unwrap();
        let new = NewEvent { kind, id: None, subject: None, data: json!({}) };
        let accepted = engine.emit("test", new).await.unwrap();
        let Accepted::New { executions, .. } = accepted else { panic!("{accepted:?}") };
        ids.extend(executions);
        eventually("a program", || async { !lines(&house, "ledger").is_empty() }).await;
    }
    open_gate(&house);
    for id in &ids {
        ended(&engine, id).await;
    }
    let begun: Vec<String> =
        lines(&house, "ledger").into_iter().filter(|line| line.starts_with('+')).collect();
    let place = begun.iter().position(|line| line.contains(ids[1].as_str()));
    assert!(place.is_some_and(|place| place < 20), "begun as number {place:?} of {}", begun.len());
}

#[test]
fn a_later_attempt_that_waits_for_room_is_begun_by_the_next_start() {
    let house = House::new();
    gated(&house, "hog", "idempotent");
    let tries = house.path("tries");
    house.program(
        "pay",
        "unsafe",
        &format!(
            "echo $TRIPLINE_ATTEMPT >>{0}; [ $TRIPLINE_ATTEMPT = 1 ] && until [ -e {1} ]; do sleep 0.01; done; [ $TRIPLINE_ATTEMPT = 1 ] && exit 75; exit 0",
            tries.display(),
            house.path("fail").display()
        ),
    );
    house.chain(
        "pays",
        "",
        r#"run("p.pay", #{}, #{ retry: #{ attempts: 2, delay: "1ms" } }); "paid""#,
    );
    let runtime = Runtime::new().unwrap();
    let (engine, id) = runtime.block_on(async {
        let engine = start(&house, 1).await;
        let id = run(&engine, "p.pays", json!({})).await;
        eventually("the first attempt", || async { lines(&house, "tries").len() == 1 }).await;
        run(&engine, "p.hog", json!({})).await;
        // The hog waits for the only place, which it gets when the first attempt fails.
        eventually("the hog to wait", || async { engine.health().await.unwrap().active == 2 })
            .await;
        std::fs::write(house.path("fail"), "").unwrap();
        eventually("the hog", || async { !lines(&house, "ledger").is_empty() }).await;
        (engine, id)
    });
    runtime.shutdown_timeout(support::PATIENCE);
    drop(engine);
    open_gate(&house);
    Runtime::new().unwrap().block_on(async {
        let engine = start(&house, 1).await;
        let view = ended(&engine, &id).await;
        assert_eq!(view.row.state, ExecutionState::Succeeded, "{view:#?}");
    });
    assert_eq!(lines(&house, "tries"), ["1", "2"]);
}

#[tokio::test]
async fn who_waits_for_a_connections_turn_leaves_its_place_to_others() {
    let house = House::new();
    house.write(
        "pack.yaml",
        "name: p\nversion: 1.0.0\npermissions: { actions: ['*'], connections: [slow] }\n",
    );
    // Nobody listens there: the second attempt waits for its turn, in 1,000 s.
    house.environment(
        "connections:\n  slow: { type: http, base_url: 'http://127.0.0.1:1/', \
         requests_per_second: 0.001, packs: [p] }\n",
    );
    house.chain("asks", "", r#"run("http.request", #{ connection: "slow", url: "a" })"#);
    let environment = Some(house.path("dev.yaml"));
    let settings = engine::Settings { steps: 1, environment, ..house.settings() };
    let engine = Engine::start(settings, house.store.clone(), house.clock.clone()).await.unwrap();
    let slow = run(&engine, "p.asks", json!({})).await;
    eventually("the second attempt", || async {
        let view = engine.execution(&slow).await.unwrap();
        view.steps.first().is_some_and(|step| step.attempts == 2)
    })
    .await;
    let quick = run(&engine, "core.echo", json!({ "value": 1 })).await;
    assert_eq!(result(&ended(&engine, &quick).await), &json!({ "value": 1 }));
    assert!(!engine.execution(&slow).await.unwrap().row.state.is_end());
}
