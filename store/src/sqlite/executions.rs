//! Queries on executions.

use std::collections::BTreeMap;

use model::{ExecutionId, ExecutionState, Origin};
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, Row, params, params_from_iter};

use super::log;
use super::values::{self, corrupt, nanos, number};
use crate::port::{ExecutionFilter, ExecutionRow, Figures, StoreError, Unfinished};
use crate::projection::{self, Standing};

/// The execution with this id.
pub(super) fn one(
    connection: &Connection,
    id: &ExecutionId,
) -> Result<Option<ExecutionRow>, StoreError> {
    let mut query = connection.prepare_cached("SELECT * FROM executions WHERE id = ?1")?;
    let mut rows = query.query([id.as_str()])?;
    rows.next()?.map(|found| row(connection, found)).transpose()
}

/// Executions that fit `filter`, newest request first.
pub(super) fn list(
    connection: &Connection,
    filter: &ExecutionFilter,
) -> Result<Vec<ExecutionRow>, StoreError> {
    let (query, values) = listing(filter);
    let mut query = connection.prepare(&query)?;
    let mut rows = query.query(params_from_iter(values))?;
    let mut found = Vec::new();
    while let Some(next) = rows.next()? {
        found.push(row(connection, next)?);
    }
    Ok(found)
}

fn listing(filter: &ExecutionFilter) -> (String, Vec<Sql>) {
    let (conditions, values) = conditions(filter);
    let (conditions, limit) = (conditions.join(" AND "), filter.limit as i64);
    let query =
        format!("SELECT * FROM executions WHERE {conditions} ORDER BY position DESC LIMIT {limit}");
    (query, values)
}

/// The filter as SQL: conditions, and the values that they name by a question mark.
fn conditions(filter: &ExecutionFilter) -> (Vec<String>, Vec<Sql>) {
    let mut terms = vec![("position < ?".to_owned(), before(filter.before))];
    let mut wanted = |column: &str, value: Option<String>| {
        terms.extend(value.map(|value| (format!("{column} = ?"), Sql::Text(value))));
    };
    wanted("rule", filter.rule.as_ref().map(ToString::to_string));
    wanted("action", filter.action.as_ref().map(ToString::to_string));
    wanted("event", filter.event.as_ref().map(ToString::to_string));
    wanted("parent", filter.parent.as_ref().map(ToString::to_string));
    wanted("step", filter.step.as_ref().map(ToString::to_string));
    let asked_by = "coalesce(first_by, \
                    (SELECT actor FROM facts WHERE facts.position = executions.position))";
    wanted(asked_by, filter.actor.as_ref().map(|actor| actor.as_str().to_owned()));
    wanted("rerun_of", filter.repeats.as_ref().map(ToString::to_string));
    if let [state] = filter.states[..] {
        wanted("state", Some(state.as_str().to_owned()));
    }
    if let Some(pack) = &filter.pack {
        // Names have neither the dot that ends a pack's nor the slash that follows it in ASCII.
        terms.push(("action > ?".to_owned(), format!("{pack}.").into()));
        terms.push(("action < ?".to_owned(), format!("{pack}/").into()));
    }
    if let Some(since) = filter.since {
        terms.push(("requested_at >= ?".to_owned(), Sql::Integer(nanos(since))));
    }
    let (mut conditions, values): (Vec<_>, Vec<_>) = terms.into_iter().unzip();
    if filter.states.len() > 1 {
        // The plus keeps the index out: rows in order of position beat sorting several states.
        let names: Vec<_> = filter.states.iter().map(|state| format!("'{state}'")).collect();
        conditions.push(format!("+state IN ({})", names.join(", ")));
    }
    if filter.last_runs {
        let later = "SELECT 1 FROM executions AS later WHERE later.parent = executions.parent \
                     AND later.step = executions.step AND later.position > executions.position";
        conditions.push(format!("NOT EXISTS ({later})"));
    }
    if filter.parent.is_none() && !filter.children {
        conditions.push("+parent IS NULL".to_owned());
    }
    (conditions, values)
}

/// The position below which a listing goes on; everything without one.
pub(super) fn before(before: Option<crate::port::Position>) -> Sql {
    Sql::Integer(before.map_or(i64::MAX, number))
}

const UNFINISHED: &str = "SELECT id, rule, state, wake_at FROM executions
    WHERE finished_at IS NULL AND id > ?1 ORDER BY id LIMIT ?2";

/// Executions that have not ended, in order of id.
pub(super) fn unfinished(
    connection: &Connection,
    after: Option<&ExecutionId>,
    limit: usize,
) -> Result<Vec<Unfinished>, StoreError> {
    let mut query = connection.prepare_cached(UNFINISHED)?;
    let after = after.map_or("", ExecutionId::as_str);
    let mut rows = query.query(params![after, limit as i64])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Unfinished {
            id: values::text(row, "id")?,
            rule: values::maybe_text(row, "rule")?,
            state: state(row)?,
            wake_at: values::maybe_time(row, "wake_at")?,
        });
    }
    Ok(found)
}

const OLDEST_QUEUED: &str =
    "SELECT min(requested_at) AS oldest FROM executions WHERE state = 'queued'";
const BYTES: &str =
    "SELECT page_count * page_size AS bytes FROM pragma_page_count(), pragma_page_size()";

/// How the store stands.
pub(super) fn figures(connection: &Connection) -> Result<Figures, StoreError> {
    let mut figures = Figures::default();
    let mut query = connection.prepare_cached(OLDEST_QUEUED)?;
    if let Some(row) = query.query([])?.next()? {
        figures.oldest_queued = values::maybe_time(row, "oldest")?;
    }
    let mut query = connection.prepare_cached(BYTES)?;
    if let Some(row) = query.query([])?.next()? {
        figures.bytes = values::count(row, "bytes")?;
    }
    Ok(figures)
}

/// How many executions are in each state.
pub(super) fn counts(connection: &Connection) -> Result<BTreeMap<ExecutionState, u64>, StoreError> {
    let query = "SELECT state, count(*) AS count FROM executions GROUP BY state";
    let mut query = connection.prepare_cached(query)?;
    let mut rows = query.query([])?;
    let mut counts = BTreeMap::new();
    while let Some(row) = rows.next()? {
        counts.insert(state(row)?, values::count(row, "count")?);
    }
    Ok(counts)
}

fn row(connection: &Connection, row: &Row<'_>) -> Result<ExecutionRow, StoreError> {
    let Standing { state, started_at, finished_at, wake_at, message, asked, .. } = standing(row)?;
    let asked = match asked {
        Some(word) => log::at(connection, word)?.and_then(projection::asked),
        None => None,
    };
    Ok(ExecutionRow {
        id: values::text(row, "id")?,
        action: values::text(row, "action")?,
        state,
        origin: origin(row)?,
        requested_at: values::time(row, "requested_at")?,
        started_at,
        finished_at,
        wake_at,
        message,
        asked,
        pack: values::maybe_hash(row, "pack")?,
        position: values::position(row, "position")?,
    })
}

/// What changes of an execution while it lives.
pub(super) fn standing(row: &Row<'_>) -> Result<Standing, StoreError> {
    Ok(Standing {
        state: state(row)?,
        started_at: values::maybe_time(row, "started_at")?,
        finished_at: values::maybe_time(row, "finished_at")?,
        wake_at: values::maybe_time(row, "wake_at")?,
        message: values::get(row, "message")?,
        first_by: values::maybe_actor(row, "first_by")?,
        asked: values::maybe_position(row, "asked")?,
    })
}

fn state(row: &Row<'_>) -> Result<ExecutionState, StoreError> {
    let name: String = values::get(row, "state")?;
    ExecutionState::parse(&name).ok_or_else(|| corrupt("state", name))
}

fn origin(row: &Row<'_>) -> Result<Origin, StoreError> {
    let (rule, event) = (values::maybe_text(row, "rule")?, values::maybe_text(row, "event")?);
    let step = values::maybe_text(row, "parent")?.zip(values::maybe_text(row, "step")?);
    let rerun = values::maybe_text(row, "rerun_of")?;
    Ok(match (rule, event, step, rerun) {
        (rule, _, _, Some(of)) => Origin::Rerun { of, rule },
        (_, _, Some((parent, path)), _) => Origin::Step { parent, path },
        (Some(rule), Some(event), ..) => Origin::Rule { rule, event },
        _ => Origin::Manual,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Position;

    /// How SQLite would go about a query.
    fn plan(query: &str, values: Vec<Sql>) -> String {
        let mut connection = Connection::open_in_memory().unwrap();
        super::super::schema::build(&mut connection).unwrap();
        let mut query = connection.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
        let lines = query.query_map(params_from_iter(values), |row| row.get::<_, String>("detail"));
        lines.unwrap().collect::<Result<Vec<_>, _>>().unwrap().join(" / ")
    }

    #[test]
    fn a_page_of_unfinished_executions_is_read_from_their_own_index() {
        let values = vec![Sql::Text(String::new()), Sql::Integer(100)];
        let expected = "SEARCH executions USING INDEX executions_unfinished (id>?)";
        assert_eq!(plan(UNFINISHED, values), expected);
    }

    #[test]
    fn the_oldest_that_is_queued_is_found_among_the_queued() {
        let plan = plan(OLDEST_QUEUED, Vec::new());
        assert_eq!(plan, "SEARCH executions USING INDEX executions_by_state (state=?)");
    }

    #[test]
    fn listings_are_read_newest_first_and_never_sorted() {
        let all = || ExecutionFilter { before: Some(Position(9)), ..ExecutionFilter::default() };
        let states = vec![ExecutionState::Failed, ExecutionState::TimedOut];
        let of = "ex_aaaaaaaaaaaaaaaaaaaaaaaaaa";
        let run = ExecutionFilter { parent: of.parse().ok(), step: "3".parse().ok(), ..all() };
        for (filter, through) in [
            (all(), "INTEGER PRIMARY KEY"),
            (ExecutionFilter { states: states[..1].to_vec(), ..all() }, "executions_by_state"),
            (ExecutionFilter { states, ..all() }, "INTEGER PRIMARY KEY"),
            (ExecutionFilter { rule: "a.b".parse().ok(), ..all() }, "executions_by_rule"),
            (ExecutionFilter { parent: of.parse().ok(), ..all() }, "executions_by_"),
            (run, "executions_by_step"),
            (ExecutionFilter { action: "a.b".parse().ok(), ..all() }, "executions_by_action"),
            (ExecutionFilter { repeats: of.parse().ok(), ..all() }, "executions_by_rerun"),
        ] {
            let (query, values) = listing(&filter);
            let plan = plan(&query, values);
            assert!(plan.contains(through) && !plan.contains("TEMP B-TREE"), "{plan}");
        }
    }
}
