//! Relative links in Markdown lead to files that exist and headings that stand there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use super::Finding;
use crate::repo::Repo;

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let pages: BTreeMap<&str, String> = repo.texts(".md").collect();
    let target = |file: &str| match pages.get(file) {
        Some(text) => Target::Page(anchors(text)),
        None if repo.root.join(file).exists() => Target::File,
        None => Target::Missing,
    };
    let links = pages.iter().flat_map(|(page, text)| {
        links(text).into_iter().map(move |(line, link)| (*page, line, link))
    });
    links
        .filter_map(|(page, line, link)| {
            let problem = problem(page, &link, &target)?;
            Some(Finding::error(format!("{page}:{line}"), problem))
        })
        .collect()
}

/// What a link leads to.
enum Target {
    Page(BTreeSet<String>),
    File,
    Missing,
}

fn problem(page: &str, link: &str, target: &dyn Fn(&str) -> Target) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = link.split_once('#').map_or((link, None), |(p, a)| (p, Some(a)));
    let Some(file) = resolve(page, path) else {
        return Some(format!("`{link}` leaves the repository: write a relative link"));
    };
    match (target(&file), anchor) {
        (Target::Missing, _) => Some(format!("`{link}` leads nowhere: there is no `{file}`")),
        (Target::Page(anchors), Some(anchor)) if !anchors.contains(anchor) => {
            Some(format!("`{link}`: `{file}` has no heading `#{anchor}`"))
        }
        _ => None,
    }
}

/// The file that `path` means in `page`, relative to the top folder.
fn resolve(page: &str, path: &str) -> Option<String> {
    if path.is_empty() {
        return Some(page.to_owned());
    }
    let mut file = Path::new(page).parent()?.to_owned();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => file.push(name),
            Component::CurDir => {}
            Component::ParentDir if file.pop() => {}
            _ => return None,
        }
    }
    Some(if file == PathBuf::new() { ".".to_owned() } else { file.display().to_string() })
}

/// The lines of a page that are prose, with their numbers.
fn prose(page: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fence = None;
    page.lines().enumerate().filter_map(move |(n, line)| {
        let mark = ["```", "~~~"].into_iter().find(|mark| line.trim_start().starts_with(mark));
        match (fence, mark) {
            (None, Some(_)) => fence = mark,
            (Some(open), Some(mark)) if open == mark => fence = None,
            (None, None) => return Some((n + 1, line)),
            _ => {}
        }
        None
    })
}

/// Every link target outside code: `[text](target)` and `[label]: target`.
fn links(page: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (n, line) in prose(page) {
        let line = without_code(line);
        for (at, _) in line.match_indices("](") {
            let target = line[at + 2..].split([')', ' ']).next().unwrap_or_default();
            links.push((n, target.trim_matches(['<', '>']).to_owned()));
        }
        let label = line.strip_prefix('[').and_then(|line| line.split_once("]: "));
        links.extend(
            label.and_then(|(_, target)| target.split(' ').next()).map(|t| (n, t.to_owned())),
        );
    }
    links
}

/// A line without its inline code, so that code which looks like a link is none.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// The anchors of a page's headings, as git hosts derive them.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let headings = prose(page).filter_map(|(_, line)| {
        let (marks, heading) = line.split_once(' ')?;
        (!marks.is_empty() && marks.chars().all(|c| c == '#')).then(|| slug(heading.trim()))
    });
    for slug in headings {
        // The second heading of a name gets `-1`, and so on.
        let numbered = (1..).map(|n| format!("{slug}-{n}"));
        let free = std::iter::once(slug.clone()).chain(numbered).find(|s| !anchors.contains(s));
        anchors.extend(free);
    }
    anchors
}

fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_code_only() {
        let page =
            "See [a](b.md#c) and `[x](y)`.\n```\n[no](no.md)\n```\n[l]: d/e.md\n![i](i.svg \"t\")";
        let found: Vec<String> =
            links(page).into_iter().map(|(n, link)| format!("{n} {link}")).collect();
        assert_eq!(found, ["1 b.md#c", "5 d/e.md", "6 i.svg"]);
    }

    #[test]
    fn headings_become_anchors() {
        let page = "# One, two: `three`\n## A_b-c\n## Same\n## Same\n```sh\n# no heading\n```\n";
        let expected = ["one-two-three", "a_b-c", "same", "same-1"].map(ToOwned::to_owned);
        assert_eq!(anchors(page), BTreeSet::from(expected));
    }

    #[test]
    fn a_link_is_followed_from_its_page() {
        let target = |file: &str| match file {
            "docs/a.md" => Target::Page(BTreeSet::from(["one".to_owned()])),
            "README.md" => Target::Page(BTreeSet::new()),
            "docs" | "Makefile" => Target::File,
            _ => Target::Missing,
        };
        for (page, link, fine) in [
            ("README.md", "docs/a.md", true),
            ("README.md", "docs/a.md#one", true),
            ("README.md", "docs/a.md#two", false),
            ("README.md", "docs", true),
            ("docs/a.md", "#one", true),
            ("docs/a.md", "../README.md", true),
            ("docs/a.md", "../Makefile", true),
            ("docs/a.md", "README.md", false),
            ("docs/a.md", "../../else.md", false),
            ("docs/a.md", "/docs/a.md", false),
            ("docs/a.md", "https://example.com/#x", true),
        ] {
            assert_eq!(problem(page, link, &target).is_none(), fine, "{page} {link}");
        }
    }
}
