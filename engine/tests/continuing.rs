//! Chains that go on as a new run: a bounded history of what has no end.
#![allow(clippy::unwrap_used)]

mod support;

use engine::Engine;
use engine::view::ExecutionView;
use model::{Actor, Duration, ExecutionId, ExecutionState, Timestamp};
use serde_json::json;
use support::{
    House, count, die_after, die_at_counts, ended, error_kind, eventually, live, result, run, until,
};

use ExecutionState::{Succeeded, TimedOut, Waiting};

/// Counts a key up and goes on, three runs in all.
const COUNTS: &str = r#"
    let n = run("datastore.increment", #{ key: "n" }).value;
    if n < 3 { continue_as(#{ from: execution.id, of: params.of }); }
    #{ n: n, from: params.from, rule: execution.rule }
"#;

/// The run that `id` went on as, once it has ended.
async fn next(engine: &Engine, id: &ExecutionId) -> ExecutionId {
    let view = ended(engine, id).await;
    assert_eq!(view.row.state, Succeeded);
    view.outcome.unwrap().continued_as.unwrap()
}

/// The run that nothing goes on from.
async fn last(engine: &Engine, first: &ExecutionId) -> ExecutionView {
    let mut view = ended(engine, first).await;
    while let Some(next) = view.outcome.as_ref().and_then(|end| end.continued_as.clone()) {
        view = ended(engine, &next).await;
    }
    view
}

#[tokio::test]
async fn a_chain_goes_on_as_a_new_run_with_new_parameters_and_each_knows_the_other() {
    let house = House::new();
    house.chain("counts", "from: {}, of: { default: 3 }", COUNTS);
    let engine = house.start().await;
    let first = run(&engine, "p.counts", json!({})).await;
    let second = next(&engine, &first).await;
    let third = next(&engine, &second).await;
    let view = ended(&engine, &third).await;
    assert_eq!(result(&view), &json!({ "n": 3, "from": second.as_str(), "rule": null }));
    assert_eq!(view.continues, Some(second));
    assert_eq!(view.parameters["of"], 3);
    assert_eq!(view.steps.len(), 1, "its journal begins anew");
    assert_eq!(view.outcome.unwrap().continued_as, None);
    assert_eq!(engine.execution(&first).await.unwrap().continues, None);
}

#[tokio::test]
async fn a_new_run_stands_for_the_rule_and_the_event_that_the_first_one_does() {
    let house = House::new();
    house.chain("counts", "from: {}, of: { default: 3 }", COUNTS);
    house.write("triggers/go.yaml", "description: begin\n");
    house.write("rules/go.yaml", "trigger: { type: p.go }\naction: { ref: p.counts }\n");
    let engine = house.start().await;
    let kind = "p.go".parse().unwrap();
    let new = engine::NewEvent { kind, id: None, subject: None, data: json!({}) };
    engine.emit("test", new).await.unwrap();
    let rule = "p.go".parse().ok();
    let filter = store::ExecutionFilter { rule, limit: 9, ..Default::default() };
    eventually("three runs of the rule", || async {
        let runs = engine.executions(&filter).await.unwrap();
        runs.len() == 3 && runs.iter().all(|run| run.state == Succeeded)
    })
    .await;
    let runs = engine.executions(&filter).await.unwrap();
    let view = engine.execution(&runs[0].id).await.unwrap();
    assert_eq!(result(&view)["rule"], "p.go");
    assert_eq!(view.row.origin, runs[2].origin, "the newest has the reason of the oldest");
}

#[test]
fn however_often_the_engine_dies_each_run_goes_on_once() {
    let house = House::new();
    house.chain(
        "ticks",
        "n: { type: integer, default: 1 }",
        r#"
        run("datastore.increment", #{ key: "ticks" });
        if params.n == 15 { return "over"; }
        continue_as(#{ n: params.n + 1 });
    "#,
    );
    let first = die_after(async {
        let engine = house.start().await;
        let first = run(&engine, "p.ticks", json!({})).await;
        (engine, first)
    });
    die_at_counts(&house, "p/ticks", &[3, 7, 11]);
    live(async {
        let engine = house.start().await;
        assert_eq!(result(&last(&engine, &first).await), &json!("over"));
        assert_eq!(count(&engine, "p/ticks").await, 15);
        let all = store::ExecutionFilter { limit: 1_000, ..Default::default() };
        assert_eq!(engine.executions(&all).await.unwrap().len(), 15);
    });
}

#[tokio::test]
async fn each_run_has_the_whole_deadline_and_the_content_that_is_active_when_it_begins() {
    let start = Timestamp::from_second(1_800_000_000).unwrap();
    let house = House { clock: host::Clock::simulated(start), ..House::new() };
    let chain = |version: u32| {
        let text = format!(
            "sleep(\"40m\"); if params.n == 3 {{ sleep(\"9h\"); }} log(\"v{version}\"); continue_as(#{{ n: params.n + 1 }});"
        );
        house.chain("long", "", &text);
        house.write(
            "actions/long.yaml",
            "entry_point: long.rhai\nparameters: { n: { default: 1 } }\ndeadline: 1h\n",
        );
    };
    chain(1);
    let engine = house.start().await;
    let first = run(&engine, "p.long", json!({})).await;
    until(&engine, &first, &[Waiting]).await;
    let before = engine.pack_views()[0].hash;
    chain(2);
    eventually("the new content", || async {
        house.advance(Duration::from_millis(20));
        engine.pack_views()[0].hash != before
    })
    .await;
    house.advance(Duration::from_secs(40 * 60));
    let second = next(&engine, &first).await;
    until(&engine, &second, &[Waiting]).await;
    house.advance(Duration::from_secs(40 * 60));
    let third = next(&engine, &second).await;
    let said = async |id| engine.execution(id).await.unwrap().steps[1].result.clone().unwrap();
    assert_eq!((said(&first).await, said(&second).await), (json!("v1"), json!("v2")));
    until(&engine, &third, &[Waiting]).await;
    house.advance(Duration::from_secs(40 * 60));
    until(&engine, &third, &[Waiting]).await;
    house.advance(Duration::from_secs(20 * 60));
    assert_eq!(ended(&engine, &third).await.row.state, TimedOut);
}

#[tokio::test]
async fn parameters_that_the_chain_does_not_take_fail_the_run() {
    let house = House::new();
    house.chain("bad", "n: { type: integer }", r#"continue_as(#{ n: "many" })"#);
    let engine = house.start().await;
    let id = run(&engine, "p.bad", json!({})).await;
    let view = ended(&engine, &id).await;
    assert_eq!(error_kind(&view), "invalid_parameters");
    let all = store::ExecutionFilter { limit: 9, ..Default::default() };
    assert_eq!(engine.executions(&all).await.unwrap().len(), 1, "nothing goes on");
}

#[tokio::test]
async fn what_is_cancelled_does_not_go_on() {
    let house = House::new();
    let gate = house.path("gate").display().to_string();
    let begun = house.path("begun").display().to_string();
    let text = format!("touch {begun}; until [ -e {gate} ]; do sleep 0.01; done");
    house.program("work", "idempotent", &text);
    house.chain("one", "", r#"on_exit(|o| run("p.work")); continue_as(#{})"#);
    let engine = house.start().await;
    let id = run(&engine, "p.one", json!({})).await;
    eventually("the handler", || async { house.path("begun").exists() }).await;
    engine.cancel(Actor::token("test"), &id, None).await.unwrap();
    std::fs::write(house.path("gate"), "").unwrap();
    let view = ended(&engine, &id).await;
    assert_eq!(view.outcome.unwrap().continued_as, None, "{:?}", view.row.state);
}

#[tokio::test]
async fn a_chain_that_goes_on_in_a_circle_without_a_step_is_cut_unless_time_passes_between() {
    let start = Timestamp::from_second(1_800_000_000).unwrap();
    let house = House { clock: host::Clock::simulated(start), ..House::new() };
    house.chain("circle", "", r#"continue_as(#{ n: params.n + 1 })"#);
    house.chain(
        "clock",
        "",
        r#"sleep("1m"); if params.n == 20 { return "over"; } continue_as(#{ n: params.n + 1 })"#,
    );
    for name in ["circle", "clock"] {
        let declared = format!("entry_point: {name}.rhai\nparameters: {{ n: {{ default: 1 }} }}\n");
        house.write(&format!("actions/{name}.yaml"), &declared);
    }
    house.chain("tell", "type: {}", r#"run("datastore.set", #{ key: "cut", value: params.type })"#);
    let rule = "trigger: { type: tripline.loop_detected }\naction: { ref: p.tell, parameters: { type: '${trigger.type}' } }\n";
    house.write("rules/tell.yaml", rule);
    let engine = house.start().await;
    let first = run(&engine, "p.circle", json!({})).await;
    let cut = last(&engine, &first).await;
    assert_eq!((error_kind(&cut), &cut.parameters["n"]), ("rejected", &json!(17)));
    eventually("the notice", || async {
        let row = engine.store().key("p/cut", engine.now()).await.unwrap();
        row.is_some_and(|row| row.value == json!("continue_as"))
    })
    .await;
    let mut id = run(&engine, "p.clock", json!({})).await;
    for _ in 1..20 {
        until(&engine, &id, &[Waiting]).await;
        house.advance(Duration::from_secs(60));
        id = next(&engine, &id).await;
    }
    until(&engine, &id, &[Waiting]).await;
    house.advance(Duration::from_secs(60));
    assert_eq!(result(&ended(&engine, &id).await), &json!("over"));
}

#[tokio::test]
async fn runs_that_make_steps_are_not_cut_and_go_on_once_a_second_where_there_were_many() {
    let start = Timestamp::from_second(1_800_000_000).unwrap();
    let house = House { clock: host::Clock::simulated(start), ..House::new() };
    house.chain(
        "drain",
        "n: { type: integer, default: 1 }",
        r#"
        run("datastore.increment", #{ key: "done" });
        if params.n == 21 { return "over"; }
        continue_as(#{ n: params.n + 1 });
    "#,
    );
    let engine = house.start().await;
    let first = run(&engine, "p.drain", json!({})).await;
    let comes_to = async |n: i64| {
        eventually("the next run", || async {
            let row = engine.store().key("p/done", engine.now()).await.unwrap();
            row.is_some_and(|row| row.value == json!(n))
        })
        .await;
    };
    for n in 17..21 {
        comes_to(n).await;
        house.advance(Duration::from_secs(1));
    }
    assert_eq!(result(&last(&engine, &first).await), &json!("over"));
    let all = store::ExecutionFilter { limit: 99, ..Default::default() };
    let runs = engine.executions(&all).await.unwrap();
    let asked: Vec<i64> =
        runs.iter().rev().map(|run| run.requested_at.as_second() - start.as_second()).collect();
    assert_eq!(asked, [vec![0; 17], vec![1, 2, 3, 4]].concat());
}

#[tokio::test]
async fn a_run_that_is_held_back_can_be_paused_and_cancelled() {
    let start = Timestamp::from_second(1_800_000_000).unwrap();
    let house = House { clock: host::Clock::simulated(start), ..House::new() };
    house.chain("spin", "", r#"run("datastore.increment", #{ key: "n" }); continue_as(#{})"#);
    let engine = house.start().await;
    run(&engine, "p.spin", json!({})).await;
    let all = store::ExecutionFilter { limit: 99, ..Default::default() };
    eventually("the run that is held back", || async {
        let row = engine.store().key("p/n", engine.now()).await.unwrap();
        row.is_some_and(|row| row.value == json!(17))
    })
    .await;
    let held = engine.executions(&all).await.unwrap().swap_remove(0).id;
    engine.pause(Actor::token("test"), &held, None).await.unwrap();
    house.advance(Duration::from_secs(5));
    until(&engine, &held, &[ExecutionState::Paused]).await;
    engine.cancel(Actor::token("test"), &held, None).await.unwrap();
    let view = ended(&engine, &held).await;
    assert_eq!(view.row.state, ExecutionState::Cancelled);
    assert_eq!(view.outcome.unwrap().continued_as, None);
}

#[tokio::test]
async fn who_ends_or_repeats_a_run_that_went_on_is_told_which_run_it_is_now() {
    let house = House::new();
    house.chain(
        "rounds",
        "n: { type: integer, default: 1 }",
        r#"if params.n == 3 { sleep("1h"); } continue_as(#{ n: params.n + 1 })"#,
    );
    let engine = house.start().await;
    let first = run(&engine, "p.rounds", json!({})).await;
    let third = next(&engine, &next(&engine, &first).await).await;
    until(&engine, &third, &[Waiting]).await;
    let view = engine.execution(&first).await.unwrap();
    assert_eq!(view.latest.map(|latest| (latest.id, latest.state)), Some((third.clone(), Waiting)));
    let actor = || Actor::token("somebody");
    let now = format!("it is `{third}` now, which is waiting");
    let refused = engine.cancel(actor(), &first, None).await.unwrap_err().to_string();
    assert_eq!(refused, format!("the execution has ended and went on: {now}"));
    let refused = engine.pause(actor(), &first, None).await.unwrap_err().to_string();
    assert!(refused.ends_with(&now), "{refused}");
    let whole = engine::rerun::Repetition::default;
    let refused = engine.rerun(actor(), &first, whole()).await.unwrap_err().to_string();
    assert!(refused.contains(&now) && refused.contains("--force"), "{refused}");
    let asked = engine::rerun::Repetition { force: true, ..whole() };
    let beside = engine.rerun(actor(), &first, asked).await.unwrap().id;
    ended(&engine, &beside).await;
    engine.cancel(actor(), &third, None).await.unwrap();
    ended(&engine, &third).await;
    let refused = engine.cancel(actor(), &first, None).await.unwrap_err().to_string();
    assert!(refused.ends_with("which has ended too: it cancelled"), "{refused}");
    engine.rerun(actor(), &first, whole()).await.unwrap();
}

#[tokio::test]
async fn each_run_tells_who_asked_for_the_first() {
    let house = House::new();
    house.chain("counts", "from: {}, of: { default: 3 }", COUNTS);
    let engine = house.start().await;
    let action = "p.counts".parse().unwrap();
    let asked = engine.run(Actor::token("somebody"), action, model::Map::new(), None).await;
    let first = asked.unwrap();
    let third = next(&engine, &next(&engine, &first).await).await;
    assert_eq!(ended(&engine, &third).await.actor, Actor::token("somebody"));
    let actor = Some(Actor::token("somebody"));
    let asked_for = store::ExecutionFilter { actor, limit: 9, ..Default::default() };
    assert_eq!(engine.executions(&asked_for).await.unwrap().len(), 3, "all of them are that one's");
}
