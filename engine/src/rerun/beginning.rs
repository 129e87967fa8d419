//! Storing what a repetition begins with, however much that is.
//!
//! What does not fit one batch is stored in several, and the request in the last of them: facts
//! that nobody asked to run are no execution yet, and go with time if the engine dies in between. Asked
//! for again under the same name, what is missing is added to them.

use model::{Actor, BatchId, ExecutionId, Fact, Stream, Timestamp, Value, Version, json};
use store::{
    Appended, Batch, MAX_BATCH_BYTES, MAX_BATCH_FACTS, MAX_SEALED_CHANGES, Recorded, Sealing, Write,
};

use crate::ask::AskError;
use crate::engine::Engine;
use crate::random;
use crate::secrets::Granted;

/// The facts of a new execution's stream.
pub(super) struct Beginning {
    /// The request, and what it is granted.
    pub(super) request: Vec<Fact>,
    /// The records that belong to these.
    sealing: Vec<Sealing>,
    /// What it takes over, in order: tokens that the request's commit has no room for, then steps.
    taken_over: Vec<(Fact, Vec<Sealing>)>,
}

/// What is stored in one commit.
#[derive(Default)]
struct Page {
    facts: Vec<Fact>,
    sealing: Vec<Sealing>,
    bytes: usize,
}

impl Page {
    fn put(&mut self, fact: Fact, sealing: Vec<Sealing>) {
        self.bytes += weight(&fact, &sealing);
        self.facts.push(fact);
        self.sealing.extend(sealing);
    }

    /// Whether a commit has room for as many more facts, records and bytes.
    const fn has_room(&self, facts: usize, records: usize, bytes: usize) -> bool {
        self.facts.len() + facts <= MAX_BATCH_FACTS
            && self.sealing.len() + records <= MAX_SEALED_CHANGES
            && self.bytes + bytes <= MAX_BATCH_BYTES
    }
}

impl Beginning {
    pub(super) fn new(request: Fact, steps: Vec<Fact>) -> Self {
        let taken_over = steps.into_iter().map(|fact| (fact, Vec::new())).collect();
        Self { request: vec![request], sealing: Vec::new(), taken_over }
    }

    /// Grants it tokens: the last part in the commit of its request, the others before.
    pub(super) fn grant(&mut self, mut parts: Vec<Granted>, at: Timestamp) {
        if let Some(Granted { tokens, sealing }) = parts.pop() {
            self.request.extend(Granted::fact(tokens, at));
            self.sealing = sealing;
        }
        let ahead = parts.into_iter().filter_map(|Granted { tokens, sealing }| {
            Granted::fact(tokens, at).map(|fact| (fact, sealing))
        });
        self.taken_over.splice(0..0, ahead);
    }

    /// Leaves out what is `stored` already; false if that is the beginning of something else.
    fn goes_on_after(&mut self, stored: &[Recorded]) -> bool {
        let same =
            |(stored, (fact, _)): (&Recorded, &(Fact, _))| timeless(&stored.fact) == timeless(fact);
        let fits = stored.len() <= self.taken_over.len();
        let fits = fits && stored.iter().zip(&self.taken_over).all(same);
        if fits {
            self.taken_over.drain(..stored.len());
        }
        fits
    }

    /// The commits in which it is stored; only the last one makes an execution of it.
    fn pages(self, goes_on: bool) -> Vec<Page> {
        let Self { request, sealing, taken_over } = self;
        let mut pages = pages(taken_over);
        let mut last = Page { bytes: size(&request), facts: request, sealing };
        // In the order in which they were made, where that fits.
        let fits = |page: &Page| last.has_room(page.facts.len(), page.sealing.len(), page.bytes);
        if !goes_on && pages.len() <= 1 && pages.iter().all(fits) {
            let first = pages.pop().unwrap_or_default();
            last.facts.extend(first.facts);
            last.sealing.extend(first.sealing);
        }
        pages.push(last);
        pages
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
        let pages = beginning.pages(version != Version::NONE);
        let (name, last) = (random::name(), pages.len() - 1);
        for (n, Page { facts, sealing, .. }) in pages.into_iter().enumerate() {
            // The request is the deed of whoever asked.
            let actor = if n == last { actor.clone() } else { Actor::engine() };
            let stream = Stream::Execution(id.clone());
            let batch = Batch {
                id: BatchId::new(format!("rerun/{name}/{n}")),
                actor,
                at: self.core.now(),
                writes: vec![Write::new(stream, Some(version), facts)],
            };
            match self.core.append_sealing(batch, sealing).await? {
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

fn size(facts: &[Fact]) -> usize {
    facts.iter().map(json::length).sum()
}

fn weight(fact: &Fact, sealing: &[Sealing]) -> usize {
    json::length(fact) + sealing.iter().map(Sealing::bytes).sum::<usize>()
}

/// As much a page as fits a commit, at least one fact with its records.
fn pages(facts: Vec<(Fact, Vec<Sealing>)>) -> Vec<Page> {
    let mut pages: Vec<Page> = Vec::new();
    for (fact, sealing) in facts {
        let bytes = weight(&fact, &sealing);
        match pages.last_mut() {
            Some(page) if page.has_room(1, sealing.len(), bytes) => page.put(fact, sealing),
            _ => {
                let mut page = Page::default();
                page.put(fact, sealing);
                pages.push(page);
            }
        }
    }
    pages
}
