//! What executions do in a whole engine: chains, programs, children, branches, undo, cancel.
#![allow(clippy::unwrap_used)]

mod support;

use engine::logs::Which;
use model::{Actor, Effect, ExecutionState};
use serde_json::json;
use support::{House, ended, error_kind, key, result, run, until};

use Effect::{Idempotent, Read, Unsafe};

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
    let logs = engine.logs(&id, Which::default()).await.unwrap().logs;
    assert!(logs[0].text.contains("nothing works"), "{logs:?}");
}

#[tokio::test]
async fn a_program_has_no_more_than_its_file_lets_it_have() {
    let house = House::new();
    let print =
        r#"echo "{\"memory\": $(ulimit -v), \"cpu\": $(ulimit -t), \"files\": $(ulimit -n)}""#;
    house.program("looks", "read", print);
    let limits = "limits: { memory: 1GiB, cpu: 10m, files: 64 }";
    let file = format!("entry_point: looks.sh\neffect: read\n{limits}\n");
    house.write("actions/looks.yaml", &file);
    let engine = house.start().await;
    let id = run(&engine, "p.looks", json!({})).await;
    let bounds = json!({ "memory": 1 << 20, "cpu": 600, "files": 64 });
    assert_eq!(result(&ended(&engine, &id).await), &bounds);
}

#[tokio::test]
async fn a_step_that_is_refused_has_the_effect_of_its_action() {
    let house = House::new();
    house.program("pays", "unsafe", "exit 9");
    house.program("puts", "idempotent", "exit 9");
    house.program("looks", "read", "exit 9");
    house.chain("inner", "n: {}", "1");
    let text = "for action in params.actions { try { run(action, params.given) } catch {} }";
    house.chain("asks", "actions: {}, given: {}", text);
    let engine = house.start().await;
    let actions = ["p.pays", "p.puts", "p.looks", "p.inner", "datastore.set", "p.gone"];
    let asked = json!({ "actions": actions, "given": { "odd": 1 } });
    let id = run(&engine, "p.asks", asked).await;
    let view = ended(&engine, &id).await;
    assert_eq!(view.row.state, ExecutionState::Succeeded);
    let steps = view.steps.iter().map(|step| (step.attempts, step.effect.unwrap()));
    let effects = [Unsafe, Idempotent, Read, Unsafe, Idempotent, Unsafe];
    assert!(steps.eq(effects.map(|effect| (0, effect))), "{:#?}", view.steps);
}

#[tokio::test]
async fn a_url_that_is_none_of_the_web_is_told_as_such_and_not_as_a_host_that_is_not_listed() {
    let house = House::new();
    let permissions = "{ actions: [http.request], hosts: [example.com] }";
    house.write("pack.yaml", &format!("name: p\nversion: 1.0.0\npermissions: {permissions}\n"));
    house.chain("ask", "url: { type: string }", r#"run("http.request", #{ url: params.url })"#);
    let engine = house.start().await;
    for url in ["mailto:ann@example.com", "file:///etc/passwd", "localhost:8080"] {
        let id = run(&engine, "p.ask", json!({ "url": url })).await;
        let ended = ended(&engine, &id).await;
        assert_eq!(error_kind(&ended), "invalid_parameters", "{url}: {ended:?}");
    }
}

#[tokio::test]
async fn a_chain_that_ends_before_its_first_call_has_started() {
    let house = House::new();
    house.chain("fails", "", r#"fail("at once")"#);
    house.chain("answers", "", "1");
    let engine = house.start().await;
    for action in ["p.fails", "p.answers"] {
        let id = run(&engine, action, json!({})).await;
        let row = ended(&engine, &id).await.row;
        assert!(row.started_at.is_some() && row.started_at == row.finished_at, "{row:?}");
    }
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
