//! An engine ends, in order or not, and the next one on the same store goes on.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use engine::Engine;
use model::{ExecutionId, ExecutionState};
use serde_json::json;
use store::ExecutionFilter;
use support::{House, die_after, ended, eventually, result, run, until};
use tokio::runtime::Runtime;

async fn in_state(engine: &Engine, state: ExecutionState) -> usize {
    let filter = ExecutionFilter { states: vec![state], limit: 10_000, ..Default::default() };
    engine.executions(&filter).await.unwrap().len()
}

/// Whether the program has written into the ledger; the file alone is there before.
fn told(house: &House) -> bool {
    std::fs::read(house.path("ledger")).is_ok_and(|told| !told.is_empty())
}

#[test]
fn a_sleeping_chain_wakes_up_after_a_restart() {
    let house = House::new();
    house.chain("naps", "", r#"let a = now(); sleep("1200ms"); let b = now(); a != b"#);
    let id = die_after(async {
        let engine = house.start().await;
        let id = run(&engine, "p.naps", json!({})).await;
        until(&engine, &id, &[ExecutionState::Waiting]).await;
        (engine, id)
    });
    Runtime::new().unwrap().block_on(async {
        let engine = house.start().await;
        assert_eq!(result(&ended(&engine, &id).await), &json!(true));
    });
}

#[test]
fn a_step_that_was_cut_off_runs_again_with_the_same_key_if_it_may() {
    let house = House::new();
    let ledger = house.path("ledger").display().to_string();
    let gate = house.path("gate").display().to_string();
    house.program("work", "idempotent", &format!("echo $TRIPLINE_KEY $TRIPLINE_ATTEMPT >>{ledger}; until [ -e {gate} ]; do sleep 0.02; done"));
    house.chain("one", "", r#"run("p.work"); "done""#);
    let id = die_after(async {
        let engine = house.start().await;
        let id = run(&engine, "p.one", json!({})).await;
        eventually("the program", || async { told(&house) }).await;
        (engine, id)
    });
    std::fs::write(house.path("gate"), "").unwrap();
    Runtime::new().unwrap().block_on(async {
        let engine = house.start().await;
        assert_eq!(result(&ended(&engine, &id).await), &json!("done"));
    });
    let ledger = std::fs::read_to_string(house.path("ledger")).unwrap();
    assert_eq!(ledger, format!("{id}/1 1\n{id}/1 2\n"), "one key, two attempts");
}

#[test]
fn an_unsafe_step_that_was_cut_off_is_not_repeated_but_asked_about() {
    let house = House::new();
    let ledger = house.path("ledger").display().to_string();
    house.program("pay", "unsafe", &format!("echo paid >>{ledger}; sleep 60"));
    house.chain("one", "", r#"run("p.pay"); "done""#);
    let id = die_after(async {
        let engine = house.start().await;
        let id = run(&engine, "p.one", json!({})).await;
        eventually("the program", || async { told(&house) }).await;
        (engine, id)
    });
    Runtime::new().unwrap().block_on(async {
        let engine = house.start().await;
        until(&engine, &id, &[ExecutionState::NeedsAttention]).await;
    });
    assert_eq!(std::fs::read_to_string(house.path("ledger")).unwrap(), "paid\n");
}

#[test]
fn a_verify_action_is_asked_before_a_person_is() {
    let house = House::new();
    let ledger = house.path("ledger").display().to_string();
    house.program("look", "read", r#"echo '{ "outcome": "done", "result": { "paid": 5 } }'"#);
    house.write(
        "actions/look.yaml",
        "entry_point: look.sh\neffect: read\nparameters: { parameters: {}, key: {} }\n",
    );
    house.program("pay", "unsafe", &format!("echo paid >>{ledger}; sleep 60"));
    house.write("actions/pay.yaml", "entry_point: pay.sh\neffect: unsafe\nverify: p.look\n");
    house.chain("one", "", r#"run("p.pay").paid"#);
    let id = die_after(async {
        let engine = house.start().await;
        let id = run(&engine, "p.one", json!({})).await;
        eventually("the program", || async { told(&house) }).await;
        (engine, id)
    });
    Runtime::new().unwrap().block_on(async {
        let engine = house.start().await;
        assert_eq!(result(&ended(&engine, &id).await), &json!(5));
    });
}

#[test]
fn a_child_that_ended_while_nobody_looked_is_taken_in() {
    let house = House::new();
    house.chain("inner", "", r#"sleep("1100ms"); 7"#);
    house.chain("outer", "", r#"run("p.inner") + 1"#);
    let id = die_after(async {
        let engine = house.start().await;
        let id = run(&engine, "p.outer", json!({})).await;
        until(&engine, &id, &[ExecutionState::Waiting]).await;
        (engine, id)
    });
    Runtime::new().unwrap().block_on(async {
        let engine = house.start().await;
        assert_eq!(result(&ended(&engine, &id).await), &json!(8));
    });
}

#[test]
fn undo_that_was_cut_off_goes_on_and_repeats_nothing() {
    let house = House::new();
    let (ledger, gate) =
        (house.path("ledger").display().to_string(), house.path("gate").display().to_string());
    house.program("note", "idempotent", &format!("echo $TRIPLINE_KEY >>{ledger}"));
    let marker = house.path("marker").display().to_string();
    house.program(
        "wait",
        "idempotent",
        &format!("touch {marker}; until [ -e {gate} ]; do sleep 0.02; done; echo $TRIPLINE_KEY >>{ledger}"),
    );
    house.chain(
        "falls",
        "",
        r#"
        undo(|e| run("p.wait"));
        undo(|e| run("p.note"));
        fail("down")
    "#,
    );
    let id = die_after(async {
        let engine = house.start().await;
        let id = run(&engine, "p.falls", json!({})).await;
        eventually("the second handler", || async { house.path("marker").exists() }).await;
        (engine, id)
    });
    std::fs::write(house.path("gate"), "").unwrap();
    Runtime::new().unwrap().block_on(async {
        let engine = house.start().await;
        assert_eq!(ended(&engine, &id).await.row.state, ExecutionState::Failed);
    });
    let ledger = std::fs::read_to_string(house.path("ledger")).unwrap();
    assert_eq!(ledger, format!("{id}/undo.2.1\n{id}/undo.1.1\n"));
}

#[test]
fn a_thousand_sleepers_wait_through_a_restart() {
    const COUNT: usize = 1_000;
    let house = House::new();
    house.chain("sleeps", "", r#"sleep("1h");"#);
    let last: ExecutionId = die_after(async {
        let engine = house.start().await;
        let mut last = None;
        for _ in 0..COUNT {
            last = Some(run(&engine, "p.sleeps", json!({})).await);
        }
        eventually("all to sleep", || async {
            in_state(&engine, ExecutionState::Waiting).await == COUNT
        })
        .await;
        (engine, last.unwrap())
    });
    Runtime::new().unwrap().block_on(async {
        let engine = house.start().await;
        assert_eq!(in_state(&engine, ExecutionState::Waiting).await, COUNT);
        assert_eq!(engine.health().await.unwrap().active, 0, "none is read before its time");
        engine.cancel(model::Actor::token("test"), &last, None).await.unwrap();
        assert_eq!(ended(&engine, &last).await.row.state, ExecutionState::Cancelled);
    });
}

#[tokio::test]
async fn an_orderly_shutdown_lets_steps_under_way_end_and_begins_no_new_ones() {
    let house = House::new();
    let ledger = house.path("ledger").display().to_string();
    let gate = house.path("gate").display().to_string();
    house.program(
        "work",
        "unsafe",
        &format!(
            "echo begun >>{ledger}; until [ -e {gate} ]; do sleep 0.02; done; echo ended >>{ledger}"
        ),
    );
    house.chain("two", "", r#"run("p.work"); run("p.work"); "done""#);
    let engine = house.start().await;
    let id = run(&engine, "p.two", json!({})).await;
    eventually("the program", || async { told(&house) }).await;
    let stopping = tokio::spawn(async move { engine.shutdown(Duration::from_secs(20)).await });
    std::fs::write(house.path("gate"), "").unwrap();
    assert!(stopping.await.unwrap(), "all ended within the grace");
    let engine = house.start().await;
    assert_eq!(result(&ended(&engine, &id).await), &json!("done"));
    assert_eq!(
        std::fs::read_to_string(house.path("ledger")).unwrap(),
        "begun\nended\nbegun\nended\n"
    );
}

#[test]
fn changes_and_events_of_a_chain_are_stored_once_however_often_the_engine_dies() {
    const COUNT: i64 = 40;
    let house = House::new();
    house.write("triggers/told.yaml", "payload: { n: { type: integer } }\n");
    house.chain(
        "counts",
        "",
        r#"
        for n in 0..40 {
            run("datastore.increment", #{ key: "n" });
            emit("p.told", #{ n: n });
            run("core.noop");
        }
        run("datastore.get", #{ key: "n" }).value
    "#,
    );
    let id = die_after(async {
        let engine = house.start().await;
        let id = run(&engine, "p.counts", json!({})).await;
        (engine, id)
    });
    let counted = |engine: Engine| async move {
        let row = engine.store().key("p/n", engine.now()).await.unwrap();
        row.and_then(|row| row.value.as_i64()).unwrap_or(0)
    };
    for goal in [3, 9, 20, 31] {
        die_after(async {
            let engine = house.start().await;
            eventually("some progress", || async { counted(engine.clone()).await >= goal }).await;
            (engine, ())
        });
    }
    Runtime::new().unwrap().block_on(async {
        let engine = house.start().await;
        assert_eq!(result(&ended(&engine, &id).await), &json!(COUNT));
        let kind = "p.told".parse().ok();
        let filter = store::EventFilter { kind, limit: 1_000, ..Default::default() };
        assert_eq!(engine.events(&filter).await.unwrap().len() as i64, COUNT);
    });
}

#[test]
fn a_chain_whose_evaluation_ends_the_engine_three_times_is_handed_to_a_person() {
    let house = House::new();
    house.chain("kills", "", r#"run("core.noop")"#);
    let id = die_after(async {
        let engine = house.start().await;
        let id = run(&engine, "p.kills", json!({})).await;
        let ended = ended(&engine, &id).await.row.id;
        (engine, ended)
    });
    // Another execution of it, requested and never evaluated; and what three deaths leave behind.
    let other = ExecutionId::random(&[7; 32]);
    Runtime::new().unwrap().block_on(async {
        let stream = |id: &ExecutionId| model::Stream::Execution(id.clone());
        let (facts, _) = house.store.read(&stream(&id), model::Version::NONE).await.unwrap();
        let write = store::Write::new(stream(&other), None, [facts[0].fact.clone()]);
        let batch = store::Batch {
            id: model::BatchId::new("again"),
            actor: model::Actor::token("test"),
            at: house.clock.now(),
            writes: vec![write],
        };
        house.store.append(batch).await.unwrap();
        let folder = house.path("state/evaluating");
        std::fs::write(folder.join("evaluator-0"), format!("{other} 1\n")).unwrap();
        let deaths = json!([[{ "execution": other.as_str(), "length": 1 }, 2]]);
        std::fs::write(folder.join("deaths.json"), deaths.to_string()).unwrap();
        let engine = house.start().await;
        let view = until(&engine, &other, &[ExecutionState::NeedsAttention]).await;
        assert!(view.row.message.unwrap().contains("3 times in a row"));
        let retry = model::Resolution::Retry;
        engine.resolve(model::Actor::token("test"), &other, None, retry).await.unwrap();
        assert_eq!(ended(&engine, &other).await.row.state, ExecutionState::Succeeded);
    });
}

#[test]
fn a_step_that_the_engines_death_cuts_off_eleven_times_is_given_up() {
    let house = House::new();
    let ledger = house.path("ledger").display().to_string();
    house.program("work", "idempotent", &format!("echo $TRIPLINE_ATTEMPT >>{ledger}; sleep 60"));
    house.chain("one", "", r#"run("p.work", #{}, #{ retry: #{ attempts: 1 } })"#);
    let attempts = || std::fs::read_to_string(house.path("ledger")).unwrap_or_default();
    let id = die_after(async {
        let engine = house.start().await;
        let id = run(&engine, "p.one", json!({})).await;
        eventually("attempt 1", || async { attempts().lines().count() == 1 }).await;
        (engine, id)
    });
    for attempt in 2..=11 {
        die_after(async {
            let engine = house.start().await;
            eventually("an attempt", || async { attempts().lines().count() == attempt }).await;
            (engine, ())
        });
    }
    Runtime::new().unwrap().block_on(async {
        let engine = house.start().await;
        let view = ended(&engine, &id).await;
        assert_eq!(support::error_kind(&view), "internal");
        assert!(view.row.message.unwrap().contains("ended 10 times"));
    });
    assert_eq!(attempts().lines().count(), 11);
}
