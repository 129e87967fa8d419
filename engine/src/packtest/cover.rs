//! What the tests of a pack reach: rules that selected an event, lines of chains that ran.

use std::collections::{BTreeMap, BTreeSet};

use chains::Lines;
use model::Name;

use super::found::Found;
use super::stage::Stage;
use crate::packs::ActionKind;

/// What the tests of a pack reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// The pack's rules, and whether a test made each select an event.
    pub rules: Vec<(Name, bool)>,
    /// Its chains and libraries.
    pub files: Vec<FileCoverage>,
}

/// A chain's or library's lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileCoverage {
    /// The file, by its path in the pack.
    pub file: String,
    /// Lines on which a statement begins, and whether it ran.
    pub lines: BTreeMap<usize, bool>,
}

/// The rules that selected events.
#[derive(Debug, Default)]
pub(super) struct Matched(BTreeSet<Name>);

impl Matched {
    pub(super) fn note(&mut self, found: &Found) {
        self.0.extend(found.rules.iter().map(|rule| rule.name.clone()));
    }
}

impl Coverage {
    /// What was reached, and what there is: rules and lines alike.
    pub fn count(&self) -> (usize, usize) {
        let rules = self.rules.iter().map(|(_, matched)| *matched);
        let lines = self.files.iter().flat_map(|file| file.lines.values().copied());
        let all: Vec<bool> = rules.chain(lines).collect();
        (all.iter().filter(|reached| **reached).count(), all.len())
    }

    /// How much of it was reached, in percent; a pack without any has all.
    pub fn percent(&self) -> f64 {
        match self.count() {
            (_, 0) => 100.0,
            (reached, all) => reached as f64 * 100.0 / all as f64,
        }
    }
}

impl FileCoverage {
    /// The lines that did not run.
    pub fn missed(&self) -> impl Iterator<Item = usize> {
        self.lines.iter().filter(|(_, ran)| !**ran).map(|(line, _)| *line)
    }
}

/// What was reached of the stage's pack.
pub(super) fn of(stage: &Stage, matched: &Matched, covered: &Lines) -> Coverage {
    let Some(pack) = stage.packs.iter().find(|pack| pack.name == stage.pack) else {
        return Coverage::default();
    };
    let rules = pack.rules.keys().map(|name| (name.clone(), matched.0.contains(name)));
    let mut lines = Lines::default();
    for action in pack.actions.values() {
        if let ActionKind::Chain(program) = &action.kind {
            lines.extend(program.lines());
        }
    }
    let shown = pack.at.file.trim_end_matches("pack.yaml");
    let files = lines.into_iter().map(|(file, lines)| {
        let ran = covered.of(&file);
        let name = match file.strip_prefix(shown) {
            Some(inside) => inside.to_owned(),
            None => format!("{file}.rhai"),
        };
        let lines = lines.into_iter().map(|line| (line, ran.contains(&line)));
        FileCoverage { file: name, lines: lines.collect() }
    });
    Coverage { rules: rules.collect(), files: files.collect() }
}
