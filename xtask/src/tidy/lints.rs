//! Every crate takes the workspace's lints: a crate without the line would be checked by none.

use super::Finding;
use crate::repo::Repo;

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let manifests = repo.crates.iter().map(|one| format!("{}/Cargo.toml", one.folder));
    let without = manifests.filter(|file| !repo.text(file).is_some_and(|text| takes_lints(&text)));
    without.map(|file| Finding::error(file, "add `[lints]` with `workspace = true`")).collect()
}

fn takes_lints(manifest: &str) -> bool {
    let mut section = manifest.lines().map(str::trim).skip_while(|line| *line != "[lints]").skip(1);
    section.find(|line| !line.is_empty()) == Some("workspace = true")
}

#[cfg(test)]
mod tests {
    use super::takes_lints;

    #[test]
    fn the_line_counts_only_in_its_section() {
        assert!(takes_lints("[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n"));
        assert!(!takes_lints("[package]\nedition.workspace = true\n"));
        assert!(!takes_lints("[lints]\n[dependencies]\nworkspace = true\n"));
    }
}
