//! How tests went, for people and for programs.

use std::time::Duration;

use engine::packtest::{Case, Misfit, Suite};
use model::{Diagnostic, Value};
use serde_json::json;

use super::{Ran, coverage};
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{self, Colour, Format, coloured};

/// Prints the names of the tests that `wanted` picks.
pub(super) fn list(format: Format, suites: &[Suite], wanted: impl Fn(&Case) -> bool) -> Outcome {
    let cases = suites.iter().flat_map(|suite| &suite.cases).filter(|case| wanted(case));
    match format {
        Format::Table => {
            for case in cases {
                output::say(&format!("{}:{}  {}", case.at.file, case.at.line, case.name))?;
            }
        }
        format => {
            let rows = cases.map(
                |case| json!({ "name": case.name, "file": case.at.file, "line": case.at.line }),
            );
            output::value(format, &rows.collect::<Vec<_>>())?;
        }
    }
    Ok(Exit::Done)
}

/// Prints a suite's tests, file by file.
pub(super) fn suite(ran: &Ran<'_>) -> Result<(), Failure> {
    let mut file = "";
    for (case, verdict, _) in &ran.tests {
        if case.at.file != file {
            file = &case.at.file;
            output::say(file)?;
        }
        let mark = match verdict.passed() {
            true => coloured(Colour::Green, "ok  "),
            false => coloured(Colour::Red, "FAIL"),
        };
        output::say(&format!("  {mark}  {}", case.name))?;
        for misfit in &verdict.misfits {
            output::say(&shown(misfit))?;
        }
    }
    for finding in &ran.suite.findings {
        output::say(&format!("{finding}\n"))?;
    }
    Ok(())
}

fn shown(misfit: &Misfit) -> String {
    let paint = |line: &String| match line.as_bytes().first() {
        Some(b'-') => coloured(Colour::Red, line),
        Some(b'+') => coloured(Colour::Green, line),
        _ => line.clone(),
    };
    let lines = misfit.lines.iter().map(|line| format!("\n          {}", paint(line)));
    format!("        {}: {}{}", misfit.at, misfit.message, lines.collect::<String>())
}

fn counts(ran: &[Ran<'_>]) -> (usize, usize, usize) {
    let all: usize = ran.iter().map(|ran| ran.tests.len()).sum();
    let passed =
        |ran: &Ran<'_>| ran.tests.iter().filter(|(_, verdict, _)| verdict.passed()).count();
    let passed: usize = ran.iter().map(passed).sum();
    let findings = ran.iter().map(|ran| ran.suite.findings.len()).sum();
    (passed, all - passed, findings)
}

/// Prints how many passed.
pub(super) fn summary(ran: &[Ran<'_>], took: Duration) -> Result<(), Failure> {
    let (passed, failed, errors) = counts(ran);
    let broken = match errors {
        0 => String::new(),
        1 => ", 1 error in files".to_owned(),
        errors => format!(", {errors} errors in files"),
    };
    let text = format!("{passed} passed, {failed} failed{broken}");
    let colour = if failed + errors == 0 { Colour::Green } else { Colour::Red };
    let took = format!(" in {:.2} s", took.as_secs_f64());
    output::say(&format!("{}{took}", coloured(colour, &text)))
}

/// The whole run.
pub(super) fn value(ran: &[Ran<'_>], took: Duration) -> Value {
    let (passed, failed, errors) = counts(ran);
    json!({
        "passed": passed,
        "failed": failed,
        "errors": errors,
        "seconds": took.as_secs_f64(),
        "packs": ran.iter().map(pack).collect::<Vec<_>>(),
    })
}

fn pack(ran: &Ran<'_>) -> Value {
    let tests = ran.tests.iter().map(|(case, verdict, took)| {
        json!({
            "name": case.name,
            "file": case.at.file,
            "line": case.at.line,
            "passed": verdict.passed(),
            "seconds": took.as_secs_f64(),
            "misfits": verdict.misfits.iter().map(misfit).collect::<Vec<_>>(),
        })
    });
    json!({
        "pack": ran.suite.pack,
        "folder": ran.suite.shown,
        "errors": ran.suite.findings.iter().map(finding).collect::<Vec<_>>(),
        "tests": tests.collect::<Vec<_>>(),
        "coverage": ran.coverage.as_ref().map(coverage::value),
    })
}

fn misfit(misfit: &Misfit) -> Value {
    json!({
        "file": misfit.at.file,
        "line": misfit.at.line,
        "message": misfit.message,
        "diff": misfit.lines,
    })
}

fn finding(finding: &Diagnostic) -> Value {
    json!({
        "file": finding.at.file,
        "line": finding.at.line,
        "column": finding.at.column,
        "message": finding.message,
        "hint": finding.hint,
    })
}

/// A misfit as plain lines.
pub(super) fn plain(misfit: &Misfit) -> String {
    let head = format!("{}: {}", misfit.at, misfit.message);
    std::iter::once(&head).chain(&misfit.lines).map(|line| format!("{line}\n")).collect()
}
