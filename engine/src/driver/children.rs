//! Executions that run as steps of this one, and the one that this runs as a step of.

use std::collections::BTreeMap;

use model::fact::{Grant, StepResult};
use model::{
    Actor, Call, ErrorKind, ExecutionId, ExecutionState, Fact, Outcome, StepError, StepPath,
    Stream, Timestamp, Token, Version,
};
use serde_json::json;
use tokio::sync::oneshot;

use super::holding::By;
use super::page::Page;
use super::run::Run;
use super::{Message, Refused};
use crate::core::Trouble;
use crate::going_on::latest_run;
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
        let late = deadline.is_some_and(|at| at <= self.core.now());
        if self.asked_children.remove(path)
            && let (child, Some((outcome, tokens))) = self.child_outcome(path).await?
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
            let (by, reason) = (By::Parent(Actor::engine()), Some(why.to_owned()));
            self.tell_child(path, Message::Cancel { by, reason, reply }).await?;
        }
        Ok(false)
    }

    /// The run that a child is now; how it ended and the tokens it could use, if it ended and did not go
    /// on.
    async fn child_outcome(
        &self,
        path: &StepPath,
    ) -> Result<(ExecutionId, Option<(Outcome, BTreeMap<Token, Grant>)>), Trouble> {
        let store = &self.core.store;
        let child = self.current_child(path).await?;
        if !store.execution(&child).await?.is_some_and(|row| row.state.is_end()) {
            return Ok((child, None));
        }
        let (facts, _) = store.read(&Stream::Execution(child.clone()), Version::NONE).await?;
        let (mut ended, mut tokens) = (None, BTreeMap::new());
        for recorded in facts {
            match recorded.fact {
                Fact::ExecutionFinished { outcome, .. } => ended = Some(outcome),
                Fact::TokensGranted { tokens: more, .. } => tokens.extend(more),
                _ => {}
            }
        }
        let ended = ended.filter(|outcome| outcome.continued_as.is_none());
        Ok((child, ended.map(|outcome| (outcome, tokens))))
    }

    /// The run that the child at `path` is now, as far as is stored: it may go on at any moment.
    async fn current_child(&self, path: &StepPath) -> Result<ExecutionId, Trouble> {
        let first = self.id.child(path);
        let latest = latest_run(&*self.core.store, &first).await?;
        Ok(latest.map_or(first, |run| run.id))
    }

    async fn tell_child(&self, path: &StepPath, message: Message) -> Result<(), Trouble> {
        let child = self.current_child(path).await?;
        self.driver.send(child, self.lane.clone(), message);
        Ok(())
    }

    /// Says the same to every child that runs.
    pub(super) async fn tell_children(
        &self,
        message: impl Fn(oneshot::Sender<Result<(), Refused>>) -> Message,
    ) -> Result<(), Trouble> {
        let children = self.journal.open().filter(|(_, e)| matches!(e.call, Call::Child { .. }));
        for (path, _) in children {
            // One that has just ended refuses, which nobody needs to know.
            let (reply, _) = oneshot::channel();
            self.tell_child(path, message(reply)).await?;
        }
        Ok(())
    }

    /// Tells the execution that runs this one as a step; one that goes on leaves that to its last run.
    pub(super) fn tell_parent(&self) {
        let goes_on = self.journal.outcome.as_ref().is_some_and(|end| end.continued_as.is_some());
        if let Some((parent, path)) = self.id.parent().filter(|_| !goes_on) {
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
