//! Who may do what through the API: roles, and the packs they hold for.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Hash, Timestamp, wildcard};

/// How much a token allows; each role includes those before it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Looks at everything but secrets, and changes nothing.
    Viewer,
    /// Starts and ends work, answers for it, switches rules, writes the datastore.
    Operator,
    /// Hands out tokens, reads the audit, keeps secrets and the installation.
    Admin,
}

/// A role that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no role: expected viewer, operator or admin")]
pub struct BadRole(String);

impl Role {
    /// Every role, from the least to the most.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The role as text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = BadRole;

    fn from_str(text: &str) -> Result<Self, BadRole> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| BadRole(text.to_owned()))
    }
}

/// The scope of the datastore that all packs share; no pack can be called so.
pub const GLOBAL: &str = "global";

/// A pattern over the names of packs: `*` stands for any run of characters.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = r"^[a-z0-9_*]+$"))]
pub struct PackPattern(String);

/// A text that is no such pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no pattern of pack names: expected a-z, 0-9, `_` and `*`, such as `team_*`")]
pub struct BadPackPattern(String);

impl PackPattern {
    /// Whether the pack of this name is meant. What all packs share is none of them: [`GLOBAL`] is meant
    /// by its own name alone.
    pub fn covers(&self, pack: &str) -> bool {
        match pack {
            GLOBAL => self.0 == GLOBAL,
            pack => wildcard::matches(&self.0, pack),
        }
    }
}

impl FromStr for PackPattern {
    type Err = BadPackPattern;

    fn from_str(text: &str) -> Result<Self, BadPackPattern> {
        let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'*');
        if !text.is_empty() && text.bytes().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadPackPattern(text.to_owned()))
        }
    }
}

impl fmt::Display for PackPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

crate::text::as_text!(PackPattern);

/// What a token allows.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Grant {
    /// How much.
    pub role: Role,
    /// Of which packs; empty: of the whole installation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packs: Vec<PackPattern>,
}

impl Grant {
    /// Everything.
    pub const ADMIN: Self = Self { role: Role::Admin, packs: Vec::new() };

    /// Whether it holds for the whole installation.
    pub fn is_whole(&self) -> bool {
        self.packs.is_empty()
    }

    /// Whether it holds for what belongs to `pack`.
    pub fn covers(&self, pack: &str) -> bool {
        self.is_whole() || self.packs.iter().any(|pattern| pattern.covers(pack))
    }
}

/// An API token as it is stored: never the token itself.
///
/// The hash is a plain SHA-256. A token is 256 random bits, so there is nothing to guess that a
/// slow hash would protect, and every request is checked against it.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct TokenCreated {
    /// The SHA-256 of the token.
    pub hash: Hash,
    /// What it allows.
    pub grant: Grant,
    /// When it ceases to.
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_the_packs_that_it_fits() {
        let pattern: PackPattern = "team_*".parse().unwrap();
        assert!(pattern.covers("team_a") && !pattern.covers("a_team_a"));
        assert!("Team".parse::<PackPattern>().is_err());
        for (pattern, covers) in [("*", false), ("g*", false), ("global", true), ("globa*", false)]
        {
            let pattern: PackPattern = pattern.parse().unwrap();
            assert_eq!(pattern.covers(GLOBAL), covers, "{pattern}");
        }
    }

    #[test]
    fn a_role_includes_those_before_it() {
        assert!(Role::Admin > Role::Operator && Role::Operator > Role::Viewer);
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert_eq!(
            "root".parse::<Role>().unwrap_err().to_string(),
            "`root` is no role: expected viewer, operator or admin"
        );
    }

    #[test]
    fn a_grant_without_packs_covers_all() {
        assert!(Grant::ADMIN.covers("anything"));
        let limited = Grant { role: Role::Admin, packs: vec!["team_*".parse().unwrap()] };
        assert!(limited.covers("team_a") && !limited.covers("core"));
    }
}
