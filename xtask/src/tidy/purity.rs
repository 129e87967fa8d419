//! The core is pure: its answers depend on its arguments alone, so that a replay, a dry run and a
//! test see what production sees.

use super::{Finding, rust_text};
use crate::repo::{Crate, Repo};

/// The pure crates, and what each may depend on outside tests and outside the house.
const PURE: [(&str, &[&str]); 5] = [
    (
        "model",
        &[
            "base64",
            "hmac",
            "jiff",
            "jsonschema",
            "schemars",
            "serde",
            "serde_json",
            "sha2",
            "thiserror",
        ],
    ),
    ("syntax", &["serde", "serde_json", "serde-saphyr", "thiserror"]),
    ("expr", &["jiff", "rhai", "serde_json", "thiserror"]),
    ("rules", &["jiff", "regex", "schemars", "serde", "serde_json", "thiserror"]),
    ("chains", &["jiff", "rhai", "serde_json", "thiserror"]),
];

/// Names that bring in the world, or an order that changes from run to run.
const IMPURE: [(&str, &str); 9] = [
    ("std::fs", "take the text as an argument"),
    ("std::env", "take the value as an argument"),
    ("std::net", "a step or a sensor talks to others"),
    ("std::process", "a step runs programs"),
    ("std::time::Instant", "take the time as an argument"),
    ("std::time::SystemTime", "take the time as an argument"),
    ("Timestamp::now", "take the time as an argument"),
    ("HashMap", "its order differs from run to run: use BTreeMap"),
    ("HashSet", "its order differs from run to run: use BTreeSet"),
];

/// Where one of these names may stand all the same, with the reason.
const EXCEPTIONS: [(&str, &str, &str); 3] = [
    (
        "expr/src/condition.rs",
        "HashMap",
        "compiled programs by their text, met on every condition: looked up, never walked",
    ),
    (
        "rules/src/index.rs",
        "HashMap",
        "rules by the value they compare with, one look-up however many there are: never walked",
    ),
    ("rules/src/set.rs", "HashMap", "indices by trigger type and sensor: looked up, never walked"),
];

fn is_excepted(file: &str, name: &str) -> bool {
    EXCEPTIONS.iter().any(|(in_file, excepted, _)| *in_file == file && *excepted == name)
}

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    PURE.into_iter().flat_map(|(name, allowed)| findings(repo, name, allowed)).collect()
}

fn findings(repo: &Repo, name: &str, allowed: &[&str]) -> Vec<Finding> {
    let Some(one) = repo.crates.iter().find(|one| one.name == name) else {
        return vec![Finding::error(name, "is gone: correct the list in xtask/src/tidy/purity.rs")];
    };
    let sources = format!("{}/src/", one.folder);
    let files = repo.texts(".rs").filter(|(file, _)| file.starts_with(&sources) && !is_test(file));
    let impure = files.flat_map(|(file, text)| impure_names(file, &text));
    dependencies(one, allowed).into_iter().chain(impure).collect()
}

/// Modules of tests that have a file of their own.
fn is_test(file: &str) -> bool {
    file.ends_with("/tests.rs") || file.contains("/tests/")
}

fn dependencies(one: &Crate, allowed: &[&str]) -> Vec<Finding> {
    let foreign = one.dependencies.iter().filter(|dependency| !dependency.dev && !dependency.ours);
    let wrong = foreign.filter(|dependency| !allowed.contains(&dependency.name.as_str()));
    wrong
        .map(|dependency| {
            let message = format!(
                "`{}` is pure and must not depend on `{}`: do that work in a crate that may, or \
                 give the reason beside the list in xtask/src/tidy/purity.rs",
                one.name, dependency.name
            );
            Finding::error(format!("{}/Cargo.toml", one.folder), message)
        })
        .collect()
}

fn impure_names(file: &str, source: &str) -> Vec<Finding> {
    let code = rust_text::without_tests(&rust_text::code(source));
    let lines: Vec<String> = code.lines().map(|line| line.replace(' ', "")).collect();
    let grouped = grouped_imports(&code);
    let impure = IMPURE.into_iter().filter(|(name, _)| !is_excepted(file, name));
    let found = impure.flat_map(|(name, instead)| {
        let lines = lines.iter().enumerate();
        let direct = lines.filter(move |(_, line)| has_path(line, name)).map(|(n, _)| n + 1);
        let grouped = grouped.iter().filter(move |(_, path)| has_path(path, name)).map(|(n, _)| *n);
        direct.chain(grouped).map(move |line| (line, name, instead))
    });
    let mut found: Vec<_> = found.collect();
    found.sort_unstable();
    found.dedup();
    found
        .into_iter()
        .map(|(line, name, instead)| {
            Finding::error(format!("{file}:{line}"), format!("`{name}` in a pure crate: {instead}"))
        })
        .collect()
}

/// Whether `line`, without spaces, names `path` and not something whose name goes on.
fn has_path(line: &str, path: &str) -> bool {
    let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(path).any(|(at, _)| {
        let glued = ["use", "pub", "mut", "dyn", "let", "const", "static", "return", "as", "in"];
        let before = &line[..at];
        let starts = !word(before.chars().next_back()) || glued.iter().any(|g| before.ends_with(g));
        starts && !word(line[at + path.len()..].chars().next())
    })
}

/// The paths that `use std::{…}` spells apart, each with its line.
fn grouped_imports(code: &str) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("use std::") {
        let line = code[..at].matches('\n').count() + 1;
        let tree = code[at + "use ".len()..].split(';').next().unwrap_or_default();
        expand("", &tree.split_whitespace().collect::<String>(), line, &mut paths);
    }
    paths
}

fn expand(prefix: &str, tree: &str, line: usize, paths: &mut Vec<(usize, String)>) {
    for part in split_top(tree) {
        match part.split_once('{') {
            Some((head, group)) => {
                let group = group.strip_suffix('}').unwrap_or(group);
                expand(&format!("{prefix}{head}"), group, line, paths);
            }
            None => paths.push((line, format!("{prefix}{part}"))),
        }
    }
}

/// `a,b::{c,d}` at its outermost commas.
fn split_top(tree: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    let parts = tree.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    parts.filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(source: &str) -> Vec<String> {
        impure_names("a.rs", source).into_iter().map(|finding| finding.place).collect()
    }

    #[test]
    fn impure_names_are_found_where_they_stand() {
        for (source, places) in [
            ("use std::fs;\n", vec!["a.rs:1"]),
            ("\nfn f() { std::env::var(\"A\"); }", vec!["a.rs:2"]),
            ("use std::{fmt, fs::File};", vec!["a.rs:1"]),
            ("use std::time::{Duration, Instant};", vec!["a.rs:1"]),
            ("use std::collections::{\n  BTreeMap,\n  HashMap,\n};", vec!["a.rs:1", "a.rs:3"]),
            ("let x: HashMap<u8, u8> = y;", vec!["a.rs:1"]),
        ] {
            assert_eq!(names(source), places, "{source}");
        }
    }

    #[test]
    fn what_only_looks_impure_is_left_alone() {
        for source in [
            "// std::fs is read elsewhere\n",
            "let text = \"HashMap\";",
            "struct MyHashMap; struct HashMapper;",
            "use std::fmt;\nuse std::time::Duration;",
            "#[cfg(test)]\nmod tests {\n use std::fs;\n}\n",
        ] {
            assert_eq!(names(source), Vec::<String>::new(), "{source}");
        }
    }

    #[test]
    fn only_dependencies_outside_tests_count() {
        use crate::repo::Dependency;
        let line = |name: &str, dev| Dependency { name: name.to_owned(), ours: false, dev };
        let dependencies = vec![line("serde", false), line("tokio", false), line("tempfile", true)];
        let (name, folder) = ("expr".to_owned(), "expr".to_owned());
        let found = super::dependencies(&Crate { name, folder, dependencies }, &["serde"]);
        assert_eq!(found.len(), 1);
        assert!(found[0].message.contains("tokio"));
    }
}
