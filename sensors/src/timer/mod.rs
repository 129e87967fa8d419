//! Timers: `timer.cron`, `timer.interval` and `timer.at`.
//!
//! What is due is a pure function of the schedule, the cursor and the time ([`Timer::due`]); the
//! task only sleeps until the next time. The cursor is the last scheduled time that was handled,
//! so a restart knows what it missed.
//!
//! A clock that is set back lets times come again. They are told again, under the same ids, so that
//! of those that were told before no rule hears twice, and those that were left out, since the clock
//! had been wrong, come in their time.

mod config;
mod schedule;
#[cfg(test)]
mod tests;

use futures::FutureExt;
use futures::future::BoxFuture;
use model::{Envelope, Event, Timestamp, TriggerType, Value};
use serde_json::json;

pub use config::Misfire;
pub(crate) use config::{at, cron, interval};
pub use schedule::{BadCron, Jitter, Schedule};

use crate::{Context, Emission, Sensor, SensorError, SensorState};

/// A firing later than this is a misfire: the server was down, suspended or out of breath.
const GRACE: model::Duration = model::Duration::from_secs(5);

/// A timer.
#[derive(Debug, Clone)]
pub struct Timer {
    /// The type of its events.
    pub kind: TriggerType,
    /// When it fires.
    pub schedule: Schedule,
    /// What happens to times that were missed.
    pub misfire: Misfire,
}

/// A scheduled time that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Firing {
    /// When it should have fired, jitter apart.
    pub scheduled_at: Timestamp,
    /// Whether it is late.
    pub misfired: bool,
}

/// What is due, and where the timer stands then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The firings, oldest first.
    pub firings: Vec<Firing>,
    /// The last scheduled time that is handled; `None` before the first sight.
    pub handled: Option<Timestamp>,
}

impl Timer {
    /// What is due at `now`, when everything up to `handled` is done.
    pub fn due(&self, source: &str, handled: Option<Timestamp>, now: Timestamp) -> Due {
        let Some(since) = handled.or_else(|| self.schedule.beginning(now)) else {
            return Due { firings: Vec::new(), handled };
        };
        let due = self.schedule.due(source, since, now, self.misfire.kept());
        let late = |fire_at: Timestamp| GRACE.after(fire_at) < now;
        let firings = due.iter().map(|(scheduled_at, fire_at)| Firing {
            scheduled_at: *scheduled_at,
            misfired: late(*fire_at),
        });
        let wanted = |firing: &Firing| !(firing.misfired && self.misfire == Misfire::Skip);
        let last = due.last().map(|(scheduled_at, _)| *scheduled_at);
        // An `at` that never fired has no cursor: it is due however late it is first seen.
        let begun = handled.or_else(|| (!self.schedule.is_once()).then_some(since));
        Due { firings: firings.filter(wanted).collect(), handled: last.or(begun) }
    }

    /// Up to when everything is done, as a clock sees it that may have been set back since.
    fn seen_from(&self, handled: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        handled.map(|handled| if self.schedule.is_once() { handled } else { handled.min(now) })
    }

    /// When to look again.
    pub fn next(
        &self,
        source: &str,
        handled: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let since = handled.or_else(|| self.schedule.beginning(now))?;
        let next = self.schedule.after(since)?;
        Some(self.schedule.fire_at(source, next))
    }

    fn event(&self, source: &str, firing: Firing, now: Timestamp) -> Event {
        let Firing { scheduled_at, misfired } = firing;
        let envelope = Envelope {
            id: scheduled_at.to_string(),
            source: source.to_owned(),
            kind: self.kind.clone(),
            time: now,
            subject: None,
            cause: None,
            traceparent: None,
            tracestate: None,
        };
        let data = json!({
            "scheduled_at": scheduled_at.to_string(),
            "fired_at": now.to_string(),
            "misfired": misfired,
        });
        Event { envelope, data }
    }

    async fn watch(&self, context: Context<'_>) -> Result<(), SensorError> {
        let Context { source, cursor, sink, clock, cancel, .. } = context;
        let mut newest = cursor.as_ref().map(read_cursor).transpose()?;
        let mut handled = newest;
        let mut first = true;
        loop {
            let standing = clock.stands();
            let now = standing.time;
            let due = self.due(&source, self.seen_from(handled, now), now).after(newest);
            if due.handled > newest || !due.firings.is_empty() {
                newest = newest.max(due.handled);
                let events = due.firings.iter().map(|firing| self.event(&source, *firing, now));
                let cursor = newest.map(|time| json!({ "handled": time.to_string() }));
                let emission = Emission { events: events.collect(), cursor, ..Emission::default() };
                sink.emit(emission).await.map_err(|error| SensorError(error.to_string()))?;
            }
            handled = due.handled;
            // What came due before has been told by now.
            if std::mem::take(&mut first) {
                sink.state(SensorState::Running);
            }
            let Some(next) = self.next(&source, handled, now) else { return Ok(()) };
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(()),
                () = clock.sleep_until(next) => {}
                _ = clock.jump(standing) => {}
            }
        }
    }
}

impl Due {
    /// Without what is late though it came before the newest time that was handled: a clock that was
    /// set back is right again.
    fn after(mut self, newest: Option<Timestamp>) -> Self {
        self.firings.retain(|firing| !firing.misfired || Some(firing.scheduled_at) > newest);
        self
    }
}

impl Sensor for Timer {
    fn run<'a>(&'a self, context: Context<'a>) -> BoxFuture<'a, Result<(), SensorError>> {
        self.watch(context).boxed()
    }

    fn upcoming(&self, cursor: Option<&Value>, now: Timestamp, count: usize) -> Vec<Timestamp> {
        let handled = cursor.and_then(|cursor| read_cursor(cursor).ok());
        let handled = self.seen_from(handled, now);
        let since = handled.or_else(|| self.schedule.beginning(now));
        let first = since.and_then(|since| self.schedule.after(since));
        std::iter::successors(first, |time| self.schedule.after(*time)).take(count).collect()
    }
}

/// Reads `{ handled: TIME }`.
fn read_cursor(cursor: &Value) -> Result<Timestamp, SensorError> {
    let time = cursor.get("handled").and_then(Value::as_str).and_then(|text| text.parse().ok());
    time.ok_or_else(|| SensorError(format!("the stored cursor {cursor} is not a timer's")))
}
