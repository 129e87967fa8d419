//! Where in a chain a call stands: the same on every replay.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A text that is not a step path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a step's path: expected numbers joined by dots, such as `3` or `3.0.1`")]
pub struct BadPath(String);

/// A step's place: `n(.branch.n)*`, where n counts every journaled call of its level from 1 and
/// branches are numbered from 0. A call made by an `undo` or `on_exit` handler is
/// `undo.<path of its registration>.n`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = r"^(undo\.)?[1-9][0-9]{0,6}(\.(0|[1-9][0-9]{0,6})\.[1-9][0-9]{0,6})*$"))]
pub struct StepPath {
    handler: bool,
    numbers: Vec<u32>,
}

impl StepPath {
    /// The call `n` of the top level.
    pub fn top(n: u32) -> Self {
        Self { handler: false, numbers: vec![n] }
    }

    /// The call `n` below this prefix (a branch, or a handler).
    #[must_use]
    pub fn join(&self, n: u32) -> Self {
        let mut path = self.clone();
        path.numbers.push(n);
        path
    }

    /// The prefix of the calls that the handler registered here makes.
    #[must_use]
    pub fn handler(&self) -> Self {
        Self { handler: true, numbers: self.numbers.clone() }
    }

    /// Whether a handler made this call.
    pub const fn is_handler(&self) -> bool {
        self.handler
    }

    /// The numbers of the path, outermost first.
    pub fn numbers(&self) -> &[u32] {
        &self.numbers
    }

    /// Whether the call here needs nothing of the call at `other`: it comes before, or stands in
    /// a branch beside it. Handlers come after everything.
    pub fn does_not_follow(&self, other: &Self) -> bool {
        if self.handler || other.handler {
            return !self.handler;
        }
        let differs = self.numbers.iter().zip(&other.numbers).position(|(a, b)| a != b);
        // Calls and branches alternate.
        differs.is_some_and(|at| at % 2 == 1 || self.numbers[at] < other.numbers[at])
    }

    /// Whether this path lies below `prefix` (or is it).
    pub fn starts_with(&self, prefix: &Self) -> bool {
        self.handler == prefix.handler && self.numbers.starts_with(&prefix.numbers)
    }
}

/// Calls of the chain in their order, then those of handlers.
impl Ord for StepPath {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.handler, &self.numbers).cmp(&(other.handler, &other.numbers))
    }
}

impl PartialOrd for StepPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for StepPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.handler {
            f.write_str("undo.")?;
        }
        for (i, n) in self.numbers.iter().enumerate() {
            let dot = if i == 0 { "" } else { "." };
            write!(f, "{dot}{n}")?;
        }
        Ok(())
    }
}

impl FromStr for StepPath {
    type Err = BadPath;

    fn from_str(text: &str) -> Result<Self, BadPath> {
        let bad = || BadPath(text.to_owned());
        let (handler, rest) = match text.strip_prefix("undo.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let number = |part: &str| {
            let plain =
                part.bytes().all(|b| b.is_ascii_digit()) && (part == "0" || !part.starts_with('0'));
            if plain { part.parse().map_err(|_| bad()) } else { Err(bad()) }
        };
        let numbers = rest.split('.').map(number).collect::<Result<_, _>>()?;
        Ok(Self { handler, numbers })
    }
}

crate::text::as_text!(StepPath);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_as_they_are_written_and_sort_by_number() {
        let mut paths: Vec<StepPath> =
            ["undo.2.1", "10", "3.0.1", "2"].iter().map(|p| p.parse().unwrap()).collect();
        paths.sort();
        let shown: Vec<String> = paths.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["2", "3.0.1", "10", "undo.2.1"]);
    }

    #[test]
    fn what_is_not_a_path_is_refused() {
        for text in ["", "a", "1.", ".1", "01", "-1", "undo", "undo.", "1..2", "4294967296", "+1"] {
            assert!(text.parse::<StepPath>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_comes_before_or_stands_beside_does_not_follow() {
        let path = |text: &str| text.parse::<StepPath>().unwrap();
        for (at, other, expected) in [
            ("2", "3", true),
            ("3", "3", false),
            ("4", "3", false),
            ("2.7.9", "3", true),
            ("3.0.1", "3.0.2", true),
            ("3.0.3", "3.0.2", false),
            ("3.1.9", "3.0.2", true),
            ("4", "3.0.2", false),
            ("2", "3.0.2", true),
            ("3.0.2.1.1", "3.0.2", false),
            ("undo.1.1", "9", false),
        ] {
            assert_eq!(path(at).does_not_follow(&path(other)), expected, "{at} after {other}");
        }
    }
}
