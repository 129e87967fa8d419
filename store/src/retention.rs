//! How long finished work is kept, and what follows from it for one fact: the same in every store.

use std::collections::BTreeMap;

use model::{ActionRef, Duration, PackName, RuleRef, Timestamp};

const DAY: u64 = 24 * 60 * 60;

/// Executions above one another that are looked at; chains of them are bounded well below. What
/// is deeper is kept.
pub(crate) const MAX_DEPTH: usize = 64;

/// How long what has ended is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ages {
    /// An event, since it was accepted.
    pub events: Duration,
    /// An execution with its journal, since it ended.
    pub executions: Duration,
}

impl Default for Ages {
    fn default() -> Self {
        Self { events: Duration::from_secs(7 * DAY), executions: Duration::from_secs(30 * DAY) }
    }
}

/// How long what has ended is kept, for each pack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retention {
    /// For packs that are not named.
    pub default: Ages,
    /// For these.
    pub packs: BTreeMap<PackName, Ages>,
}

impl Retention {
    fn all(&self) -> impl Iterator<Item = &Ages> {
        self.packs.values().chain([&self.default])
    }

    fn of(&self, pack: &str) -> &Ages {
        let named = self.packs.iter().find(|(name, _)| name.as_str() == pack);
        named.map_or(&self.default, |(_, ages)| ages)
    }

    /// Nothing that is younger goes.
    pub(crate) fn youngest(&self, now: Timestamp) -> Timestamp {
        let shortest = self.all().flat_map(|ages| [ages.events, ages.executions]).min();
        before(now, shortest.unwrap_or_default())
    }

    /// Executions that ended before this go: of what this rule asked for, else of this action. Whoever asks
    /// owns what it asked for.
    pub(crate) fn executions(
        &self,
        rule: Option<&RuleRef>,
        action: &ActionRef,
        now: Timestamp,
    ) -> Timestamp {
        let owner = rule.map_or(action.pack(), |rule| rule.pack.as_str());
        before(now, self.of(owner).executions)
    }

    /// The data of events of this type and source that were accepted before this goes.
    pub(crate) fn events(&self, kind: &str, source: &str, now: Timestamp) -> Timestamp {
        // `tripline:<installation>/<pack>/<sensor>`, or a type of the pack's own.
        let sensor = source.split('/').nth(1).unwrap_or_default();
        let of_type = kind.split('.').next().unwrap_or_default();
        let named = |pack: &&str| self.packs.keys().any(|name| name.as_str() == *pack);
        let pack = [sensor, of_type].into_iter().find(named).unwrap_or_default();
        before(now, self.of(pack).events)
    }

    /// What a stream said before its latest word goes if it was said before this: it is what an
    /// audit looks at, and kept like executions.
    pub(crate) fn words(&self, now: Timestamp) -> Timestamp {
        before(now, self.default.executions)
    }

    /// Everything of what was pruned goes if it is older than this: nothing is kept for longer,
    /// so nobody can ask any more whether an event came before.
    pub(crate) fn window(&self, now: Timestamp) -> Timestamp {
        let longest = self.all().flat_map(|ages| [ages.events, ages.executions]).max();
        before(now, longest.unwrap_or_default().max(Ages::default().executions))
    }
}

fn before(now: Timestamp, age: Duration) -> Timestamp {
    now.saturating_sub(age.to_std()).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_belongs_to_the_pack_of_its_sensor_or_of_its_type() {
        let long = Ages { events: Duration::from_secs(90 * DAY), ..Ages::default() };
        let keep =
            Retention { packs: [("web".parse().unwrap(), long)].into(), ..Default::default() };
        let now: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
        for (kind, source, kept) in [
            ("git.push", "tripline:i/web/app", true),
            ("web.released", "tripline:i/api/ci", true),
            ("git.push", "tripline:i/other/app", false),
            ("timer.cron", "tripline:i/timer.cron/abc", false),
        ] {
            let days = if kept { 90 } else { 7 };
            assert_eq!(
                keep.events(kind, source, now),
                before(now, Duration::from_secs(days * DAY))
            );
        }
        assert_eq!(keep.window(now), before(now, Duration::from_secs(90 * DAY)));
        assert_eq!(Retention::default().window(now), before(now, Duration::from_secs(30 * DAY)));
    }
}
