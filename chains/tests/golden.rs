//! Journals that this version of the language wrote: every later one must replay them to the same
//! end. Each folder of `tests/golden` holds a chain, its facts one a line, and how it ended.
//!
//! `GOLDEN=write` writes the journals of chains that have none yet; what is there is never changed.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use chains::testing::Trial;
use chains::{Evaluator, Next};
use model::{Call, ErrorKind, Fact, Hash, Journal, Token, fact};
use serde_json::json;

fn folders() -> Vec<PathBuf> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut all: Vec<PathBuf> = fs::read_dir(golden).unwrap().map(|e| e.unwrap().path()).collect();
    all.sort();
    all
}

/// Plays a chain: every step answers with its own path, but those whose action is `core.fail`.
/// A secret's answer is a token, and what is in the pack `app` runs as a child.
fn play(text: &str) -> Trial {
    let mut trial = Trial::of(text);
    trial.advance();
    while trial.outcome().is_none() {
        run_children(&mut trial);
        for path in trial.waiting() {
            let entry = &trial.journal.entries[&path.parse().unwrap()];
            match entry.call.action().map(model::ActionRef::as_str) {
                Some("app.broken") => trial.failed(&path, ErrorKind::ChildFailed, "it broke"),
                Some("secrets.get") => trial.done(&path, json!(Token::random(&[7; 32]).as_str())),
                Some("core.fail") => trial.failed(&path, ErrorKind::Unavailable, "away"),
                Some("core.poll") => trial.answered(&path, json!({ "state": "up" })),
                _ => trial.done(&path, json!({ "path": path })),
            };
        }
        trial.advance();
    }
    trial
}

/// Makes children of the steps that run a chain of the pack `app`, as the driver does.
fn run_children(trial: &mut Trial) {
    for fact in &mut trial.facts {
        if let Fact::StepIntended { call, .. } = fact
            && let Call::Run { action, parameters, .. } = call
            && action.as_str().starts_with("app.")
        {
            let (action, parameters) = (action.clone(), parameters.clone());
            let version = Hash::of(b"app");
            *call = Call::Child { action, parameters, version, deadline: None };
        }
    }
    trial.journal = Journal::of(&trial.facts);
}

fn write(folder: &Path, text: &str) {
    let trial = play(text);
    let facts: Vec<String> =
        trial.facts.iter().map(|fact| String::from_utf8(fact.encode()).unwrap()).collect();
    fs::write(folder.join("journal.jsonl"), facts.join("\n") + "\n").unwrap();
    fs::write(folder.join("end.txt"), trial.shown() + "\n").unwrap();
}

#[test]
fn every_golden_journal_replays_to_its_end() {
    let folders = folders();
    assert!(folders.len() >= 5);
    for folder in folders {
        let text = fs::read_to_string(folder.join("chain.rhai")).unwrap();
        if std::env::var("GOLDEN").is_ok() && !folder.join("journal.jsonl").exists() {
            write(&folder, &text);
        }
        let journal = fs::read_to_string(folder.join("journal.jsonl")).unwrap();
        let facts: Vec<Fact> = journal
            .lines()
            .map(|line| Fact::decode(fact::VERSION.min(1), line.as_bytes()).unwrap())
            .collect();
        let mut trial = Trial::of(&text);
        let mut evaluator = Evaluator::new();
        for length in 0..=facts.len() {
            let journal = Journal::of(&facts[..length]);
            let next = evaluator.advance(&trial.program, &trial.input, &journal, trial.now).next;
            assert!(!matches!(next, Next::Broken(_)), "{} at {length}: {next:?}", folder.display());
            trial.latest = Some(next);
        }
        let end = fs::read_to_string(folder.join("end.txt")).unwrap();
        assert_eq!(trial.shown(), end.trim_end(), "{}", folder.display());
    }
}
