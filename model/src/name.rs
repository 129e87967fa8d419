//! Names of things that users write: packs, rules, actions, sensors, trigger types.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A text that is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// Not `[a-z][a-z0-9_]*`.
    #[error("`{0}` is not a name: expected a-z, then a-z, 0-9 or _")]
    Name(String),
    /// Not `pack.name`.
    #[error("`{0}` is not a reference: expected `pack.name`")]
    Reference(String),
    /// Not at least two names joined by dots.
    #[error("`{0}` is not {1}: expected names joined by dots, such as `{2}`")]
    Dotted(String, &'static str, &'static str),
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

crate::text::as_text!(Name, RuleRef, SensorRef, ActionRef, TriggerType);

/// An object's name, which is its file's stem: `[a-z][a-z0-9_]*`.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = r"^[a-z][a-z0-9_]*$"))]
pub struct Name(String);

/// A pack's name has the form of any name.
pub type PackName = Name;

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        if is_name(text) { Ok(Self(text.to_owned())) } else { Err(BadName::Name(text.to_owned())) }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! pack_ref {
    ($(#[$doc:meta] $name:ident),*) => {$(
        #[$doc]
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(extend("pattern" = r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$"))]
        pub struct $name {
            /// The pack that owns it.
            pub pack: PackName,
            /// Its name in the pack.
            pub name: Name,
        }

        impl $name {
            /// `pack.name` of two names.
            pub fn new(pack: PackName, name: Name) -> Self {
                Self { pack, name }
            }
        }

        impl FromStr for $name {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                let parts = text.split_once('.').map(|(pack, name)| (pack.parse(), name.parse()));
                match parts {
                    Some((Ok(pack), Ok(name))) => Ok(Self { pack, name }),
                    _ => Err(BadName::Reference(text.to_owned())),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}.{}", self.pack, self.name)
            }
        }
    )*};
}
pack_ref!(
    /// A rule: `pack.name`.
    RuleRef,
    /// A named sensor: `pack.name`.
    SensorRef
);

macro_rules! dotted {
    ($(#[$doc:meta] $name:ident, $kind:literal, $example:literal);*) => {$(
        #[$doc]
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(extend("pattern" = r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$"))]
        pub struct $name(String);

        impl $name {
            /// The reference as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The first part: a pack, or a prefix of what is built in.
            pub fn pack(&self) -> &str {
                self.0.split('.').next().unwrap_or_default()
            }

            /// What follows the first part.
            pub fn name(&self) -> &str {
                self.0.split_once('.').map_or("", |(_, name)| name)
            }
        }

        impl FromStr for $name {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                let dotted = text.contains('.') && text.split('.').all(is_name);
                if dotted {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(BadName::Dotted(text.to_owned(), $kind, $example))
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}
dotted!(
    /// An action, built in (`core.echo`, `aws.rds.ensure`) or a pack's (`databases.provision`).
    ActionRef, "an action reference", "core.echo";
    /// A kind of event that a rule can name, such as `git.push`.
    TriggerType, "a trigger type", "git.push"
);

/// Who did something: carried by every fact, so that an audit is a query.
#[derive(Debug, Clone, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Actor(String);

impl Actor {
    /// The engine itself, acting on what is stored.
    pub fn engine() -> Self {
        Self("engine".to_owned())
    }

    /// The holder of an API token.
    pub fn token(name: &str) -> Self {
        Self(format!("token:{name}"))
    }

    /// The name of the token, if it is the holder of one.
    pub fn token_name(&self) -> Option<&str> {
        self.0.strip_prefix("token:")
    }

    /// Somebody without a good token, who sent a request from there.
    pub fn address(address: &str) -> Self {
        Self(format!("address:{address}"))
    }

    /// The actor as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_references_are_strict() {
        for good in ["a", "a1", "mysql_db"] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        for bad in ["", "A", "1a", "_a", "a-b", "ä"] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
        assert!("a.b".parse::<RuleRef>().is_ok());
        assert!("a.b.c".parse::<RuleRef>().is_err());
        assert_eq!("aws.rds.ensure".parse::<ActionRef>().unwrap().name(), "rds.ensure");
        assert!("echo".parse::<ActionRef>().is_err());
    }
}
