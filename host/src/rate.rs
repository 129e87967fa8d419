//! A limit on how often something may be asked, shared by all who ask.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Lets one pass in each interval, in the order in which they came.
#[derive(Debug)]
pub struct Limiter {
    interval: Duration,
    /// How much earlier one may pass who has not been here for long.
    saved: Duration,
    next: Mutex<Option<Instant>>,
}

impl Limiter {
    /// At most so many a second, evenly spaced; a number that is no rate limits nothing.
    pub fn per_second(rate: f64) -> Self {
        Self::with_burst(rate, 1)
    }

    /// At most so many a second in the long run, and up to `burst` of them at once after a pause.
    pub fn with_burst(rate: f64, burst: u32) -> Self {
        let interval = Duration::try_from_secs_f64(rate.recip()).unwrap_or_default();
        let saved = interval.saturating_mul(burst.saturating_sub(1));
        Self { interval, saved, next: Mutex::new(None) }
    }

    /// Waits for one's turn. Who gives up waiting has used it all the same.
    pub async fn turn(&self) {
        tokio::time::sleep_until(self.slot(Instant::now())).await;
    }

    /// When who comes at `now` may pass.
    fn slot(&self, now: Instant) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let at = next.map_or(now, |next| next.max(now));
        *next = Some(at + self.interval);
        at.checked_sub(self.saved).map_or(now, |early| early.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_evenly_spaced_and_a_pause_is_not_saved_up() {
        let limiter = Limiter::per_second(4.0);
        let start = Instant::now();
        let quarter = Duration::from_millis(250);
        for n in 0..5 {
            assert_eq!(limiter.slot(start), start + quarter * n);
        }
        let later = start + Duration::from_secs(10);
        for n in 0..3 {
            assert_eq!(limiter.slot(later), later + quarter * n);
        }
    }

    #[test]
    fn a_burst_passes_at_once_and_the_rate_holds_in_the_long_run() {
        let limiter = Limiter::with_burst(4.0, 3);
        let start = Instant::now() + Duration::from_secs(10);
        let quarter = Duration::from_millis(250);
        let passed: Vec<_> = (0..5).map(|_| limiter.slot(start) - start).collect();
        let at_once = Duration::ZERO;
        assert_eq!(passed, [at_once, at_once, at_once, quarter, quarter * 2]);
    }

    #[test]
    fn no_rate_is_no_limit() {
        for rate in [0.0, f64::NAN, -1.0, f64::INFINITY] {
            let limiter = Limiter::per_second(rate);
            let now = Instant::now();
            limiter.slot(now);
            assert_eq!(limiter.slot(now), now, "{rate}");
        }
    }
}
