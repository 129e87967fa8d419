//! Executions again: all of them, or from a step on.
#![allow(clippy::unwrap_used)]

mod support;

use engine::rerun::{Repeated, Repetition};
use engine::{AskError, Engine};
use model::{Actor, ExecutionId, ExecutionState, Fact, Origin, StepPath, Stream, Version};
use serde_json::json;
use support::{House, ended, error_kind, result, run, until};

async fn rerun(engine: &Engine, of: &ExecutionId, how: Repetition) -> Result<Repeated, AskError> {
    engine.rerun(Actor::token("test"), of, how).await
}

fn from(step: &str, force: bool) -> Repetition {
    Repetition { from: Some(step.parse().unwrap()), force, name: None }
}

/// A program that notes its key and its parameter in `ledger`, and fails with `b` once the file
/// `broken` is there.
fn house() -> House {
    let house = House::new();
    let (ledger, broken) = (house.path("ledger"), house.path("broken"));
    let text = format!(
        "a=$(cat); echo \"$TRIPLINE_KEY $a\" >>{}; case $a in *bad*) [ -e {} ] && exit 1;; esac; echo \"$a\"",
        ledger.display(),
        broken.display()
    );
    house.program("work", "unsafe", &text);
    std::fs::write(house.path("broken"), "").unwrap();
    house
}

fn ledger(house: &House) -> Vec<String> {
    let text = std::fs::read_to_string(house.path("ledger")).unwrap_or_default();
    text.lines().map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

fn repair(house: &House) {
    std::fs::remove_file(house.path("broken")).unwrap();
}

#[tokio::test]
async fn all_of_it_is_a_new_execution_of_what_is_active_now() {
    let house = house();
    house.chain("one", "n: { type: integer }", r#"run("core.noop"); params.n"#);
    let engine = house.start().await;
    let first = run(&engine, "p.one", json!({ "n": 7 })).await;
    ended(&engine, &first).await;
    house.chain("one", "n: { type: integer }", r#"run("core.noop"); params.n + 1"#);
    support::eventually("the new content", || async {
        engine.reload().await.unwrap();
        true
    })
    .await;
    let how = Repetition { name: Some("again".to_owned()), ..Repetition::default() };
    let again = rerun(&engine, &first, how.clone()).await.unwrap();
    let view = ended(&engine, &again.id).await;
    assert_eq!(result(&view), &json!(8));
    assert_eq!(view.row.origin, Origin::Rerun { of: first.clone(), rule: None });
    assert_eq!(again.assumed, []);
    assert_eq!(
        rerun(&engine, &first, how.clone()).await.unwrap().id,
        again.id,
        "told twice, run once"
    );
    let other = Repetition { from: Some("1".parse().unwrap()), ..how };
    let refused = rerun(&engine, &first, other).await.unwrap_err().to_string();
    assert!(refused.contains("all of it, not from step 1 on"), "{refused}");
}

#[tokio::test]
async fn from_a_step_on_what_came_before_is_taken_over_and_the_rest_has_keys_of_its_own() {
    let house = house();
    house.write("triggers/told.yaml", "payload: { id: {} }\n");
    house.chain(
        "three",
        "",
        r#"
        let id = uuid();
        let at = now();
        let key = emit("p.told", #{ id: id });
        let one = run("p.work", #{ a: "one", b: [id, at, key, execution.id] });
        let two = run("p.work", #{ a: "bad", b: [id, one.a] });
        #{ two: two.a, id: id, later: uuid(), key: emit("p.told", #{}) }
    "#,
    );
    let engine = house.start().await;
    let first = run(&engine, "p.three", json!({})).await;
    assert_eq!(error_kind(&ended(&engine, &first).await), "program");
    repair(&house);
    let again = rerun(&engine, &first, from("5", false)).await.unwrap();
    assert_eq!(again.assumed.len(), 1);
    assert_eq!(again.assumed[0].path, StepPath::top(4));
    let view = ended(&engine, &again.id).await;
    assert_eq!(result(&view)["two"], "bad", "{view:#?}");
    let events = engine.events(&store::EventFilter { limit: 9, ..Default::default() }).await;
    let events: Vec<String> = events.unwrap().into_iter().map(|row| row.envelope.id).collect();
    assert_eq!(events, [format!("{}/7", again.id), format!("{first}/3")]);
    assert_eq!(result(&view)["key"], format!("{}/7", again.id));
    let keys = [format!("{first}/4"), format!("{first}/5"), format!("{}/5", again.id)];
    assert_eq!(ledger(&house), keys);

    // Once more, from an earlier step: what was taken over the first time is made anew.
    let third = rerun(&engine, &again.id, from("4", false)).await.unwrap();
    let view = ended(&engine, &third.id).await;
    assert_eq!(result(&view)["two"], "bad", "{view:#?}");
    assert_eq!(ledger(&house).last().unwrap(), &format!("{}/5", third.id));
    assert_eq!(ledger(&house).len(), 5);
}

#[tokio::test]
async fn what_does_not_fit_one_commit_is_taken_over_too() {
    let house = house();
    house.chain(
        "long",
        "",
        r#"
        let sum = 0;
        for n in 0..320 { sum += run("core.echo", #{ value: n }).value; }
        run("p.work", #{ a: "one" });
        [sum, run("p.work", #{ a: "bad" }).a]
    "#,
    );
    let engine = house.start().await;
    let first = run(&engine, "p.long", json!({})).await;
    assert_eq!(error_kind(&ended(&engine, &first).await), "program");
    repair(&house);
    let again = rerun(&engine, &first, from("322", false)).await.unwrap();
    let view = ended(&engine, &again.id).await;
    assert_eq!(result(&view), &json!([51_040, "bad"]));
    assert_eq!(view.steps.len(), 322);
    assert_eq!(again.assumed.len(), 1, "the echoes change nothing");
    let keys = [format!("{first}/321"), format!("{first}/322"), format!("{}/322", again.id)];
    assert_eq!(ledger(&house), keys, "nothing was made twice");
    let audited = store::AuditFilter { limit: 9, ..Default::default() };
    let audited = engine.audit(&audited).await.unwrap();
    let deeds: Vec<_> = audited.iter().map(|deed| deed.fact.name()).collect();
    assert_eq!(deeds, ["ExecutionRequested", "ExecutionRequested"]);
}

#[tokio::test]
async fn a_named_repetition_that_was_cut_off_goes_on_under_its_name() {
    let house = house();
    house.chain(
        "long",
        "",
        r#"
        for n in 0..320 { run("core.echo", #{ value: n }); }
        run("p.work", #{ a: "bad" }).a
    "#,
    );
    let engine = house.start().await;
    let first = run(&engine, "p.long", json!({})).await;
    ended(&engine, &first).await;
    repair(&house);
    let named =
        |name: &str, step: &str| Repetition { name: Some(name.to_owned()), ..from(step, false) };
    let whole = rerun(&engine, &first, named("whole", "321")).await.unwrap();
    ended(&engine, &whole.id).await;
    // What a server leaves that dies after the first batch: the same facts under another name.
    let (facts, _) =
        house.store.read(&Stream::Execution(whole.id.clone()), Version::NONE).await.unwrap();
    let request = facts.iter().position(|it| matches!(it.fact, Fact::ExecutionRequested(_)));
    assert!(request > Some(400), "it has several batches");
    let cut_off = async |name: &str| {
        let id = ExecutionId::for_request("token:test", name);
        let stream = Stream::Execution(id.clone());
        let facts = facts[..300].iter().map(|it| it.fact.clone());
        let write = store::Write::new(stream, Some(Version::NONE), facts);
        let (batch, at) = (model::BatchId::new(format!("cut off/{name}")), engine.now());
        let batch = store::Batch { id: batch, actor: Actor::engine(), at, writes: vec![write] };
        engine.store().append(batch).await.unwrap();
        id
    };
    let (half, other) = (cut_off("half").await, cut_off("other").await);
    let again = rerun(&engine, &first, named("half", "321")).await.unwrap();
    assert_eq!(again.id, half);
    let view = ended(&engine, &half).await;
    assert_eq!((result(&view), view.steps.len()), (&json!("bad"), 321));
    assert_eq!(rerun(&engine, &first, named("half", "321")).await.unwrap().id, half);
    let refused = rerun(&engine, &first, named("other", "5")).await.unwrap_err().to_string();
    assert!(refused.contains("was to repeat something else"), "{refused}");
    assert!(matches!(engine.execution(&other).await, Err(AskError::NoExecution(_))));
    let forced = Repetition { force: true, ..named("half", "321") };
    let refused = rerun(&engine, &first, forced).await.unwrap_err().to_string();
    assert!(refused.contains("from step 321 on, not from step 321 on with `force`"), "{refused}");
}

#[tokio::test]
async fn what_was_taken_over_before_the_engine_died_is_no_execution_without_its_request() {
    let house = house();
    let engine = house.start().await;
    let id: ExecutionId = format!("ex_{}", "a".repeat(26)).parse().unwrap();
    let (path, at) = (StepPath::top(1), engine.now());
    let fact = Fact::StepFinished {
        path,
        result: model::fact::StepResult::Done(json!(1)),
        attempts: 1,
        at,
    };
    let stream = Stream::Execution(id.clone());
    let batch = store::Batch {
        id: model::BatchId::new("half"),
        actor: Actor::engine(),
        at,
        writes: vec![store::Write::new(stream, None, [fact])],
    };
    engine.store().append(batch).await.unwrap();
    engine.shutdown(std::time::Duration::ZERO).await;
    drop(engine);
    let engine = house.start().await;
    assert!(matches!(engine.execution(&id).await, Err(AskError::NoExecution(_))));
    let all = store::ExecutionFilter { limit: 9, ..Default::default() };
    assert_eq!(engine.executions(&all).await.unwrap(), []);
}

#[tokio::test]
async fn branches_beside_the_step_are_taken_over_too() {
    let house = house();
    house.chain(
        "wide",
        "",
        r#"
        let made = parallel([
            || [run("p.work", #{ a: "left" }).a, run("p.work", #{ a: "bad" }).a],
            || [run("p.work", #{ a: "right" }).a, run("p.work", #{ a: "more" }).a],
        ]);
        [made, run("p.work", #{ a: "last" }).a]
    "#,
    );
    let engine = house.start().await;
    let first = run(&engine, "p.wide", json!({})).await;
    ended(&engine, &first).await;
    repair(&house);
    let again = rerun(&engine, &first, from("1.0.2", false)).await.unwrap();
    let view = ended(&engine, &again.id).await;
    assert_eq!(result(&view), &json!([[["left", "bad"], ["right", "more"]], "last"]));
    let own: Vec<String> =
        ledger(&house).into_iter().filter(|key| key.starts_with(again.id.as_str())).collect();
    assert_eq!(own, [format!("{}/1.0.2", again.id), format!("{}/2", again.id)]);
}

#[tokio::test]
async fn once_undo_has_begun_only_force_takes_over_what_it_lists() {
    let house = house();
    house.chain(
        "undone",
        "",
        r#"
        undo(|e| run("core.noop"));
        run("p.work", #{ a: "one" });
        run("core.echo", #{ value: now() });
        run("p.work", #{ a: "bad" }).a
    "#,
    );
    let engine = house.start().await;
    let first = run(&engine, "p.undone", json!({})).await;
    ended(&engine, &first).await;
    let refused = rerun(&engine, &first, from("5", false)).await.unwrap_err();
    assert!(matches!(refused, AskError::Conflict(_)), "{refused}");
    let assumed = ": 2 p.work, what 2 calls were answered that changed nothing;";
    assert!(refused.to_string().contains(assumed), "{refused}");
    let refused = rerun(&engine, &first, from("4", false)).await.unwrap_err().to_string();
    assert!(refused.contains(": 2 p.work, what one call was answered"), "{refused}");
    for step in ["1", "2"] {
        let refused = rerun(&engine, &first, from(step, false)).await.unwrap_err().to_string();
        assert!(refused.contains(&format!("nothing comes before step {step}: ")), "{refused}");
        assert!(refused.contains("undo took back what its steps did"), "{refused}");
    }
    repair(&house);
    let again = rerun(&engine, &first, from("5", true)).await.unwrap();
    assert_eq!(again.assumed.len(), 1);
    assert_eq!(result(&ended(&engine, &again.id).await), &json!("bad"));
}

#[tokio::test]
async fn what_has_no_such_step_or_has_not_ended_is_refused() {
    let house = house();
    house.chain("naps", "", r#"run("core.noop"); sleep("1h")"#);
    let engine = house.start().await;
    let id = run(&engine, "p.naps", json!({})).await;
    until(&engine, &id, &[ExecutionState::Waiting]).await;
    let refused = rerun(&engine, &id, from("1", false)).await.unwrap_err();
    assert!(refused.to_string().contains("has not ended"), "{refused}");
    let refused = rerun(&engine, &id, from("9", false)).await.unwrap_err();
    assert!(matches!(refused, AskError::NotFound(_)), "{refused}");
}

#[tokio::test]
async fn what_has_not_ended_is_repeated_beside_itself_only_by_force() {
    let house = house();
    house.program("lost", "unsafe", "kill -9 $$");
    house.chain("doubts", "", r#"run("p.work", #{ a: "one" }); run("p.lost")"#);
    house.chain("naps", "", r#"run("p.work", #{ a: "one" }); sleep("1h")"#);
    let engine = house.start().await;
    let doubts = run(&engine, "p.doubts", json!({})).await;
    until(&engine, &doubts, &[ExecutionState::NeedsAttention]).await;
    let naps = run(&engine, "p.naps", json!({})).await;
    until(&engine, &naps, &[ExecutionState::Waiting]).await;
    let held = run(&engine, "p.naps", json!({})).await;
    until(&engine, &held, &[ExecutionState::Waiting]).await;
    engine.pause(Actor::token("test"), &held, None).await.unwrap();
    let made = ledger(&house).len();
    for (id, state, first) in [
        (&doubts, "needs_attention", "execution resolve ex_"),
        (&held, "paused", "execution resume ex_"),
        (&naps, "waiting", "cancel it, or wait for its end"),
    ] {
        let refused = rerun(&engine, id, Repetition::default()).await.unwrap_err();
        assert!(matches!(refused, AskError::Conflict(_)), "{refused}");
        for told in [id.as_str(), state, first, "--force"] {
            assert!(refused.to_string().contains(told), "{refused}");
        }
        let part = rerun(&engine, id, from("1", true)).await.unwrap_err().to_string();
        assert!(part.contains(state) && !part.contains("--force"), "{part}");
    }
    assert_eq!(ledger(&house).len(), made, "nothing was made again");
    let forced = Repetition { force: true, ..Repetition::default() };
    let beside = rerun(&engine, &doubts, forced).await.unwrap();
    until(&engine, &beside.id, &[ExecutionState::NeedsAttention]).await;
    assert_eq!(ledger(&house).last().unwrap(), &format!("{}/1", beside.id));
    engine.cancel(Actor::token("test"), &naps, None).await.unwrap();
    ended(&engine, &naps).await;
    rerun(&engine, &naps, Repetition::default()).await.unwrap();
}

#[tokio::test]
async fn what_a_rule_asked_for_is_repeated_for_its_pack() {
    let house = House::new();
    house.write("pack.yaml", "name: p\nversion: 1.0.0\npermissions: { actions: [datastore.*, http.request], hosts: [a.example.com] }\n");
    house.write("triggers/asked.yaml", "payload: { host: { type: string } }\n");
    let count = "trigger: { type: p.asked }\naction: { ref: datastore.increment, parameters: { key: times } }\n";
    house.write("rules/count.yaml", count);
    let ask = "trigger: { type: p.asked }\naction: { ref: http.request, parameters: { url: \"http://${trigger.host}:1/\" } }\n";
    house.write("rules/ask.yaml", ask);
    let engine = house.start().await;
    let new = engine::NewEvent {
        kind: "p.asked".parse().unwrap(),
        id: None,
        subject: None,
        data: json!({ "host": "127.0.0.1" }),
    };
    let engine::Accepted::New { executions, .. } = engine.emit("test", new).await.unwrap() else {
        panic!("a new event");
    };
    let again = |id: ExecutionId| {
        let engine = engine.clone();
        async move {
            ended(&engine, &id).await;
            let repeated = rerun(&engine, &id, Repetition::default()).await;
            ended(&engine, &repeated.unwrap().id).await
        }
    };
    for id in executions {
        // Once more than once: what repeats a repetition is that rule's too.
        let first = again(id).await;
        let second = again(first.row.id.clone()).await;
        for view in [first, second] {
            let rule = view.row.origin.rule().unwrap().to_string();
            if rule == "p.count" {
                assert!(view.outcome.as_ref().unwrap().error.is_none(), "{view:#?}");
            } else {
                let told = format!("{:?}", view.outcome);
                assert!(told.contains("to `permissions.hosts` in the pack.yaml of `p`"), "{told}");
            }
        }
    }
    assert_eq!(support::key(&engine, "p/times").await, json!(3));
    let rule = Some("p.count".parse().unwrap());
    let filter = store::ExecutionFilter { rule, limit: 9, ..Default::default() };
    assert_eq!(engine.executions(&filter).await.unwrap().len(), 3, "it is in the rule's listing");
}
