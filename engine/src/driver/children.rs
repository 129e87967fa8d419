//! Executions that run as steps of this one, and the one that this runs as a step of.

use std::collections::BTreeMap;

use model::fact::{Grant, StepResult};
use model::{
    Actor, Call, ErrorKind, ExecutionId, ExecutionState, Fact, Outcome, StepError, StepPath,
    Stream, Timestamp, Token, Version,
};
use serde_json::json;
use tokio::sync::oneshot;

use super::page::Page;
use super::run::Run;
use super::{Message, Refused};
use crate::core::Trouble;
use crate::secrets::passed_on;

impl Run {
    /// Looks after a child: ends it when its time is over, takes its end in. True if it has ended.
    pub(super) async fn child(
        &mut self,
        page: &mut Page,
        path: &StepPath,
        deadline: Option<Timestamp>,
        ending: bool,
    ) -> Result<bool, Trouble> {
        let child = self.id.child(path);
        let late = deadline.is_some_and(|at| at <= self.core.now());
        if self.asked_children.remove(path)
            && let Some((outcome, tokens)) = self.child_outcome(&child).await?
        {
            let given = json!([&outcome.result, &outcome.error]);
            self.grant(page, passed_on(&given, &tokens), self.core.now());
            let result = child_result(&child, outcome, late);
            let at = self.core.now();
            self.note(page, Fact::StepFinished { path: path.clone(), result, attempts: 1, at });
            return Ok(true);
        }
        if (late || ending) && self.told_children.insert(path.clone()) {
            let why = if late { "its deadline passed" } else { "the chain that runs it is ending" };
            let (reply, _) = oneshot::channel();
            let message =
                Message::Cancel { actor: Actor::engine(), reason: Some(why.to_owned()), reply };
            self.driver.send(child, self.lane.clone(), message);
        }
        Ok(false)
    }

    /// How a child ended, and the tokens it could use.
    async fn child_outcome(
        &self,
        child: &ExecutionId,
    ) -> Result<Option<(Outcome, BTreeMap<Token, Grant>)>, Trouble> {
        let ended = self.core.store.execution(child).await?.is_some_and(|row| row.state.is_end());
        if !ended {
            return Ok(None);
        }
        let (facts, _) =
            self.core.store.read(&Stream::Execution(child.clone()), Version::NONE).await?;
        let (mut ended, mut tokens) = (None, BTreeMap::new());
        for recorded in facts {
            match recorded.fact {
                Fact::ExecutionFinished { outcome, .. } => ended = Some(outcome),
                Fact::TokensGranted { tokens: more, .. } => tokens.extend(more),
                _ => {}
            }
        }
        Ok(ended.map(|outcome| (outcome, tokens)))
    }

    /// Says the same to every child that runs.
    pub(super) fn tell_children(
        &self,
        message: impl Fn(oneshot::Sender<Result<(), Refused>>) -> Message,
    ) {
        let children = self.journal.open().filter(|(_, e)| matches!(e.call, Call::Child { .. }));
        for (path, _) in children {
            // One that has just ended refuses, which nobody needs to know.
            let (reply, _) = oneshot::channel();
            self.driver.send(self.id.child(path), self.lane.clone(), message(reply));
        }
    }

    /// Tells the execution that runs this one as a step.
    pub(super) fn tell_parent(&self) {
        if let Some((parent, path)) = self.id.parent() {
            self.driver.send(parent, self.lane.clone(), Message::ChildEnded(path));
        }
    }
}

/// What a child's end is to the chain that runs it.
fn child_result(child: &ExecutionId, outcome: Outcome, late: bool) -> StepResult {
    if outcome.state == ExecutionState::Succeeded {
        // A chain that returns nothing has a result too: null.
        return StepResult::Done(outcome.result.unwrap_or_default());
    }
    let kind = match outcome.state {
        ExecutionState::Cancelled if late => ErrorKind::Deadline,
        _ => ErrorKind::ChildFailed,
    };
    let reason =
        outcome.error.as_ref().map_or_else(|| outcome.state.to_string(), |e| e.message.clone());
    let details = json!({
        "execution": child.as_str(),
        "state": outcome.state.as_str(),
        "error": outcome.error,
    });
    let mut error = StepError::new(kind, reason).with_details(details);
    error.attempts = 1;
    StepResult::Failed(error)
}
