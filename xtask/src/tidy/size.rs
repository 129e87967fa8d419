//! A file has one subject; long before 500 lines it has two.

use super::Finding;
use crate::repo::Repo;

const LOOK: usize = 500;
const LIMIT: usize = 700;

/// Files that may be longer, each with the reason.
const LONGER: [(&str, &str); 0] = [];

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let sizes = repo.texts(".rs").map(|(file, text)| (file, text.lines().count()));
    sizes.filter_map(|(file, lines)| finding(file, lines)).collect()
}

fn finding(file: &str, lines: usize) -> Option<Finding> {
    if lines <= LOOK || LONGER.iter().any(|(longer, _)| *longer == file) {
        return None;
    }
    let message = format!("{lines} lines: split it by subject");
    let over = format!("{message}, or give the reason in xtask/src/tidy/size.rs");
    Some(if lines > LIMIT { Finding::error(file, over) } else { Finding::warning(file, message) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_are_looked_at_and_very_long_ones_refused() {
        assert_eq!(finding("a.rs", LOOK), None);
        assert!(finding("a.rs", LOOK + 1).is_some_and(|finding| finding.warning));
        assert!(finding("a.rs", LIMIT + 1).is_some_and(|finding| !finding.warning));
    }
}
