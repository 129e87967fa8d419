//! People's words become facts: cancel and resolve; for pause and resume see `holding`.

use model::{Actor, Fact, Outcome, Resolution, StepError, StepPath, Value};

use super::page::Page;
use super::run::Run;
use super::{Message, Refused};
use crate::core::Trouble;

impl Run {
    /// Takes in what somebody says.
    pub(super) async fn hear(&mut self, message: Message) -> Result<(), Trouble> {
        match message {
            Message::Wake => Ok(()),
            Message::ChildEnded(path) => {
                self.asked_children.insert(path);
                Ok(())
            }
            Message::Cancel { actor, reason, reply } => {
                let refusal = self.journal.undo.is_some().then_some(Refused::Undoing);
                if refusal.is_none() && self.journal.cancel_requested.is_none() {
                    let at = self.core.now();
                    self.say(vec![Fact::CancelRequested { reason, at }], actor).await?;
                }
                // Who asked may have gone.
                let _ = reply.send(refusal.map_or(Ok(()), Err));
                Ok(())
            }
            Message::Pause { by, reason, reply } => {
                let answer = self.pause(by, reason).await?;
                let _ = reply.send(answer);
                Ok(())
            }
            Message::Resume { by, reply } => {
                let answer = self.resume(by).await?;
                let _ = reply.send(answer);
                Ok(())
            }
            Message::Resolve { actor, path, resolution, reply } => {
                let resolution = match resolution {
                    Resolution::Done(value) => Resolution::Done(self.core.bounded(value).await?),
                    other => other,
                };
                let answer = match self.resolution(path, resolution) {
                    Ok(facts) => {
                        self.say(facts, actor).await?;
                        Ok(())
                    }
                    Err(refused) => Err(refused),
                };
                let _ = reply.send(answer);
                Ok(())
            }
        }
    }

    pub(super) async fn say(&mut self, facts: Vec<Fact>, actor: Actor) -> Result<(), Trouble> {
        let mut page = Page::default();
        for fact in facts {
            self.note_telling(&mut page, fact).await?;
        }
        self.store(&mut page, actor).await
    }

    /// The facts that a person's decision makes.
    fn resolution(
        &self,
        path: Option<StepPath>,
        resolution: Resolution,
    ) -> Result<Vec<Fact>, Refused> {
        let at = self.core.now();
        let Some((waiting, error)) = &self.journal.attention else {
            return Err(Refused::NothingToResolve(String::new()));
        };
        if path.is_some() && path != *waiting {
            let named = waiting.as_ref().map(|path| format!("; it waits at step {path}"));
            return Err(Refused::NothingToResolve(named.unwrap_or_default()));
        }
        if let (Some(path), Resolution::Done(value)) = (waiting, &resolution) {
            self.check_result(path, value)?;
        }
        let resolved =
            Fact::StepResolved { path: waiting.clone(), resolution: resolution.clone(), at };
        let end = match (waiting, resolution) {
            // The chain itself cannot be replayed, so its end is said here, without undo.
            (None, Resolution::Fail(message)) => {
                let error = StepError::new(error.kind, format!("{message} ({})", error.message));
                Some(Outcome::failed(error))
            }
            (None, Resolution::Done(value)) => Some(Outcome::succeeded(value)),
            _ => None,
        };
        let finished = end.map(|outcome| Fact::ExecutionFinished { outcome, at });
        // What was said of a step is no word about going on.
        let held = self.journal.paused.filter(|_| finished.is_none());
        let with_parent = self.journal.paused_with_parent;
        let held = held.map(|_| Fact::ExecutionPaused { reason: None, with_parent, at });
        Ok(std::iter::once(resolved).chain(finished).chain(held).collect())
    }

    fn check_result(&self, path: &StepPath, value: &Value) -> Result<(), Refused> {
        let Some(action) = self.journal.entries.get(path).and_then(|entry| entry.call.action())
        else {
            return Ok(());
        };
        let generation = self.core.generation.load();
        let resolved = self.core.library.resolve(&generation, self.pinned.as_ref(), action);
        let violations = match resolved {
            Ok(resolved) if !resolved.result().properties().is_empty() => {
                resolved.result().violations(value)
            }
            _ => Vec::new(),
        };
        match violations.into_iter().next() {
            Some(violation) => Err(Refused::BadResult(violation.message)),
            None => Ok(()),
        }
    }
}
