//! Chains that go on as a new run while another chain waits for them: a line of runs at one step.
#![allow(clippy::unwrap_used)]

mod support;

use engine::rerun::Repetition;
use engine::view::ExecutionView;
use engine::{AskError, Engine};
use model::{Actor, BatchId, Duration, ExecutionId, ExecutionState, Fact, StepPath, Stream};
use serde_json::{Value, json};
use support::{
    House, count, die_after, die_at_counts, ended, error_kind, eventually, key, live, result, run,
    until,
};

use ExecutionState::{Cancelled, Paused, Succeeded, Waiting};

/// Counts up to `to`, a run for each number: counts it as a key as well, and then says how it ends.
fn counting(house: &House, end: &str) {
    let text = format!(
        "run(\"datastore.increment\", #{{ key: \"runs\" }});
        if params.n < params.to {{ continue_as(#{{ n: params.n + 1, to: params.to }}); }}
        {end}"
    );
    house.chain("counts", "n: { type: integer, default: 1 }, to: { default: 3 }", &text);
}

fn who() -> Actor {
    Actor::token("test")
}

fn simulated() -> House {
    let start = model::Timestamp::from_second(1_800_000_000).unwrap();
    House { clock: host::Clock::simulated(start), ..House::new() }
}

/// The nth run at the first step of `parent`.
fn nth(parent: &ExecutionId, run: u32) -> ExecutionId {
    parent.nth_child(&StepPath::top(1), run)
}

/// Waits until that run stands so.
async fn reaches(engine: &Engine, id: &ExecutionId, state: ExecutionState) -> ExecutionView {
    eventually("the run", || async { engine.execution(id).await.is_ok() }).await;
    until(engine, id, &[state]).await
}

/// Appends to the execution's stream alone, as a process does that is killed right afterwards.
async fn append(house: &House, id: &ExecutionId, fact: Fact) {
    let stream = Stream::Execution(id.clone());
    let batch = store::Batch {
        id: BatchId::new(format!("{id} alone")),
        actor: who(),
        at: house.clock.now(),
        writes: vec![store::Write::new(stream, None, [fact])],
    };
    house.store.append(batch).await.unwrap();
}

#[tokio::test]
async fn the_step_of_the_parent_ends_with_the_outcome_of_the_last_run() {
    let house = House::new();
    counting(&house, "log(execution.parent); #{ n: params.n, id: execution.id }");
    house.chain("outer", "", r#"run("p.counts")"#);
    let engine = house.start().await;
    let id = run(&engine, "p.outer", json!({})).await;
    let view = ended(&engine, &id).await;
    let third = nth(&id, 3);
    assert_eq!(third.as_str(), format!("{id}/1~3"));
    assert_eq!(result(&view), &json!({ "n": 3, "id": third.as_str() }));
    assert_eq!(view.steps[0].child.as_ref(), Some(&third), "the run that ended the step");
    let first = engine.execution(&nth(&id, 1)).await.unwrap();
    assert_eq!(first.outcome.as_ref().unwrap().continued_as, Some(nth(&id, 2)));
    assert_eq!(first.latest.map(|run| (run.id, run.state)), Some((third.clone(), Succeeded)));
    let last = engine.execution(&third).await.unwrap();
    assert_eq!((last.continues, &last.row.origin), (Some(nth(&id, 2)), &first.row.origin));
    assert_eq!(last.steps[1].result, Some(json!(id.as_str())), "each knows what runs it");
    assert_eq!(key(&engine, "p/runs").await, 3);
    let children = store::ExecutionFilter { parent: Some(id), limit: 9, ..Default::default() };
    assert_eq!(engine.executions(&children).await.unwrap().len(), 3, "all are listed");
}

#[tokio::test]
async fn a_long_line_of_runs_is_found_from_any_of_them() {
    let house = House::new();
    counting(&house, "params.n");
    house.chain("outer", "", r#"run("p.counts", #{ to: 12 })"#);
    let engine = house.start().await;
    let id = run(&engine, "p.outer", json!({})).await;
    assert_eq!(result(&ended(&engine, &id).await), &json!(12));
    for n in 1..12 {
        let view = engine.execution(&nth(&id, n)).await.unwrap();
        assert_eq!(view.latest.map(|latest| latest.id), Some(nth(&id, 12)), "from run {n}");
    }
    assert!(engine.execution(&nth(&id, 12)).await.unwrap().latest.is_none());
}

#[tokio::test]
async fn a_last_run_that_fails_fails_the_step_and_names_itself_and_a_repetition_begins_a_new_line()
{
    let house = House::new();
    counting(
        &house,
        r#"if run("datastore.get", #{ key: "good", default: 0 }).value == 0 { fail("no") } "yes""#,
    );
    house.chain("outer", "", r#"run("core.noop"); run("p.counts", #{ to: 2 })"#);
    let engine = house.start().await;
    let id = run(&engine, "p.outer", json!({})).await;
    let view = ended(&engine, &id).await;
    assert_eq!(error_kind(&view), "child_failed");
    let path: StepPath = "2".parse().unwrap();
    let error = view.steps[1].error.clone().unwrap();
    assert_eq!(error.details["execution"], id.nth_child(&path, 2).as_str());
    let refused = engine.cancel(who(), &id.child(&path), None).await.unwrap_err().to_string();
    assert!(refused.contains(&format!("it is `{}` now", id.nth_child(&path, 2))), "{refused}");

    engine.set_key(who(), "p/good", Some(json!(1)), None).await.unwrap();
    let how = Repetition { from: Some(path.clone()), ..Repetition::default() };
    let again = engine.rerun(who(), &id, how).await.unwrap().id;
    let view = ended(&engine, &again).await;
    assert_eq!(result(&view), &json!("yes"));
    assert_eq!(view.steps[1].child, Some(again.nth_child(&path, 2)));
    let alone = engine.rerun(who(), &id.child(&path), Repetition::default()).await.unwrap().id;
    assert_eq!(alone.parent(), None, "a run repeated by itself is nobody's step");
    ended(&engine, &alone).await;
}

/// A parent whose child's third run sleeps for an hour.
async fn third_run_sleeps(house: &House) -> (Engine, ExecutionId) {
    counting(house, r#"sleep("1h"); "rested""#);
    house.chain("outer", "", r#"run("p.counts", #{}, #{ deadline: "9h" })"#);
    let engine = house.start().await;
    let id = run(&engine, "p.outer", json!({})).await;
    reaches(&engine, &nth(&id, 3), Waiting).await;
    until(&engine, &id, &[Waiting]).await;
    (engine, id)
}

#[tokio::test]
async fn cancelling_and_holding_the_parent_reach_the_run_that_is_current() {
    let house = simulated();
    let (engine, id) = third_run_sleeps(&house).await;
    engine.pause(who(), &id, None).await.unwrap();
    until(&engine, &nth(&id, 3), &[Paused]).await;
    let refused = engine.resume(who(), &nth(&id, 3)).await.unwrap_err();
    assert!(
        matches!(&refused, AskError::Conflict(why) if why.contains("resume that one")),
        "{refused}"
    );
    engine.resume(who(), &id).await.unwrap();
    until(&engine, &nth(&id, 3), &[Waiting]).await;
    engine.cancel(who(), &id, None).await.unwrap();
    assert_eq!(ended(&engine, &id).await.row.state, Cancelled);
    assert_eq!(engine.execution(&nth(&id, 3)).await.unwrap().row.state, Cancelled);
}

#[tokio::test]
async fn a_kill_right_after_a_word_to_the_parent_leaves_no_run_of_the_child_behind() {
    let house = simulated();
    let (engine, id) = third_run_sleeps(&house).await;
    engine.shutdown(std::time::Duration::ZERO).await;
    let at = house.clock.now();
    append(&house, &id, Fact::CancelRequested { reason: None, at }).await;
    let engine = house.start().await;
    assert_eq!(ended(&engine, &id).await.row.state, Cancelled);
    assert_eq!(engine.execution(&nth(&id, 3)).await.unwrap().row.state, Cancelled);
}

#[tokio::test]
async fn a_kill_right_after_the_end_of_the_last_run_keeps_no_parent_waiting_for_its_deadline() {
    let house = simulated();
    let (engine, id) = third_run_sleeps(&house).await;
    engine.shutdown(std::time::Duration::ZERO).await;
    let (outcome, at) = (model::Outcome::succeeded(json!("in time")), house.clock.now());
    append(&house, &nth(&id, 3), Fact::ExecutionFinished { outcome, at }).await;
    let engine = house.start().await;
    assert_eq!(result(&ended(&engine, &id).await), &json!("in time"));
}

#[tokio::test]
async fn a_parent_that_is_cancelled_while_its_child_goes_on_ends_it_whichever_run_it_is() {
    for n in [0, 1, 4, 9] {
        let house = House::new();
        counting(&house, "()");
        house.chain("outer", "", r#"run("p.counts", #{ to: 1000 })"#);
        let engine = house.start().await;
        let id = run(&engine, "p.outer", json!({})).await;
        eventually("some runs", || async { engine.execution(&nth(&id, n + 1)).await.is_ok() })
            .await;
        engine.cancel(who(), &id, None).await.unwrap();
        assert_eq!(ended(&engine, &id).await.row.state, Cancelled);
        assert!(house.store.unfinished(None, 9).await.unwrap().is_empty(), "after {n} runs");
    }
}

#[test]
fn however_often_the_engine_dies_each_run_of_a_child_is_made_once() {
    let house = House::new();
    counting(&house, "params.n");
    house.chain(
        "outer",
        "",
        r#"run("datastore.increment", #{ key: "began" }); run("p.counts", #{ to: 15 })"#,
    );
    let id = die_after(async {
        let engine = house.start().await;
        let id = run(&engine, "p.outer", json!({})).await;
        (engine, id)
    });
    die_at_counts(&house, "p/runs", &[2, 4, 5, 8, 11, 14]);
    live(async {
        let engine = house.start().await;
        assert_eq!(result(&ended(&engine, &id).await), &json!(15));
        assert_eq!((count(&engine, "p/runs").await, key(&engine, "p/began").await), (15, json!(1)));
        let children = store::ExecutionFilter { parent: Some(id), limit: 99, ..Default::default() };
        assert_eq!(engine.executions(&children).await.unwrap().len(), 15);
    });
}

#[tokio::test]
async fn a_child_that_goes_on_in_a_circle_is_cut_and_its_parent_told() {
    let house = House::new();
    house.chain("circle", "n: { default: 1 }", "continue_as(#{ n: params.n + 1 })");
    let outer =
        r#"let kind = (); try { run("p.circle") } catch (e) { kind = e.details.error.kind } kind"#;
    house.chain("outer", "", outer);
    let engine = house.start().await;
    let id = run(&engine, "p.outer", json!({})).await;
    assert_eq!(result(&ended(&engine, &id).await), &json!("rejected"));
    assert_eq!(engine.execution(&nth(&id, 17)).await.unwrap().parameters["n"], 17);
}

#[tokio::test]
async fn the_deadline_of_the_step_is_that_of_all_runs_and_the_content_that_it_had_too() {
    let house = simulated();
    let chain = |version: u32| {
        let text = format!(r#"log("v{version}"); sleep("40m"); continue_as(#{{}})"#);
        house.chain("polls", "", &text);
    };
    chain(1);
    house.chain("outer", "", r#"run("p.polls", #{}, #{ deadline: "1h" })"#);
    let engine = house.start().await;
    let id = run(&engine, "p.outer", json!({})).await;
    until(&engine, &nth_when_there(&engine, &id, 1).await, &[Waiting]).await;
    let before = engine.pack_views()[0].hash;
    chain(2);
    eventually("the new content", || async {
        house.advance(Duration::from_millis(20));
        engine.pack_views()[0].hash != before
    })
    .await;
    house.advance(Duration::from_secs(40 * 60));
    let second = reaches(&engine, &nth(&id, 2), Waiting).await;
    assert_eq!(second.steps[0].result, Some(Value::from("v1")));
    house.advance(Duration::from_secs(20 * 60));
    let view = ended(&engine, &id).await;
    assert_eq!((error_kind(&view), view.steps[0].child.clone()), ("deadline", Some(nth(&id, 2))));
}

async fn nth_when_there(engine: &Engine, id: &ExecutionId, n: u32) -> ExecutionId {
    let run = nth(id, n);
    eventually("the run", || async { engine.execution(&run).await.is_ok() }).await;
    run
}

#[tokio::test]
async fn secrets_go_on_with_a_child_and_its_result_hands_them_to_the_parent() {
    let house = House::new();
    let kept = house.path("kept");
    house.program("keep", "idempotent", &format!("cat >{}", kept.display()));
    let text = r#"
        if params.s == "" { continue_as(#{ s: run("secrets.generate", #{ length: 20 }) }) }
        #{ s: params.s, run: execution.id }"#;
    house.chain("makes", "s: { default: '' }", text);
    house.chain("outer", "", r#"let got = run("p.makes"); run("p.keep", #{ a: got.s }); got.run"#);
    let engine = house.start().await;
    let id = run(&engine, "p.outer", json!({})).await;
    assert_eq!(result(&ended(&engine, &id).await), nth(&id, 2).as_str());
    let kept: Value = serde_json::from_slice(&std::fs::read(kept).unwrap()).unwrap();
    let value = kept["a"].as_str().unwrap();
    assert!(value.len() == 20 && !model::token::is_in(value), "{value}");
}
