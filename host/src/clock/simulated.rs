//! A time that tests move.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::Timestamp;
use tokio::sync::watch;

use super::{Jump, Standing};

/// A time that only [`Simulated::advance`], [`Simulated::skip`] and [`Simulated::set`] move.
#[derive(Debug, Clone)]
pub struct Simulated(Arc<Mutex<Dial>>);

#[derive(Debug)]
struct Dial {
    stands: watch::Sender<Standing>,
    /// What somebody waits for, and how many do.
    awaited: BTreeMap<Awaited, usize>,
}

/// What a sleeper waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Awaited {
    Time(Timestamp),
    /// That the clock has run for so long.
    Passed(Duration),
}

/// Somebody who waits, until it is dropped.
struct Waiter(Simulated, Awaited);

impl Simulated {
    pub(super) fn new(start: Timestamp) -> Self {
        let stands = watch::Sender::new(Standing { time: start, passed: Duration::ZERO });
        Self(Arc::new(Mutex::new(Dial { stands, awaited: BTreeMap::new() })))
    }

    fn dial(&self) -> MutexGuard<'_, Dial> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stands(&self) -> Standing {
        *self.dial().stands.borrow()
    }

    /// Moves the time on by `by` and wakes who waited for it.
    pub fn advance(&self, by: model::Duration) {
        self.dial().advance(by.to_std());
    }

    /// Sets the time, as a person does who sets a system's clock.
    pub fn set(&self, time: Timestamp) {
        self.dial().stands.send_modify(|standing| standing.time = time);
    }

    /// Moves the time on to the first that somebody waits for; false if nobody does.
    pub fn skip(&self) -> bool {
        let dial = self.dial();
        dial.left().map(|left| dial.advance(left)).is_some()
    }

    /// The first time that somebody waits for.
    pub fn next(&self) -> Option<Timestamp> {
        let dial = self.dial();
        let now = dial.stands.borrow().time;
        dial.left().and_then(|left| now.saturating_add(left).ok())
    }

    pub(super) async fn time(&self, until: Timestamp) {
        self.wait(Awaited::Time(until)).await;
    }

    pub(super) async fn length(&self, length: Duration) {
        self.wait(Awaited::Passed(self.stands().passed + length)).await;
    }

    async fn wait(&self, awaited: Awaited) {
        let _waiter = Waiter::new(self.clone(), awaited);
        let mut changes = self.changes();
        // The sender lives as long as `self`, so waiting ends only when the time comes.
        let _ = changes.wait_for(|standing| awaited.left(*standing).is_zero()).await;
    }

    /// Nobody waits for that: it is no time to skip to.
    pub(super) async fn jump(&self, since: Standing) -> Jump {
        let mut changes = self.changes();
        loop {
            let stands = *changes.borrow_and_update();
            if let Some(jump) = Jump::between(since, stands) {
                return jump;
            }
            let _ = changes.changed().await;
        }
    }

    fn changes(&self) -> watch::Receiver<Standing> {
        self.dial().stands.subscribe()
    }
}

impl Dial {
    /// How long it is until the first time that somebody waits for.
    fn left(&self) -> Option<Duration> {
        let stands = *self.stands.borrow();
        self.awaited.keys().map(|awaited| awaited.left(stands)).min()
    }

    fn advance(&self, by: Duration) {
        self.stands.send_modify(|standing| {
            standing.time = standing.time.saturating_add(by).unwrap_or(Timestamp::MAX);
            standing.passed = standing.passed.saturating_add(by);
        });
    }
}

impl Awaited {
    /// How long it still takes, if nobody sets the time.
    fn left(self, stands: Standing) -> Duration {
        match self {
            Self::Time(time) => Duration::try_from(time.duration_since(stands.time)),
            Self::Passed(passed) => Ok(passed.saturating_sub(stands.passed)),
        }
        .unwrap_or_default()
    }
}

impl Waiter {
    fn new(clock: Simulated, awaited: Awaited) -> Self {
        *clock.dial().awaited.entry(awaited).or_default() += 1;
        Self(clock, awaited)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut dial = self.0.dial();
        if let Some(waiting) = dial.awaited.get_mut(&self.1) {
            *waiting -= 1;
            if *waiting == 0 {
                dial.awaited.remove(&self.1);
            }
        }
    }
}
