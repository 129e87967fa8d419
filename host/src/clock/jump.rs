//! How it is known that the time was set.

use std::fmt;
use std::time::Duration;

use model::Timestamp;

use super::Standing;

/// Less is how clocks are kept right all the time, and how long a busy machine takes to look twice.
const LEAST: Duration = Duration::from_secs(5);

/// The time went another way than the clock has run: it was set, or the machine slept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jump {
    /// How far, in whole milliseconds; backwards it is below zero.
    pub by: jiff::SignedDuration,
    /// The time that it would be.
    pub from: Timestamp,
    /// How the clock stands now.
    pub to: Standing,
}

impl fmt::Display for Jump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let far = self.by.unsigned_abs().as_millis();
        let far = model::Duration::from_millis(u64::try_from(far).unwrap_or(u64::MAX));
        match self.by.is_negative() {
            true => write!(f, "the clock went back by {far}: it was set"),
            false => write!(f, "the clock went forward by {far}: it was set, or the machine slept"),
        }
    }
}

impl Jump {
    /// What the clock did between the two, if that was far enough.
    pub(super) fn between(before: Standing, now: Standing) -> Option<Self> {
        let passed = now.passed.saturating_sub(before.passed);
        let from = before.time.saturating_add(passed).unwrap_or(Timestamp::MAX);
        let from = super::whole_millis(from);
        let by = now.time.duration_since(from);
        (by.unsigned_abs() > LEAST).then_some(Self { by, from, to: now })
    }
}
