//! What `check` says of broken packs: each folder of `tests/fixtures/broken` is one, and the file
//! beside it holds what a user reads. `UPDATE_EXPECT=1` writes these files anew.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use expect_test::expect_file;
use model::Diagnostic;

/// Cases whose findings are about a whole file or folder: there is no line to show.
const WITHOUT_A_LINE: [&str; 8] = [
    "file_bad_name",
    "file_too_deep",
    "file_twice",
    "folder_slip",
    "link_out_of_the_pack",
    "link_to_nothing",
    "pack_without_manifest",
    "yaml_empty",
];

/// Cases in which a secret may stand in the line: it is named and not shown.
const WITH_A_SECRET: [&str; 3] =
    ["sensor_git_credentials_in_url", "sensor_git_secret_in_plain", "sensor_git_secret_number"];

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

/// The findings of all cases for which `wrong` holds.
fn all(wrong: impl Fn(&str, &Diagnostic) -> bool) -> String {
    let cases = cases();
    let found = cases.iter().flat_map(|case| findings(case).into_iter().map(move |f| (case, f)));
    found.filter(|(case, f)| wrong(case, f)).map(|(case, f)| format!("{case}: {f}\n")).collect()
}

#[test]
fn in_every_broken_pack_something_is_found() {
    let silent: Vec<String> = cases().into_iter().filter(|c| findings(c).is_empty()).collect();
    assert_eq!(silent, Vec::<String>::new());
}

#[test]
fn every_finding_names_a_file_of_its_pack() {
    let elsewhere = |case: &str, finding: &Diagnostic| {
        let path = Path::new(&finding.at.file);
        !path.starts_with(format!("{BROKEN}{case}")) || path.symlink_metadata().is_err()
    };
    assert_eq!(all(elsewhere), "");
}

#[test]
fn every_finding_says_what_to_do_or_what_is_expected() {
    let mute = |_: &str, finding: &Diagnostic| {
        let mut words = finding.message.split(|c: char| !c.is_alphanumeric());
        finding.hint.is_none() && !words.any(|word| ["expected", "takes"].contains(&word))
    };
    assert_eq!(all(mute), "");
}

#[test]
fn every_finding_inside_a_file_has_its_line_and_column_and_shows_it() {
    let placeless = |case: &str, finding: &Diagnostic| {
        let inside = !WITHOUT_A_LINE.contains(&case);
        let shown = finding.line.is_some() != WITH_A_SECRET.contains(&case);
        inside && (finding.at.line == 0 || finding.at.column == 0 || !shown)
    };
    assert_eq!(all(placeless), "");
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
