//! Storing what a repetition begins with, however much that is.
//!
//! What does not fit one batch is stored in several, and the request in the last of them: facts
//! that nobody asked to run are no execution yet, and go with time if the engine dies in between.

use model::{Actor, BatchId, ExecutionId, Fact, Stream, Version};
use store::{Appended, Batch, MAX_BATCH_BYTES, MAX_BATCH_FACTS, Sealing, Write};

use crate::ask::AskError;
use crate::engine::Engine;
use crate::random;

/// The facts of a new execution's stream.
pub(super) struct Beginning {
    /// The request, and what it is granted.
    pub(super) request: Vec<Fact>,
    /// The steps that it takes over.
    pub(super) taken_over: Vec<Fact>,
    pub(super) sealing: Vec<Sealing>,
}

impl Beginning {
    /// The batches in which it is stored; only the last one makes an execution of it.
    fn batches(self) -> (Vec<Vec<Fact>>, Vec<Sealing>) {
        let Self { mut request, taken_over, sealing } = self;
        let mut pages = pages(taken_over);
        // In the order in which they were made, where that fits.
        let together = pages.len() <= 1 && {
            let page = pages.first().map_or(&[][..], Vec::as_slice);
            let (first, more) = (size(&request), size(page));
            first.0 + more.0 <= MAX_BATCH_FACTS && first.1 + more.1 <= MAX_BATCH_BYTES
        };
        if together {
            request.extend(pages.pop().unwrap_or_default());
        }
        pages.push(request);
        (pages, sealing)
    }
}

impl Engine {
    /// Stores it as the execution `id`. False if there is something of that name.
    pub(super) async fn store_beginning(
        &self,
        actor: Actor,
        id: &ExecutionId,
        beginning: Beginning,
    ) -> Result<bool, AskError> {
        let (batches, mut sealing) = beginning.batches();
        let (name, last) = (random::name(), batches.len() - 1);
        let mut version = Version::NONE;
        for (n, facts) in batches.into_iter().enumerate() {
            // The request is the deed of whoever asked.
            let actor = if n == last { actor.clone() } else { Actor::engine() };
            let sealing = if n == last { std::mem::take(&mut sealing) } else { Vec::new() };
            let stream = Stream::Execution(id.clone());
            let batch = Batch {
                id: BatchId::new(format!("rerun/{name}/{n}")),
                actor,
                at: self.core.now(),
                writes: vec![Write { stream, expected: Some(version), facts }],
            };
            match self.core.impatient(self.core.append_sealing(batch, sealing)).await? {
                Appended::Committed { position } => version = Version(position.0),
                Appended::Conflict { .. } => return Ok(false),
            }
        }
        Ok(true)
    }
}

fn size(facts: &[Fact]) -> (usize, usize) {
    (facts.len(), facts.iter().map(|fact| fact.encode().len()).sum())
}

/// As many facts a page as fit a batch.
fn pages(facts: Vec<Fact>) -> Vec<Vec<Fact>> {
    let mut pages: Vec<Vec<Fact>> = Vec::new();
    let mut room = (0, 0);
    for fact in facts {
        let bytes = fact.encode().len();
        match pages.last_mut() {
            Some(page) if room.0 > 0 && room.1 >= bytes => page.push(fact),
            _ => {
                pages.push(vec![fact]);
                room = (MAX_BATCH_FACTS, MAX_BATCH_BYTES);
            }
        }
        room = (room.0 - 1, room.1.saturating_sub(bytes));
    }
    pages
}
