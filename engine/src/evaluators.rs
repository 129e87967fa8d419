//! The threads on which rhai runs: a few, each with its own engine and a large stack.
//!
//! rhai values cannot cross threads, so only JSON does. A script may be hostile: it is bounded by
//! its operations and its stack, and a panic costs its thread's caches, nothing else.

mod kept;

use std::cell::RefCell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use chains::{Input, Program};
use tokio::sync::oneshot;

use kept::Keeping;
pub(crate) use kept::Kept;

use crate::suspects::Slot;

/// What a thread evaluates with.
pub struct Workbench {
    /// For conditions and templates of rules.
    pub rules: rules::Evaluator,
    /// For chains.
    pub chains: chains::Evaluator,
    /// Where it notes what it is about to evaluate.
    pub slot: Slot,
}

type Job = Box<dyn FnOnce(&mut Workbench) + Send>;

/// Where scripts are evaluated.
#[derive(Clone)]
pub struct Evaluators(Where);

#[derive(Clone)]
enum Where {
    /// A pool of evaluator threads, and those that keep an evaluation.
    Threads(Sender<Job>, Arc<Keeping>),
    /// The thread that asks.
    Here,
}

thread_local! {
    static BENCH: RefCell<Workbench> = RefCell::new(Workbench::new(Slot::none()));
}

impl Workbench {
    fn new(slot: Slot) -> Self {
        Self { rules: rules::Evaluator::new(), chains: chains::Evaluator::new(), slot }
    }
}

/// The evaluation panicked: a defect, but not the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the evaluation ended unexpectedly: a defect of Tripline, please report it")]
pub struct Panicked;

impl Evaluators {
    /// Starts `count` threads; each marks what it evaluates in the slot that `slot` makes for it.
    /// They end when the last clone of the pool is dropped.
    pub fn start(
        count: usize,
        slot: impl Fn(usize) -> io::Result<Slot> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let (jobs, queue) = channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        for n in 0..count {
            let (queue, slot) = (queue.clone(), slot(n)?);
            thread::Builder::new()
                .name(format!("evaluator-{n}"))
                .stack_size(chains::EVALUATOR_STACK_BYTES)
                .spawn(move || serve(&queue, slot))?;
        }
        Ok(Self(Where::Threads(jobs, Arc::new(Keeping::new(count, slot)))))
    }

    /// An evaluation of `program` that stays where it waits; none where there is no room for it.
    pub fn keep(&self, program: Program, input: Arc<Input>) -> Option<Kept> {
        match &self.0 {
            Where::Threads(_, keeping) => keeping.keep(program, input),
            Where::Here => None,
        }
    }

    /// Evaluates on whatever thread asks, which must have the stack of an evaluator: nothing waits
    /// for another thread then, and what runs on a simulated clock runs alike every time.
    pub const fn here() -> Self {
        Self(Where::Here)
    }

    /// Runs `work` with what [`Evaluators::here`] evaluates with on this thread.
    pub fn with_own<T>(work: impl FnOnce(&mut Workbench) -> T) -> T {
        BENCH.with(|bench| work(&mut bench.borrow_mut()))
    }

    /// Runs `work` on one of the threads.
    pub async fn call<T, F>(&self, work: F) -> Result<T, Panicked>
    where
        T: Send + 'static,
        F: FnOnce(&mut Workbench) -> T + Send + 'static,
    {
        let jobs = match &self.0 {
            Where::Threads(jobs, _) => jobs,
            Where::Here => {
                let work = AssertUnwindSafe(|| Self::with_own(work));
                return catch_unwind(work).map_err(|_| Panicked);
            }
        };
        let (answer, answered) = oneshot::channel();
        let job = Box::new(move |bench: &mut Workbench| {
            // Nobody waiting for the answer any more is no error.
            let _ = answer.send(work(bench));
        });
        jobs.send(job).map_err(|_| Panicked)?;
        answered.await.map_err(|_| Panicked)
    }
}

fn serve(queue: &Mutex<Receiver<Job>>, slot: Slot) {
    let mut bench = Workbench::new(slot);
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        if catch_unwind(AssertUnwindSafe(|| job(&mut bench))).is_err() {
            bench.rules = rules::Evaluator::new();
            bench.chains = chains::Evaluator::new();
            bench.slot.clear();
        }
    }
}
