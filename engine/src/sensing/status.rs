//! How a sensor stands, shared by its task and those who ask.

use std::sync::{Mutex, MutexGuard, PoisonError};

use model::Timestamp;
use sensors::SensorState;

use super::told::Told;

/// How a sensor stands.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    /// Its state.
    pub state: SensorState,
    /// Events since the engine started.
    pub events: u64,
    /// When the newest of them was stored, and how long after it happened.
    pub newest: Option<(Timestamp, model::Duration)>,
    /// What it saw and could not tell since the engine started.
    pub left_out: u64,
    /// How often it was started again after it failed, since the engine started.
    pub restarts: u64,
    /// What was told of it, until it was told to have recovered.
    pub(super) told: Told,
}

/// What is to be told of how a sensor stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Failing,
    Guarded,
    Recovered,
}

impl Status {
    /// How a sensor stands that begins; it goes on counting where the one before it ended, and what
    /// that one was told to fail of is over once this one works.
    pub(super) fn after(before: Option<&Self>, state: SensorState) -> Self {
        match before {
            Some(before) => Self { state, ..before.clone() },
            None => Self::new(state, Told::default()),
        }
    }

    /// How a sensor stands of which the engine that was here before told this.
    pub(super) fn new(state: SensorState, told: Told) -> Self {
        Self { state, events: 0, newest: None, left_out: 0, restarts: 0, told }
    }

    /// It is started: so it stands until it says otherwise, unless it failed before.
    pub(super) fn begin(&mut self, state: SensorState) {
        if !matches!(self.state, SensorState::Failing { .. }) {
            self.state = state;
        }
    }

    /// It stands so from now on; what is to be told of that.
    pub(super) fn stand(&mut self, state: &SensorState) -> Option<Turn> {
        self.state = state.clone();
        match state {
            SensorState::Running => {
                let told = std::mem::take(&mut self.told);
                (told != Told::default()).then_some(Turn::Recovered)
            }
            SensorState::Waiting(_) => None,
            SensorState::Failing { .. } => {
                (!std::mem::replace(&mut self.told.failing, true)).then_some(Turn::Failing)
            }
            SensorState::Guarded { .. } => {
                (!std::mem::replace(&mut self.told.guarded, true)).then_some(Turn::Guarded)
            }
        }
    }

    /// Something of it was stored: it does not fail; what it waits for, it may still wait for.
    pub(super) fn works(&mut self) -> Option<Turn> {
        let recovered = std::mem::replace(&mut self.told.failing, false) && !self.told.guarded;
        recovered.then_some(Turn::Recovered)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_when_it_begins_and_when_it_is_over() {
        let mut status = Status::after(None, SensorState::Running);
        let failing =
            || SensorState::Failing { error: "lost".to_owned(), next_try: Timestamp::UNIX_EPOCH };
        let guarded = || SensorState::Guarded { missing: 11, of: 30 };
        let waiting = || SensorState::Waiting("a right".to_owned());
        for (state, turn) in [
            (SensorState::Running, None),
            (failing(), Some(Turn::Failing)),
            (waiting(), None),
            (failing(), None),
            (guarded(), Some(Turn::Guarded)),
            (failing(), None),
            (guarded(), None),
            (SensorState::Running, Some(Turn::Recovered)),
            (SensorState::Running, None),
        ] {
            assert_eq!(status.stand(&state), turn, "{state:?}");
        }
        status.stand(&failing());
        assert_eq!((status.works(), status.works()), (Some(Turn::Recovered), None));
        status.stand(&guarded());
        assert_eq!(status.works(), None, "what was stored is no answer to the question");
        assert_eq!(status.stand(&SensorState::Running), Some(Turn::Recovered));
    }

    #[test]
    fn what_failed_goes_on_failing_when_it_is_started_until_it_says_otherwise() {
        let failing = SensorState::Failing { error: "lost".to_owned(), next_try: Timestamp::MAX };
        let mut status = Status::after(None, SensorState::Running);
        status.stand(&failing);
        status.begin(SensorState::Running);
        assert_eq!(status.state, failing);
        // What takes its place is another, and tells neither twice that it fails.
        let mut next = Status::after(Some(&status), SensorState::Running);
        assert_eq!(next.state, SensorState::Running);
        assert_eq!(next.stand(&failing), None);
        assert_eq!(next.stand(&SensorState::Running), Some(Turn::Recovered));
    }
}
