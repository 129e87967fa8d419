//! The projection built anew from the log, to compare with the one that is kept.

use model::{Fact, Hash, Stream};
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params_from_iter};

use super::{log, project, schema};
use crate::port::{Position, StoreError};

/// A table that is kept besides the log and can be built from it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    pub(super) name: &'static str,
    /// Its rows in an order of their own.
    rows: &'static str,
}

/// The projection.
pub(super) const TABLES: [Table; 4] = [
    Table { name: "streams", rows: "SELECT name, version FROM streams ORDER BY name" },
    Table { name: "executions", rows: "SELECT * FROM executions ORDER BY position" },
    Table { name: "events", rows: "SELECT * FROM events WHERE pruned = 0 ORDER BY position" },
    Table { name: "rule_counts", rows: "SELECT * FROM rule_counts ORDER BY rule" },
];

impl Table {
    /// Its digest in `connection`.
    pub(super) fn digest(&self, connection: &Connection) -> Result<Hash, StoreError> {
        digest(connection, self.rows)
    }
}

fn digest(connection: &Connection, query: &str) -> Result<Hash, StoreError> {
    let mut query = connection.prepare(query)?;
    let columns = query.column_count();
    let mut rows = query.query([])?;
    let mut digest = Hash::of(&[]);
    while let Some(row) = rows.next()? {
        let values = (0..columns).map(|column| row.get(column));
        let values = values.collect::<Result<Vec<Sql>, _>>()?;
        let row = format!("{values:?}");
        digest = Hash::of_parts([("rows", digest.as_bytes().as_slice()), ("row", row.as_bytes())]);
    }
    Ok(digest)
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

    /// The digest of what was built as this table.
    pub(super) fn digest(&self, table: &Table) -> Result<Hash, StoreError> {
        table.digest(&self.connection)
    }
}
