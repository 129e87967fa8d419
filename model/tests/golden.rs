//! Facts of every version stay readable: each has a file, written once and never changed.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use expect_test::expect;
use model::fact::StepResult;
use model::{
    Body, Call, Effect, ErrorKind, ExecutionState, Fact, Origin, Record, Resolution, UndoReason,
    Value,
};

/// The golden files of one version, by name.
fn golden(version: u32) -> BTreeMap<String, Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/v{version}"));
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    files.map(|path| (name(&path), fs::read(&path).unwrap())).collect()
}

#[test]
fn every_golden_fact_reads_and_is_written_as_it_stands() {
    for (name, bytes) in golden(1) {
        let fact = Fact::decode(1, &bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let written: Value = serde_json::from_slice(&fact.encode()).unwrap();
        let stands: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(written, stands, "{name}");
        let stem = stem(&fact);
        let fits = name == stem || name.starts_with(&format!("{stem}_"));
        assert!(fits, "{name} holds a {stem}");
    }
}

#[test]
fn every_kind_of_fact_has_a_golden_file() {
    let files = golden(model::fact::VERSION);
    let stem_of = |bytes: &Vec<u8>| stem(&Fact::decode(1, bytes).unwrap());
    let found: BTreeSet<String> = files.values().map(stem_of).collect();
    let missing: Vec<_> = expected().difference(&found).cloned().collect();
    assert!(missing.is_empty(), "add tests/golden/v1/{missing:?}.json");
}

/// The name of a fact with that of the variant in it. A new variant does not compile here: it
/// belongs into [`VARIANTS`] as well.
fn stem(fact: &Fact) -> String {
    let variant = match fact {
        Fact::EventAccepted(accepted) => match accepted.event.data {
            Body::Inline(_) => "inline",
            Body::Blob(_) => "blob",
        },
        Fact::ExecutionRequested(request) => match request.origin {
            Origin::Rule { .. } => "rule",
            Origin::Manual => "manual",
            Origin::Step { .. } => "step",
            Origin::Rerun { .. } => "rerun",
        },
        Fact::StepIntended { call, .. } => match call {
            Call::Run { .. } => "run",
            Call::Child { .. } => "child",
            Call::Sleep { .. } => "sleep",
            Call::Poll { .. } => "poll",
        },
        Fact::StepRecorded { record, .. } => match record {
            Record::Now(_) => "now",
            Record::Uuid(_) => "uuid",
            Record::Log(_) => "log",
            Record::Emit { .. } => "emit",
            Record::EmitRefused { .. } => "emit_refused",
            Record::Undo => "undo",
            Record::OnExit => "on_exit",
        },
        Fact::StepFinished { result, .. } => match result {
            StepResult::Done(_) => "done",
            StepResult::Failed(_) => "failed",
        },
        Fact::StepResolved { resolution, .. } => match resolution {
            Resolution::Done(_) => "done",
            Resolution::Retry => "retry",
            Resolution::Fail(_) => "fail",
        },
        Fact::UndoBegan { reason, .. } => match reason {
            UndoReason::Failed(_) => "failed",
            UndoReason::Cancelled => "cancelled",
            UndoReason::TimedOut => "timed_out",
        },
        Fact::ExecutionFinished { outcome, .. } => outcome.state.as_str(),
        _ => return fact.name().to_owned(),
    };
    format!("{}_{variant}", fact.name())
}

const VARIANTS: [(&str, &[&str]); 8] = [
    ("EventAccepted", &["inline", "blob"]),
    ("ExecutionRequested", &["rule", "manual", "step", "rerun"]),
    ("StepIntended", &["run", "child", "sleep", "poll"]),
    ("StepRecorded", &["now", "uuid", "log", "emit", "emit_refused", "undo", "on_exit"]),
    ("StepFinished", &["done", "failed"]),
    ("StepResolved", &["done", "retry", "fail"]),
    ("UndoBegan", &["failed", "cancelled", "timed_out"]),
    ("ExecutionFinished", &["succeeded", "failed", "cancelled", "timed_out"]),
];

/// The facts that there are, with their variants.
fn expected() -> BTreeSet<String> {
    let variants: BTreeMap<_, _> = VARIANTS.into();
    let stems = Fact::NAMES.iter().flat_map(|name| match variants.get(name) {
        Some(variants) => variants.iter().map(|variant| format!("{name}_{variant}")).collect(),
        None => vec![(*name).to_owned()],
    });
    stems.collect()
}

#[test]
fn names_that_are_stored_stay() {
    let kinds = ErrorKind::ALL.map(ErrorKind::as_str).join(" ");
    expect!["invalid_parameters not_found conflict denied unauthenticated rate_limited unavailable timeout deadline program rejected too_large deadlock cancelled child_failed failed internal limit journal_mismatch"]
        .assert_eq(&kinds);
    let states = ExecutionState::ALL.map(ExecutionState::as_str).join(" ");
    expect![
        "queued running waiting paused undoing needs_attention succeeded failed cancelled timed_out"
    ]
    .assert_eq(&states);
    let effects = [Effect::Read, Effect::Idempotent, Effect::Unsafe].map(Effect::as_str).join(" ");
    expect!["read idempotent unsafe"].assert_eq(&effects);
}

#[test]
fn a_fact_of_a_newer_version_is_refused_with_what_to_do() {
    let refused = Fact::decode(2, b"\"KeyDeleted\"").unwrap_err();
    expect![
        "the fact has schema version 2; this version of Tripline reads up to 1: use a newer one"
    ]
    .assert_eq(&refused.to_string());
}
