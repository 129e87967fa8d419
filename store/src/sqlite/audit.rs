//! Queries on what people and programs did.

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params_from_iter};

use super::executions::before;
use super::log;
use super::values::{self, nanos};
use crate::port::{AuditFilter, Recorded, StoreError};

/// The facts behind which there is somebody, newest first.
pub(super) fn list(
    connection: &Connection,
    filter: &AuditFilter,
) -> Result<Vec<Recorded>, StoreError> {
    let (conditions, values) = conditions(filter);
    let conditions = conditions.join(" AND ");
    let mut query = connection.prepare(&format!(
        "SELECT streams.name AS stream, position, at, actor, facts.version AS version, body
         FROM facts JOIN streams ON streams.id = facts.stream
         WHERE actor <> 'engine' AND pruned = 0 AND {conditions} ORDER BY position DESC LIMIT {}",
        filter.limit as i64
    ))?;
    let mut rows = query.query(params_from_iter(values))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(log::recorded(row, values::text(row, "stream")?)?);
    }
    Ok(found)
}

fn conditions(filter: &AuditFilter) -> (Vec<&'static str>, Vec<Sql>) {
    let mut terms = vec![("position < ?", before(filter.before))];
    let actor = filter.actor.iter();
    terms.extend(actor.map(|actor| ("actor = ?", Sql::Text(actor.as_str().to_owned()))));
    let name = filter.name.iter();
    terms.extend(name.map(|name| ("facts.name = ?", Sql::Text(name.clone()))));
    terms.extend(filter.since.map(|since| ("at >= ?", Sql::Integer(nanos(since)))));
    terms.into_iter().unzip()
}
