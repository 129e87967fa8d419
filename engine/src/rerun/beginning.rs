//! Storing what a repetition begins with, however much that is.
//!
//! What does not fit one batch is stored in several, and the request in the last of them: facts
//! that nobody asked to run are no execution yet, and go with time if the engine dies in between. Asked
//! for again under the same name, what is missing is added to them.

use model::{Actor, BatchId, ExecutionId, Fact, Stream, Value, Version};
use store::{Appended, Batch, MAX_BATCH_BYTES, MAX_BATCH_FACTS, Recorded, Sealing, Write};

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
    /// Leaves out what is `stored` already; false if that is the beginning of something else.
    fn goes_on_after(&mut self, stored: &[Recorded]) -> bool {
        let same = |(stored, fact): (&Recorded, &Fact)| timeless(&stored.fact) == timeless(fact);
        let fits = stored.len() <= self.taken_over.len();
        let fits = fits && stored.iter().zip(&self.taken_over).all(same);
        if fits {
            self.taken_over.drain(..stored.len());
        }
        fits
    }

    /// The batches in which it is stored; only the last one makes an execution of it.
    fn batches(self, goes_on: bool) -> (Vec<Vec<Fact>>, Vec<Sealing>) {
        let Self { mut request, taken_over, sealing } = self;
        let mut pages = pages(taken_over);
        // In the order in which they were made, where that fits.
        let together = !goes_on && pages.len() <= 1 && {
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
    /// Stores it as the execution `id`. False if there is such an execution, or one that somebody else
    /// is beginning; of a `named` one there may be a part already.
    pub(super) async fn store_beginning(
        &self,
        actor: Actor,
        id: &ExecutionId,
        mut beginning: Beginning,
        named: bool,
    ) -> Result<bool, AskError> {
        let mut version = Version::NONE;
        if named {
            let stream = Stream::Execution(id.clone());
            let (stored, at) = self.core.store.read(&stream, Version::NONE).await?;
            let asked = |it: &Recorded| matches!(it.fact, Fact::ExecutionRequested(_));
            if stored.iter().any(asked) {
                return Ok(false);
            }
            if !beginning.goes_on_after(&stored) {
                let what = "another request had this name, which was to repeat something else";
                return Err(AskError::Conflict(what.to_owned()));
            }
            version = at;
        }
        let (batches, mut sealing) = beginning.batches(version != Version::NONE);
        let (name, last) = (random::name(), batches.len() - 1);
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

/// A fact but for when it was written.
fn timeless(fact: &Fact) -> Value {
    let mut fact = serde_json::to_value(fact).unwrap_or_default();
    let fields = fact.as_object_mut().and_then(|fact| fact.values_mut().next());
    fields.and_then(Value::as_object_mut).and_then(|fields| fields.remove("at"));
    fact
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
