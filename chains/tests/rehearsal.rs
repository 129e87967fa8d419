//! Dry runs: a chain goes on past steps that were only planned, up to the first use of a result
//! that nobody has.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::Arc;

use chains::testing::Trial;
use chains::{Evaluator, Next, Rehearsed};
use model::StepPath;
use serde_json::Value;

/// Answers every step with a result that nobody has, until the chain goes no further.
fn rehearse(text: &str) -> (Vec<String>, Rehearsed) {
    let mut trial = Trial::of(text);
    let (mut evaluator, mut unseen) = (Evaluator::new(), BTreeSet::<StepPath>::new());
    let mut asked = Vec::new();
    loop {
        trial.advance();
        let waiting: Vec<StepPath> =
            trial.waiting().iter().map(|path| path.parse().unwrap()).collect();
        for path in waiting.into_iter().filter(|path| unseen.insert(path.clone())) {
            trial.done(&path.to_string(), Value::Null);
        }
        let journal = Arc::new(trial.journal.clone());
        let rehearsed =
            evaluator.rehearse(&trial.program, &trial.input, &journal, trial.now, &unseen);
        let fresh = match &rehearsed.advance.next {
            Next::Pending(steps) => steps.clone(),
            _ => Vec::new(),
        };
        if fresh.is_empty() {
            asked.extend(unseen.iter().map(ToString::to_string));
            return (asked, rehearsed);
        }
        for step in fresh {
            let call = chains::testing::call(step.ask);
            let (path, at) = (step.path, trial.now);
            trial.store(model::Fact::StepIntended { path: path.clone(), call, at });
            trial.done(&path.to_string(), Value::Null);
            unseen.insert(path);
        }
    }
}

fn shown(text: &str) -> String {
    let (steps, Rehearsed { advance, uses }) = rehearse(text);
    let uses = uses.iter().map(|one| match &one.variable {
        Some(name) => format!("{name} = {}", one.path),
        None => one.path.to_string(),
    });
    let end = match advance.next {
        Next::Finished(outcome) => outcome.result.unwrap_or_default().to_string(),
        Next::Pending(_) => "waits".to_owned(),
        other => format!("{other:?}"),
    };
    let (steps, uses) = (steps.join(" "), uses.collect::<Vec<_>>().join(", "));
    format!("{steps} | {uses} | {end}")
}

#[test]
fn a_result_that_nobody_has_stops_a_chain_where_it_is_used_and_nowhere_before() {
    for (text, expected) in [
        // Left alone, it is in nobody's way.
        (r#"run("a.b"); run("a.c"); 1"#, "1 2 |  | 1"),
        (r#"let x = run("a.b"); run("a.c"); 1"#, "1 2 |  | 1"),
        (r#"parallel([|| run("a.b"), || run("a.c")]); run("a.d"); 1"#, "1.0.1 1.1.1 2 |  | 1"),
        // Any use of it.
        (r#"let x = run("a.b"); run("a.c"); x.id"#, "1 2 | x = 1 | waits"),
        (r#"let x = run("a.b"); run("a.c", #{ id: x }); 1"#, "1 | x = 1 | waits"),
        (r#"let x = run("a.b"); if x == 1 { run("a.c") }"#, "1 | x = 1 | waits"),
        (r#"let x = run("a.b"); `${x}`"#, "1 | x = 1 | waits"),
        (r#"let x = #{ y: [run("a.b")] }; x.y"#, "1 | x = 1 | waits"),
        (r#"fn f(x) { x.id } f(run("a.b"))"#, "1 | x = 1 | waits"),
        (r#"run("a.b").id"#, "1 | 1 | waits"),
        (r#"run("a.b")["id"]"#, "1 | 1 | waits"),
        (r#"if run("a.b") { 1 }"#, "1 | 1 | waits"),
        (r#"if run("a.b") == 1 { 1 }"#, "1 | 1 | waits"),
        (r#"`${run("a.b")}`"#, "1 | 1 | waits"),
        (r#"run("a.c", #{ id: run("a.b") })"#, "1 | 1 | waits"),
        (r#"fail(run("a.b"))"#, "1 | 1 | waits"),
        // Also where rhai would take any value.
        (r#"switch run("a.b") { 1 => run("a.c"), _ => run("a.d") }"#, "1 | 1 | waits"),
        (r#"let x = switch run("a.b") { 1 => 2, _ => 3 }; run("a.d")"#, "1 | 1 | waits"),
        (r#"fn f() { run("a.b") } switch f() { 1 => run("a.c"), _ => 3 }"#, "1 | 1 | waits"),
        (r#"switch [1, run("a.b")] { [1, 2] => run("a.c"), _ => 3 }"#, "1 | 1 | waits"),
        (
            r#"switch parallel([|| run("a.b"), || 1]) { [1, 2] => run("a.c"), _ => 3 }"#,
            "1.0.1 | 1.0.1 | waits",
        ),
        (
            r#"switch if true { run("a.b") } else { 1 } { 1 => run("a.c"), _ => 3 }"#,
            "1 | 1 | waits",
        ),
        (r#"let x = 1; switch x { 1 if run("a.b") => 2, _ => run("a.c") }"#, "1 | 1 | waits"),
        (r#"for x in run("a.b") { run("a.c") }"#, "1 | 1 | waits"),
        (r#"while run("a.b") { run("a.c") }"#, "1 | 1 | waits"),
        (r#"let x = run("a.b") ?? run("a.c");"#, "1 | 1 | waits"),
        (r#"run("a.c", #{ id: get(run("a.b"), "id", 3) })"#, "1 | 1 | waits"),
        (r#"try { for x in run("a.b") { } } catch { run("a.c") } 1"#, "1 | 1 | waits"),
        (r#"try { if run("a.b") { run("a.d") } } catch { run("a.c") } 1"#, "1 | 1 | waits"),
        // A function that does not look at it is in nobody's way either.
        (r#"fn f() { run("a.b") } f(); run("a.c"); 1"#, "1 2 |  | 1"),
        // No `catch` sees it.
        (r#"try { let x = run("a.b"); x.id } catch { run("a.c") } 1"#, "1 | x = 1 | waits"),
        // Other branches go on.
        (
            r#"parallel([|| { let x = run("a.b"); run("a.c", #{ id: x.id }) }, || { run("a.d"); run("a.e") }]); 1"#,
            "1.0.1 1.1.1 1.1.2 | x = 1.0.1 | waits",
        ),
        // What a chain returns may hold it, which is told.
        (r#"run("a.b")"#, r#"1 | 1 | "(what step 1 returns)""#),
        (r#"run("a.c"); #{ id: run("a.b") }"#, r#"1 2 | 2 | {"id":"(what step 2 returns)"}"#),
        // Handlers come to their turn.
        (r#"on_exit(|o| run("a.x")); run("a.b"); 1"#, "2 undo.1.1 |  | 1"),
    ] {
        assert_eq!(shown(text), expected, "{text}");
    }
}
