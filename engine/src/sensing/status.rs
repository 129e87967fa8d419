//! How a sensor stands, shared by its task and those who ask.

use std::sync::{Mutex, MutexGuard, PoisonError};

use model::Timestamp;
use sensors::SensorState;

/// How a sensor stands.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    /// Its state.
    pub state: SensorState,
    /// Events since the engine started.
    pub events: u64,
    /// When the newest of them was stored, and how long after it happened.
    pub newest: Option<(Timestamp, model::Duration)>,
    /// Whether it was told to be failing, and not yet to have recovered.
    pub(super) failing: bool,
}

impl Status {
    /// How a sensor stands that begins; it goes on counting where the one before it ended.
    pub(super) fn after(before: Option<&Self>, state: SensorState) -> Self {
        let events = before.map_or(0, |before| before.events);
        let newest = before.and_then(|before| before.newest);
        Self { state, events, newest, failing: false }
    }

    /// Counts events, the newest of which happened then.
    pub(super) fn count(&mut self, events: u64, happened: Option<Timestamp>, now: Timestamp) {
        self.events += events;
        if let Some(happened) = happened {
            let late = now.duration_since(happened).as_millis().max(0);
            let late = model::Duration::from_millis(u64::try_from(late).unwrap_or(u64::MAX));
            self.newest = Some((now, late));
        }
    }
}

pub(super) fn status(status: &Mutex<Status>) -> MutexGuard<'_, Status> {
    status.lock().unwrap_or_else(PoisonError::into_inner)
}
