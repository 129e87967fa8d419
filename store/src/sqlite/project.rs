//! The projection in SQLite: rows kept up to date within the commit of the facts.

use model::{Actor, EventKey, ExecutionId, Fact, Origin, Stream};
use rusqlite::{Connection, params};

use super::executions::standing;
use super::values::{nanos, number};
use crate::port::{Position, StoreError};
use crate::projection::{Repeats, Standing, rule_counts};

/// Takes in facts of one stream, the first of which is at `first`.
pub(super) fn facts<'a>(
    connection: &Connection,
    stream: &Stream,
    first: Position,
    facts: impl Iterator<Item = &'a Fact>,
) -> Result<(), StoreError> {
    let mut placed = facts.zip(first.0..).map(|(fact, position)| (Position(position), fact));
    match stream {
        Stream::Execution(id) => execution(connection, id, placed),
        Stream::Event(key) => {
            placed.try_for_each(|(position, fact)| event(connection, key, position, fact))
        }
        _ => Ok(()),
    }
}

/// Reads the row once and writes it once, however many facts there are.
fn execution<'a>(
    connection: &Connection,
    id: &ExecutionId,
    facts: impl Iterator<Item = (Position, &'a Fact)>,
) -> Result<(), StoreError> {
    let mut found = load(connection, id)?;
    for (position, fact) in facts {
        if found.is_none() && matches!(fact, Fact::ExecutionRequested(_)) {
            request(connection, id, position, fact)?;
            found = Some(Standing::QUEUED);
        }
        if let Some(standing) = &mut found {
            standing.apply(position, fact);
        }
    }
    found.map_or(Ok(()), |standing| save(connection, id, &standing))
}

fn load(connection: &Connection, id: &ExecutionId) -> Result<Option<Standing>, StoreError> {
    let mut query = connection.prepare_cached(
        "SELECT state, started_at, finished_at, wake_at, message, first_by, asked
         FROM executions WHERE id = ?1",
    )?;
    let mut rows = query.query([id.as_str()])?;
    rows.next()?.map(standing).transpose()
}

fn save(connection: &Connection, id: &ExecutionId, now: &Standing) -> Result<(), StoreError> {
    let mut update = connection.prepare_cached(
        "UPDATE executions SET state = ?2, started_at = ?3, finished_at = ?4, wake_at = ?5,
         message = ?6, first_by = ?7, asked = ?8 WHERE id = ?1",
    )?;
    let times = [now.started_at, now.finished_at, now.wake_at].map(|time| time.map(nanos));
    let [started_at, finished_at, wake_at] = times;
    let (state, first_by) = (now.state.as_str(), now.first_by.as_ref().map(Actor::as_str));
    let (id, message, asked) = (id.as_str(), &now.message, now.asked.map(number));
    update.execute(params![
        id,
        state,
        started_at,
        finished_at,
        wake_at,
        message,
        first_by,
        asked
    ])?;
    Ok(())
}

fn request(
    connection: &Connection,
    id: &ExecutionId,
    position: Position,
    fact: &Fact,
) -> Result<(), StoreError> {
    let Fact::ExecutionRequested(request) = fact else { return Ok(()) };
    let (parent, step, rerun_of) = match &request.origin {
        Origin::Step { parent, path } => (Some(parent.as_str()), Some(path.to_string()), None),
        Origin::Rerun { of, .. } => (None, None, Some(of.as_str())),
        Origin::Rule { .. } | Origin::Manual => (None, None, None),
    };
    let mut insert = connection.prepare_cached(
        "INSERT INTO executions (position, id, action, rule, event, parent, step, rerun_of, pack,
         requested_at, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    insert.execute(params![
        number(position),
        id.as_str(),
        request.action.as_str(),
        request.origin.rule().map(ToString::to_string),
        request.origin.event().map(EventKey::as_str),
        parent,
        step,
        rerun_of,
        request.pack.map(|pack| *pack.as_bytes()),
        nanos(request.at),
        Standing::QUEUED.state.as_str(),
    ])?;
    Ok(())
}

fn event(
    connection: &Connection,
    key: &EventKey,
    position: Position,
    fact: &Fact,
) -> Result<(), StoreError> {
    if let Fact::EventAccepted(accepted) = fact {
        let mut insert = connection.prepare_cached(
            "INSERT INTO events (position, key, kind, source, accepted_at, payload)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (key) DO NOTHING",
        )?;
        let (envelope, at) = (&accepted.event.envelope, nanos(accepted.accepted_at));
        let (kind, source) = (envelope.kind.as_str(), &envelope.source);
        let payload = accepted.payload.as_bytes();
        insert.execute(params![number(position), key.as_str(), kind, source, at, payload])?;
    }
    let more = Repeats::of(fact);
    if more != Repeats::default() {
        let mut update = connection.prepare_cached(
            "UPDATE events SET duplicates = duplicates + ?2, differing = differing + ?3
             WHERE key = ?1",
        )?;
        update.execute(params![key.as_str(), more.all as i64, more.differing as i64])?;
    }
    count_rules(connection, fact)
}

fn count_rules(connection: &Connection, fact: &Fact) -> Result<(), StoreError> {
    add_counts(connection, "rule_counts", fact)
}

/// Adds what `fact` says of rules to a table of counts.
pub(super) fn add_counts(
    connection: &Connection,
    table: &str,
    fact: &Fact,
) -> Result<(), StoreError> {
    for (rule, more) in rule_counts(fact) {
        // The later time, whichever fact is counted first.
        let mut count = connection.prepare_cached(&format!(
            "INSERT INTO {table} VALUES (?1, ?2, ?3, ?4) ON CONFLICT (rule) DO UPDATE SET
             matched = matched + excluded.matched, failed = failed + excluded.failed,
             last_matched = coalesce(max(last_matched, excluded.last_matched), last_matched,
             excluded.last_matched)"
        ))?;
        let (matched, failed) = (more.matched as i64, more.failed as i64);
        count.execute(params![rule.to_string(), matched, failed, more.last_matched.map(nanos)])?;
    }
    Ok(())
}
