//! Identities that are derived, so that a thing told twice is one thing.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{RuleRef, StepPath};

/// Number of base32 characters of an id's digest: 26 × 5 = 130 bits.
pub(crate) const DIGEST_CHARS: usize = 26;

/// A text that is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not {kind} id: expected `{prefix}` and {DIGEST_CHARS} characters a-z, 2-7")]
pub struct BadId {
    kind: &'static str,
    prefix: &'static str,
    found: String,
}

/// RFC 4648 base32 in lower case, without padding, cut to [`DIGEST_CHARS`].
pub(crate) fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bit = |i: usize| (bytes[i / 8] >> (7 - i % 8)) & 1;
    (0..DIGEST_CHARS)
        .map(|c| (0..5).fold(0_u8, |n, b| (n << 1) | bit(c * 5 + b)))
        .map(|n| char::from(ALPHABET[usize::from(n)]))
        .collect()
}

fn digest(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            hasher.update([0]);
        }
        hasher.update(part.as_bytes());
    }
    base32(&hasher.finalize())
}

pub(crate) fn is_digest(text: &str) -> bool {
    text.len() == DIGEST_CHARS && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'))
}

/// An event's key in the store: `ev_` and 26 base32 characters of SHA-256(source, 0, id).
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = r"^ev_[a-z2-7]{26}$"))]
pub struct EventKey(String);

impl EventKey {
    const PREFIX: &'static str = "ev_";

    /// The key of the event that `source` names `id`.
    pub fn derive(source: &str, id: &str) -> Self {
        Self(format!("{}{}", Self::PREFIX, digest(&[source, id])))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EventKey {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        match text.strip_prefix(Self::PREFIX) {
            Some(rest) if is_digest(rest) => Ok(Self(text.to_owned())),
            _ => Err(BadId { kind: "an event", prefix: Self::PREFIX, found: text.to_owned() }),
        }
    }
}

/// An execution's id: `ex_` and 26 base32 characters, or `<parent>/<step path>` for a child. A child that
/// went on by `continue_as` has several runs at its place: `<parent>/<step path>~2` is the second.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = r"^ex_[a-z2-7]{26}(/(undo\.)?[1-9][0-9]{0,6}(\.(0|[1-9][0-9]{0,6})\.[1-9][0-9]{0,6})*(~([2-9]|[1-9][0-9]{1,9}))?)*$"))]
pub struct ExecutionId(String);

impl ExecutionId {
    const PREFIX: &'static str = "ex_";

    /// The execution that `rule` asks for because of `event`; `item` tells several apart.
    pub fn for_rule(event: &EventKey, rule: &RuleRef, item: Option<&str>) -> Self {
        let digest = digest(&[event.as_str(), &rule.to_string(), item.unwrap_or_default()]);
        Self(format!("{}{digest}", Self::PREFIX))
    }

    /// An execution that a person asked for: `random` are 32 bytes of the caller's.
    pub fn random(random: &[u8; 32]) -> Self {
        Self(format!("{}{}", Self::PREFIX, base32(random)))
    }

    /// An execution that `asker`, whatever tells him from others, asked for by a request of this name: asked
    /// again, the same one.
    pub fn for_request(asker: &str, name: &str) -> Self {
        Self(format!("{}{}", Self::PREFIX, digest(&["request", asker, name])))
    }

    /// The execution that goes on where this one ends by `continue_as`: of a child, the next run at its
    /// place.
    #[must_use]
    pub fn continuation(&self) -> Self {
        match self.place() {
            Some((parent, path, run)) => parent.nth_child(&path, run.saturating_add(1)),
            None => Self(format!("{}{}", Self::PREFIX, digest(&["continued", self.as_str()]))),
        }
    }

    /// The child that this execution runs at `path`, as it begins.
    #[must_use]
    pub fn child(&self, path: &StepPath) -> Self {
        self.nth_child(path, 1)
    }

    /// The child that this execution runs at `path`, in the run of this number, from 1.
    #[must_use]
    pub fn nth_child(&self, path: &StepPath, run: u32) -> Self {
        match run {
            0 | 1 => Self(format!("{}/{path}", self.0)),
            run => Self(format!("{}/{path}{RUN}{run}", self.0)),
        }
    }

    /// The execution that runs this one as a step, and the step's path there.
    pub fn parent(&self) -> Option<(Self, StepPath)> {
        self.place().map(|(parent, path, _)| (parent, path))
    }

    /// The execution that runs this one as a step, the step's path there, and which run at that place
    /// this is.
    pub fn place(&self) -> Option<(Self, StepPath, u32)> {
        let (parent, place) = self.0.rsplit_once('/')?;
        let (path, run) = read_place(place)?;
        Some((Self(parent.to_owned()), path, run))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ExecutionId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId { kind: "an execution", prefix: Self::PREFIX, found: text.to_owned() };
        let mut parts = text.split('/');
        let root = parts.next().and_then(|root| root.strip_prefix(Self::PREFIX));
        let children = parts.all(|place| read_place(place).is_some());
        match root {
            Some(root) if is_digest(root) && children => Ok(Self(text.to_owned())),
            _ => Err(bad()),
        }
    }
}

/// Stands between the path of a child's step and the number of its run.
const RUN: char = '~';

/// The path of a child's step and the number of its run; the first has none in its id.
fn read_place(text: &str) -> Option<(StepPath, u32)> {
    let Some((path, run)) = text.split_once(RUN) else { return Some((text.parse().ok()?, 1)) };
    let number: u32 = run.parse().ok()?;
    // One spelling for each: `~02` and `~+2` are none.
    (number > 1 && number.to_string() == run).then_some((path.parse().ok()?, number))
}

/// What an action gets to recognise a repeated performance: `execution/step-path`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key of the step at `path`: the same for every attempt.
    pub fn new(execution: &ExecutionId, path: &StepPath) -> Self {
        Self(format!("{execution}/{path}"))
    }

    /// A key as it was shown. One that no step has finds none.
    pub fn read(shown: impl Into<String>) -> Self {
        Self(shown.into())
    }

    /// The step's execution and its path there.
    pub fn step(&self) -> Option<(ExecutionId, StepPath)> {
        let (execution, path) = self.0.rsplit_once('/')?;
        Some((execution.parse().ok()?, path.parse().ok()?))
    }

    /// The execution that began it all: the step's own, or the one whose descendant that is.
    pub fn root(&self) -> &str {
        self.0.split('/').next().unwrap_or(&self.0)
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Names a batch of facts, so that appending it again answers what the first time did.
#[derive(Debug, Clone, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BatchId(String);

impl BatchId {
    /// A batch named by what it does, such as `event/ev_…`.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

crate::text::as_text!(EventKey, ExecutionId);

macro_rules! shown_as_it_is {
    ($($id:ty),*) => {$(
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}
shown_as_it_is!(EventKey, ExecutionId, IdempotencyKey);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_separator_keeps_source_and_id_apart() {
        assert_ne!(EventKey::derive("a", "bc"), EventKey::derive("ab", "c"));
    }

    #[test]
    fn a_child_knows_its_parent_and_path() {
        let root = ExecutionId::random(&[7; 32]);
        let path: StepPath = "3.0.1".parse().unwrap();
        let child = root.child(&path);
        assert_eq!(child.parent(), Some((root.clone(), path)));
        assert_eq!(child.to_string().parse(), Ok(child));
        assert_eq!(root.parent(), None);
    }

    #[test]
    fn each_run_of_a_child_has_an_id_of_its_own_at_the_same_place() {
        let root = ExecutionId::random(&[7; 32]);
        let path: StepPath = "undo.3.0.1".parse().unwrap();
        let first = root.child(&path);
        let second = first.continuation();
        assert_eq!(second.as_str(), format!("{root}/{path}~2"));
        let third = second.continuation();
        assert_eq!(third, root.nth_child(&path, 3));
        assert_eq!(third.place(), Some((root, path.clone(), 3)));
        let below = third.child(&path).continuation();
        assert_eq!(below.as_str(), format!("{third}/{path}~2"));
        assert_eq!(below.parent(), Some((third.clone(), path.clone())));
        assert_eq!(below.to_string().parse(), Ok(below));
        let key = IdempotencyKey::new(&third, &path);
        assert_eq!(key.step(), Some((third.clone(), path)));
        assert_eq!(IdempotencyKey::read(third.as_str()).step(), None, "a run is no step");
    }

    #[test]
    fn what_is_not_an_id_is_refused() {
        for text in
            ["", "ex_", "ex_short", "ev_aaaaaaaaaaaaaaaaaaaaaaaaa1", "aaaaaaaaaaaaaaaaaaaaaaaaaa"]
        {
            assert!(text.parse::<ExecutionId>().is_err(), "{text}");
            assert!(text.parse::<EventKey>().is_err(), "{text}");
        }
        let root = ExecutionId::random(&[7; 32]);
        for place in ["", "x", "1~", "1~0", "1~1", "1~02", "1~+2", "1~2~3", "~2", "1~4294967296"] {
            assert!(format!("{root}/{place}").parse::<ExecutionId>().is_err(), "{place}");
        }
        assert!(format!("{root}~2").parse::<ExecutionId>().is_err());
    }
}
