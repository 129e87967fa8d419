//! Bounds on values, and paths into them.

use crate::{Value, json};

/// Most bytes of JSON text in an event's data.
pub const MAX_EVENT_BYTES: usize = 4 * 1024 * 1024;
/// Event data above this many bytes of JSON text goes to the blob store.
pub const INLINE_EVENT_BYTES: usize = 512 * 1024 - 16 * 1024;
/// A result or parameter above this many bytes of JSON text goes to the blob store.
pub const INLINE_VALUE_BYTES: usize = 256 * 1024;
/// Most bytes of JSON text in a call's parameters, or in the data that a chain emits: with what
/// stands around them they are one fact.
pub const MAX_CALL_BYTES: usize = 448 * 1024;
/// Most items of any list or map that a chain may see.
pub const MAX_ITEMS: usize = 5_000;
/// Most items of all lists, and of all maps, of a value that a chain may see: rhai counts them
/// together, and walks what it counts recursively.
pub const MAX_TOTAL_ITEMS: usize = 16_000;
/// Deepest nesting of a value that a chain may see.
pub const MAX_DEPTH: usize = 64;

/// Why a value cannot be given to a chain as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// More than [`INLINE_VALUE_BYTES`] of JSON text.
    #[error("the value has {0} bytes of JSON text, more than {INLINE_VALUE_BYTES}")]
    Bytes(usize),
    /// A list or map with more than [`MAX_ITEMS`].
    #[error("the value holds a list or map of {0} items, more than {MAX_ITEMS}")]
    Items(usize),
    /// More than [`MAX_TOTAL_ITEMS`] in all its lists or in all its maps together.
    #[error("the value holds {0} items in all, more than {MAX_TOTAL_ITEMS}")]
    TotalItems(usize),
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("the value is nested deeper than {MAX_DEPTH} levels")]
    Depth,
    /// A whole number that 64 bits with a sign don't hold.
    #[error("the value holds the number {0}, which a chain cannot represent")]
    Number(u64),
}

/// Whether a chain can be given `value`, else why not.
pub fn fits(value: &Value) -> Result<(), Unfit> {
    fits_within(value, MAX_DEPTH)?;
    let (listed, mapped) = total_items(value);
    if listed.max(mapped) > MAX_TOTAL_ITEMS {
        return Err(Unfit::TotalItems(listed.max(mapped)));
    }
    match json::length(value) {
        bytes if bytes > INLINE_VALUE_BYTES => Err(Unfit::Bytes(bytes)),
        _ => Ok(()),
    }
}

/// Whether `value` is nested deeper than [`MAX_DEPTH`]: no rule and no chain can be given it.
pub fn is_too_deep(value: &Value) -> bool {
    is_deeper(value, MAX_DEPTH)
}

/// Whether `value` has more than so many levels.
pub fn is_deeper(value: &Value, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else { return true };
    match value {
        Value::Array(items) => items.iter().any(|item| is_deeper(item, below)),
        Value::Object(map) => map.values().any(|item| is_deeper(item, below)),
        _ => false,
    }
}

/// The items of all lists and those of all maps in a value that is not nested too deep.
fn total_items(value: &Value) -> (usize, usize) {
    let sum = |(a, b): (usize, usize), item: &Value| {
        let (c, d) = total_items(item);
        (a + c, b + d)
    };
    match value {
        Value::Array(items) => items.iter().fold((items.len(), 0), sum),
        Value::Object(map) => map.values().fold((0, map.len()), sum),
        _ => (0, 0),
    }
}

fn fits_within(value: &Value, depth: usize) -> Result<(), Unfit> {
    let Some(below) = depth.checked_sub(1) else { return Err(Unfit::Depth) };
    let count = |items: usize| if items > MAX_ITEMS { Err(Unfit::Items(items)) } else { Ok(()) };
    match value {
        Value::Array(items) => {
            count(items.len())?;
            items.iter().try_for_each(|item| fits_within(item, below))
        }
        Value::Object(map) => {
            count(map.len())?;
            map.values().try_for_each(|item| fits_within(item, below))
        }
        Value::Number(number) => match number.as_u64() {
            Some(n) if i64::try_from(n).is_err() => Err(Unfit::Number(n)),
            _ => Ok(()),
        },
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
    }
}

/// What a value is called in messages: `null`, `a boolean`, `a whole number`, …
pub fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(n) if n.is_f64() => "a number",
        Value::Number(_) => "a whole number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// `value` as JSON text of at most about `max` characters, for messages.
pub fn brief(value: &Value, max: usize) -> String {
    let text = value.to_string();
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_chain_cannot_hold_is_named() {
        let deep = (0..70).fold(Value::Null, |inner, _| json!([inner]));
        for (value, unfit) in [
            (json!(vec![0; MAX_ITEMS + 1]), Unfit::Items(MAX_ITEMS + 1)),
            (json!(vec![vec![0; 4_000]; 5]), Unfit::TotalItems(20_005)),
            (deep, Unfit::Depth),
            (json!(u64::MAX), Unfit::Number(u64::MAX)),
            (json!("x".repeat(INLINE_VALUE_BYTES)), Unfit::Bytes(INLINE_VALUE_BYTES + 2)),
        ] {
            assert_eq!(fits(&value), Err(unfit));
        }
        assert_eq!(fits(&json!({"a": [1, -2.5, "x", null, i64::MAX]})), Ok(()));
    }

    #[test]
    fn what_is_nested_deeper_than_rules_can_see_is_known_before_they_do() {
        let nested = |levels: usize| (1..levels).fold(json!(1), |inner, _| json!([inner]));
        for levels in [1, 2, MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1, MAX_DEPTH + 9] {
            let value = nested(levels);
            assert_eq!(is_too_deep(&value), levels > MAX_DEPTH, "{levels}");
            assert_eq!(is_too_deep(&value), fits(&value) == Err(Unfit::Depth), "{levels}");
        }
    }

    #[test]
    fn a_brief_value_is_cut_between_characters() {
        assert_eq!(brief(&json!("äöü"), 3), "\"äö…");
    }
}
