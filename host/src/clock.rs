//! The time: the system's, or one that a test moves.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::Timestamp;
use tokio::sync::watch;

/// A clock. Clones of a simulated one move together.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The system's.
    System,
    /// A test's: it stands until it is moved.
    Simulated(Simulated),
}

/// A time that only [`Simulated::advance`] and [`Simulated::skip`] move.
#[derive(Debug, Clone)]
pub struct Simulated(Arc<Mutex<Dial>>);

#[derive(Debug)]
struct Dial {
    now: watch::Sender<Timestamp>,
    /// The times that somebody waits for, and how many do.
    awaited: BTreeMap<Timestamp, usize>,
}

/// Somebody who waits for a simulated time, until it is dropped.
struct Waiter(Simulated, Timestamp);

impl Clock {
    /// A clock that stands at `start`.
    pub fn simulated(start: Timestamp) -> Self {
        let dial = Dial { now: watch::Sender::new(start), awaited: BTreeMap::new() };
        Self::Simulated(Simulated(Arc::new(Mutex::new(dial))))
    }

    /// The time, in whole milliseconds: what is stored reads back the same.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => whole_millis(Timestamp::now()),
            Self::Simulated(simulated) => *simulated.dial().now.borrow(),
        }
    }

    /// Completes at `until`, or at once if that has passed.
    pub async fn sleep_until(&self, until: Timestamp) {
        match self {
            Self::System => Self::sleep_system(until).await,
            Self::Simulated(simulated) => {
                let _waiter = Waiter::new(simulated.clone(), until);
                let mut changes = simulated.dial().now.subscribe();
                // The sender lives as long as `self`, so waiting ends only when the time comes.
                let _ = changes.wait_for(|now| *now >= until).await;
            }
        }
    }

    /// Completes after `length`. A system clock that is moved meanwhile changes nothing.
    pub async fn sleep(&self, length: model::Duration) {
        match self {
            Self::System => tokio::time::sleep(length.to_std()).await,
            Self::Simulated(_) => self.sleep_until(length.after(self.now())).await,
        }
    }

    /// In pieces of at most a minute, so that a moved system clock is noticed.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system")]
    async fn sleep_system(until: Timestamp) {
        loop {
            let left = until.duration_since(Timestamp::now());
            let Ok(left) = Duration::try_from(left) else { return };
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(Duration::from_secs(60))).await;
        }
    }
}

impl Simulated {
    fn dial(&self) -> MutexGuard<'_, Dial> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the time on by `by` and wakes who waited for it.
    pub fn advance(&self, by: model::Duration) {
        self.dial().now.send_modify(|now| *now = by.after(*now));
    }

    /// Moves the time on to the first that somebody waits for; false if nobody does.
    pub fn skip(&self) -> bool {
        let dial = self.dial();
        let Some(next) = dial.awaited.keys().next().copied() else { return false };
        dial.now.send_modify(|now| *now = next.max(*now));
        true
    }
}

impl Waiter {
    fn new(clock: Simulated, until: Timestamp) -> Self {
        *clock.dial().awaited.entry(until).or_default() += 1;
        Self(clock, until)
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

fn whole_millis(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}
