//! Evaluations that stay where they wait. A long chain is not evaluated from its start for each of its
//! steps: a thread of its own holds the evaluation and goes on with it as answers come.
//!
//! Nothing depends on it. There are few such threads, and whoever gets none, or loses one, evaluates
//! from the start.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use chains::{Advance, Input, Program};
use model::{Journal, Timestamp};
use tokio::sync::oneshot;

use super::Panicked;
use crate::suspects::{Mark, Slot};

/// How many evaluations are kept at most: each can hold as much memory as a chain may.
const KEPT: usize = 16;

/// Where evaluations are kept.
pub(super) struct Keeping {
    free: Arc<Mutex<Vec<usize>>>,
    slot: Box<dyn Fn(usize) -> io::Result<Slot> + Send + Sync>,
}

/// One of those places, until it is dropped.
struct Taken {
    place: usize,
    free: Arc<Mutex<Vec<usize>>>,
}

/// What an evaluation goes on with.
struct Going {
    journal: Arc<Journal>,
    now: Timestamp,
    mark: Mark,
    reply: oneshot::Sender<Said>,
}

/// What it says: what the chain asks, or how it ends.
enum Said {
    Waits(Advance),
    Ended(Advance),
}

/// An evaluation that is kept. It ends when this is dropped.
pub struct Kept(Sender<Going>);

impl Keeping {
    /// Places whose threads mark what they evaluate in slots from `first` on.
    pub(super) fn new(
        first: usize,
        slot: impl Fn(usize) -> io::Result<Slot> + Send + Sync + 'static,
    ) -> Self {
        let free = (first..first + KEPT).collect();
        Self { free: Arc::new(Mutex::new(free)), slot: Box::new(slot) }
    }

    /// A place for an evaluation of `program`; none if all are taken.
    pub(super) fn keep(&self, program: Program, input: Arc<Input>) -> Option<Kept> {
        let place = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        let taken = Taken { place, free: self.free.clone() };
        let slot = (self.slot)(place).ok()?;
        let (sender, goings) = channel();
        let work = move || {
            let _taken = taken;
            serve(&program, &input, slot, goings);
        };
        let thread = thread::Builder::new().name(format!("evaluator-{place}"));
        thread.stack_size(chains::EVALUATOR_STACK_BYTES).spawn(work).ok()?;
        Some(Kept(sender))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(self.place);
    }
}

impl Kept {
    /// Goes on with the journal as it is now: what the chain asks then, and the evaluation itself if
    /// it waits for answers.
    pub async fn advance(
        self,
        journal: Arc<Journal>,
        now: Timestamp,
        mark: Mark,
    ) -> Result<(Advance, Option<Self>), Panicked> {
        let (reply, said) = oneshot::channel();
        self.0.send(Going { journal, now, mark, reply }).map_err(|_| Panicked)?;
        match said.await.map_err(|_| Panicked)? {
            Said::Waits(advance) => Ok((advance, Some(self))),
            Said::Ended(advance) => Ok((advance, None)),
        }
    }
}

fn serve(program: &Program, input: &Input, mut slot: Slot, goings: Receiver<Going>) {
    let Ok(Going { journal, now, mark, reply }) = goings.recv() else { return };
    let mut evaluator = chains::Evaluator::new();
    slot.mark(&mark);
    let asking = Rc::new(RefCell::new((slot, Some(reply))));
    let own = asking.clone();
    let answers = move |asked| {
        say(&own, Said::Waits(asked));
        let Going { journal, now, mark, reply } = goings.recv().ok()?;
        let (slot, waiting) = &mut *own.borrow_mut();
        slot.mark(&mark);
        *waiting = Some(reply);
        Some((journal, now))
    };
    let last = evaluator.advance_on(program, input, journal, now, Box::new(answers));
    say(&asking, Said::Ended(last));
}

fn say(asking: &RefCell<(Slot, Option<oneshot::Sender<Said>>)>, said: Said) {
    let (slot, waiting) = &mut *asking.borrow_mut();
    slot.clear();
    if let Some(reply) = waiting.take() {
        // Nobody waiting for the answer any more is no error.
        let _ = reply.send(said);
    }
}
