//! What a turn wants stored: noted fact by fact, then stored in as few commits as bounds allow.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::Arc;

use model::{Actor, BatchId, Event, Fact, Stream, Timestamp, Version};
use store::{
    Appended, Batch, Encoded, MAX_BATCH_BYTES, MAX_BATCH_FACTS, MAX_SEALED_CHANGES, Sealing, Write,
};

use super::bounds;
use super::perform::Job;
use super::run::Run;
use crate::core::Trouble;
use crate::decide::decide_under;
use crate::fair::Permit;
use crate::notices;
use crate::packs::Generation;
use crate::pages::{Begun, Room, Sides};

/// What a turn wants stored, and done once it is.
#[derive(Default)]
pub(super) struct Page {
    noted: VecDeque<Noted>,
    /// What the commit brings into being.
    pub(super) begun: Begun,
    pub(super) jobs: Vec<(Job, Permit)>,
}

/// Facts of the execution, and those of other streams that belong into the same commit.
struct Noted {
    facts: Vec<Encoded>,
    sides: Sides,
}

impl Noted {
    fn facts(&self) -> usize {
        self.facts.len() + self.sides.writes.iter().map(|side| side.facts.len()).sum::<usize>()
    }

    fn bytes(&self) -> usize {
        let sides = self.sides.writes.iter().flat_map(|side| &side.facts);
        let facts = self.facts.iter().chain(sides).map(|fact| fact.bytes().len());
        facts.chain(self.sides.sealing.iter().map(Sealing::bytes)).sum()
    }
}

/// What the end of the stream says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It is parked until then.
    Parked(Option<Timestamp>),
    /// It goes on.
    Open,
}

impl Place {
    pub(super) fn after(last: Option<&Fact>) -> Self {
        match last {
            Some(Fact::ExecutionParked { until, .. }) => Self::Parked(*until),
            _ => Self::Open,
        }
    }
}

impl Run {
    /// Takes a fact in and puts it on the page.
    pub(super) fn note(&mut self, page: &mut Page, fact: Fact) {
        self.note_with(page, fact, Sides::default());
    }

    /// The same, together with what else belongs into its commit.
    pub(super) fn note_with(&mut self, page: &mut Page, fact: Fact, sides: Sides) {
        self.note_all(page, vec![fact], sides);
    }

    /// The same of several facts, which mean something only together.
    pub(super) fn note_all(&mut self, page: &mut Page, facts: Vec<Fact>, sides: Sides) {
        let facts: Vec<Fact> = facts.into_iter().map(bounds::fitted).collect();
        if facts.iter().any(chain_sees) {
            self.asked = None;
        }
        let journal = Arc::make_mut(&mut self.journal);
        for fact in &facts {
            journal.apply(fact);
        }
        let facts = facts.into_iter().map(Encoded::from).collect();
        page.noted.push_back(Noted { facts, sides });
    }

    /// Takes in facts that are stored already.
    pub(super) fn take_in(&mut self, facts: &[Fact]) {
        self.asked = None;
        let journal = Arc::make_mut(&mut self.journal);
        for fact in facts {
            journal.apply(fact);
        }
    }

    /// The same, together with what the engine tells of the fact, if it does.
    pub(super) async fn note_telling(
        &mut self,
        page: &mut Page,
        fact: Fact,
    ) -> Result<(), Trouble> {
        self.note_telling_with(page, fact, Sides::default()).await
    }

    /// The same, together with what else belongs into its commit.
    pub(super) async fn note_telling_with(
        &mut self,
        page: &mut Page,
        fact: Fact,
        mut sides: Sides,
    ) -> Result<(), Trouble> {
        let generation = self.core.generation.load_full();
        let told = match &self.journal.request {
            Some(request) => {
                notices::of_execution(&self.core, &generation, &self.id, request, &fact)
            }
            None => Vec::new(),
        };
        for event in told {
            sides.extend(self.told(page, &generation, event).await?);
        }
        self.note_with(page, fact, sides);
        Ok(())
    }

    /// A notice of the engine's own, with what rules make of it.
    pub(super) async fn told(
        &self,
        page: &mut Page,
        generation: &Arc<Generation>,
        event: Event,
    ) -> Result<Sides, Trouble> {
        let decided = decide_under(&self.core, generation, event, None, Room::SHARE).await?;
        page.begun.add(&decided.writes);
        Ok(decided.into_sides())
    }

    /// Stores what is on the page; its jobs stay on it.
    pub(super) async fn store(&mut self, page: &mut Page, actor: Actor) -> Result<(), Trouble> {
        while let Some((facts, Sides { writes, sealing })) = next_part(&mut page.noted) {
            let place = Place::after(facts.last().map(Deref::deref));
            match self.append_sealing(writes, facts, actor.clone(), sealing).await? {
                Appended::Committed { .. } => self.place = place,
                Appended::Conflict { stream, actual } => {
                    return Err(Trouble::Overtaken { stream, actual });
                }
            }
        }
        self.driver.take_up(std::mem::take(&mut page.begun));
        Ok(())
    }

    /// Appends facts of this execution and of others in one batch. This one's come last, so that
    /// the batch's position is its new version.
    pub(super) async fn append(
        &mut self,
        writes: Vec<Write>,
        facts: Vec<Encoded>,
        actor: Actor,
    ) -> Result<Appended, Trouble> {
        self.append_sealing(writes, facts, actor, Vec::new()).await
    }

    /// The same, together with changes of encrypted records.
    pub(super) async fn append_sealing(
        &mut self,
        mut writes: Vec<Write>,
        facts: Vec<Encoded>,
        actor: Actor,
        sealing: Vec<Sealing>,
    ) -> Result<Appended, Trouble> {
        let stream = Stream::Execution(self.id.clone());
        let id = BatchId::new(format!("{stream}@{}", self.version.0));
        self.bytes += facts.iter().map(|fact| fact.bytes().len()).sum::<usize>();
        writes.push(Write::new(stream, Some(self.version), facts));
        let batch = Batch { id, actor, at: self.core.now(), writes };
        let (appended, batch) = self.core.append_keeping(batch, sealing).await?;
        let told = batch.writes.last().map_or(&[][..], |own| &own.facts);
        if let Appended::Committed { position } = &appended {
            self.version = Version(position.0);
            self.observe(told);
        }
        Ok(appended)
    }
}

/// Whether a chain that is evaluated again may go on otherwise because of `fact`.
const fn chain_sees(fact: &Fact) -> bool {
    !matches!(
        fact,
        Fact::StepIntended { .. }
            | Fact::AttemptStarted { .. }
            | Fact::AttemptCutOff { .. }
            | Fact::AttemptFailed { .. }
            | Fact::ExecutionParked { .. }
    )
}

/// As much from the front as fits into one batch, at least one fact with its sides.
fn next_part(noted: &mut VecDeque<Noted>) -> Option<(Vec<Encoded>, Sides)> {
    let first = noted.pop_front()?;
    let (mut count, mut bytes) = (first.facts(), first.bytes());
    let Noted { mut facts, mut sides } = first;
    while let Some(next) = noted.front() {
        count += next.facts();
        bytes += next.bytes();
        let records = sides.sealing.len() + next.sides.sealing.len();
        if count > MAX_BATCH_FACTS || bytes > MAX_BATCH_BYTES / 2 || records > MAX_SEALED_CHANGES {
            break;
        }
        let next = noted.pop_front()?;
        facts.extend(next.facts);
        sides.extend(next.sides);
    }
    Some((facts, sides))
}
