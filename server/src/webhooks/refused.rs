//! Requests that were refused, counted since the start by sensor and reason. They are not stored:
//! anybody can send them.
//!
//! The log tells of the first from an address, and of those that follow within a minute by one
//! number at its end. At most [`MOST`] are told apart at a time, all others are counted together:
//! however many requests are refused, some lines a minute say so.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::WebhookRefused;
use model::{Duration, Timestamp};

/// Those who are told apart at a time; a sender with an old secret is one.
const MOST: usize = 20;
/// How long refusals are counted before the log tells their number.
const WINDOW: Duration = Duration::from_secs(60);

/// How often something was refused for each reason.
pub(crate) type Counts = BTreeMap<&'static str, u64>;

/// All refusals; clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refusals(Arc<Mutex<Refused>>);

#[derive(Debug, Default)]
struct Refused {
    counts: BTreeMap<String, Counts>,
    /// What is counted before it is told, and until when.
    open: BTreeMap<Group, (Timestamp, u64)>,
}

/// Refusals that are told as one. Without an address: those of too many.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    sensor: String,
    kind: &'static str,
    from: Option<IpAddr>,
}

impl Refusals {
    /// Those of one sensor.
    pub(crate) fn of(&self, sensor: &str) -> Counts {
        self.lock().counts.get(sensor).cloned().unwrap_or_default()
    }

    /// Counts a refusal, and tells of it if it is the first of its kind.
    pub(super) fn note(
        &self,
        sensor: &str,
        from: Option<IpAddr>,
        refused: &WebhookRefused,
        now: Timestamp,
    ) {
        let group = Group { sensor: sensor.to_owned(), kind: refused.kind, from };
        let first = self.lock().count(group, now);
        if let Some(Group { from, .. }) = first {
            let from = shown(from);
            tracing::info!(
                sensor,
                kind = refused.kind,
                from,
                "refused a webhook: {}",
                refused.message
            );
        }
    }

    /// Tells of those that have been counted for long enough; at the `end`, of all.
    pub(crate) fn tell(&self, now: Timestamp, end: bool) {
        let over = self.lock().close(now, end);
        for (Group { sensor, kind, from }, more) in over {
            tracing::info!(sensor, kind, from = shown(from), more, "refused more such webhooks");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Refused> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shown(from: Option<IpAddr>) -> String {
    from.map_or_else(|| "many".to_owned(), |from| from.to_string())
}

impl Refused {
    /// Counts one; what it is told as, if it is the first.
    fn count(&mut self, mut group: Group, now: Timestamp) -> Option<Group> {
        *self.counts.entry(group.sensor.clone()).or_default().entry(group.kind).or_default() += 1;
        if self.open.len() >= MOST && !self.open.contains_key(&group) {
            group.from = None;
        }
        if let Some((_, more)) = self.open.get_mut(&group) {
            *more += 1;
            return None;
        }
        self.open.insert(group.clone(), (WINDOW.after(now), 0));
        Some(group)
    }

    /// Those whose time is over, and that were more than one.
    fn close(&mut self, now: Timestamp, end: bool) -> Vec<(Group, u64)> {
        let over: Vec<Group> = self
            .open
            .iter()
            .filter(|(_, (until, _))| end || *until <= now)
            .map(|(group, _)| group.clone())
            .collect();
        let closed = over.into_iter().filter_map(|group| {
            let (_, more) = self.open.remove(&group)?;
            (more > 0).then_some((group, more))
        });
        closed.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn forged(from: u32) -> Group {
        let from = Some(IpAddr::from(from.to_be_bytes()));
        Group { sensor: "ci.hook".to_owned(), kind: "bad_signature", from }
    }

    #[test]
    fn the_first_is_told_at_once_and_the_number_of_the_others_a_minute_later() {
        let mut refused = Refused::default();
        assert_eq!(refused.count(forged(1), at(0)), Some(forged(1)));
        for second in 0..50 {
            assert_eq!(refused.count(forged(1), at(second)), None);
        }
        assert_eq!(refused.close(at(59), false), []);
        assert_eq!(refused.close(at(60), false), [(forged(1), 50)]);
        assert_eq!(refused.count(forged(1), at(61)), Some(forged(1)), "a new minute");
        assert_eq!(refused.close(at(61), true), [], "there was one");
        assert_eq!(refused.counts["ci.hook"]["bad_signature"], 52);
    }

    #[test]
    fn a_flood_from_everywhere_makes_some_lines_and_fills_no_memory() {
        let mut refused = Refused::default();
        let told = (0..3_000).filter(|n| refused.count(forged(*n), at(0)).is_some()).count();
        assert_eq!(told, MOST + 1, "those told apart, and all others as one");
        assert_eq!(refused.open.len(), MOST + 1);
        let others = Group { from: None, ..forged(0) };
        assert_eq!(refused.close(at(60), false), [(others, 3_000 - MOST as u64 - 1)]);
    }
}
