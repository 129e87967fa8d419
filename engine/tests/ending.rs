//! Executions that have to end: by their deadline, on request, with steps in doubt and handlers
//! that take too long.
#![allow(clippy::unwrap_used)]

mod support;

use engine::Engine;
use engine::view::ExecutionView;
use model::{Actor, Duration, ExecutionId, ExecutionState, Resolution, Timestamp};
use serde_json::json;
use support::{House, die_after, ended, eventually, live, result, run, until};

use ExecutionState::{Cancelled, Failed, NeedsAttention, TimedOut, Undoing, Waiting};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// A house on whose clock nothing passes by itself. Its program `p.work`, of this effect, notes
/// each attempt in the ledger and goes on until the file `gate` is there.
fn house(effect: &str) -> House {
    let start = Timestamp::from_second(1_800_000_000).unwrap();
    let house = House { clock: host::Clock::simulated(start), ..House::new() };
    let (ledger, gate) = (house.path("ledger"), house.path("gate"));
    let (ledger, gate) = (ledger.display(), gate.display());
    let text = format!(
        "echo $TRIPLINE_ATTEMPT >>{ledger}; until [ -e {gate} ]; do sleep 0.01; done; echo '{{}}'"
    );
    house.program("work", effect, &text);
    house
}

/// Writes the chain `p.one`, which undoes by setting the key `undone`, with a deadline of an hour.
fn chain(house: &House, text: &str) {
    let undo = r#"undo(|e| run("datastore.set", #{ key: "undone", value: e.kind }));"#;
    house.chain("one", "", &format!("{undo}\n{text}"));
    house.write("actions/one.yaml", "entry_point: one.rhai\nparameters: {}\ndeadline: 1h\n");
}

fn attempts(house: &House) -> usize {
    std::fs::read_to_string(house.path("ledger")).unwrap_or_default().lines().count()
}

async fn attempted(house: &House, times: usize) {
    eventually("an attempt", || async { attempts(house) == times }).await;
}

async fn undone(engine: &Engine) -> Option<model::Value> {
    engine.store().key("p/undone", engine.now()).await.unwrap().map(|row| row.value)
}

fn who() -> Actor {
    Actor::token("test")
}

async fn timed_out(engine: &Engine, id: &ExecutionId) {
    assert_eq!(ended(engine, id).await.row.state, TimedOut);
    assert_eq!(undone(engine).await, Some(json!("deadline")));
}

#[tokio::test]
async fn a_deadline_that_passes_while_a_chain_sleeps_undoes_and_times_it_out() {
    for restarted in [false, true] {
        let house = house("read");
        chain(&house, r#"sleep("2h");"#);
        let mut engine = house.start().await;
        let id = run(&engine, "p.one", json!({})).await;
        until(&engine, &id, &[Waiting]).await;
        house.advance(Duration::from_secs(59 * 60));
        assert_eq!(engine.execution(&id).await.unwrap().row.state, Waiting);
        if restarted {
            engine.shutdown(std::time::Duration::from_secs(10)).await;
            house.advance(HOUR);
            engine = house.start().await;
        } else {
            house.advance(MINUTE);
        }
        timed_out(&engine, &id).await;
    }
}

#[tokio::test]
async fn a_deadline_that_passes_while_a_step_runs_ends_it_then_undoes_and_times_out() {
    let house = house("idempotent");
    chain(&house, r#"run("p.work", #{}, #{ timeout: "9h" });"#);
    let engine = house.start().await;
    let id = run(&engine, "p.one", json!({})).await;
    attempted(&house, 1).await;
    house.advance(HOUR);
    // It is given 30 seconds to settle.
    house.advance(Duration::from_secs(29));
    assert_eq!(undone(&engine).await, None);
    house.advance(Duration::from_secs(2));
    timed_out(&engine, &id).await;
    assert_eq!(attempts(&house), 1);
}

#[test]
fn a_deadline_that_passed_while_the_engine_was_dead_over_a_step_undoes_and_times_out() {
    let house = house("idempotent");
    chain(&house, r#"run("p.work", #{}, #{ timeout: "9h" });"#);
    let id = die_after(async {
        let engine = house.start().await;
        let id = run(&engine, "p.one", json!({})).await;
        attempted(&house, 1).await;
        (engine, id)
    });
    house.advance(HOUR);
    live(async {
        let engine = house.start().await;
        timed_out(&engine, &id).await;
    });
    assert_eq!(attempts(&house), 1, "nothing begins again in an execution that is to end");
}

#[tokio::test]
async fn who_cancels_is_told_what_must_be_decided_first_wherever_below_it_is() {
    let house = house("read");
    house.program("lost", "unsafe", "kill -9 $$");
    chain(&house, r#"run("p.lost");"#);
    house.chain("outer", "", r#"run("p.one")"#);
    let engine = house.start().await;
    let id = run(&engine, "p.outer", json!({})).await;
    let child = id.child(&model::StepPath::top(1));
    eventually("the child", || async { engine.execution(&child).await.is_ok() }).await;
    until(&engine, &child, &[NeedsAttention]).await;
    let ending = engine.cancel(who(), &id, Some("wrong commit".to_owned())).await.unwrap();
    let [question] = &ending.waits_for[..] else { panic!("one question: {ending:?}") };
    assert_eq!((&question.execution, &question.step), (&child, &Some(model::StepPath::top(2))));
    assert_eq!(question.command, format!("tripline execution resolve {child} --step 2"));
    let view = engine.execution(&id).await.unwrap();
    assert_eq!(view.waits_for, ending.waits_for);
    let asked = view.row.asked.unwrap();
    assert_eq!((asked.by, asked.reason.as_deref()), (who(), Some("wrong commit")));
    let of_child = engine.cancel(who(), &child, None).await.unwrap();
    assert_eq!(of_child.waits_for, ending.waits_for);
    let fail = Resolution::Fail("it was not done".to_owned());
    engine.resolve(who(), &child, None, fail).await.unwrap();
    let view = ended(&engine, &id).await;
    assert_eq!((view.row.state, view.waits_for), (Cancelled, Vec::new()));
    assert!(view.row.asked.is_some(), "it is told still who asked for its end");
}

/// Runs the chain until its unsafe step is under way, and cancels it.
async fn cancelled_over_an_unsafe_step(house: &House, engine: &Engine) -> ExecutionId {
    let id = run(engine, "p.one", json!({})).await;
    attempted(house, 1).await;
    engine.cancel(who(), &id, None).await.unwrap();
    id
}

async fn in_doubt(engine: &Engine, id: &ExecutionId) -> ExecutionView {
    let view = until(engine, id, &[NeedsAttention]).await;
    assert_eq!(undone(engine).await, None, "doubt comes before undo");
    view
}

async fn resolved(house: &House, engine: &Engine, id: &ExecutionId, resolution: Resolution) {
    engine.resolve(who(), id, None, resolution).await.unwrap();
    assert_eq!(ended(engine, id).await.row.state, Cancelled);
    assert_eq!(undone(engine).await, Some(json!("cancelled")));
    assert_eq!(attempts(house), 1, "whatever is said, nothing begins in what is to end");
}

fn resolutions() -> [Resolution; 3] {
    [Resolution::Done(json!({})), Resolution::Retry, Resolution::Fail("it was not".to_owned())]
}

#[tokio::test]
async fn cancel_kills_an_unsafe_step_and_undoes_once_somebody_said_what_became_of_it() {
    for resolution in resolutions() {
        let house = house("unsafe");
        chain(&house, r#"run("p.work");"#);
        let engine = house.start().await;
        let id = cancelled_over_an_unsafe_step(&house, &engine).await;
        house.advance(Duration::from_secs(31));
        let view = in_doubt(&engine, &id).await;
        assert_eq!(view.attention.unwrap().path.unwrap().to_string(), "2");
        resolved(&house, &engine, &id, resolution).await;
    }
}

#[test]
fn doubt_comes_before_undo_also_where_the_engine_died_over_the_cancelled_step() {
    for resolution in resolutions() {
        let house = house("unsafe");
        chain(&house, r#"run("p.work");"#);
        let id = die_after(async {
            let engine = house.start().await;
            let id = cancelled_over_an_unsafe_step(&house, &engine).await;
            (engine, id)
        });
        live(async {
            let engine = house.start().await;
            in_doubt(&engine, &id).await;
            resolved(&house, &engine, &id, resolution).await;
        });
    }
}

#[tokio::test]
async fn a_handler_has_fifteen_minutes_and_the_others_run_all_the_same() {
    let house = house("idempotent");
    chain(
        &house,
        r#"
        undo(|e| run("p.work", #{}, #{ timeout: "9h" }));
        fail("down")
    "#,
    );
    let engine = house.start().await;
    let id = run(&engine, "p.one", json!({})).await;
    attempted(&house, 1).await;
    house.advance(Duration::from_secs(15 * 60 - 1));
    assert_eq!(engine.execution(&id).await.unwrap().row.state, Undoing);
    house.advance(Duration::from_secs(1));
    let view = ended(&engine, &id).await;
    assert_eq!(view.row.state, Failed);
    assert_eq!(undone(&engine).await, Some(json!("failed")), "the older handler ran");
    let failed = &view.outcome.unwrap().handler_errors;
    let told: Vec<_> = failed.iter().map(|f| (f.path.to_string(), f.error.kind)).collect();
    assert_eq!(told, [("2".to_owned(), model::ErrorKind::Deadline)]);
}

#[tokio::test]
async fn what_is_being_undone_cannot_be_cancelled() {
    let house = house("idempotent");
    chain(&house, r#"undo(|e| run("p.work")); fail("down")"#);
    let engine = house.start().await;
    let id = run(&engine, "p.one", json!({})).await;
    attempted(&house, 1).await;
    let refused = engine.cancel(who(), &id, None).await.unwrap_err();
    assert!(refused.to_string().contains("being undone already"), "{refused}");
    std::fs::write(house.path("gate"), "").unwrap();
    assert_eq!(ended(&engine, &id).await.row.state, Failed, "and not cancelled");
    assert_eq!(undone(&engine).await, Some(json!("failed")));
}

#[tokio::test]
async fn a_script_that_never_ends_is_ended_and_others_go_on_meanwhile() {
    let house = House::new();
    house.chain("runs_away", "", "let n = 0; loop { n += 1; }");
    house.chain("works", "n: {}", r#"run("core.echo", #{ value: params.n }).value"#);
    let engine = house.start().await;
    let mut away = Vec::new();
    for _ in 0..8 {
        away.push(run(&engine, "p.runs_away", json!({})).await);
    }
    for n in 0..20 {
        let id = run(&engine, "p.works", json!({ "n": n })).await;
        assert_eq!(result(&ended(&engine, &id).await), &json!(n));
    }
    for id in away {
        let view = ended(&engine, &id).await;
        assert_eq!(support::error_kind(&view), "limit");
        assert!(view.row.message.unwrap().contains("500000 operations"));
    }
}
