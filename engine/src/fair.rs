//! Fairness between rules: a queue that serves its lanes in turn, and permits handed out so.
//!
//! A rule that floods the engine waits behind itself, never in front of another rule.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use host::rate::Aside;
use model::RuleRef;
use tokio::sync::{Mutex as Gate, oneshot};

/// What work is counted against: the rule that asked for it; none for what people ask for.
pub(crate) type Lane = Option<RuleRef>;

/// First in, first out within a lane; one of each lane in turn.
#[derive(Debug)]
pub(crate) struct FairQueue<T> {
    lanes: BTreeMap<Lane, VecDeque<T>>,
    turns: VecDeque<Lane>,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self { lanes: BTreeMap::new(), turns: VecDeque::new() }
    }
}

impl<T> FairQueue<T> {
    /// Puts `item` at the end of its lane.
    pub(crate) fn push(&mut self, lane: Lane, item: T) {
        let items = self.lanes.entry(lane.clone()).or_default();
        if items.is_empty() {
            self.turns.push_back(lane);
        }
        items.push_back(item);
    }

    /// The first item of the lane whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<(Lane, T)> {
        let lane = self.turns.pop_front()?;
        let items = self.lanes.get_mut(&lane)?;
        let item = items.pop_front()?;
        if items.is_empty() {
            self.lanes.remove(&lane);
        } else {
            self.turns.push_back(lane.clone());
        }
        Some((lane, item))
    }

    /// How many items wait.
    pub(crate) fn len(&self) -> usize {
        self.lanes.values().map(VecDeque::len).sum()
    }
}

/// A bounded number of permits, handed out fairly between lanes.
#[derive(Debug, Clone)]
pub struct Permits(Arc<Mutex<Shared>>);

#[derive(Debug)]
struct Shared {
    all: usize,
    free: usize,
    waiting: FairQueue<oneshot::Sender<Permit>>,
}

/// The right to do one thing; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    of: Option<Permits>,
    lane: Lane,
}

impl Permits {
    /// So many permits.
    pub fn new(count: usize) -> Self {
        let waiting = FairQueue::default();
        Self(Arc::new(Mutex::new(Shared { all: count, free: count, waiting })))
    }

    /// Asks for a permit: it comes at once if one is free, else when it is this lane's turn.
    /// Dropped, the answer gives up the turn, or the permit.
    pub fn ask(&self, lane: &Lane) -> oneshot::Receiver<Permit> {
        let (give, turn) = oneshot::channel();
        let mut shared = self.lock();
        if shared.free > 0 {
            shared.free -= 1;
            // The receiver is held right here.
            let _ = give.send(self.permit(lane.clone()));
        } else {
            shared.waiting.push(lane.clone(), give);
        }
        turn
    }

    /// How many are in use, and how many are waited for.
    pub(crate) fn load(&self) -> (usize, usize) {
        let shared = self.lock();
        (shared.all - shared.free, shared.waiting.len())
    }

    fn permit(&self, lane: Lane) -> Permit {
        Permit { of: Some(self.clone()), lane }
    }

    fn give_back(&self) {
        loop {
            let next = {
                let mut shared = self.lock();
                let next = shared.waiting.pop();
                if next.is_none() {
                    shared.free += 1;
                }
                next
            };
            let Some((lane, waiter)) = next else { return };
            match waiter.send(self.permit(lane)) {
                Ok(()) => return,
                // Who waited is gone: disarm this permit and offer it to the next.
                Err(mut unused) => unused.of = None,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        lock(&self.0)
    }
}

impl Permit {
    /// Does `work` with it; gives it back where that waits for long, and asks for another in the same
    /// lane before it goes on. Of several that `work` does at once, the first to come back asks for all
    /// of them: one that held a permit while another waits for one could be waited for by that.
    pub(crate) async fn around<T>(self, work: impl Future<Output = T>) -> T {
        let (of, lane) = (self.of.clone(), self.lane.clone());
        let held = Arc::new(Gate::new(Some(self)));
        let left = held.clone();
        // Who holds the gate is about to come back.
        let leave = move || drop(left.try_lock().ok().and_then(|mut held| held.take()));
        let back = move || {
            let (of, lane, held) = (of.clone(), lane.clone(), held.clone());
            async move {
                let mut held = held.lock().await;
                if held.is_none()
                    && let Some(of) = of
                {
                    *held = of.ask(&lane).await.ok();
                }
            }
            .boxed()
        };
        Aside::new(leave, back).around(work).await
    }
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(permits) = self.of.take() {
            permits.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::future::{join, join_all};
    use host::rate::Limiter;
    use tokio::time::timeout;

    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "a lane is an option")]
    fn lane(name: &str) -> Lane {
        Some(format!("p.{name}").parse().unwrap())
    }

    #[test]
    fn a_flooding_rule_does_not_hold_up_another() {
        let mut queue = FairQueue::default();
        for n in 0..100 {
            queue.push(lane("flood"), n);
        }
        queue.push(lane("quiet"), 1_000);
        let first: Vec<i32> = (0..2).filter_map(|_| queue.pop()).map(|(_, n)| n).collect();
        assert_eq!(first, [0, 1_000]);
        assert_eq!(queue.len(), 99);
    }

    #[tokio::test]
    async fn a_permit_of_a_waiter_that_gave_up_is_not_lost() {
        let permits = Permits::new(1);
        let held = permits.ask(&None).await.unwrap();
        drop(permits.ask(&None));
        let next = permits.ask(&lane("a"));
        let last = permits.ask(&lane("b"));
        drop(held);
        // It has come to `next`, who gives up without looking.
        drop(next);
        let _last = last.await.unwrap();
    }

    #[tokio::test]
    async fn what_a_step_does_at_once_comes_back_with_one_permit() {
        let permits = Permits::new(1);
        let limiter = Limiter::per_second(3.0);
        let step = async || {
            let permit = permits.ask(&None).await.unwrap();
            let turns = async || join_all((0..6).map(|_| limiter.turn())).await;
            permit.around(turns()).await;
        };
        let both = timeout(Duration::from_secs(30), join(step(), step()));
        both.await.unwrap();
        assert_eq!(permits.load(), (0, 0));
    }
}
