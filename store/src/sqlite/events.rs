//! Queries on events and on what rules made of them.

use std::collections::BTreeMap;

use model::{EventKey, Fact, Hash, RuleRef, Stream};
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, Row, params, params_from_iter};

use super::executions::before;
use super::log;
use super::values::{self, corrupt, nanos};
use crate::port::{EventFilter, EventRow, MAX_FAILED_RULES, RuleCount, StoreError};
use crate::projection::{Repeats, event_row, failed_rule};

/// An event's row beside the fact that accepted it.
const SELECT: &str = "SELECT key, duplicates, differing, events.position AS position, version, body
    FROM events JOIN facts ON facts.position = events.position AND events.pruned = 0";

/// The event with this key, and its data.
pub(super) fn one(connection: &Connection, key: &EventKey) -> Result<Option<EventRow>, StoreError> {
    let mut query = connection.prepare_cached(&format!("{SELECT} WHERE key = ?1"))?;
    let mut rows = query.query([key.as_str()])?;
    rows.next()?.map(|found| row(connection, found)).transpose()
}

/// The hash of an event's data, also once that is pruned.
pub(super) fn payload(connection: &Connection, key: &EventKey) -> Result<Option<Hash>, StoreError> {
    let mut query = connection.prepare_cached("SELECT payload FROM events WHERE key = ?1")?;
    let mut rows = query.query([key.as_str()])?;
    Ok(rows.next()?.map(|row| values::maybe_hash(row, "payload")).transpose()?.flatten())
}

/// Events that fit `filter`, newest first, without their data.
pub(super) fn list(
    connection: &Connection,
    filter: &EventFilter,
) -> Result<Vec<EventRow>, StoreError> {
    let (conditions, values) = conditions(filter);
    let conditions = conditions.join(" AND ");
    let mut query = connection.prepare(&format!(
        "{SELECT} WHERE {conditions} ORDER BY events.position DESC LIMIT {}",
        filter.limit as i64
    ))?;
    let mut rows = query.query(params_from_iter(values))?;
    let mut found = Vec::new();
    while let Some(next) = rows.next()? {
        found.push(EventRow { data: None, ..row(connection, next)? });
    }
    Ok(found)
}

fn conditions(filter: &EventFilter) -> (Vec<&'static str>, Vec<Sql>) {
    let mut terms = vec![("events.position < ?", before(filter.before))];
    terms.extend(filter.kind.iter().map(|kind| ("kind = ?", Sql::Text(kind.to_string()))));
    let source = filter.source.iter();
    terms.extend(source.map(|source| ("instr(source, ?) = 1", Sql::Text(source.clone()))));
    terms.extend(filter.since.map(|since| ("accepted_at >= ?", Sql::Integer(nanos(since)))));
    terms.into_iter().unzip()
}

fn row(connection: &Connection, row: &Row<'_>) -> Result<EventRow, StoreError> {
    let key: EventKey = values::text(row, "key")?;
    let repeats = Repeats {
        all: values::count(row, "duplicates")?,
        differing: values::count(row, "differing")?,
    };
    match log::fact(row)? {
        Fact::EventAccepted(accepted) => {
            let failed = failed_rules(connection, &key)?;
            Ok(event_row(key, accepted, values::position(row, "position")?, repeats, failed))
        }
        other => Err(corrupt(&format!("event {key}"), format!("made by a {}", other.name()))),
    }
}

/// The rules that failed on an event, as its stream says.
fn failed_rules(connection: &Connection, key: &EventKey) -> Result<Vec<RuleRef>, StoreError> {
    let mut query = connection.prepare_cached(
        "SELECT position, facts.version AS version, body
         FROM facts JOIN streams ON streams.id = facts.stream
         WHERE streams.name = ?1 AND facts.name = 'RuleFailed' AND pruned = 0
         ORDER BY position LIMIT ?2",
    )?;
    let stream = Stream::Event(key.clone()).to_string();
    let mut rows = query.query(params![stream, MAX_FAILED_RULES as i64])?;
    let mut failed = Vec::new();
    while let Some(row) = rows.next()? {
        failed.extend(failed_rule(&log::fact(row)?));
    }
    Ok(failed)
}

/// What each rule selected and failed on.
pub(super) fn rule_counts(
    connection: &Connection,
) -> Result<BTreeMap<RuleRef, RuleCount>, StoreError> {
    let mut query = connection.prepare_cached("SELECT * FROM rule_counts")?;
    let mut rows = query.query([])?;
    let mut counts = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let count = RuleCount {
            matched: values::count(row, "matched")?,
            failed: values::count(row, "failed")?,
            last_matched: values::maybe_time(row, "last_matched")?,
        };
        counts.insert(values::text(row, "rule")?, count);
    }
    Ok(counts)
}
