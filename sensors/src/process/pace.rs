//! How fast a program's events are taken: it cannot have the store to itself.

use std::time::Duration;

/// So much may come at once after a while in which less came.
const BURST: Duration = Duration::from_secs(1);

/// Says how long to wait so that no more than a number a second are taken in the long run.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    /// When everything taken so far will have had its time, as long as the clock runs: whoever sets it
    /// changes nothing.
    paid: Duration,
}

impl Pace {
    pub(super) fn per_second(rate: u32) -> Self {
        Self { interval: Duration::from_secs(1) / rate.max(1), paid: Duration::ZERO }
    }

    /// How long `count` more have to wait once the clock has run for so long.
    pub(super) fn take(&mut self, count: usize, passed: Duration) -> Duration {
        let paid = self.paid.max(passed);
        self.paid = paid + self.interval * u32::try_from(count).unwrap_or(u32::MAX);
        paid.saturating_sub(passed).saturating_sub(BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seconds_worth_comes_at_once_and_the_rest_in_time() {
        let start = Duration::from_secs(1000);
        let mut pace = Pace::per_second(100);
        let wait = |pace: &mut Pace, millis: u64| {
            pace.take(50, start + Duration::from_millis(millis)).as_millis()
        };
        let waits: Vec<u128> = (0..6).map(|_| wait(&mut pace, 0)).collect();
        assert_eq!(waits, [0, 0, 0, 500, 1000, 1500]);
        assert_eq!(wait(&mut pace, 2500), 0, "what was waited for is paid");
        let later: Vec<u128> = (0..4).map(|_| wait(&mut pace, 60_000)).collect();
        assert_eq!(later, [0, 0, 0, 500], "a long pause is not saved up");
    }
}
