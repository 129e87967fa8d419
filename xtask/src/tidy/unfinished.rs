//! What is committed is finished: an open end belongs into the tracker, where somebody sees it.

use super::Finding;
use crate::repo::Repo;

/// Written apart, so that this file does not find itself.
const MARKS: [&str; 4] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("to", "do!"),
    concat!("unim", "plemented!"),
];

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    repo.texts(".rs").flat_map(|(file, text)| findings(file, &text)).collect()
}

fn findings(file: &str, text: &str) -> Vec<Finding> {
    let marked = |line: &str| MARKS.into_iter().find(|mark| has_word(line, mark));
    let lines = text.lines().enumerate().filter_map(|(n, line)| Some((n + 1, marked(line)?)));
    lines
        .map(|(n, mark)| Finding::error(format!("{file}:{n}"), format!("`{mark}`: finish it")))
        .collect()
}

fn has_word(line: &str, word: &str) -> bool {
    let boundary = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        boundary(line[..at].chars().next_back()) && boundary(line[at + word.len()..].chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_as_words_only() {
        let [note, ..] = MARKS;
        let text = format!("fn a() {{}}\n// {note}: b\nlet x = \"{note}S\";\n");
        let found = findings("a.rs", &text);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place, "a.rs:2");
    }
}
