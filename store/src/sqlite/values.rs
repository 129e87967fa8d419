//! How values stand in columns, and back. What does not read back is damage, never a panic.

use std::fmt::Display;
use std::str::FromStr;

use model::{Actor, Hash, Timestamp};
use rusqlite::Row;
use rusqlite::types::FromSql;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};

use crate::port::{Position, StoreError};

/// Nanoseconds since 1970. Times outside of 1677 to 2262 become the nearest: nothing waits longer.
pub(super) fn nanos(time: Timestamp) -> i64 {
    let nanos = time.as_nanosecond();
    i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

/// SQLite's whole numbers are signed; a log never reaches the end of them.
pub(super) const fn number(position: Position) -> i64 {
    position.0 as i64
}

/// A column as it is.
pub(super) fn get<T: FromSql>(row: &Row<'_>, column: &str) -> Result<T, StoreError> {
    Ok(row.get(column)?)
}

/// A position.
pub(super) fn position(row: &Row<'_>, column: &str) -> Result<Position, StoreError> {
    get::<i64>(row, column).map(|number| Position(number as u64))
}

/// A position, or none.
pub(super) fn maybe_position(row: &Row<'_>, column: &str) -> Result<Option<Position>, StoreError> {
    Ok(get::<Option<i64>>(row, column)?.map(|number| Position(number as u64)))
}

/// A count.
pub(super) fn count(row: &Row<'_>, column: &str) -> Result<u64, StoreError> {
    get::<i64>(row, column).map(|number| number as u64)
}

/// A time.
pub(super) fn time(row: &Row<'_>, column: &str) -> Result<Timestamp, StoreError> {
    from_nanos(column, get(row, column)?)
}

/// A time, or none.
pub(super) fn maybe_time(row: &Row<'_>, column: &str) -> Result<Option<Timestamp>, StoreError> {
    let nanos: Option<i64> = get(row, column)?;
    nanos.map(|nanos| from_nanos(column, nanos)).transpose()
}

fn from_nanos(column: &str, nanos: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_nanosecond(nanos.into()).map_err(|error| corrupt(column, error))
}

/// A name, an id, or whatever else reads from text.
pub(super) fn text<T>(row: &Row<'_>, column: &str) -> Result<T, StoreError>
where
    T: FromStr<Err: Display>,
{
    let text = row.get_ref(column)?.as_str().map_err(|error| corrupt(column, error))?;
    text.parse().map_err(|error| corrupt(column, error))
}

/// The same, or none.
pub(super) fn maybe_text<T>(row: &Row<'_>, column: &str) -> Result<Option<T>, StoreError>
where
    T: FromStr<Err: Display>,
{
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        _ => text(row, column).map(Some),
    }
}

/// A hash, or none.
pub(super) fn maybe_hash(row: &Row<'_>, column: &str) -> Result<Option<Hash>, StoreError> {
    get::<Option<[u8; 32]>>(row, column).map(|bytes| bytes.map(Hash::from_bytes))
}

/// A hash.
pub(super) fn hash(row: &Row<'_>, column: &str) -> Result<Hash, StoreError> {
    get(row, column).map(Hash::from_bytes)
}

/// Who is behind a fact.
pub(super) fn actor(text: &str) -> Result<Actor, StoreError> {
    let text: StrDeserializer<'_, ValueError> = text.into_deserializer();
    Actor::deserialize(text).map_err(|error| corrupt("actor", error))
}

/// Who is behind something, or nobody.
pub(super) fn maybe_actor(row: &Row<'_>, column: &str) -> Result<Option<Actor>, StoreError> {
    get::<Option<String>>(row, column)?.map(|text| actor(&text)).transpose()
}

/// What `what` holds does not read back.
pub(super) fn corrupt(what: &str, why: impl Display) -> StoreError {
    StoreError::Corrupt(format!("{what}: {why}"))
}
