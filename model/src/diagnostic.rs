//! What is wrong with a file a user wrote: where, what was found, what to do.

use std::collections::BTreeSet;
use std::fmt;

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The file as the user knows it.
    pub file: String,
    /// Line, from 1; 0 where the whole file is meant.
    pub line: usize,
    /// Column in characters, from 1; 0 where the whole line is meant.
    pub column: usize,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// It can, and will surprise somebody.
    Warning,
}

/// One finding about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Where.
    pub at: Location,
    /// The offending line's text, where there is one.
    pub line: Option<String>,
    /// Whether a value that nobody should see stands there: no line of its file is shown then.
    pub private: bool,
    /// What was found and what was expected.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Location {
    /// A file as a whole.
    pub fn file(file: impl Into<String>) -> Self {
        Self { file: file.into(), line: 0, column: 0 }
    }
}

impl Diagnostic {
    /// An error at `at`.
    pub fn error(at: Location, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            at,
            line: None,
            private: false,
            message: message.into(),
            hint: None,
        }
    }

    /// A warning at `at`.
    pub fn warning(at: Location, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(at, message) }
    }

    /// The same finding with what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same finding showing its line out of the whole `text` of the file.
    #[must_use]
    pub fn in_text(mut self, text: &str) -> Self {
        let shown = self.at.line.checked_sub(1).and_then(|n| text.lines().nth(n));
        self.line = shown.map(ToOwned::to_owned);
        self
    }

    /// The same finding, which is about a value that nobody should see.
    #[must_use]
    pub fn privately(mut self) -> Self {
        (self.line, self.private) = (None, true);
        self
    }

    /// The same finding without its line, in which such a value may stand.
    #[must_use]
    pub fn without_line(mut self) -> Self {
        self.line = None;
        self
    }

    /// On one line, as a log wants it: the place, what was found, what to do.
    pub fn in_short(&self) -> String {
        let hint = self.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        let told = format!("{}: {}{hint}", self.at, self.message);
        told.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Whether this keeps the file from being used.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if self.column > 0 {
            write!(f, ":{}", self.column)?;
        }
        Ok(())
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}: {}\n  at {}", self.message, self.at)?;
        if let Some(line) = &self.line {
            let number = self.at.line.to_string();
            write!(f, "\n  {number} | {line}")?;
            if self.at.column > 0 {
                let gutter = number.len() + 3 + self.at.column - 1;
                write!(f, "\n  {:gutter$}^", "")?;
            }
        }
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// The findings of one file. Where one of them is private none shows its line: the value may stand
/// in it too, or go on in it.
pub fn of_one_file(findings: Vec<Diagnostic>) -> Vec<Diagnostic> {
    match findings.iter().any(|finding| finding.private) {
        true => findings.into_iter().map(Diagnostic::without_line).collect(),
        false => findings,
    }
}

/// The candidate that `found` was probably meant to be: at most a third of it is different.
pub fn suggest<'a>(found: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let bound = (found.chars().count() / 3).max(1);
    let scored = candidates.into_iter().map(|known| (edits(found, known), known));
    scored.filter(|(distance, _)| *distance <= bound).min().map(|(_, known)| known)
}

/// There is no `what` of this name, and which known one was probably meant: on one line, for
/// errors that have no hint of their own. Of a pack that has some, it is none of another pack.
pub fn unknown<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let own = name.find('.').map(|dot| &name[..=dot]);
    let own = own.filter(|own| known.iter().any(|known| known.starts_with(own)));
    let known = known.into_iter().filter(|known| own.is_none_or(|own| known.starts_with(own)));
    let meant = suggest(name, known).map(|known| format!("; did you mean `{known}`?"));
    format!("there is no {what} `{name}`{}", meant.unwrap_or_default())
}

/// What to do about a name that stands for nothing: a near one, else those that begin alike, else
/// how names begin.
pub fn instead<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: BTreeSet<&str> = known.into_iter().collect();
    if let Some(meant) = suggest(found, known.iter().copied()) {
        return format!("did you mean `{meant}`?");
    }
    let begin = found.split_inclusive('.').next().unwrap_or_default();
    let alike: Vec<&str> = known.iter().copied().filter(|name| name.starts_with(begin)).collect();
    if !alike.is_empty() {
        return format!("known here: {}", alike.join(", "));
    }
    let groups = known.iter().map(|name| match name.split_once('.') {
        Some((first, _)) => format!("{first}.*"),
        None => (*name).to_owned(),
    });
    let groups: BTreeSet<String> = groups.collect();
    match groups.is_empty() {
        true => "there is none here to name".to_owned(),
        false => format!("known here: {}", groups.into_iter().collect::<Vec<_>>().join(", ")),
    }
}

/// Edit distance with swaps of neighbours (optimal string alignment).
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut next = vec![i + 1];
        for j in 0..b.len() {
            let replaced = row[j] + usize::from(a[i] != b[j]);
            let mut best = replaced.min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                best = best.min(before[j - 1] + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_finding_shows_its_line_and_what_to_do() {
        let at = Location { file: "rules/a.yaml".to_owned(), line: 2, column: 3 };
        let finding = Diagnostic::error(at, "unknown field `triger`")
            .with_hint("did you mean `trigger`?")
            .in_text("a: 1\n  triger: x\n");
        expect![[r#"
            error: unknown field `triger`
              at rules/a.yaml:2:3
              2 |   triger: x
                    ^
              hint: did you mean `trigger`?"#]]
        .assert_eq(&finding.to_string());
        expect!["rules/a.yaml:2:3: unknown field `triger` (did you mean `trigger`?)"]
            .assert_eq(&finding.in_short());
    }

    #[test]
    fn a_name_that_stands_for_nothing_is_answered_with_those_that_could_be_meant() {
        let known = ["core.echo", "core.noop", "git.export", "app"];
        for (found, hint) in [
            ("core.nop", "did you mean `core.noop`?"),
            ("core.print", "known here: core.echo, core.noop"),
            ("moon.land", "known here: app, core.*, git.*"),
        ] {
            assert_eq!(instead(found, known), hint);
        }
        assert_eq!(instead("moon", []), "there is none here to name");
    }

    #[test]
    fn of_a_pack_that_has_some_no_other_packs_name_is_meant() {
        let known = ["shop.ship", "shop2.shp", "chop.ship"];
        for (found, told) in [
            ("shop.shp", "there is no rule `shop.shp`; did you mean `shop.ship`?"),
            ("shop.paint", "there is no rule `shop.paint`"),
            ("shp.ship", "there is no rule `shp.ship`; did you mean `shop.ship`?"),
        ] {
            assert_eq!(unknown("rule", found, known), told);
        }
    }

    #[test]
    fn a_slip_is_recognised_and_nonsense_is_not() {
        let known = ["trigger", "criteria", "action"];
        assert_eq!(suggest("triger", known), Some("trigger"));
        assert_eq!(suggest("actoin", known), Some("action"));
        assert_eq!(suggest("colour", known), None);
    }
}
