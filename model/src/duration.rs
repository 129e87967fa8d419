//! Lengths of time as users write them: `500ms`, `30s`, `1h30m`, `7d`.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const UNITS: [(&str, u64); 6] = [
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// The longest duration accepted: ten years, so that adding one to a time never overflows.
const MAX_MILLIS: u64 = 3_660 * 86_400_000;

/// A text that is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a duration: expected numbers with units ms, s, m, h, d or w, such as `30s` or `1h30m`, at most ten years"
)]
pub struct BadDuration(String);

/// A length of time in whole milliseconds.
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
#[serde(try_from = "String", into = "String")]
#[schemars(description = "numbers with units, such as `30s` or `1h30m`; at most ten years in all")]
#[schemars(extend("pattern" = r"^([0-9]{1,9}(ms|s|m|h|d|w))+$"))]
pub struct Duration(u64);

impl Duration {
    /// A duration of `millis` milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// A duration of `secs` seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * 1_000)
    }

    /// Its length in milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The same length for the standard library.
    pub const fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }

    /// The time this long after `start`.
    pub fn after(self, start: crate::Timestamp) -> crate::Timestamp {
        // A Duration is at most ten years, but `start` may be near the end of time.
        start.saturating_add(self.to_std()).unwrap_or(crate::Timestamp::MAX)
    }
}

impl FromStr for Duration {
    type Err = BadDuration;

    fn from_str(text: &str) -> Result<Self, BadDuration> {
        let bad = || BadDuration(text.to_owned());
        let mut rest = text;
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, tail) = rest.split_at(digits);
            let letters =
                tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
            let (unit, tail) = tail.split_at(letters);
            let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
            let millis = number.parse::<u64>().ok().and_then(|n| n.checked_mul(*scale));
            total = millis.and_then(|n| total.checked_add(n)).ok_or_else(bad)?;
            rest = tail;
        }
        if text.is_empty() || total > MAX_MILLIS { Err(bad()) } else { Ok(Self(total)) }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (unit, scale) in UNITS.iter().filter(|(unit, _)| *unit != "w") {
            if rest >= *scale {
                write!(f, "{}{unit}", rest / scale)?;
                rest %= scale;
            }
        }
        Ok(())
    }
}

crate::text::as_text!(Duration);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, millis) in [
            ("0s", 0),
            ("500ms", 500),
            ("30s", 30_000),
            ("1h30m", 5_400_000),
            ("7d", 604_800_000),
            ("1w", 604_800_000),
        ] {
            assert_eq!(text.parse(), Ok(Duration(millis)), "{text}");
        }
        assert_eq!(Duration(5_400_500).to_string(), "1h30m500ms");
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        for text in ["", "5", "s", "5 s", "-5s", "5y", "1.5h", "99999999999999999999s", "11000d"] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
    }
}
