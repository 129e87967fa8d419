//! Crates depend one way, and siblings don't know each other: data walks one corridor.

use super::Finding;
use crate::repo::{Crate, Dependency, Repo};

/// Each crate and the crates of the house it may name, tests and benches included.
const HOUSE: [(&str, &[&str]); 14] = [
    (LAB, &[]),
    ("model", &[]),
    ("syntax", &["model"]),
    ("expr", &["model"]),
    ("rules", &["model", "syntax", "expr"]),
    ("chains", &["model", "expr"]),
    ("host", &["model"]),
    ("sensors", &["model", "host"]),
    ("actions", &["model", "host"]),
    ("store", &["model"]),
    ("engine", CORE),
    ("server", SERVER),
    ("cli", CLI),
    ("xtask", &[]),
];
/// Real servers: tests of every crate may have them, the product never.
const LAB: &str = "lab";
const CORE: &[&str] =
    &["model", "syntax", "expr", "rules", "chains", "host", "sensors", "actions", "store"];
const SERVER: &[&str] = &[
    "model", "syntax", "expr", "rules", "chains", "host", "sensors", "actions", "store", "engine",
];
const CLI: &[&str] = &[
    "model", "syntax", "expr", "rules", "chains", "host", "sensors", "actions", "store", "engine",
    "server",
];

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    repo.crates.iter().flat_map(findings).collect()
}

fn findings(one: &Crate) -> Vec<Finding> {
    let place = format!("{}/Cargo.toml", one.folder);
    let Some((_, allowed)) = HOUSE.iter().find(|(name, _)| *name == one.name) else {
        let hint = "give it one in xtask/src/tidy/direction.rs and in ARCHITECTURE.md";
        return vec![Finding::error(
            place,
            format!("`{}` has no place in the house: {hint}", one.name),
        )];
    };
    let ours = one.dependencies.iter().filter(|dependency| dependency.ours);
    let may = |to: &Dependency| allowed.contains(&to.name.as_str()) || to.dev && to.name == LAB;
    let wrong = ours.filter(|dependency| !may(dependency));
    wrong.map(|dependency| against(&place, &one.name, allowed, &dependency.name)).collect()
}

fn against(place: &str, from: &str, allowed: &[&str], to: &str) -> Finding {
    let allowed = match allowed {
        [] => "no other crate of the house".to_owned(),
        names => format!("only {}", names.join(", ")),
    };
    let message = format!("`{from}` must not depend on `{to}`: it may know {allowed}");
    Finding::error(place, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    fn crate_with(name: &str, dependencies: &[&str]) -> Crate {
        let line = |name: &&str| Dependency { name: (*name).to_owned(), ours: true, dev: false };
        let dependencies = dependencies.iter().map(line).collect();
        Crate { name: name.to_owned(), folder: name.to_owned(), dependencies }
    }

    #[test]
    fn siblings_and_upward_dependencies_are_refused() {
        for (name, dependencies, wrong) in [
            ("rules", vec!["model", "expr"], 0),
            ("rules", vec!["chains"], 1),
            ("sensors", vec!["host", "actions"], 1),
            ("store", vec!["engine"], 1),
            ("engine", vec!["server", "cli"], 2),
            ("cellar", vec![], 1),
        ] {
            let found = findings(&crate_with(name, &dependencies));
            assert_eq!(found.len(), wrong, "{name} {dependencies:?}: {found:?}");
        }
    }

    #[test]
    fn only_tests_may_have_the_lab() {
        let mut sensors = crate_with("sensors", &["lab"]);
        assert_eq!(findings(&sensors).len(), 1);
        sensors.dependencies[0].dev = true;
        assert_eq!(findings(&sensors), vec![]);
    }

    #[test]
    fn no_crate_stands_above_one_that_may_know_it() {
        let place = |name: &str| HOUSE.iter().position(|(known, _)| *known == name);
        for (name, allowed) in HOUSE {
            assert!(allowed.iter().all(|below| place(below) < place(name)), "{name}");
        }
    }
}
