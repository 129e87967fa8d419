//! The end of a run that a new one of the same chain goes on from.

use chains::{Ask, StepOptions};
use model::event::MAX_DEPTH;
use model::fact::ExecutionRequested;
use model::{
    Actor, BatchId, Call, Duration, ErrorKind, ExecutionId, Fact, Journal, Outcome, StepError,
    Stream, Timestamp, Value, Version,
};
use store::{Appended, Batch, Write};

use super::ask::{Intention, Lookup};
use super::page::Page;
use super::run::Run;
use super::secrets::trouble;
use crate::core::Trouble;
use crate::notices;
use crate::packs::PackAction;
use crate::pages::Sides;
use crate::permissions::Rights;
use crate::secrets::{Fresh, Granted};

/// A run that took less went on without time between. After [`MAX_DEPTH`] of them in a row, those that
/// make steps take at least as long: a chain that forgot to sleep fills no disk.
const SHORT: Duration = Duration::from_secs(1);

impl Run {
    /// Ends the execution and requests the one that goes on with `parameters`, in one commit; or holds
    /// it back until a later evaluation, where too many went on too fast.
    pub(super) async fn continue_as(
        &mut self,
        page: &mut Page,
        outcome: Outcome,
        parameters: Value,
    ) -> Result<(), Trouble> {
        let at = self.core.now();
        let (in_a_row, idle) = self.in_a_row(at);
        if idle > MAX_DEPTH {
            return self.cut_circle(page, outcome, at).await;
        }
        if in_a_row > MAX_DEPTH {
            self.paced = Some(SHORT.after(self.begun(at)));
            return Ok(());
        }
        let continuation = self.continuation(parameters, at).await?;
        let handed = continuation.and_then(|(request, fresh)| {
            let tokens = self.holder().granted_to(&request.action, &request.parameters)?;
            Ok((request, fresh, tokens))
        });
        let (request, fresh, handed) = match handed {
            Ok(handed) => handed,
            Err(error) => return self.finish(page, failed(outcome, error)).await,
        };
        let next = self.id.continuation();
        // Its own copies: this run's go with it. A child's are its root's.
        let mut granted = self.core.take_over(handed, &next, at).await?;
        granted.extend(self.core.keep_all(&next, &fresh, at).map_err(trouble)?);
        let Granted { tokens, sealing } = granted.pop().unwrap_or_default();
        let expected = Some(self.grant_ahead(&next, granted, at).await?);
        let (of, by) = (self.id.clone(), Some(self.asked_by.clone()));
        let continues = Fact::ExecutionContinues { of, in_a_row, idle, by, at };
        let facts = [Fact::ExecutionRequested(request), continues];
        let facts = facts.into_iter().chain(Granted::fact(tokens, at));
        let side = Write::new(Stream::Execution(next.clone()), expected, facts);
        if self.driver.continues || next.parent().is_some() {
            page.begun.executions.push((next.clone(), self.lane.clone()));
        }
        let outcome = Outcome { continued_as: Some(next), ..outcome };
        let sides = Sides { writes: vec![side], sealing };
        self.note_telling_with(page, Fact::ExecutionFinished { outcome, at }, sides).await
    }

    /// How many runs up to this one, which ends now, went on without time between; and how many of them
    /// made no step. One that was held back begins no new count.
    fn in_a_row(&self, at: Timestamp) -> (u32, u32) {
        let Journal { in_a_row, idle, entries, .. } = &*self.journal;
        let end = SHORT.after(self.begun(at));
        match () {
            () if end > at && entries.is_empty() => (in_a_row + 1, idle + 1),
            () if end > at => (in_a_row + 1, 0),
            () if SHORT.after(end) > at => (*in_a_row, 0),
            () => (0, 0),
        }
    }

    fn begun(&self, at: Timestamp) -> Timestamp {
        self.journal.request.as_ref().map_or(at, |request| request.at)
    }

    /// Ends a chain that goes on in a circle, and tells that it did.
    async fn cut_circle(
        &mut self,
        page: &mut Page,
        outcome: Outcome,
        at: Timestamp,
    ) -> Result<(), Trouble> {
        let message = format!(
            "`continue_as`: {MAX_DEPTH} runs in a row took less than {SHORT} each and made no step: a loop; let time pass between them (`sleep`), or do something in each"
        );
        let outcome = failed(outcome, StepError::new(ErrorKind::Rejected, message));
        let request = self.journal.request.clone();
        let notice = request.and_then(|request| {
            notices::loop_detected(&self.core, &self.id, &request, "continue_as")
        });
        let sides = match notice {
            Some(notice) => {
                let generation = self.core.generation.load_full();
                self.told(page, &generation, notice).await?
            }
            None => Sides::default(),
        };
        self.note_telling_with(page, Fact::ExecutionFinished { outcome, at }, sides).await
    }

    /// Grants `next`, which nobody has asked for yet, what the commit of its request has no room for;
    /// answers the version of its stream. What an engine that died here has stored is granted again.
    async fn grant_ahead(
        &self,
        next: &ExecutionId,
        granted: Vec<Granted>,
        at: Timestamp,
    ) -> Result<Version, Trouble> {
        let stream = Stream::Execution(next.clone());
        let (_, mut version) = self.core.store.read(&stream, Version::NONE).await?;
        for Granted { tokens, sealing } in granted {
            let batch = Batch {
                id: BatchId::new(format!("{stream}@{}", version.0)),
                actor: Actor::engine(),
                at,
                writes: vec![Write::new(
                    stream.clone(),
                    Some(version),
                    [Fact::TokensGranted { tokens, at }],
                )],
            };
            version = match self.core.append_sealing(batch, sealing).await? {
                Appended::Committed { position } => Version(position.0),
                Appended::Conflict { stream, actual } => {
                    return Err(Trouble::Overtaken { stream, actual });
                }
            };
        }
        Ok(version)
    }

    /// The request of the run that goes on: for the same reason as this one, with the chain that is
    /// active now, or the pinned one where none is; and what its schema calls secret. A child keeps the
    /// content, and the limit of time, that the step of its parent has.
    async fn continuation(
        &mut self,
        parameters: Value,
        at: Timestamp,
    ) -> Result<Result<(ExecutionRequested, Vec<Fresh>), StepError>, Trouble> {
        let gone = || StepError::new(ErrorKind::Internal, "the execution's request is missing");
        let Some(own) = self.journal.request.clone() else { return Ok(Err(gone())) };
        let (opened, generation) = (self.opened().await?, self.core.generation.load_full());
        let is_child = self.id.parent().is_some();
        let mut packs = generation.packs.values().filter(|_| !is_child);
        let active = packs.find(|pack| {
            let chain = pack.actions.get(own.action.name());
            pack.name.as_str() == own.action.pack() && chain.is_some_and(PackAction::is_chain)
        });
        let Some(pack) = active.or(self.pinned.as_ref()).cloned() else { return Ok(Err(gone())) };
        let environment = self.core.environment.load_full();
        let lookup = Lookup {
            opened: &opened,
            library: &self.core.library,
            generation: &generation,
            pinned: Some(&pack),
            rights: Rights::of(generation.clone(), environment, Some(&pack.name), Some(&pack)),
            now: at,
            bound: None,
        };
        let ask =
            Ask::Run { action: own.action.clone(), parameters, options: StepOptions::default() };
        let (intention, fresh) = lookup.intention(ask);
        let parameters = match intention {
            Intention::Call(Call::Child { parameters, .. }) => parameters,
            Intention::Refused(_, error) => return Ok(Err(error)),
            _ => return Ok(Err(gone())),
        };
        let chain = pack.actions.get(own.action.name()).filter(|_| !is_child);
        let deadline = chain.and_then(|chain| chain.deadline);
        let pack = Some(pack.hash);
        let doubted = self.is_doubted().await?;
        Ok(Ok((ExecutionRequested { parameters, pack, deadline, at, doubted, ..own }, fresh)))
    }
}

/// The same end, failed with `error`.
fn failed(outcome: Outcome, error: StepError) -> Outcome {
    Outcome { handler_errors: outcome.handler_errors, ..Outcome::failed(error) }
}
