//! What executions do in a whole engine: chains, programs, children, waits, undo, decisions.
#![allow(clippy::unwrap_used)]

mod support;

use model::{Actor, ExecutionState, Resolution, Value};
use serde_json::json;
use support::{House, ended, error_kind, result, run, until};

#[tokio::test]
async fn a_built_in_action_runs_by_itself() {
    let house = House::new();
    let engine = house.start().await;
    let id = run(&engine, "core.echo", json!({ "value": [1, 2] })).await;
    assert_eq!(result(&ended(&engine, &id).await), &json!({ "value": [1, 2] }));
}

#[tokio::test]
async fn a_chain_runs_programs_and_hands_their_results_on() {
    let house = House::new();
    house.program(
        "double",
        "idempotent",
        r#"read x; n=$(echo "$x" | tr -dc 0-9); echo "{\"n\": $((n * 2))}""#,
    );
    house.chain(
        "twice",
        "n: { type: integer }",
        r#"
        let once = run("p.double", #{ a: params.n }).n;
        run("p.double", #{ a: once }).n
    "#,
    );
    let engine = house.start().await;
    let id = run(&engine, "p.twice", json!({ "n": 5 })).await;
    assert_eq!(result(&ended(&engine, &id).await), &json!(20));
}

#[tokio::test]
async fn what_a_chain_answers_itself_is_told_with_its_steps() {
    let house = House::new();
    house.chain("says", "", r#"log("begun"); [uuid(), now()]"#);
    let engine = house.start().await;
    let id = run(&engine, "p.says", json!({})).await;
    let view = ended(&engine, &id).await;
    let told: Vec<_> = view.steps.iter().map(|s| (s.kind, s.result.clone().unwrap())).collect();
    let made = result(&view);
    let expected = [("log", json!("begun")), ("uuid", made[0].clone()), ("now", made[1].clone())];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_failing_step_can_be_caught_and_its_error_looked_at() {
    let house = House::new();
    house.program("no", "idempotent", "echo nothing works >&2; exit 3");
    house.chain(
        "tries",
        "",
        r#"
        let seen = ();
        try { run("p.no", #{}, #{ retry: #{ attempts: 2, delay: "1ms" } }); }
        catch (e) { seen = #{ kind: e.kind, attempts: e.attempts, code: e.details.exit_code }; }
        seen
    "#,
    );
    let engine = house.start().await;
    let id = run(&engine, "p.tries", json!({})).await;
    let view = ended(&engine, &id).await;
    assert_eq!(result(&view), &json!({ "kind": "program", "attempts": 2, "code": 3 }));
    let logs = engine.logs(&id).await.unwrap();
    assert!(logs[0].text.contains("nothing works"), "{logs:?}");
}

#[tokio::test]
async fn a_chain_run_by_a_chain_is_an_execution_of_its_own() {
    let house = House::new();
    house.chain("inner", "n: {}", r#"if params.n > 1 { fail("too many") } params.n + 1"#);
    house.chain(
        "outer",
        "",
        r#"
        let good = run("p.inner", #{ n: 1 });
        let kind = "";
        try { run("p.inner", #{ n: 2 }); } catch (e) { kind = e.kind; }
        #{ good: good, kind: kind }
    "#,
    );
    let engine = house.start().await;
    let id = run(&engine, "p.outer", json!({})).await;
    let view = ended(&engine, &id).await;
    assert_eq!(result(&view), &json!({ "good": 2, "kind": "child_failed" }));
    let child = view.steps[1].child.clone().unwrap();
    assert_eq!(engine.execution(&child).await.unwrap().row.state, ExecutionState::Failed);
}

#[tokio::test]
async fn a_child_that_returns_nothing_has_succeeded_all_the_same() {
    let house = House::new();
    house.chain("quiet", "", r#"run("core.noop"); ()"#);
    house.chain("outer", "", r#"run("p.quiet") == ()"#);
    let engine = house.start().await;
    let id = run(&engine, "p.outer", json!({})).await;
    assert_eq!(result(&ended(&engine, &id).await), &json!(true));
}

#[tokio::test]
async fn branches_wait_and_run_side_by_side() {
    let house = House::new();
    house.chain("wide", "", r#"
        let doubled = parallel_map([1, 2, 3], |n| { sleep("20ms"); run("core.echo", #{ value: n * 2 }).value });
        let both = parallel([|| run("core.echo", #{ value: "a" }).value, || { sleep("10ms"); "b" }]);
        #{ doubled: doubled, both: both }
    "#);
    let engine = house.start().await;
    let id = run(&engine, "p.wide", json!({})).await;
    assert_eq!(
        result(&ended(&engine, &id).await),
        &json!({ "doubled": [2, 4, 6], "both": ["a", "b"] })
    );
}

#[tokio::test]
async fn six_hundred_children_at_once_are_requested_in_several_commits() {
    let house = House::new();
    house.chain("inner", "n: {}", "params.n");
    house.chain(
        "wide",
        "",
        r#"
        let numbers = [];
        for n in 0..600 { numbers.push(n); }
        parallel_map(numbers, |n| run("p.inner", #{ n: n }), #{ max: 600 }).len
    "#,
    );
    let engine = house.start().await;
    let id = run(&engine, "p.wide", json!({})).await;
    assert_eq!(result(&ended(&engine, &id).await), &json!(600));
}

#[tokio::test]
async fn undo_runs_newest_first_on_failure_and_exit_handlers_always() {
    let house = House::new();
    house.chain("steps", "", r#"
        on_exit(|outcome| run("datastore.set", #{ key: "exit", value: outcome.state }));
        undo(|e| run("datastore.set", #{ key: "order", value: run("datastore.get", #{ key: "order", default: "" }).value + "1" }));
        undo(|e| run("datastore.set", #{ key: "order", value: run("datastore.get", #{ key: "order", default: "" }).value + "2" }));
        fail("no good")
    "#);
    let engine = house.start().await;
    let id = run(&engine, "p.steps", json!({})).await;
    let view = ended(&engine, &id).await;
    assert_eq!((view.row.state, error_kind(&view)), (ExecutionState::Failed, "failed"));
    assert_eq!(key(&engine, "p/order").await, json!("21"));
    assert_eq!(key(&engine, "p/exit").await, json!("failed"));
}

async fn key(engine: &engine::Engine, name: &str) -> Value {
    engine.store().key(name, engine.now()).await.unwrap().unwrap().value
}

#[tokio::test]
async fn cancel_ends_a_waiting_chain_and_undoes_it() {
    let house = House::new();
    house.chain(
        "waits",
        "",
        r#"
        undo(|e| run("datastore.set", #{ key: "undone", value: true }));
        sleep("1h");
    "#,
    );
    let engine = house.start().await;
    let id = run(&engine, "p.waits", json!({})).await;
    until(&engine, &id, &[ExecutionState::Waiting]).await;
    engine.cancel(Actor::token("test"), &id, None).await.unwrap();
    let view = ended(&engine, &id).await;
    assert_eq!(view.row.state, ExecutionState::Cancelled);
    assert_eq!(key(&engine, "p/undone").await, json!(true));
    let again = engine.cancel(Actor::token("test"), &id, None).await.unwrap_err();
    assert!(again.to_string().contains("has ended"), "{again}");
}

#[tokio::test]
async fn an_unsafe_step_of_unknown_outcome_waits_for_a_person() {
    let house = House::new();
    house.program("pay", "unsafe", "kill -9 $$");
    house.chain("once", "", r#"run("p.pay", #{}).paid"#);
    let engine = house.start().await;
    let id = run(&engine, "p.once", json!({})).await;
    let view = until(&engine, &id, &[ExecutionState::NeedsAttention]).await;
    assert_eq!(view.attention.unwrap().path.unwrap().to_string(), "1");
    let done = Resolution::Done(json!({ "paid": 7 }));
    engine.resolve(Actor::token("test"), &id, None, done).await.unwrap();
    let view = ended(&engine, &id).await;
    assert_eq!((view.row.state, result(&view)), (ExecutionState::Succeeded, &json!(7)));
}

#[tokio::test]
async fn a_decision_must_bring_a_result_that_fits_and_neither_catch_nor_undo_sees_the_wait() {
    let house = House::new();
    house.program("pay", "unsafe", "kill -9 $$");
    let declared = "entry_point: pay.sh\neffect: unsafe\nresult: { paid: { type: integer, required: true } }\n";
    house.write("actions/pay.yaml", declared);
    house.chain(
        "once",
        "",
        r#"
        undo(|e| run("datastore.set", #{ key: "undone", value: true }));
        let caught = false;
        try { run("p.pay"); } catch { caught = true; }
        caught
    "#,
    );
    let engine = house.start().await;
    let id = run(&engine, "p.once", json!({})).await;
    until(&engine, &id, &[ExecutionState::NeedsAttention]).await;
    let resolve =
        |value: Value| engine.resolve(Actor::token("test"), &id, None, Resolution::Done(value));
    let refused = resolve(json!({ "paid": "much" })).await.unwrap_err();
    assert!(refused.to_string().contains("does not fit"), "{refused}");
    resolve(json!({ "paid": 3 })).await.unwrap();
    assert_eq!(result(&ended(&engine, &id).await), &json!(false));
    assert!(engine.store().key("p/undone", engine.now()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_deadline_stands_still_while_a_person_is_asked() {
    let start = model::Timestamp::from_second(1_800_000_000).unwrap();
    let house = House { clock: host::Clock::simulated(start), ..House::new() };
    house.program("pay", "unsafe", "kill -9 $$");
    house.chain("once", "", r#"run("p.pay"); "done""#);
    house.write("actions/once.yaml", "entry_point: once.rhai\ndeadline: 1m\n");
    let engine = house.start().await;
    let id = run(&engine, "p.once", json!({})).await;
    until(&engine, &id, &[ExecutionState::NeedsAttention]).await;
    house.advance(model::Duration::from_secs(3_600));
    engine.resolve(Actor::token("test"), &id, None, Resolution::Done(json!({}))).await.unwrap();
    assert_eq!(ended(&engine, &id).await.row.state, ExecutionState::Succeeded);
}

#[tokio::test]
async fn a_cancelled_chain_gives_its_steps_thirty_seconds_to_settle() {
    let start = model::Timestamp::from_second(1_800_000_000).unwrap();
    let house = House { clock: host::Clock::simulated(start), ..House::new() };
    let marker = house.path("marker").display().to_string();
    house.program("slow", "idempotent", &format!("touch {marker}; sleep 600"));
    house.chain("works", "", r#"run("p.slow")"#);
    let engine = house.start().await;
    let id = run(&engine, "p.works", json!({})).await;
    support::eventually("the program", || async { house.path("marker").exists() }).await;
    engine.cancel(Actor::token("test"), &id, None).await.unwrap();
    house.advance(model::Duration::from_secs(29));
    assert!(!engine.execution(&id).await.unwrap().row.state.is_end(), "29 s are not over yet");
    house.advance(model::Duration::from_secs(2));
    assert_eq!(ended(&engine, &id).await.row.state, ExecutionState::Cancelled);
}

#[tokio::test]
async fn a_decision_to_retry_performs_the_step_again_and_one_to_fail_fails_it() {
    let house = House::new();
    let marker = house.path("marker").display().to_string();
    house.program(
        "pay",
        "unsafe",
        &format!("[ -e {marker} ] || {{ touch {marker}; kill -9 $$; }}"),
    );
    house.chain("once", "", r#"run("p.pay"); "paid""#);
    let engine = house.start().await;
    let first = run(&engine, "p.once", json!({})).await;
    until(&engine, &first, &[ExecutionState::NeedsAttention]).await;
    engine.resolve(Actor::token("test"), &first, None, Resolution::Retry).await.unwrap();
    assert_eq!(result(&ended(&engine, &first).await), &json!("paid"));

    std::fs::remove_file(house.path("marker")).unwrap();
    let second = run(&engine, "p.once", json!({})).await;
    until(&engine, &second, &[ExecutionState::NeedsAttention]).await;
    let fail = Resolution::Fail("the bank said no".to_owned());
    engine.resolve(Actor::token("test"), &second, None, fail).await.unwrap();
    let view = ended(&engine, &second).await;
    assert_eq!(view.row.message.as_deref(), Some("the bank said no"));
}

#[tokio::test]
async fn a_poll_ends_when_its_condition_holds() {
    let house = House::new();
    let counter = house.path("count").display().to_string();
    house.program(
        "count",
        "read",
        &format!("echo x >>{counter}; echo \"{{\\\"n\\\": $(wc -l <{counter})}}\""),
    );
    house.chain("polls", "", r#"poll("p.count", #{}, |r| r.n >= 3, #{ every: "5ms" }).n"#);
    let engine = house.start().await;
    let id = run(&engine, "p.polls", json!({})).await;
    assert_eq!(result(&ended(&engine, &id).await), &json!(3));
}

#[tokio::test]
async fn a_poll_that_was_satisfied_asks_no_more_while_the_chain_goes_on() {
    let house = House::new();
    let counter = house.path("count").display().to_string();
    house.program(
        "count",
        "read",
        &format!("echo x >>{counter}; echo \"{{\\\"n\\\": $(wc -l <{counter})}}\""),
    );
    house.chain(
        "polls",
        "",
        r#"
        poll("p.count", #{}, |r| r.n >= 2, #{ every: "5ms", deadline: "5s" });
        sleep("200ms");
        run("p.count").n
    "#,
    );
    let engine = house.start().await;
    let id = run(&engine, "p.polls", json!({})).await;
    let view = ended(&engine, &id).await;
    assert_eq!(result(&view), &json!(3), "two answers, then the step after the sleep");
    assert_eq!(view.steps[0].state, engine::view::StepState::Done);
}

#[tokio::test]
async fn a_poll_that_is_never_satisfied_ends_at_its_deadline() {
    let house = House::new();
    house.chain(
        "polls",
        "",
        r#"
        let kind = "";
        try { poll("core.echo", #{ value: 1 }, |r| false, #{ every: "5ms", deadline: "60ms" }); }
        catch (e) { kind = e.kind; }
        kind
    "#,
    );
    let engine = house.start().await;
    let id = run(&engine, "p.polls", json!({})).await;
    assert_eq!(result(&ended(&engine, &id).await), &json!("deadline"));
}

#[tokio::test]
async fn a_step_that_takes_too_long_is_ended_and_its_kind_is_timeout() {
    let house = House::new();
    house.program("slow", "idempotent", "sleep 60");
    house.chain(
        "hurry",
        "",
        r#"
        let kind = "";
        try { run("p.slow", #{}, #{ timeout: "50ms", retry: #{ attempts: 1 } }); }
        catch (e) { kind = e.kind; }
        kind
    "#,
    );
    let engine = house.start().await;
    let id = run(&engine, "p.hurry", json!({})).await;
    assert_eq!(result(&ended(&engine, &id).await), &json!("timeout"));
}

#[tokio::test]
async fn a_deadline_ends_the_attempt_that_is_under_way() {
    let house = House::new();
    house.program("slow", "idempotent", "sleep 60");
    house.chain(
        "hurry",
        "",
        r#"
        let kind = "";
        try { run("p.slow", #{}, #{ deadline: "50ms" }); } catch (e) { kind = e.kind; }
        kind
    "#,
    );
    let engine = house.start().await;
    let id = run(&engine, "p.hurry", json!({})).await;
    assert_eq!(result(&ended(&engine, &id).await), &json!("deadline"));
}

#[tokio::test]
async fn a_result_too_large_for_a_chain_is_kept_beside_the_journal() {
    let house = House::new();
    house.program(
        "big",
        "read",
        r#"head -c 300000 /dev/zero | tr '\0' 'x' | sed 's/.*/{"text":"&"}/'"#,
    );
    house.chain("takes", "", r#"run("p.big").size"#);
    let engine = house.start().await;
    let id = run(&engine, "p.takes", json!({})).await;
    assert_eq!(result(&ended(&engine, &id).await), &json!(300_011));
}

#[tokio::test]
async fn an_emitted_event_is_seen_by_rules() {
    let house = House::new();
    house.write("triggers/done.yaml", "payload: { n: { type: integer } }\n");
    let rule = "trigger: { type: p.done }\naction: { ref: datastore.set, parameters: { key: seen, value: '${trigger.n}' } }\n";
    house.write("rules/note.yaml", rule);
    house.chain("tell", "", r#"emit("p.done", #{ n: 4 }); "told""#);
    let engine = house.start().await;
    let id = run(&engine, "p.tell", json!({})).await;
    ended(&engine, &id).await;
    support::eventually("the rule's execution", || async {
        engine.store().key("p/seen", engine.now()).await.unwrap().is_some()
    })
    .await;
    assert_eq!(key(&engine, "p/seen").await, json!(4));
}

#[tokio::test]
async fn a_loop_of_events_ends_after_sixteen_hops() {
    let house = House::new();
    house.write("triggers/again.yaml", "description: told by itself\n");
    house.write("rules/again.yaml", "trigger: { type: p.again }\naction: { ref: p.again }\n");
    house.chain(
        "again",
        "",
        r#"
        run("datastore.increment", #{ key: "hops" });
        emit("p.again", #{});
    "#,
    );
    let engine = house.start().await;
    run(&engine, "p.again", json!({})).await;
    support::eventually("the chain of causes to be cut", || async {
        let failed = store::ExecutionFilter {
            states: vec![ExecutionState::Failed],
            limit: 1,
            ..Default::default()
        };
        !engine.executions(&failed).await.unwrap().is_empty()
    })
    .await;
    assert_eq!(key(&engine, "p/hops").await, json!(17));
    let filter = store::ExecutionFilter {
        states: vec![ExecutionState::Failed],
        limit: 9,
        ..Default::default()
    };
    let cut = engine.executions(&filter).await.unwrap();
    let view = engine.execution(&cut[0].id).await.unwrap();
    assert_eq!((cut.len(), error_kind(&view)), (1, "rejected"));
    assert_eq!(view.steps.last().unwrap().kind, "emit", "the journal holds the emit that was not");
}

#[tokio::test]
async fn an_emit_that_cannot_be_fails_its_step_and_the_journal_knows() {
    let house = House::new();
    house.write("triggers/done.yaml", "payload: { n: { type: integer, required: true } }\n");
    house.chain(
        "tell",
        "kind: {}, data: {}",
        r#"
        let kind = "told";
        try { emit(params.kind, params.data); } catch (e) { kind = e.kind; }
        run("core.noop");
        kind
    "#,
    );
    let engine = house.start().await;
    for (kind, data, told) in [
        ("p.done", json!({ "n": 1 }), "told"),
        ("p.done", json!({}), "invalid_parameters"),
        ("p.done", json!({ "n": "1" }), "invalid_parameters"),
        ("p.dome", json!({}), "rejected"),
        ("git.push", json!({ "ref": "main" }), "invalid_parameters"),
    ] {
        let id = run(&engine, "p.tell", json!({ "kind": kind, "data": data })).await;
        assert_eq!(result(&ended(&engine, &id).await), &json!(told), "{kind} {data}");
    }
    let filter = store::EventFilter { kind: "p.done".parse().ok(), limit: 9, ..Default::default() };
    assert_eq!(engine.events(&filter).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_action_may_say_what_becomes_of_an_outcome_that_nobody_knows() {
    let house = House::new();
    let ledger = house.path("ledger").display().to_string();
    // The first attempt dies without an answer.
    let dies =
        format!("echo $TRIPLINE_KEY >>{ledger}; [ $TRIPLINE_ATTEMPT = 1 ] && kill -9 $$; exit 0");
    for (name, more) in [("again", "on_unknown: retry"), ("fails", "on_unknown: fail")] {
        house.program(name, "unsafe", &dies);
        house.write(
            &format!("actions/{name}.yaml"),
            &format!("entry_point: {name}.sh\neffect: unsafe\n{more}\n"),
        );
    }
    house.chain(
        "retried",
        "",
        r#"run("p.again", #{}, #{ retry: #{ attempts: 2, delay: "1ms" } }); "done""#,
    );
    house.chain(
        "failed",
        "",
        r#"let n = 0; try { run("p.fails"); } catch (e) { n = e.attempts; } n"#,
    );
    let engine = house.start().await;
    let retried = run(&engine, "p.retried", json!({})).await;
    assert_eq!(result(&ended(&engine, &retried).await), &json!("done"));
    let failed = run(&engine, "p.failed", json!({})).await;
    assert_eq!(result(&ended(&engine, &failed).await), &json!(1));
    let told = std::fs::read_to_string(house.path("ledger")).unwrap();
    assert_eq!(told, format!("{retried}/1\n{retried}/1\n{failed}/1\n"));
}

#[tokio::test]
async fn a_rule_with_much_to_do_does_not_hold_up_another() {
    let house = House::new();
    let (ledger, gate) = (house.path("ledger"), house.path("gate"));
    let (ledger, gate) = (ledger.display(), gate.display());
    house.program(
        "work",
        "idempotent",
        &format!(
            "read x; until [ -e {gate} ]; do sleep 0.02; done; echo \"$x\" >>{ledger}; sleep 0.05"
        ),
    );
    house.write("triggers/asked.yaml", "payload: { by: { type: string } }\n");
    for name in ["flood", "quiet"] {
        let text = format!(
            "trigger: {{ type: p.asked }}\ncriteria: {{ trigger.by: {name} }}\naction: {{ ref: p.work, parameters: {{ a: {name} }} }}\n"
        );
        house.write(&format!("rules/{name}.yaml"), &text);
    }
    let settings = engine::Settings { programs: 1, ..house.settings() };
    let engine = engine::Engine::start(settings, house.store.clone(), house.clock.clone());
    let engine = engine.await.unwrap();
    let ask = async |by: &str| {
        let data = json!({ "by": by });
        let new =
            engine::NewEvent { kind: "p.asked".parse().unwrap(), id: None, subject: None, data };
        engine.emit("test", new).await.unwrap();
    };
    for _ in 0..30 {
        ask("flood").await;
    }
    ask("quiet").await;
    std::fs::write(house.path("gate"), "").unwrap();
    let told = || std::fs::read_to_string(house.path("ledger")).unwrap_or_default();
    support::eventually("the quiet rule's program", || async { told().contains("quiet") }).await;
    let before = told().lines().position(|line| line.contains("quiet")).unwrap();
    assert!(before < 10, "{before} of the 30 came first");
}
