//! What is forgotten.

use std::collections::BTreeSet;

use model::{EventKey, ExecutionId, Fact, Hash, Origin, Stream, Timestamp};

use super::state::{Execution, State};
use crate::port::{Position, Pruned, Recorded};
use crate::projection::deferred;
use crate::retention::{MAX_DEPTH, Retention};
use crate::sealed::of_execution;

impl State {
    pub(super) fn prune(&mut self, keep: &Retention, after: Position, now: Timestamp) -> Pruned {
        let old = self.log.iter().flatten().filter(|fact| fact.position > after);
        let old = old.take_while(|fact| fact.at < keep.youngest(now));
        let goes: Vec<Recorded> = old.filter(|fact| self.goes(fact, keep, now)).cloned().collect();
        for fact in &goes {
            self.log[fact.position.0 as usize - 1] = None;
            if let (Stream::Execution(id), Fact::ExecutionRequested(_)) = (&fact.stream, &fact.fact)
            {
                self.executions.remove(id);
                let own = of_execution(id);
                self.sealed.retain(|name, _| !name.starts_with(&own));
            }
        }
        Pruned { facts: goes.len() as u64, next: None }
    }

    fn goes(&self, fact: &Recorded, keep: &Retention, now: Timestamp) -> bool {
        match &fact.stream {
            Stream::Execution(id) => self.execution_goes(id, fact.at, (keep, now), MAX_DEPTH),
            Stream::Event(key) => {
                let event = self.events.get(key);
                let (kind, source) = event.map_or(("", ""), |it| (&it.kind, &it.source));
                fact.at < keep.events(kind, source, now) && !self.is_deferred(key)
            }
            stream => fact.at < keep.words(now) && self.is_past(stream, fact, keep.words(now)),
        }
    }

    fn execution_goes(
        &self,
        id: &ExecutionId,
        at: Timestamp,
        (keep, now): (&Retention, Timestamp),
        depth: usize,
    ) -> bool {
        let Some(execution) = self.executions.get(id) else { return at < keep.words(now) };
        let origin = &execution.request.origin;
        let parent = match origin {
            Origin::Step { parent, .. } => Some(parent),
            _ => None,
        };
        let root = id.as_str().split('/').next().and_then(|root| root.parse().ok());
        let root = root.and_then(|root: ExecutionId| self.executions.get(&root));
        let is_old = |ended| {
            root.is_none_or(|Execution { request, .. }| {
                ended < keep.executions(request.origin.rule(), &request.action, now)
            })
        };
        let Some(ended) = execution.standing.finished_at.filter(|_| depth > 0) else {
            return false;
        };
        match parent {
            // A child belongs to whom its parent belongs to, and goes with it.
            Some(parent) if self.executions.contains_key(parent) => {
                self.execution_goes(parent, at, (keep, now), depth - 1)
                    || self.is_followed(execution) && is_old(ended)
            }
            Some(_) => true,
            None => is_old(ended),
        }
    }

    /// Whether it is a child that went on as a run that is there.
    pub(super) fn is_followed(&self, execution: &Execution) -> bool {
        let Execution { request, position, .. } = execution;
        let mut runs = self.executions.values().filter(|it| it.request.origin == request.origin);
        matches!(request.origin, Origin::Step { .. }) && runs.any(|run| run.position > *position)
    }

    /// Whether not everything is stored yet that rules made of the event.
    fn is_deferred(&self, event: &EventKey) -> bool {
        self.latest(&Stream::Pages(event.clone())).cloned().and_then(deferred).is_some()
    }

    fn is_past(&self, stream: &Stream, fact: &Recorded, since: Timestamp) -> bool {
        if let Stream::Key(_) | Stream::Seen(_) = stream {
            let no_more = match &fact.fact {
                Fact::KeyDeleted | Fact::ObjectGone => true,
                Fact::KeySet { expires_at, .. } => expires_at.is_some_and(|end| end < since),
                _ => false,
            };
            return no_more || fact.position.0 < self.version(stream).0;
        }
        if let Stream::Pages(_) = stream {
            return self.latest(stream).cloned().and_then(deferred).is_none();
        }
        let later = self.streams.get(stream).into_iter().flatten();
        let mut later = later.filter_map(|position| self.at(*position));
        later.any(|it| it.position > fact.position && it.fact.name() == fact.fact.name())
    }

    /// Forgets streams of which nothing is left, and events that were told before `window`.
    pub(super) fn tidy(&mut self, window: Timestamp) {
        self.events.retain(|_, event| event.accepted_at >= window);
        let is_deferred = |it: &Stream| matches!(it, Stream::Pages(key) if self.is_deferred(key));
        let (any_deferred, known) = (self.streams.keys().any(is_deferred), &self.executions);
        // As in SQLite: a page that is still to be stored may make the execution.
        self.sealed.retain(|name, sealed| {
            let owner = name.strip_prefix("token/").and_then(|rest| rest.split('/').next());
            let is_known = |id: &str| known.keys().any(|known| known.as_str() == id);
            any_deferred || sealed.at >= window || owner.is_none_or(is_known)
        });
        let log = &self.log;
        let left = |position: &Position| log[position.0 as usize - 1].is_some();
        let events = &self.events;
        self.streams.retain(|stream, positions| {
            let known = matches!(stream, Stream::Event(key) if events.contains_key(key));
            known || positions.iter().any(left)
        });
    }

    pub(super) fn named(&self, contents: &[Hash]) -> BTreeSet<Hash> {
        let texts: Vec<String> = self
            .log
            .iter()
            .flatten()
            .map(|it| String::from_utf8_lossy(&it.fact.encode()).into_owned())
            .collect();
        let named = |hash: &&Hash| texts.iter().any(|text| text.contains(&hash.to_string()));
        contents.iter().filter(named).copied().collect()
    }
}
