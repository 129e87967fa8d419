//! What `check` says of broken packs: each folder of `tests/fixtures/broken` is one, and the file
//! beside it holds what a user reads. `UPDATE_EXPECT=1` writes these files anew.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use expect_test::expect_file;
use model::Diagnostic;

/// Cases whose findings are about a whole file or folder: there is no line to show.
const WITHOUT_A_LINE: [&str; 10] = [
    "file_bad_name",
    "file_too_deep",
    "file_twice",
    "folder_slip",
    "link_out_of_the_pack",
    "link_to_nothing",
    "pack_without_manifest",
    "yaml_empty",
    "",
    "",
];

/// From the folder in which cargo runs the tests of this crate.
const BROKEN: &str = "../tests/fixtures/broken/";

fn cases() -> BTreeSet<String> {
    let entries = std::fs::read_dir(BROKEN).unwrap().map(|entry| entry.unwrap().path());
    let names = entries.filter(|path| path.is_dir());
    names.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

fn findings(case: &str) -> Vec<Diagnostic> {
    engine::check_packs(&[PathBuf::from(format!("{BROKEN}{case}"))])
}

#[test]
fn every_broken_pack_is_told_as_its_golden_file_says() {
    for case in cases() {
        let text: String = findings(&case).iter().map(|finding| format!("{finding}\n")).collect();
        let golden = std::path::absolute(format!("{BROKEN}{case}.expected")).unwrap();
        expect_file![golden].assert_eq(&text.replace(BROKEN, ""));
    }
}

#[test]
fn every_finding_names_its_file_and_says_what_to_do() {
    for case in cases() {
        let findings = findings(&case);
        assert!(!findings.is_empty(), "{case}: nothing was found");
        for finding in findings {
            assert!(finding.at.file.starts_with(&format!("{BROKEN}{case}")), "{case}: {finding}");
            let says = finding.hint.is_some() || finding.message.contains("expected");
            assert!(says, "{case}: {finding}");
        }
    }
}

#[test]
fn every_finding_inside_a_file_has_its_line_and_column_and_shows_it() {
    for case in cases().iter().filter(|case| !WITHOUT_A_LINE.contains(&case.as_str())) {
        for finding in findings(case) {
            assert!(finding.at.line > 0 && finding.at.column > 0, "{case}: {finding}");
            assert!(finding.line.is_some(), "{case}: {finding}");
        }
    }
}

#[test]
fn a_golden_file_has_its_pack() {
    let cases = cases();
    for entry in std::fs::read_dir(BROKEN).unwrap() {
        let path = entry.unwrap().path();
        let case = path.file_stem().unwrap().to_str().unwrap();
        assert!(cases.contains(case), "{}: nothing is checked", path.display());
    }
}

#[test]
fn the_packs_of_this_repository_are_clean() {
    let packs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packs");
    let findings = engine::check_packs(&[packs]);
    let text: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
    assert_eq!(text, "");
}
