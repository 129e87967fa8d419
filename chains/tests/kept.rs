//! An evaluation that is kept where it waits goes on as one that is made again from the start.

#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use chains::testing::Trial;
use chains::{Advance, Evaluator, Next};
use model::{Duration, ErrorKind};
use serde_json::json;

/// Calls of every kind that waits, at the top and in branches, caught errors, records.
const CHAIN: &str = r#"
    let total = 0;
    for n in 0..3 {
        total += run("core.a", #{ n: n });
        log(`${n}: ${total} at ${now()}`);
        undo(|e| run("core.undo", #{ n: n }));
    }
    sleep("1m");
    let found = poll("core.look", #{ id: uuid() }, |a| a > 2, #{ every: "10s", timeout: "1h" });
    let branches = parallel_map([3, 1, 2], |x| {
        log(`item ${x}`);
        let r = 0;
        try { r = run("core.item", #{ x: x, found: found }); } catch (e) { r = e.kind; }
        undo(|e| run("core.undo", #{ x: x }));
        [r, run("core.after", #{ r: r })]
    }, #{ max: 2 });
    let caught = ();
    try { run("core.fails", #{ branches: branches }); } catch (e) { caught = e.kind; }
    emit("demo.done", #{ total: total, caught: caught });
    run("core.last", #{ total: total })
"#;

/// Gives one of the waiting calls its answer: the `pick`th of them.
fn answer(trial: &mut Trial, pick: usize) {
    let waiting = trial.waiting();
    let open =
        waiting.into_iter().filter(|at| trial.journal.result(&at.parse().unwrap()).is_none());
    let open: Vec<String> = open.collect();
    let path = &open[pick % open.len()];
    let call = &trial.journal.entries[&path.parse().unwrap()].call;
    let asked = call.action().map(ToString::to_string).unwrap_or_default();
    let answers = trial.journal.answer(&path.parse().unwrap()).map_or(0, |answer| answer.number);
    match asked.as_str() {
        "core.look" if answers < 4 => trial.answered(path, json!(answers)),
        "core.fails" => trial.failed(path, ErrorKind::Conflict, "no"),
        "core.item" if pick % 2 == 1 => trial.failed(path, ErrorKind::NotFound, "none"),
        _ => trial.done(path, json!(pick)),
    };
}

/// Stores what a kept evaluation said; one from the start says the same.
fn compare(trial: &mut Trial, said: Advance) {
    assert_eq!(said, trial.evaluate(), "after {}", trial.shown());
    trial.take(said);
}

/// Runs a chain to its end by evaluations that are kept; how many there were.
fn run(text: &str, picks: Vec<usize>, end_after: usize) -> (Trial, usize) {
    let trial = Rc::new(RefCell::new(Trial::of(text)));
    let mut evaluator = Evaluator::new();
    let mut evaluations = 0;
    let mut picks = picks.into_iter().cycle();
    while trial.borrow().outcome().is_none() {
        evaluations += 1;
        if trial.borrow().latest.is_some() {
            answer(&mut trial.borrow_mut(), picks.next().unwrap());
        }
        let (own, mut order, mut left) = (trial.clone(), picks.clone(), end_after);
        let answers = move |asked| {
            let trial = &mut *own.borrow_mut();
            compare(trial, asked);
            left = left.checked_sub(1)?;
            answer(trial, order.next().unwrap());
            trial.now = Duration::from_secs(1).after(trial.now);
            Some((Arc::new(trial.journal.clone()), trial.now))
        };
        let begin = trial.borrow();
        let (program, input) = (begin.program.clone(), begin.input.clone());
        let (journal, now) = (Arc::new(begin.journal.clone()), begin.now);
        drop(begin);
        let said = evaluator.advance_on(&program, &input, journal, now, Box::new(answers));
        // One that was told to end says nothing that counts.
        if !matches!(&said.next, Next::Pending(steps) if steps.is_empty()) {
            compare(&mut trial.borrow_mut(), said);
        }
        assert!(evaluations < 100, "no end: {}", trial.borrow().shown());
    }
    (Rc::into_inner(trial).unwrap().into_inner(), evaluations)
}

#[test]
fn what_it_asks_does_not_depend_on_where_it_was_begun() {
    for picks in [vec![0], vec![1], vec![4, 1, 0, 2], vec![2, 3]] {
        let (whole, evaluations) = run(CHAIN, picks.clone(), usize::MAX);
        assert_eq!(evaluations, 1, "{}", whole.shown());
        assert_eq!(whole.outcome().unwrap().state, model::ExecutionState::Succeeded);
        for end_after in 0..4 {
            let (cut, _) = run(CHAIN, picks.clone(), end_after);
            assert_eq!(cut.outcome().unwrap().state, model::ExecutionState::Succeeded);
        }
    }
}

#[test]
fn the_handlers_at_its_end_are_evaluated_from_the_start() {
    let text = format!("on_exit(|o| run(\"core.exit\", #{{ state: o.state }}));\n{CHAIN}");
    let (whole, evaluations) = run(&text, vec![0], usize::MAX);
    assert_eq!(evaluations, 2, "{}", whole.shown());
    assert!(whole.outcome().unwrap().handler_errors.is_empty());
}
