//! Which refs are meant: full names in which `*` stands for any text.

use std::fmt;
use std::str::FromStr;

use model::wildcard;

/// A text that names no refs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names no refs: expected a full name such as `refs/heads/main`, where `*` stands for any text, as in `refs/tags/v*`"
)]
pub struct BadPattern(String);

/// A full ref name in which `*` stands for any text, slashes too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefPattern(String);

impl RefPattern {
    /// Whether the ref `name` is meant.
    pub fn matches(&self, name: &str) -> bool {
        wildcard::matches(&self.0, name)
    }

    /// A refspec that brings at least these refs. It always has a `*`, because a fetch of an exact
    /// ref that is not there fails as a whole.
    pub(super) fn refspec(&self) -> String {
        let prefix = self.prefix();
        format!("+{prefix}*:{prefix}*")
    }

    fn prefix(&self) -> &str {
        self.0.split('*').next().unwrap_or_default()
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RefPattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        let odd = |c: char| c.is_whitespace() || c.is_control() || "~^:?[\\".contains(c);
        let bad = text.len() > 1_000
            || text.contains(odd)
            || text.contains("..")
            || text.contains("//")
            || text.contains("@{")
            || text.ends_with(['/', '.']);
        let tail = text.strip_prefix("refs/").filter(|tail| !tail.is_empty());
        match tail {
            Some(_) if !bad => Ok(Self(text.to_owned())),
            _ => Err(BadPattern(text.to_owned())),
        }
    }
}

impl fmt::Display for RefPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, fits) in [
            ("refs/heads/*", "refs/heads/main", true),
            ("refs/heads/*", "refs/heads/team/x", true),
            ("refs/heads/*", "refs/tags/v1", false),
            ("refs/heads/main", "refs/heads/main", true),
            ("refs/heads/main", "refs/heads/main2", false),
        ] {
            assert_eq!(pattern.parse::<RefPattern>().unwrap().matches(name), fits, "{pattern}");
        }
    }

    #[test]
    fn what_names_no_refs_is_refused() {
        for text in ["", "main", "refs/", "refs/heads/a b", "refs/heads/../x", "+refs/heads/*:x"] {
            assert!(text.parse::<RefPattern>().is_err(), "{text}");
        }
    }
}
