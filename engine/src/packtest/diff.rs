//! Expected steps against those that were called, as lines that show where they part.

use model::fact::StepResult;
use model::value::brief;

use super::case::{Expected, ExpectedStep};
use super::found::Step;
use super::matching::misfits;

/// Most characters of a step's parameters in a line.
const SHOWN: usize = 160;

/// The lines of a diff; `None` where all is as expected.
pub(super) fn steps(expected: &[Expected], found: &[Step]) -> Option<Vec<String>> {
    if fit(expected, found) {
        return None;
    }
    let expected = flattened(expected, found);
    let mut lines = Vec::new();
    for part in aligned(&expected, found) {
        match part {
            Part::Both(step, found) => {
                lines.push(format!("  {}", found.action));
                lines.extend(below(step, found));
            }
            Part::Differ(step, found) => lines.extend(differing(step, found)),
            Part::Missing(step) => lines.push(format!("- {}", wanted(step))),
            Part::Extra(found) => lines.push(format!("+ {}", called(found))),
        }
    }
    Some(lines)
}

fn fit(expected: &[Expected], found: &[Step]) -> bool {
    let mut rest = found;
    for part in expected {
        let count = part.count();
        let Some((these, others)) = rest.split_at_checked(count) else { return false };
        let fits = match part {
            Expected::One(step) => these.first().is_some_and(|found| one_fits(step, found)),
            Expected::Unordered(steps) => all_fit(&steps.iter().collect::<Vec<_>>(), these),
        };
        if !fits {
            return false;
        }
        rest = others;
    }
    rest.is_empty()
}

impl Expected {
    fn count(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Unordered(steps) => steps.len(),
        }
    }
}

/// Whether each of `steps` can be given one of `found` of its own.
fn all_fit(steps: &[&ExpectedStep], found: &[Step]) -> bool {
    // Kuhn's algorithm: `owner[n]` is the expected step that has the found step n.
    let mut owner: Vec<Option<usize>> = vec![None; found.len()];
    (0..steps.len())
        .all(|step| place(step, steps, found, &mut owner, &mut vec![false; found.len()]))
}

fn place(
    step: usize,
    steps: &[&ExpectedStep],
    found: &[Step],
    owner: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    for n in 0..found.len() {
        if tried[n] || !one_fits(steps[step], &found[n]) {
            continue;
        }
        tried[n] = true;
        if owner[n].is_none_or(|other| place(other, steps, found, owner, tried)) {
            owner[n] = Some(step);
            return true;
        }
    }
    false
}

fn one_fits(expected: &ExpectedStep, found: &Step) -> bool {
    expected.action == found.action && details(expected, found).is_empty()
}

/// What differs in a step of the right action.
fn details(expected: &ExpectedStep, found: &Step) -> Vec<String> {
    let mut all = match &expected.with {
        Some(with) => misfits(with, &found.parameters),
        None => Vec::new(),
    };
    if let Some(attempts) = expected.attempts.filter(|attempts| *attempts != found.attempts) {
        all.push(format!("attempts: expected {attempts}, found {}", found.attempts));
    }
    if let Some(steps) = &expected.steps {
        match &found.child {
            Some(child) if fit(steps, &child.steps) => {}
            Some(_) => all.push("its own steps differ".to_owned()),
            None => all.push("its own steps: it is mocked, so it has none".to_owned()),
        }
    }
    all
}

/// Groups are written in the order in which their steps were called.
fn flattened<'e>(expected: &'e [Expected], found: &[Step]) -> Vec<&'e ExpectedStep> {
    let mut flat = Vec::new();
    for part in expected {
        match part {
            Expected::One(step) => flat.push(step),
            Expected::Unordered(steps) => {
                let mut group: Vec<&ExpectedStep> = steps.iter().collect();
                let at = |step: &ExpectedStep| {
                    let exact = found.iter().position(|found| one_fits(step, found));
                    exact.or_else(|| found.iter().position(|found| found.action == step.action))
                };
                group.sort_by_key(|step| at(step).unwrap_or(usize::MAX));
                flat.extend(group);
            }
        }
    }
    flat
}

enum Part<'a> {
    Both(&'a ExpectedStep, &'a Step),
    /// The same action, in the same place, called otherwise.
    Differ(&'a ExpectedStep, &'a Step),
    Missing(&'a ExpectedStep),
    Extra(&'a Step),
}

/// The alignment with the most in common: a step that fits counts more than its action alone.
fn aligned<'a>(expected: &[&'a ExpectedStep], found: &'a [Step]) -> Vec<Part<'a>> {
    let score = |e: &ExpectedStep, f: &Step| match (e.action == f.action, one_fits(e, f)) {
        (_, true) => 3,
        (true, false) => 2,
        (false, false) => 0,
    };
    let (rows, columns) = (expected.len(), found.len());
    // `best[i][j]`: the most that the rests from i and j on have in common.
    let mut best = vec![vec![0_u32; columns + 1]; rows + 1];
    for i in (0..rows).rev() {
        for j in (0..columns).rev() {
            let both = match score(expected[i], &found[j]) {
                0 => 0,
                score => score + best[i + 1][j + 1],
            };
            best[i][j] = both.max(best[i + 1][j]).max(best[i][j + 1]);
        }
    }
    let mut parts = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < rows && j < columns {
        let score = score(expected[i], &found[j]);
        if score > 0 && best[i][j] == score + best[i + 1][j + 1] {
            parts.push(match score {
                3 => Part::Both(expected[i], &found[j]),
                _ => Part::Differ(expected[i], &found[j]),
            });
            (i, j) = (i + 1, j + 1);
        } else if best[i][j] == best[i + 1][j] {
            parts.push(Part::Missing(expected[i]));
            i += 1;
        } else {
            parts.push(Part::Extra(&found[j]));
            j += 1;
        }
    }
    parts.extend(expected[i..].iter().map(|step| Part::Missing(step)));
    parts.extend(found[j..].iter().map(Part::Extra));
    parts
}

fn differing(expected: &ExpectedStep, found: &Step) -> Vec<String> {
    let mut lines = vec![format!("  {}", found.action)];
    for detail in details(expected, found) {
        if !detail.starts_with("its own steps differ") {
            lines.push(format!("    {detail}"));
        }
    }
    lines.extend(below(expected, found));
    lines
}

/// The diff of a child's steps.
fn below(expected: &ExpectedStep, found: &Step) -> Vec<String> {
    let Some((expected, child)) = expected.steps.as_ref().zip(found.child.as_ref()) else {
        return Vec::new();
    };
    let lines = steps(expected, &child.steps).unwrap_or_default();
    let indent = |line: String| match line.split_at_checked(2) {
        Some((mark, rest)) => format!("{mark}  {rest}"),
        None => line,
    };
    lines.into_iter().map(indent).collect()
}

fn wanted(step: &ExpectedStep) -> String {
    match &step.with {
        Some(with) => format!("{} {}", step.action, brief(with, SHOWN)),
        None => step.action.to_string(),
    }
}

/// A call, and how it went if it did not go well.
fn called(step: &Step) -> String {
    let shown = format!("{} {}", step.action, brief(&step.parameters, SHOWN));
    match &step.result {
        Some(StepResult::Failed(error)) => format!("{shown} → {error}"),
        _ => shown,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::{Value, json};

    use super::*;

    fn step(action: &str, parameters: Value) -> Step {
        let action = action.parse().unwrap();
        Step { action, parameters, attempts: 1, result: None, child: None }
    }

    fn want(action: &str) -> ExpectedStep {
        let (name, with) = match action.split_once(' ') {
            Some((name, with)) => (name, Some(serde_json::from_str(with).unwrap())),
            None => (action, None),
        };
        ExpectedStep { action: name.parse().unwrap(), with, attempts: None, steps: None }
    }

    fn one(action: &str) -> Expected {
        Expected::One(want(action))
    }

    fn check(expected: &[Expected], found: &[Step], diff: Expect) {
        diff.assert_eq(&steps(expected, found).unwrap_or_default().join("\n"));
    }

    #[test]
    fn steps_fit_in_order_and_groups_in_any() {
        let group = Expected::Unordered(vec![want("a.z"), want("a.y {\"n\":1}"), want("a.y")]);
        let found = [
            step("a.x", json!({})),
            step("a.y", json!({})),
            step("a.y", json!({ "n": 1 })),
            step("a.z", json!({})),
        ];
        check(&[one("a.x"), group], &found, expect![[""]]);
    }

    #[test]
    fn a_diff_shows_what_is_missing_what_is_too_much_and_what_differs() {
        let expected = [
            one("git.export"),
            one("demo.check"),
            one("demo.start {\"to\":\"x\"}"),
            one("demo.switch"),
        ];
        let found = [
            step("git.export", json!({ "commit": "c" })),
            step("demo.start", json!({ "to": "y", "more": 1 })),
            step("demo.stop", json!({ "to": "y" })),
        ];
        check(
            &expected,
            &found,
            expect![[r#"
              git.export
            - demo.check
              demo.start
                to: expected "x", found "y"
            - demo.switch
            + demo.stop {"to":"y"}"#]],
        );
    }
}
