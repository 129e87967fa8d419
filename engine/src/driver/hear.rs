//! People's words become facts: cancel and resolve; for pause and resume see `holding`.

use model::{Actor, Fact, Outcome, Resolution, Schema, StepError, StepPath, Value};

use super::page::Page;
use super::run::Run;
use super::{Message, Refused};
use crate::core::Trouble;
use crate::secrets::{Fresh, too_long};

impl Run {
    /// Takes in what somebody says.
    pub(super) async fn hear(&mut self, message: Message) -> Result<(), Trouble> {
        match message {
            Message::Wake => Ok(()),
            Message::ChildEnded(path) => {
                self.asked_children.insert(path);
                Ok(())
            }
            Message::Cancel { by, reason, reply } => {
                let refusal = self.journal.undo.is_some().then_some(Refused::Undoing);
                if refusal.is_none() && self.journal.cancel_requested.is_none() {
                    let (reason, at) = (self.clean(reason).await?, self.core.now());
                    self.say(vec![Fact::CancelRequested { reason, at }], by.actor()).await?;
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
                let answer = self.resolve(actor, path.as_ref(), resolution).await?;
                let _ = reply.send(answer);
                Ok(())
            }
        }
    }

    pub(super) async fn say(&mut self, facts: Vec<Fact>, actor: Actor) -> Result<(), Trouble> {
        self.say_on(Page::default(), facts, actor).await
    }

    /// The same, after what is on the page.
    async fn say_on(
        &mut self,
        mut page: Page,
        facts: Vec<Fact>,
        actor: Actor,
    ) -> Result<(), Trouble> {
        for fact in facts {
            self.note_telling(&mut page, fact).await?;
        }
        self.store(&mut page, actor).await
    }

    /// Takes in a person's decision, without the values in it that are secret by the schema.
    async fn resolve(
        &mut self,
        actor: Actor,
        path: Option<&StepPath>,
        resolution: Resolution,
    ) -> Result<Result<(), Refused>, Trouble> {
        let schema = match self.may_resolve(path, &resolution) {
            Ok(schema) => schema,
            Err(refused) => return Ok(Err(refused)),
        };
        let (mut page, mut said) = (Page::default(), resolution);
        let opened = self.opened().await?;
        match said {
            Resolution::Done(value) => {
                let (value, fresh) = opened.told(value, &schema);
                if let Some(refused) = self.unkept(&fresh) {
                    return Ok(Err(refused));
                }
                self.grant_fresh(&mut page, &fresh, self.core.now())?;
                said = Resolution::Done(self.core.bounded(value).await?);
            }
            Resolution::Fail(why) => {
                said = Resolution::Fail(opened.redactor().text(&why).into_owned());
            }
            Resolution::Retry => {}
        }
        let facts = self.resolution(said);
        self.say_on(page, facts, actor).await.map(Ok)
    }

    /// Why what is secret in a person's word cannot be kept.
    fn unkept(&self, fresh: &[Fresh]) -> Option<Refused> {
        if let Some(why) = too_long(fresh) {
            return Some(Refused::BadResult(why));
        }
        let keyless = (!fresh.is_empty()).then(|| self.keyless()).flatten();
        keyless.map(|error| Refused::Store(error.message))
    }

    /// What somebody says, without the values that the execution knows.
    pub(super) async fn clean(&mut self, said: Option<String>) -> Result<Option<String>, Trouble> {
        let Some(said) = said else { return Ok(None) };
        Ok(Some(self.opened().await?.redactor().text(&said).into_owned()))
    }

    /// What the result of the waiting step looks like, if it may be resolved like this.
    fn may_resolve(
        &self,
        path: Option<&StepPath>,
        resolution: &Resolution,
    ) -> Result<Schema, Refused> {
        let Some((waiting, _)) = &self.journal.attention else {
            return Err(Refused::NothingToResolve(String::new()));
        };
        if path.is_some() && path != waiting.as_ref() {
            let named = waiting.as_ref().map(|path| format!("; it waits at step {path}"));
            return Err(Refused::NothingToResolve(named.unwrap_or_default()));
        }
        let schema = self.result_schema(waiting.as_ref());
        if let (Some(_), Resolution::Done(value)) = (waiting, resolution) {
            check_result(&schema, value)?;
        }
        Ok(schema)
    }

    /// The facts that a person's decision makes.
    fn resolution(&self, resolution: Resolution) -> Vec<Fact> {
        let at = self.core.now();
        let Some((waiting, error)) = &self.journal.attention else { return Vec::new() };
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
        std::iter::once(resolved).chain(finished).chain(held).collect()
    }

    /// What the result of the step at `path` looks like, or that of the chain itself.
    pub(super) fn result_schema(&self, path: Option<&StepPath>) -> Schema {
        let called = match path {
            Some(path) => self.journal.entries.get(path).and_then(|entry| {
                let call = &entry.call;
                call.action().zip(call.parameters())
            }),
            None => self.journal.request.as_ref().map(|own| (&own.action, &own.parameters)),
        };
        let generation = self.core.generation.load();
        let result = called.and_then(|(action, parameters)| {
            let pinned = self.pinned.as_ref();
            let resolved = self.core.library.resolve(&generation, pinned, action).ok()?;
            Some(resolved.result(parameters).into_owned())
        });
        result.unwrap_or_else(Schema::empty)
    }
}

fn check_result(schema: &Schema, value: &Value) -> Result<(), Refused> {
    if schema.properties().is_empty() {
        return Ok(());
    }
    match schema.violations(value).into_iter().next() {
        Some(violation) => Err(Refused::BadResult(violation.message)),
        None => Ok(()),
    }
}
