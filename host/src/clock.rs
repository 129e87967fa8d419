//! The time: the system's, or one that a test moves.
//!
//! There are two: the time of day, which somebody may set, and how long the clock has run, which
//! nobody does. What is due at a time waits by the first, what lasts so long by the second.

mod jump;
mod simulated;

use std::sync::LazyLock;
use std::time::Duration;

use model::Timestamp;
use tokio::time::Instant;

pub use jump::Jump;
pub use simulated::Simulated;

/// So often the system's time is looked at, while somebody waits for a time, for whether it was set.
const LOOK: Duration = Duration::from_secs(1);

/// A clock. Clones of a simulated one move together.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The system's.
    System,
    /// A test's: it stands until it is moved.
    Simulated(Simulated),
}

/// How a clock stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The time, in whole milliseconds: what is stored reads back the same.
    pub time: Timestamp,
    /// How long it has run, which whoever sets the time does not change.
    pub passed: Duration,
}

impl Clock {
    /// A clock that stands at `start`.
    pub fn simulated(start: Timestamp) -> Self {
        Self::Simulated(Simulated::new(start))
    }

    /// How it stands.
    pub fn stands(&self) -> Standing {
        match self {
            Self::System => system(),
            Self::Simulated(simulated) => simulated.stands(),
        }
    }

    /// The time, in whole milliseconds.
    pub fn now(&self) -> Timestamp {
        self.stands().time
    }

    /// Completes at `until`, or at once if that has passed.
    pub async fn sleep_until(&self, until: Timestamp) {
        match self {
            Self::System => sleep_until(until, system, tokio::time::sleep).await,
            Self::Simulated(simulated) => simulated.time(until).await,
        }
    }

    /// Completes after `length`. A clock that is set meanwhile changes nothing.
    pub async fn sleep(&self, length: model::Duration) {
        match self {
            Self::System => tokio::time::sleep(length.to_std()).await,
            Self::Simulated(simulated) => simulated.length(length.to_std()).await,
        }
    }

    /// Completes once the time was set since the clock stood so.
    pub async fn jump(&self, since: Standing) -> Jump {
        match self {
            Self::System => jump(since, system, tokio::time::sleep).await,
            Self::Simulated(simulated) => simulated.jump(since).await,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system")]
fn system() -> Standing {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let passed = BEGAN.elapsed();
    Standing { time: whole_millis(Timestamp::now()), passed }
}

/// In short pieces, so that it is noticed soon where the time was set.
async fn sleep_until<S: Future<Output = ()>>(
    until: Timestamp,
    stands: impl Fn() -> Standing,
    sleep: impl Fn(Duration) -> S,
) {
    while let Ok(left) = Duration::try_from(until.duration_since(stands().time))
        && !left.is_zero()
    {
        sleep(left.min(LOOK)).await;
    }
}

async fn jump<S: Future<Output = ()>>(
    since: Standing,
    stands: impl Fn() -> Standing,
    sleep: impl Fn(Duration) -> S,
) -> Jump {
    loop {
        if let Some(jump) = Jump::between(since, stands()) {
            return jump;
        }
        sleep(LOOK).await;
    }
}

fn whole_millis(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::cell::Cell;
    use std::future::ready;

    use futures::FutureExt;

    use super::*;

    const START: i64 = 1_800_000_000;

    /// A system whose clock somebody sets: after so many milliseconds it is off by so many seconds.
    struct System {
        passed: Cell<Duration>,
        set: Vec<(u64, i64)>,
    }

    impl System {
        fn new(set: &[(u64, i64)]) -> Self {
            Self { passed: Cell::default(), set: set.to_vec() }
        }

        fn stands(&self) -> Standing {
            let passed = self.passed.get();
            let set = self.set.iter().rfind(|(at, _)| Duration::from_millis(*at) <= passed);
            let second = START + set.map_or(0, |(_, off)| *off);
            Standing { time: Timestamp::from_second(second).unwrap() + passed, passed }
        }

        fn sleep(&self, length: Duration) -> impl Future<Output = ()> {
            self.passed.set(self.passed.get() + length);
            ready(())
        }

        /// How long it takes until it is 30 s after the start.
        fn waits(&self) -> Duration {
            let until = Timestamp::from_second(START + 30).unwrap();
            let waited = sleep_until(until, || self.stands(), |length| self.sleep(length));
            waited.now_or_never().unwrap();
            self.passed.get()
        }
    }

    #[test]
    fn who_waits_for_a_time_notices_within_a_second_that_a_clock_is_right_again() {
        let waits = |set: &[(u64, i64)]| System::new(set).waits().as_millis();
        assert_eq!(waits(&[]), 30_000);
        assert_eq!(waits(&[(5_500, -3600), (20_500, 0)]), 30_000, "it is right in time");
        assert_eq!(waits(&[(5_500, -3600), (45_500, 0)]), 46_000, "the time has been");
        assert_eq!(waits(&[(5_500, 3600)]), 6_000, "the time has been left out");
    }

    #[test]
    fn a_clock_that_is_set_is_told_with_how_far_from_and_to() {
        for (by, told) in [
            (-3600, "the clock went back by 1h: it was set"),
            (3600, "the clock went forward by 1h: it was set, or the machine slept"),
        ] {
            let system = System::new(&[(600_500, by), (700_000, 0)]);
            let found = jump(system.stands(), || system.stands(), |length| system.sleep(length));
            let found = found.now_or_never().unwrap();
            assert_eq!(found.to_string(), told);
            let seconds = (found.from.as_second() - START, found.to.time.as_second() - START);
            assert_eq!(seconds, (601, 601 + by));
            let again = jump(found.to, || system.stands(), |length| system.sleep(length));
            assert_eq!(again.now_or_never().unwrap().by.as_secs(), -by, "it is right again");
        }
    }
}
