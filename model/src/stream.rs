//! Streams: the facts about one thing, in order.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{EventKey, ExecutionId, Name, PackName, RuleRef};

/// A text that names no stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no stream")]
pub struct BadStream(String);

/// The facts about one thing. An append names, for each stream it writes, the version it expects.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = r"^(installation|refusals|(event|execution|sensor|seen|key|rule|pack|token|secret|pages)/.+)$"))]
pub enum Stream {
    /// One event: accepted, repeated, rules that failed on it.
    Event(EventKey),
    /// What of one event's consequences is still to be stored.
    Pages(EventKey),
    /// One execution: its request and its journal.
    Execution(ExecutionId),
    /// One sensor or subscription, by [`crate::EventSource`] without the installation: its cursor.
    Sensor(String),
    /// One object that a sensor saw: `<sensor>/<object>`, the sensor as in [`Stream::Sensor`].
    Seen(String),
    /// One datastore entry: `<scope>/<name>`.
    Key(String),
    /// One named secret, by its path: its versions.
    Secret(String),
    /// One rule's enabled state.
    Rule(RuleRef),
    /// One pack's versions.
    Pack(PackName),
    /// One API token, by its name.
    Token(Name),
    /// The installation: its name, its generations of packs.
    Installation,
    /// Requests to the API that were refused.
    Refusals,
}

/// The position of a stream's last fact, 0 for none: opaque, never a count.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    JsonSchema,
    Serialize,
    Deserialize,
)]
#[serde(transparent)]
pub struct Version(pub u64);

impl Version {
    /// The version of a stream without facts.
    pub const NONE: Self = Self(0);
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(key) => write!(f, "event/{key}"),
            Self::Pages(key) => write!(f, "pages/{key}"),
            Self::Execution(id) => write!(f, "execution/{id}"),
            Self::Sensor(id) => write!(f, "sensor/{id}"),
            Self::Seen(object) => write!(f, "seen/{object}"),
            Self::Key(key) => write!(f, "key/{key}"),
            Self::Secret(path) => write!(f, "secret/{path}"),
            Self::Rule(rule) => write!(f, "rule/{rule}"),
            Self::Pack(pack) => write!(f, "pack/{pack}"),
            Self::Token(name) => write!(f, "token/{name}"),
            Self::Installation => f.write_str("installation"),
            Self::Refusals => f.write_str("refusals"),
        }
    }
}

impl FromStr for Stream {
    type Err = BadStream;

    fn from_str(text: &str) -> Result<Self, BadStream> {
        let bad = || BadStream(text.to_owned());
        match text {
            "installation" => return Ok(Self::Installation),
            "refusals" => return Ok(Self::Refusals),
            _ => {}
        }
        let (kind, rest) = text.split_once('/').ok_or_else(bad)?;
        match kind {
            "event" => rest.parse().map(Self::Event).map_err(|_| bad()),
            "pages" => rest.parse().map(Self::Pages).map_err(|_| bad()),
            "execution" => rest.parse().map(Self::Execution).map_err(|_| bad()),
            "sensor" => Ok(Self::Sensor(rest.to_owned())),
            "seen" => Ok(Self::Seen(rest.to_owned())),
            "key" => Ok(Self::Key(rest.to_owned())),
            "secret" => Ok(Self::Secret(rest.to_owned())),
            "rule" => rest.parse().map(Self::Rule).map_err(|_| bad()),
            "token" => rest.parse().map(Self::Token).map_err(|_| bad()),
            "pack" => rest.parse().map(Self::Pack).map_err(|_| bad()),
            _ => Err(bad()),
        }
    }
}

crate::text::as_text!(Stream);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_read_as_they_are_written() {
        let execution = ExecutionId::random(&[1; 32]).child(&"2.0.1".parse().unwrap());
        for stream in [
            Stream::Event(EventKey::derive("a", "b")),
            Stream::Pages(EventKey::derive("a", "b")),
            Stream::Execution(execution),
            Stream::Sensor("app/push".to_owned()),
            Stream::Seen("kubernetes.object/0a1b/team-a/orders".to_owned()),
            Stream::Key("pack.app/last".to_owned()),
            Stream::Secret("databases/admin".to_owned()),
            Stream::Rule("app.release".parse().unwrap()),
            Stream::Pack("app".parse().unwrap()),
            Stream::Token("ci".parse().unwrap()),
            Stream::Installation,
            Stream::Refusals,
        ] {
            assert_eq!(stream.to_string().parse(), Ok(stream));
        }
    }
}
