//! When a timer fires: pure functions of time.

use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use croner::{Cron, Direction};
use jiff::tz::TimeZone;
use model::{Duration, Hash, Timestamp};

/// A cron expression or zone that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCron {
    /// Not five cron fields.
    #[error("`{0}` is not a cron expression of five fields (minute hour day month weekday): {1}")]
    Malformed(String, String),
    /// A date that does not exist.
    #[error("`{0}` never fires: there is no such date")]
    Never(String),
    /// Not a zone of the time zone database.
    #[error("`{0}` is not a time zone: expected a name such as UTC or Europe/Berlin")]
    Zone(String),
}

/// A delay below a bound, the same for the same source and time however often it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jitter(pub Duration);

/// When a timer fires.
#[derive(Debug, Clone)]
pub enum Schedule {
    /// By a cron expression on the clock of a zone.
    Cron(Box<Cron>, TimeZone, Jitter),
    /// At every multiple of this since 1970-01-01T00:00Z: restarts don't shift it.
    Interval(Duration),
    /// Once.
    At(Timestamp),
}

/// The fields of a cron expression, in their order, and what each may hold.
const FIELDS: [(&str, &str); 5] = [
    ("minute", "0-59"),
    ("hour", "0-23"),
    ("day", "1-31, L or W"),
    ("month", "1-12 or JAN-DEC"),
    ("weekday", "0-7 or SUN-SAT, both 0 and 7 are Sunday"),
];

fn parse(expression: &str) -> Result<Cron, CronError> {
    CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build()
        .parse(expression)
}

/// What is wrong with an expression that croner refuses: the field that does not fit, as far as it
/// is one by itself.
fn spoken(expression: &str, error: &CronError) -> String {
    let parts: Vec<&str> = expression.split_whitespace().collect();
    // Such as `@daily`.
    let nickname = expression.trim_start().starts_with('@');
    match wrong_field(&parts).filter(|_| !nickname) {
        Some(wrong) => wrong,
        None if parts.len() != FIELDS.len() && !nickname => format!("it has {}", parts.len()),
        // In croner's words, without the name of the part of it that speaks.
        None => {
            let text = error.to_string();
            text.rsplit(": ").next().unwrap_or_default().trim_end_matches('.').to_lowercase()
        }
    }
}

fn wrong_field(parts: &[&str]) -> Option<String> {
    let alone = |n: usize, part: &str| {
        let mut fields = ["*"; FIELDS.len()];
        fields[n] = part;
        parse(&fields.join(" "))
    };
    let mut each = FIELDS.iter().zip(parts).enumerate().filter(|_| parts.len() == FIELDS.len());
    let (_, ((name, range), part)) = each.find(|(n, (_, part))| alone(*n, part).is_err())?;
    Some(format!("`{part}` is no {name}: expected {range}"))
}

impl Schedule {
    /// A schedule by cron expression.
    pub fn cron(expression: &str, zone: &str, jitter: Jitter) -> Result<Self, BadCron> {
        let cron = parse(expression).map_err(|error| {
            BadCron::Malformed(expression.to_owned(), spoken(expression, &error))
        })?;
        let zone = TimeZone::get(zone)
            .ok()
            .filter(|found| !found.is_unknown())
            .ok_or_else(|| BadCron::Zone(zone.to_owned()))?;
        let schedule = Self::Cron(Box::new(cron), zone, jitter);
        match schedule.after(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(schedule),
            None => Err(BadCron::Never(expression.to_owned())),
        }
    }

    /// Whether it fires once at most.
    pub(super) const fn is_once(&self) -> bool {
        matches!(self, Self::At(_))
    }

    /// Up to when nothing is due for a timer first seen at `now`: an `at` in the past still is.
    pub(super) fn beginning(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::At(time) => time.checked_sub(Duration::from_millis(1).to_std()).ok(),
            Self::Cron(..) | Self::Interval(_) => Some(now),
        }
    }

    /// The first scheduled time after `since`.
    pub fn after(&self, since: Timestamp) -> Option<Timestamp> {
        match self {
            Self::At(time) => (*time > since).then_some(*time),
            Self::Interval(every) => {
                let millis = i64::try_from(every.as_millis().max(1)).ok()?;
                let next = since.as_millisecond().div_euclid(millis).checked_add(1)?;
                Timestamp::from_millisecond(next.checked_mul(millis)?).ok()
            }
            Self::Cron(cron, zone, _) => {
                let since = since.to_zoned(zone.clone());
                cron.find_next_occurrence(&since, false).ok().map(|next| next.timestamp())
            }
        }
    }

    /// When the time scheduled at `scheduled` fires: never as late as the next one is scheduled,
    /// so that firings keep their order.
    pub(super) fn fire_at(&self, source: &str, scheduled: Timestamp) -> Timestamp {
        let Self::Cron(_, _, Jitter(max)) = self else { return scheduled };
        if max.as_millis() == 0 {
            return scheduled;
        }
        let time = scheduled.to_string();
        let parts = [("source", source.as_bytes()), ("time", time.as_bytes())];
        let hash = Hash::of_parts(parts);
        let number = hash.as_bytes().iter().take(8).fold(0, |n, byte| n << 8 | u64::from(*byte));
        let delay = Duration::from_millis(number % (max.as_millis() + 1));
        let gap = self.after(scheduled).map_or(Timestamp::MAX, |next| {
            Timestamp::from_millisecond(next.as_millisecond() - 1).unwrap_or(next)
        });
        delay.after(scheduled).min(gap)
    }

    /// The scheduled times after `since` whose firing is due at `now`, with when they fire: the
    /// newest `limit`, oldest first. It looks back from `now`, so a long absence costs nothing.
    pub(super) fn due(
        &self,
        source: &str,
        since: Timestamp,
        now: Timestamp,
        limit: usize,
    ) -> Vec<(Timestamp, Timestamp)> {
        let times = self.back_from(now).take_while(|time| *time > since);
        let due = times.map(|time| (time, self.fire_at(source, time)));
        let mut due: Vec<_> = due.filter(|(_, fire_at)| *fire_at <= now).take(limit).collect();
        due.reverse();
        due
    }

    /// The scheduled times up to `now`, newest first.
    fn back_from(&self, now: Timestamp) -> Box<dyn Iterator<Item = Timestamp> + '_> {
        match self {
            Self::At(time) => Box::new((*time <= now).then_some(*time).into_iter()),
            Self::Interval(every) => {
                let millis = i64::try_from(every.as_millis().max(1)).unwrap_or(i64::MAX);
                let last = now.as_millisecond() - now.as_millisecond().rem_euclid(millis);
                let times = std::iter::successors(Some(last), move |time| time.checked_sub(millis));
                Box::new(times.map_while(|time| Timestamp::from_millisecond(time).ok()))
            }
            Self::Cron(cron, zone, _) => {
                let times = cron.iter_from(now.to_zoned(zone.clone()), Direction::Backward);
                Box::new(times.map(|time| time.timestamp()))
            }
        }
    }
}
