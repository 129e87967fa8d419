//! A path of the machine that something was written on means nothing on the next one.

use super::Finding;
use crate::repo::Repo;

/// Without their last slash, so that this file does not find itself.
const ROOTS: [&str; 4] = ["/work", "/root", "/home", "/Users"];

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    repo.texts("").flat_map(|(file, text)| findings(file, &text)).collect()
}

fn findings(file: &str, text: &str) -> Vec<Finding> {
    let lines = text.lines().enumerate();
    let found = lines.filter_map(|(n, line)| Some((n + 1, machine_path(line)?)));
    found
        .map(|(n, root)| {
            let message = format!("a path under `{root}`: say it relative to the repository");
            Finding::error(format!("{file}:{n}"), message)
        })
        .collect()
}

fn machine_path(line: &str) -> Option<&'static str> {
    ROOTS.into_iter().find(|root| {
        let absolute = |before: &str| {
            !before.ends_with(|c: char| c.is_alphanumeric() || "._-/*}~".contains(c))
        };
        line.match_indices(root)
            .any(|(at, _)| absolute(&line[..at]) && line[at + root.len()..].starts_with('/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_paths_are_found() {
        for (line, found) in [
            (concat!("see /home", "/ann/notes"), true),
            (concat!("\"/work", "/main\""), true),
            (concat!("https://example.com/home", "/page"), false),
            (concat!("state/work", "/x"), false),
            (concat!("${dir}/root", "/x"), false),
            ("/workspace", false),
        ] {
            assert_eq!(machine_path(line).is_some(), found, "{line}");
        }
    }
}
