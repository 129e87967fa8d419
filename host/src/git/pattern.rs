//! Which refs are meant: full names in which `*` stands for any text.

use std::fmt;
use std::str::FromStr;

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
        let Some((prefix, rest)) = self.0.split_once('*') else { return self.0 == name };
        let Some(name) = name.strip_prefix(prefix) else { return false };
        let (middle, suffix) = rest.rsplit_once('*').unwrap_or(("", rest));
        let Some(mut name) = name.strip_suffix(suffix) else { return false };
        for part in middle.split('*') {
            let Some(at) = name.find(part) else { return false };
            name = &name[at + part.len()..];
        }
        true
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
            ("refs/tags/v*-rc*", "refs/tags/v1.2-rc3", true),
            ("refs/tags/v*-rc*", "refs/tags/v1.2", false),
            ("refs/heads/*/a*b", "refs/heads/x/aab", true),
            ("refs/heads/*/a*b", "refs/heads/x/ac", false),
            ("refs/heads/a*a", "refs/heads/a", false),
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
