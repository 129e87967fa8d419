//! The time: the system's, or one that a test moves.

use std::sync::{Arc, Mutex};
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

/// A time that only [`Simulated::advance`] moves.
#[derive(Debug, Clone)]
pub struct Simulated(Arc<Mutex<watch::Sender<Timestamp>>>);

impl Clock {
    /// A clock that stands at `start`.
    pub fn simulated(start: Timestamp) -> Self {
        Self::Simulated(Simulated(Arc::new(Mutex::new(watch::Sender::new(start)))))
    }

    /// The time, in whole milliseconds: what is stored reads back the same.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => whole_millis(Timestamp::now()),
            Self::Simulated(simulated) => *simulated.sender().borrow(),
        }
    }

    /// Completes at `until`, or at once if that has passed.
    pub async fn sleep_until(&self, until: Timestamp) {
        match self {
            Self::System => Self::sleep_system(until).await,
            Self::Simulated(simulated) => {
                let mut changes = simulated.sender().subscribe();
                // The sender lives as long as `self`, so waiting ends only when the time comes.
                let _ = changes.wait_for(|now| *now >= until).await;
            }
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
    fn sender(&self) -> std::sync::MutexGuard<'_, watch::Sender<Timestamp>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Moves the time on by `by` and wakes who waited for it.
    pub fn advance(&self, by: model::Duration) {
        self.sender().send_modify(|now| *now = by.after(*now));
    }
}

fn whole_millis(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}
