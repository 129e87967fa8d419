//! What the tests reached: a table for people, lcov for editors and build servers.

use std::fmt::Write as _;

use engine::packtest::{Coverage, FileCoverage};
use model::Value;
use serde_json::json;

use super::Ran;
use crate::failure::Failure;
use crate::output::{self, Column};

/// How much of all packs was reached, in percent.
pub(super) fn percent(ran: &[Ran<'_>]) -> f64 {
    let counts = ran.iter().filter_map(|ran| ran.coverage.as_ref()).map(Coverage::count);
    let (reached, all) = counts.fold((0, 0), |(a, b), (reached, all)| (a + reached, b + all));
    if all == 0 { 100.0 } else { reached as f64 * 100.0 / all as f64 }
}

/// Prints what was reached of each pack.
pub(super) fn tell(ran: &[Ran<'_>]) -> Result<(), Failure> {
    for ran in ran {
        let Some(coverage) = &ran.coverage else { continue };
        output::say("")?;
        let columns = [
            Column::at("REACHED", "/reached"),
            Column::at("OF", "/of"),
            Column::at("WHAT", "/what"),
            Column::at("NOT REACHED", "/missed"),
        ];
        output::list(output::Format::Table, &rows(ran, coverage), &columns)?;
    }
    if ran.iter().any(|ran| ran.coverage.is_some()) {
        output::say("")?;
    }
    Ok(())
}

fn rows(ran: &Ran<'_>, coverage: &Coverage) -> Vec<Value> {
    let row = |reached: usize, all: usize, what: String, missed: String| json!({ "reached": percents(reached, all), "of": all, "what": what, "missed": missed });
    let mut rows = Vec::new();
    let missed: Vec<&str> = coverage
        .rules
        .iter()
        .filter(|(_, matched)| !matched)
        .map(|(name, _)| name.as_str())
        .collect();
    if !coverage.rules.is_empty() {
        let all = coverage.rules.len();
        let what = format!("rules of {}", ran.suite.pack);
        rows.push(row(all - missed.len(), all, what, missed.join(", ")));
    }
    for file in &coverage.files {
        let missed: Vec<usize> = file.missed().collect();
        let all = file.lines.len();
        rows.push(row(all - missed.len(), all, file.file.clone(), ranges(file, &missed)));
    }
    let (reached, all) = coverage.count();
    rows.push(row(reached, all, format!("{} in all", ran.suite.pack), String::new()));
    rows
}

/// Whole percents, rounded down: 100 % means all of it.
fn percents(reached: usize, all: usize) -> String {
    let percent = (reached * 100).checked_div(all).unwrap_or(100);
    format!("{percent} %")
}

/// `4-7, 12`: lines between which no other statement ran are told together.
fn ranges(file: &FileCoverage, missed: &[usize]) -> String {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for line in missed {
        match parts.last_mut() {
            Some((_, last)) if !file.lines.range(*last + 1..*line).any(|(_, ran)| *ran) => {
                *last = *line;
            }
            _ => parts.push((*line, *line)),
        }
    }
    let shown = parts.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// What was reached of one pack.
pub(super) fn value(coverage: &Coverage) -> Value {
    let unmatched =
        coverage.rules.iter().filter(|(_, matched)| !matched).map(|(name, _)| name.as_str());
    let files = coverage.files.iter().map(|file| {
        let missed: Vec<usize> = file.missed().collect();
        json!({ "file": file.file, "lines": file.lines.len(), "missed": missed })
    });
    json!({
        "percent": coverage.percent(),
        "rules": coverage.rules.len(),
        "rules_never_matched": unmatched.collect::<Vec<_>>(),
        "files": files.collect::<Vec<_>>(),
    })
}

/// The lines of all packs as an lcov tracefile.
pub(super) fn lcov(ran: &[Ran<'_>]) -> String {
    let mut text = String::new();
    for ran in ran {
        for file in ran.coverage.iter().flat_map(|coverage| &coverage.files) {
            // Writing to a string does not fail.
            let _ = writeln!(text, "SF:{}/{}", ran.suite.shown, file.file);
            for (line, ran) in &file.lines {
                let _ = writeln!(text, "DA:{line},{}", u8::from(*ran));
            }
            let hit = file.lines.values().filter(|ran| **ran).count();
            let _ = writeln!(text, "LF:{}\nLH:{hit}\nend_of_record", file.lines.len());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_lines_are_told_in_ranges() {
        let lines = [(1, true), (3, false), (4, false), (9, false), (10, true), (12, false)];
        let file = FileCoverage { file: String::new(), lines: lines.into_iter().collect() };
        assert_eq!(ranges(&file, &file.missed().collect::<Vec<_>>()), "3-9, 12");
        assert_eq!(percents(199, 200), "99 %");
    }
}
