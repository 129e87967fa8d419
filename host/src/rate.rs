//! A limit on how often something may be asked, shared by all who ask.
//!
//! Who would wait for long steps aside, if it said how: it gives up what others could use meanwhile,
//! and takes it again shortly before its turn. Only who is back is given a turn, so that the rate
//! holds however late somebody comes back.

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;

/// Less is not worth it: who comes back waits behind others.
const LONG: Duration = Duration::from_secs(1);

/// Lets one pass in each interval, in the order in which they came.
#[derive(Debug)]
pub struct Limiter {
    interval: Duration,
    /// How much earlier one may pass who has not been here for long.
    saved: Duration,
    /// A wait that is worth stepping aside for, and how long before its turn one is back.
    long: Duration,
    next: Mutex<Option<Instant>>,
    /// Those who stepped aside.
    aside: AtomicU32,
}

/// How one steps aside.
pub struct Aside {
    leave: Box<dyn Fn() + Send + Sync>,
    back: Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
}

tokio::task_local! {
    static ASIDE: Arc<Aside>;
}

impl Aside {
    /// `leave` gives up what `back` takes again.
    pub fn new(
        leave: impl Fn() + Send + Sync + 'static,
        back: impl Fn() -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Self {
        Self { leave: Box::new(leave), back: Box::new(back) }
    }

    /// Does `work`, stepping aside where that has to wait for its turn.
    pub async fn around<T>(self, work: impl Future<Output = T>) -> T {
        ASIDE.scope(Arc::new(self), work).await
    }
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
        Self { interval, saved, long: LONG, next: Mutex::new(None), aside: AtomicU32::new(0) }
    }

    /// Waits for one's turn. Who gives up waiting once it is near has used it all the same.
    pub async fn turn(&self) {
        if let Some(near) = self.near(Instant::now())
            && let Ok(aside) = ASIDE.try_with(Arc::clone)
        {
            let _counted = Counted::one(&self.aside);
            (aside.leave)();
            tokio::time::sleep_until(near).await;
            (aside.back)().await;
        }
        tokio::time::sleep_until(self.slot(Instant::now())).await;
    }

    /// When the turn of who comes at `now` is near, if that is not now.
    fn near(&self, now: Instant) -> Option<Instant> {
        let next = *self.next.lock().unwrap_or_else(PoisonError::into_inner);
        // Those who are aside have no turn yet, and come first.
        let ahead = self.interval.saturating_mul(self.aside.load(Ordering::Relaxed));
        let turn = next?.checked_add(ahead)?;
        turn.checked_sub(self.saved)?.checked_sub(self.long).filter(|near| *near > now)
    }

    /// When who comes at `now` may pass.
    fn slot(&self, now: Instant) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let at = next.map_or(now, |next| next.max(now));
        *next = Some(at + self.interval);
        at.checked_sub(self.saved).map_or(now, |early| early.max(now))
    }
}

/// One of those who are counted, until it is dropped.
struct Counted<'a>(&'a AtomicU32);

impl<'a> Counted<'a> {
    fn one(all: &'a AtomicU32) -> Self {
        all.fetch_add(1, Ordering::Relaxed);
        Self(all)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::future::join_all;
    use tokio::sync::Semaphore;

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

    /// Waits for a turn with one of these places, which it gives up while its turn is far.
    async fn pass(limiter: &Limiter, places: &Arc<Semaphore>) -> Instant {
        let permit = places.clone().acquire_owned().await.unwrap();
        let held = Arc::new(Mutex::new(Some(permit)));
        let (left, back, places) = (held.clone(), held, places.clone());
        let aside = Aside::new(
            move || drop(left.lock().unwrap().take()),
            move || {
                let (back, places) = (back.clone(), places.clone());
                async move {
                    let permit = places.acquire_owned().await.unwrap();
                    *back.lock().unwrap() = Some(permit);
                }
                .boxed()
            },
        );
        aside.around(limiter.turn()).await;
        Instant::now()
    }

    fn limiter(interval: Duration) -> Limiter {
        let long = Duration::from_millis(10);
        Limiter { long, ..Limiter::per_second(interval.as_secs_f64().recip()) }
    }

    #[tokio::test]
    async fn who_waits_for_long_leaves_the_place_to_others_and_the_rate_holds() {
        let interval = Duration::from_millis(100);
        let (limiter, places) = (limiter(interval), Arc::new(Semaphore::new(1)));
        let passed = AtomicU32::new(0);
        let ten = join_all((0..10).map(async |_| {
            let at = pass(&limiter, &places).await;
            passed.fetch_add(1, Ordering::Relaxed);
            at
        }));
        let other = async {
            let place = places.acquire().await.unwrap();
            let before = passed.load(Ordering::Relaxed);
            // It is slow, and those whose turn has come wait for it.
            tokio::time::sleep(interval * 4).await;
            drop(place);
            (before, passed.load(Ordering::Relaxed), Instant::now())
        };
        let (times, (before, now, released)) = tokio::join!(ten, other);
        assert!(before < 5, "a place is free while they wait: {before} had passed");
        let last = times.into_iter().max().unwrap();
        assert!(last - released >= interval * (10 - now - 1), "who comes back late waits its turn");
    }

    #[tokio::test]
    async fn who_gives_up_aside_has_used_no_turn() {
        let interval = Duration::from_millis(500);
        let (limiter, places) = (limiter(interval), Arc::new(Semaphore::new(1)));
        pass(&limiter, &places).await;
        for _ in 0..100 {
            assert_eq!(pass(&limiter, &places).now_or_never(), None);
        }
        let first = limiter.slot(Instant::now());
        assert!(first <= Instant::now() + interval);
    }
}
