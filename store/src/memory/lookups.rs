//! What is looked up in the store, and what fits a filter.

use std::collections::BTreeMap;

use model::{Actor, EventKey, ExecutionId, Fact, Origin, RuleRef, Stream, Timestamp, Value};

use super::state::{Event, Execution, State};
use crate::port::{
    AuditFilter, EventFilter, EventRow, ExecutionFilter, ExecutionRow, KeyRow, MAX_FAILED_RULES,
    Position, Recorded,
};
use crate::projection::{asked, event_row, execution_row, failed_rule, key_row, seen};

impl State {
    pub(super) fn event(&self, key: &EventKey) -> Option<EventRow> {
        let Event { position, repeats, .. } = self.events.get(key)?;
        match &self.at(*position)?.fact {
            Fact::EventAccepted(accepted) => {
                let failed = self.failed_rules(key);
                Some(event_row(key.clone(), accepted.clone(), *position, *repeats, failed))
            }
            _ => None,
        }
    }

    fn failed_rules(&self, key: &EventKey) -> Vec<RuleRef> {
        let positions = self.streams.get(&Stream::Event(key.clone())).into_iter().flatten();
        let facts = positions.filter_map(|position| self.at(*position));
        facts.filter_map(|found| failed_rule(&found.fact)).take(MAX_FAILED_RULES).collect()
    }

    pub(super) fn key(&self, key: &str, now: Timestamp) -> Option<KeyRow> {
        key_row(self.latest(&Stream::Key(key.to_owned()))?.clone(), now)
    }

    pub(super) fn keys(
        &self,
        (prefix, after): (&str, &str),
        now: Timestamp,
        limit: usize,
    ) -> Vec<KeyRow> {
        let from = Stream::Key(prefix.max(after).to_owned());
        let keys = self.streams.range(from..).map_while(|(stream, _)| match stream {
            Stream::Key(key) => key.starts_with(prefix).then_some(key),
            _ => None,
        });
        let keys = keys.filter(|key| key.as_str() > after);
        keys.filter_map(|key| self.key(key, now)).take(limit).collect()
    }

    /// What is remembered of objects whose streams begin with `own`.
    pub(super) fn seen(&self, own: &str, after: &str, limit: usize) -> Vec<(String, Value)> {
        let from = format!("{own}{after}");
        let streams = self.streams.range(Stream::Seen(from.clone())..).map_while(|(stream, _)| {
            matches!(stream, Stream::Seen(name) if name.starts_with(own)).then_some(stream)
        });
        let later = streams.filter(|stream| **stream != Stream::Seen(from.clone()));
        later.filter_map(|stream| seen(self.latest(stream)?.clone(), own)).take(limit).collect()
    }

    /// The row of an execution.
    pub(super) fn row(&self, id: &ExecutionId, execution: &Execution) -> ExecutionRow {
        let Execution { request, position, standing } = execution;
        let asked = standing.asked.and_then(|word| asked(self.at(word)?.clone()));
        execution_row(id.clone(), request.clone(), *position, standing.clone(), asked)
    }

    /// Who asked for an execution, or for the first of the runs that went on as it.
    pub(super) fn asked_by<'a>(&'a self, execution: &'a Execution) -> Option<&'a Actor> {
        let own = || self.at(execution.position).map(|request| &request.actor);
        execution.standing.first_by.as_ref().or_else(own)
    }

    /// The last of the installation's facts of which `pick` makes something.
    pub(super) fn installation<T>(&self, pick: impl Fn(&Fact) -> Option<T>) -> Option<T> {
        let positions = self.streams.get(&Stream::Installation)?;
        positions.iter().rev().find_map(|position| pick(&self.at(*position)?.fact))
    }

    /// What `pick` makes of the last facts of streams.
    pub(super) fn of_latest<K: Ord, V>(
        &self,
        pick: fn(Recorded) -> Option<(K, V)>,
    ) -> BTreeMap<K, V> {
        let latest = self.streams.keys().filter_map(|stream| self.latest(stream));
        latest.filter_map(|recorded| pick(recorded.clone())).collect()
    }

    pub(super) fn audit(&self, filter: &AuditFilter) -> Vec<Recorded> {
        let facts = self.log.iter().rev().flatten().filter(|recorded| audited(filter, recorded));
        facts.take(filter.limit).cloned().collect()
    }
}

pub(super) fn execution_fits(filter: &ExecutionFilter, row: &ExecutionRow) -> bool {
    let (parent, step) = match &row.origin {
        Origin::Step { parent, path } => (Some(parent), Some(path)),
        _ => (None, None),
    };
    let related = match &filter.parent {
        Some(wanted) => parent == Some(wanted),
        None => filter.children || parent.is_none(),
    };
    related
        && filter.step.as_ref().is_none_or(|path| step == Some(path))
        && (filter.states.is_empty() || filter.states.contains(&row.state))
        && filter.rule.as_ref().is_none_or(|rule| row.origin.rule() == Some(rule))
        && filter.action.as_ref().is_none_or(|action| row.action == *action)
        && filter.pack.as_ref().is_none_or(|pack| row.action.pack() == pack.as_str())
        && filter.event.as_ref().is_none_or(|event| row.origin.event() == Some(event))
        && filter.repeats.as_ref().is_none_or(|of| row.origin.repeats() == Some(of))
        && filter.since.is_none_or(|since| row.requested_at >= since)
        && filter.before.is_none_or(|before| row.position < before)
}

pub(super) fn event_fits(filter: &EventFilter, row: &EventRow) -> bool {
    filter.kind.as_ref().is_none_or(|kind| row.envelope.kind == *kind)
        && filter.source.as_ref().is_none_or(|source| row.envelope.source.starts_with(source))
        && filter.since.is_none_or(|since| row.accepted_at >= since)
        && filter.before.is_none_or(|before| row.position < before)
}

fn audited(filter: &AuditFilter, recorded: &Recorded) -> bool {
    recorded.actor != Actor::engine()
        && filter.actor.as_ref().is_none_or(|actor| recorded.actor == *actor)
        && filter.name.as_ref().is_none_or(|name| recorded.fact.name() == name)
        && filter.since.is_none_or(|since| recorded.at >= since)
        && filter.before.is_none_or(|before| recorded.position < before)
}

pub(super) fn newest<T>(
    mut rows: Vec<T>,
    limit: usize,
    position: impl Fn(&T) -> Position,
) -> Vec<T> {
    rows.sort_by_key(|row| std::cmp::Reverse(position(row)));
    rows.truncate(limit);
    rows
}
