//! `docs/reference/promises.md`: every promise names the tests that hold it, and they exist.

use std::path::Path;

use super::Finding;
use crate::repo::Repo;

const PAGE: &str = "docs/reference/promises.md";

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let Some(page) = repo.text(PAGE) else { return vec![Finding::error(PAGE, "is missing")] };
    let unheld = unheld(&page).into_iter().map(|(line, promise)| {
        let message = format!("`{promise}` names no test: write `path/to/file.rs::test_name`");
        Finding::error(format!("{PAGE}:{line}"), message)
    });
    let missing = tests(&page).into_iter().filter_map(|(line, file, test)| {
        let problem = problem(repo.text(file).as_deref(), file, test)?;
        Some(Finding::error(format!("{PAGE}:{line}"), problem))
    });
    unheld.chain(missing).collect()
}

/// Every `file.rs::test` in backticks, with its line.
fn tests(page: &str) -> Vec<(usize, &str, &str)> {
    let lines = page.lines().enumerate();
    let quoted =
        lines.flat_map(|(n, line)| line.split('`').skip(1).step_by(2).map(move |q| (n, q)));
    let named = quoted.filter_map(|(n, quoted)| {
        let (file, test) = quoted.split_once("::").filter(|(file, _)| is_rust(file))?;
        Some((n + 1, file, test))
    });
    named.collect()
}

fn is_rust(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|extension| extension == "rs")
}

/// The promises (`###` headings) under which no test is named.
fn unheld(page: &str) -> Vec<(usize, &str)> {
    let tests: Vec<usize> = tests(page).into_iter().map(|(line, ..)| line).collect();
    let headings = page.lines().enumerate().filter(|(_, line)| line.starts_with('#'));
    let headings: Vec<(usize, &str)> = headings.map(|(n, line)| (n + 1, line)).collect();
    let ends = headings.iter().skip(1).map(|(line, _)| *line).chain([usize::MAX]);
    let sections = headings.iter().zip(ends);
    let promises = sections
        .filter_map(|((start, heading), end)| Some((*start, end, heading.strip_prefix("### ")?)));
    let unheld =
        promises.filter(|(start, end, _)| !tests.iter().any(|t| (start..end).contains(&t)));
    unheld.map(|(start, _, promise)| (start, promise)).collect()
}

/// What is wrong with naming `test` in `file`, whose text is `source`.
fn problem(source: Option<&str>, file: &str, test: &str) -> Option<String> {
    let Some(source) = source else { return Some(format!("`{file}` does not exist")) };
    let call = format!("fn {test}(");
    let Some(at) = source.lines().position(|line| line.contains(&call)) else {
        return Some(format!("`{file}` has no test `{test}`"));
    };
    let lines: Vec<&str> = source.lines().map(str::trim).take(at).collect();
    let attributes =
        lines.iter().rev().take_while(|line| line.starts_with("#[") || line.starts_with("//"));
    let attributes: Vec<&&str> = attributes.collect();
    let is =
        |name: &str| attributes.iter().any(|line| line.starts_with("#[") && line.contains(name));
    // What needs the lab is ignored by `cargo test` alone; `make test` runs it.
    if is("ignore") && !is("needs the lab") {
        return Some(format!("`{test}` in `{file}` is ignored: it holds nothing"));
    }
    let runs = is("test") || contract(source).any(|behaviour| behaviour == test);
    (!runs).then(|| format!("`{test}` in `{file}` is no test"))
}

/// What a contract suite runs over every implementation: the names in its `contract!(…)`.
fn contract(source: &str) -> impl Iterator<Item = &str> {
    let list = source.split("\ncontract!(").nth(1).and_then(|rest| rest.split(");").next());
    list.into_iter().flat_map(|list| list.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"
#[test]
fn a_is_b() {}
#[test]
#[ignore = "slow"]
fn c() {}
#[test]
#[ignore = "needs the lab"]
fn i() {}
fn d() {}
#[tokio::test]
async fn e() {}
contract!(
    g,
    h,
);
async fn g(store: &dyn Store) {}
"#;

    #[test]
    fn only_a_test_that_runs_holds_a_promise() {
        for (test, held) in [
            ("a_is_b", true),
            ("e", true),
            ("c", false),
            ("d", false),
            ("f", false),
            ("g", true),
            ("h", false),
            ("i", true),
        ] {
            assert_eq!(problem(Some(SOURCE), "a.rs", test).is_none(), held, "{test}");
        }
        assert!(problem(None, "a.rs", "a").is_some());
    }

    #[test]
    fn a_promise_without_a_test_is_found() {
        let page =
            "# Promises\n## Events\n### One\nHeld by `a/b.rs::c`, `a.rs::d`.\n### Two\nNothing.\n";
        assert_eq!(tests(page), [(4, "a/b.rs", "c"), (4, "a.rs", "d")]);
        assert_eq!(unheld(page), [(5, "Two")]);
    }
}
