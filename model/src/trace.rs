//! Where a thing stands in a distributed trace: W3C Trace Context, version 00.
//!
//! Ids are derived from those of events, executions and steps, so that a trace goes on after a
//! restart as if there had been none; only what came from outside is stored.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A place in a trace, written `00-<trace>-<span>-<flags>` in lower-case hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, JsonSchema, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = PATTERN))]
pub struct TraceParent {
    /// The trace.
    pub trace: u128,
    /// The span in it.
    pub span: u64,
    /// Whether who began the trace records it.
    pub sampled: bool,
}

const PATTERN: &str = "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$";

/// A text that is no place in a trace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no traceparent: expected 00-<32 hex digits>-<16 hex digits>-<2 hex digits> in lower case, neither id all zeros"
)]
pub struct BadTraceParent(String);

impl TraceParent {
    /// The beginning of a trace of its own, for the thing of this name.
    pub fn root(name: &str) -> Self {
        let digest = Sha256::new().chain_update("trace\0").chain_update(name).finalize();
        let trace = digest[..16].iter().fold(0, |id, byte| id << 8 | u128::from(*byte));
        // Zeros alone are no id.
        Self { trace: trace.max(1), span: span(name), sampled: true }
    }

    /// The place of the thing of this name in the same trace.
    #[must_use]
    pub fn within(self, name: &str) -> Self {
        Self { span: span(name), ..self }
    }
}

/// The span of the thing of this name.
fn span(name: &str) -> u64 {
    let digest = Sha256::new().chain_update("span\0").chain_update(name).finalize();
    digest[..8].iter().fold(0, |id, byte| id << 8 | u64::from(*byte)).max(1)
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

impl FromStr for TraceParent {
    type Err = BadTraceParent;

    /// Reads later versions too, of which the beginning is the same.
    fn from_str(text: &str) -> Result<Self, BadTraceParent> {
        parse(text).ok_or_else(|| BadTraceParent(text.chars().take(80).collect()))
    }
}

fn parse(text: &str) -> Option<TraceParent> {
    let hex = |part: &str, digits| {
        let lower = part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        (lower && part.len() == digits).then(|| u128::from_str_radix(part, 16).ok())?
    };
    let mut parts = text.split('-');
    let (version, trace) = (hex(parts.next()?, 2)?, hex(parts.next()?, 32)?);
    let (span, flags) = (hex(parts.next()?, 16)? as u64, hex(parts.next()?, 2)?);
    let known = version == 0 && parts.next().is_none() || (1..0xff).contains(&version);
    let read = TraceParent { trace, span, sampled: flags & 1 == 1 };
    (known && trace != 0 && span != 0).then_some(read)
}

crate::text::as_text!(TraceParent);

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    #[test]
    fn places_read_as_they_are_written() {
        for flags in ["00", "01"] {
            let text = format!("00-{TRACE}-b7ad6b7169203331-{flags}");
            let read: TraceParent = text.parse().unwrap();
            assert_eq!(read.to_string(), text);
            assert_eq!(read.sampled, flags == "01");
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = format!("01-{TRACE}-b7ad6b7169203331-03-more");
        let read: TraceParent = later.parse().unwrap();
        assert_eq!(read.to_string(), format!("00-{TRACE}-b7ad6b7169203331-01"));
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in [
            "",
            "00",
            &format!("00-{TRACE}-b7ad6b7169203331"),
            &format!("00-{TRACE}-b7ad6b7169203331-1"),
            &format!("00-{TRACE}-b7ad6b7169203331-01-more"),
            &format!("ff-{TRACE}-b7ad6b7169203331-01"),
            &format!("00-{}-b7ad6b7169203331-01", TRACE.to_uppercase()),
            &format!("00-{TRACE}-0000000000000000-01"),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert!(text.parse::<TraceParent>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_derived_is_the_same_each_time_and_another_for_another_name() {
        let event = TraceParent::root("ev_a");
        assert_eq!(event, TraceParent::root("ev_a"));
        assert_ne!(event.trace, TraceParent::root("ev_b").trace);
        let step = event.within("ex_a/1");
        assert_eq!((step.trace, step), (event.trace, event.within("ex_a/1")));
        assert_ne!(step.span, event.within("ex_a/2").span);
    }
}
