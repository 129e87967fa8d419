//! Executions that are held, with all that they run.
//!
//! A word to a parent reaches its children as a message, in commits of their own. What a kill in
//! between leaves undone is made up for when a child is loaded: it is held while one of those above
//! it is, and goes on if it was held with them and they are not held any more.

use model::{Actor, ExecutionId, ExecutionState, Fact, Journal, Stream, Version};

use super::run::Run;
use super::{Message, Refused};
use crate::core::Trouble;

/// Who holds an execution, lets it go on, or ends it.
#[derive(Debug, Clone)]
pub(super) enum By {
    /// Somebody.
    Actor(Actor),
    /// The execution that runs it, on somebody's behalf.
    Parent(Actor),
}

impl By {
    pub(super) const fn is_parent(&self) -> bool {
        matches!(self, Self::Parent(_))
    }

    pub(super) fn actor(&self) -> Actor {
        let (Self::Actor(actor) | Self::Parent(actor)) = self;
        actor.clone()
    }
}

impl Run {
    pub(super) async fn pause(
        &mut self,
        by: By,
        reason: Option<String>,
    ) -> Result<Result<(), Refused>, Trouble> {
        if self.journal.undo.is_some() {
            return Ok(Err(Refused::Undoing));
        }
        if self.journal.cancel_requested.is_some() {
            return Ok(Err(Refused::Ending));
        }
        let reason = self.clean(reason).await?;
        if self.journal.paused.is_none() {
            let (reason, with_parent, at) = (reason.clone(), by.is_parent(), self.core.now());
            let paused = Fact::ExecutionPaused { reason, with_parent, at };
            self.say(vec![paused], by.actor()).await?;
        }
        self.tell_children(|reply| Message::Pause {
            by: By::Parent(by.actor()),
            reason: reason.clone(),
            reply,
        })
        .await?;
        Ok(Ok(()))
    }

    pub(super) async fn resume(&mut self, by: By) -> Result<Result<(), Refused>, Trouble> {
        let held = self.journal.paused.is_some();
        if !held || (by.is_parent() && !self.journal.paused_with_parent) {
            return Ok(Err(Refused::NotPaused));
        }
        if !by.is_parent()
            && let Some(above) = self.held_above().await?
        {
            return Ok(Err(Refused::Held(above)));
        }
        let at = self.core.now();
        self.say(vec![Fact::ExecutionResumed { at }], by.actor()).await?;
        self.tell_children(|reply| Message::Resume { by: By::Parent(by.actor()), reply }).await?;
        Ok(Ok(()))
    }

    /// Makes up for a word to those above that a kill kept from arriving here.
    pub(super) async fn follow_those_above(&mut self) -> Result<(), Trouble> {
        let journal = &self.journal;
        let goes_its_way = journal.outcome.is_some()
            || journal.undo.is_some()
            || journal.cancel_requested.is_some()
            || (journal.paused.is_some() && !journal.paused_with_parent);
        if self.id.parent().is_none() || goes_its_way {
            return Ok(());
        }
        let by = By::Parent(Actor::engine());
        // A refusal leaves it as it is.
        let _ = match (self.held_above().await?, self.journal.paused) {
            (Some(_), None) => self.pause(by, None).await?,
            (None, Some(_)) => self.resume(by).await?,
            _ => Ok(()),
        };
        Ok(())
    }

    /// The nearest of those that run this one, directly or not, that is held.
    async fn held_above(&self) -> Result<Option<ExecutionId>, Trouble> {
        let mut below = self.id.clone();
        while let Some((above, _)) = below.parent() {
            if self.is_held(&above).await? {
                return Ok(Some(above));
            }
            below = above;
        }
        Ok(None)
    }

    async fn is_held(&self, id: &ExecutionId) -> Result<bool, Trouble> {
        let Some(row) = self.core.store.execution(id).await? else { return Ok(false) };
        match row.state {
            ExecutionState::Paused => Ok(true),
            // A question hides that it is held as well.
            ExecutionState::NeedsAttention => {
                let stream = Stream::Execution(id.clone());
                let (facts, _) = self.core.store.read(&stream, Version::NONE).await?;
                let journal = Journal::of(facts.iter().map(|recorded| &recorded.fact));
                Ok(journal.paused.is_some())
            }
            _ => Ok(false),
        }
    }
}
