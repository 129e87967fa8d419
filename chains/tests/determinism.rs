//! The order in which steps happen to finish changes nothing, and neither does when a journal is
//! read again.

#![allow(clippy::unwrap_used)]

use chains::testing::Trial;
use chains::{Evaluator, Next};
use model::{ErrorKind, Fact, Journal, Outcome};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Branches in branches, captures that change, errors caught and not, records, handlers.
const CHAIN: &str = r#"
    on_exit(|o| run("core.exit", #{ state: o.state }));
    let total = 0;
    let helpers = [|x| { total += x; total }];
    let outer = parallel([
        || {
            undo(|e| run("core.undo", #{ branch: 0, kind: e.kind }));
            let a = run("core.a", #{ n: 1 });
            log(`a is ${a}`);
            helpers[0].call(a)
        },
        || {
            let seen = now();
            parallel_map([3, 1, 2], |x| {
                let r = 0;
                try { r = run("core.item", #{ x: x }); } catch (e) { r = e.kind; }
                total += x;
                [r, total]
            }, #{ max: 2 })
        },
        || { let id = uuid(); run("core.c", #{ id: id }); run("core.d", #{ id: id }) },
    ]);
    undo(|e| run("core.undo", #{ outer: outer, total: total }));
    let last = run("core.last", #{ outer: outer });
    if last == 0 { fail("zero"); }
    [outer, total, last]
"#;

/// What the world answers to a step, whatever the order: some fail, by their place.
fn answer(trial: &mut Trial, path: &str, failing: &[bool]) {
    let number: usize = path.bytes().map(usize::from).sum();
    if failing.get(number % failing.len().max(1)) == Some(&true) && !path.starts_with("undo") {
        trial.failed(path, ErrorKind::Conflict, &format!("{path} failed"));
    } else {
        trial.done(path, json!(number % 5));
    }
}

/// Runs the chain to its end; `order` picks which of the waiting steps finish next, and how many
/// of them before the chain is looked at again.
fn run(order: &[(usize, usize)], failing: &[bool]) -> Trial {
    let mut trial = Trial::of(CHAIN);
    let mut order = order.iter().cycle();
    trial.advance();
    for _ in 0..200 {
        if trial.outcome().is_some() {
            return trial;
        }
        let (pick, batch) = *order.next().unwrap();
        for n in 0..=batch {
            let waiting: Vec<String> = unanswered(&trial);
            if let Some(path) = waiting.get((pick + n) % waiting.len().max(1)) {
                answer(&mut trial, path, failing);
            }
        }
        trial.advance();
    }
    panic!("no end: {}", trial.shown());
}

fn unanswered(trial: &Trial) -> Vec<String> {
    let open = |path: &String| trial.journal.result(&path.parse().unwrap()).is_none();
    trial.waiting().into_iter().filter(open).collect()
}

/// What of a run must not depend on the order: the end, and what every call asked.
fn told(trial: &Trial) -> (Outcome, Vec<(String, Option<Value>)>) {
    let calls = trial.journal.entries.iter();
    let calls = calls.map(|(at, e)| (at.to_string(), e.call.parameters().cloned()));
    (trial.outcome().unwrap().clone(), calls.collect())
}

/// Reads the journal again at every length it ever had.
fn replay_every_prefix(trial: &Trial) {
    let mut evaluator = Evaluator::new();
    for length in 0..=trial.facts.len() {
        let journal = Journal::of(&trial.facts[..length]);
        let mut again = || evaluator.advance(&trial.program, &trial.input, &journal, trial.now);
        let (once, twice) = (again(), again());
        assert_eq!(once, twice, "at length {length}");
        assert!(!matches!(once.next, Next::Broken(_)), "at length {length}: {:?}", once.next);
        // What it asks for is what was stored later, if it was.
        if let Next::Pending(steps) = &once.next {
            for step in steps {
                let stored = trial.facts.iter().any(
                    |fact| matches!(fact, Fact::StepIntended { path, .. } if *path == step.path),
                );
                assert!(stored, "{} was asked at length {length} only", step.path);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_answers_changes_nothing(
        order in prop::collection::vec((0..7_usize, 0..4_usize), 1..12),
        failing in prop::collection::vec(prop::bool::weighted(0.2), 1..7),
    ) {
        let trial = run(&order, &failing);
        let in_turn = run(&[(0, 0)], &failing);
        prop_assert_eq!(told(&trial), told(&in_turn));
        replay_every_prefix(&trial);
    }

    #[test]
    fn a_cancel_at_any_moment_undoes_what_was_done_and_ends(
        order in prop::collection::vec((0..7_usize, 0..4_usize), 1..12),
        at in 0..12_usize,
    ) {
        let mut trial = Trial::of(CHAIN);
        trial.advance();
        for (pick, _) in order.iter().cycle().take(at) {
            if trial.outcome().is_some() { break; }
            let waiting = unanswered(&trial);
            answer(&mut trial, &waiting[pick % waiting.len()], &[false]);
            trial.advance();
        }
        let ended = trial.waiting().iter().any(|path| path.starts_with("undo."));
        if trial.outcome().is_none() && !ended {
            trial.undo(model::UndoReason::Cancelled).advance();
            for _ in 0..20 {
                let Some(path) = unanswered(&trial).first().cloned() else { break };
                prop_assert!(path.starts_with("undo."), "{} is not a handler's", path);
                answer(&mut trial, &path, &[false]);
                trial.advance();
            }
            prop_assert!(trial.outcome().is_some(), "no end: {}", trial.shown());
            let outcome = trial.outcome().unwrap();
            prop_assert_eq!(outcome.state, model::ExecutionState::Cancelled);
            prop_assert!(outcome.handler_errors.is_empty());
        }
    }
}
