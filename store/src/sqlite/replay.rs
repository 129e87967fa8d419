//! The projection built anew from the log, to compare with the one that is kept.

use model::{Fact, Hash, Stream};
use rusqlite::types::Value as Sql;
use rusqlite::{CachedStatement, Connection, params_from_iter};

use super::{log, project, schema};
use crate::port::{Position, StoreError};

/// Rows that are read in one transaction.
const PART: usize = 1_000;

/// A table that is kept besides the log and can be built from it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    pub(super) name: &'static str,
    columns: &'static str,
    /// The rows that follow from the log.
    those: &'static str,
    /// What the rows are ordered by and told apart.
    key: &'static str,
}

/// The projection.
pub(super) const TABLES: [Table; 4] = [
    Table { name: "streams", columns: "name, version", those: "true", key: "name" },
    Table { name: "executions", columns: "*", those: "true", key: "position" },
    Table { name: "events", columns: "*", those: "pruned = 0", key: "position" },
    Table { name: "rule_counts", columns: "*", those: "true", key: "rule" },
];

/// Some of a table's rows: those after one key, up to another.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    after: Option<Sql>,
    upto: Option<Sql>,
}

impl Table {
    /// The first part of at most [`PART`] rows after the one that `before` ended with, as `connection`
    /// has it, and its digest; nothing: that was the last.
    pub(super) fn part(
        &self,
        connection: &Connection,
        before: Option<&Part>,
    ) -> Result<Option<(Part, Hash)>, StoreError> {
        let after = match before {
            Some(Part { upto: None, .. }) => return Ok(None),
            Some(Part { upto, .. }) => upto.clone(),
            None => None,
        };
        let rest = Part { after, upto: None };
        let (name, key, rows) = (self.name, self.key, self.rows(&rest));
        let ends = format!("SELECT {key} FROM {name} {rows} LIMIT 1 OFFSET {}", PART - 1);
        let upto = first(connection.prepare_cached(&ends)?, rest.keys())?;
        let part = Part { upto, ..rest };
        let digest = self.digest(connection, &part)?;
        Ok(Some((part, digest)))
    }

    /// The digest of these rows in `connection`.
    pub(super) fn digest(&self, connection: &Connection, part: &Part) -> Result<Hash, StoreError> {
        let rows = self.rows(part);
        let query = format!("SELECT {} FROM {} {rows}", self.columns, self.name);
        let mut query = connection.prepare_cached(&query)?;
        let columns = query.column_count();
        let mut rows = query.query(params_from_iter(part.keys()))?;
        let mut digest = Hash::of(&[]);
        while let Some(row) = rows.next()? {
            let values = (0..columns).map(|column| row.get(column));
            let values = values.collect::<Result<Vec<Sql>, _>>()?;
            let row = format!("{values:?}");
            let before = digest.as_bytes().as_slice();
            digest = Hash::of_parts([("rows", before), ("row", row.as_bytes())]);
        }
        Ok(digest)
    }

    /// Which rows a query is to go over, in order.
    fn rows(&self, part: &Part) -> String {
        let Self { those, key, .. } = self;
        let bound = |end: &Option<Sql>, operator| match end {
            Some(_) => format!(" AND {key} {operator} ?"),
            None => String::new(),
        };
        let (after, upto) = (bound(&part.after, ">"), bound(&part.upto, "<="));
        format!("WHERE {those}{after}{upto} ORDER BY {key}")
    }
}

impl Part {
    fn keys(&self) -> impl Iterator<Item = &Sql> {
        self.after.iter().chain(&self.upto)
    }
}

fn first<'a>(
    mut query: CachedStatement<'_>,
    keys: impl Iterator<Item = &'a Sql>,
) -> Result<Option<Sql>, StoreError> {
    let mut rows = query.query(params_from_iter(keys))?;
    Ok(rows.next()?.map(|row| row.get(0)).transpose()?)
}

/// A projection that is being built, in a temporary file that goes with it.
#[derive(Debug)]
pub(super) struct Replay {
    connection: Connection,
}

impl Replay {
    /// A projection with what pruned facts left in `kept`.
    pub(super) fn new(kept: &Connection) -> Result<Self, StoreError> {
        // SQLite's name for a database that lives in its cache and, beyond it, in a temporary file.
        let mut connection = Connection::open("")?;
        schema::build(&mut connection)?;
        connection.execute_batch("PRAGMA journal_mode = OFF; BEGIN")?;
        let mut counts = kept.prepare("SELECT * FROM pruned_rule_counts")?;
        let mut rows = counts.query([])?;
        while let Some(row) = rows.next()? {
            let values = (0..4).map(|column| row.get(column));
            let values = values.collect::<Result<Vec<Sql>, _>>()?;
            let insert = "INSERT INTO rule_counts VALUES (?1, ?2, ?3, ?4)";
            connection.execute(insert, params_from_iter(values))?;
        }
        Ok(Self { connection })
    }

    /// Takes in the header of a fact whose body is gone.
    pub(super) fn header(&self, stream: &str, position: Position) -> Result<(), StoreError> {
        let row = log::stream(&self.connection, stream)?;
        log::put_stream(&self.connection, stream, row, position)?;
        Ok(())
    }

    /// Takes in the next fact of the log.
    pub(super) fn apply(
        &self,
        stream: &Stream,
        position: Position,
        fact: &Fact,
    ) -> Result<(), StoreError> {
        self.header(&stream.to_string(), position)?;
        project::facts(&self.connection, stream, position, std::iter::once(fact))
    }

    /// The digest of what was built as these rows of a table.
    pub(super) fn digest(&self, table: &Table, part: &Part) -> Result<Hash, StoreError> {
        table.digest(&self.connection, part)
    }
}
