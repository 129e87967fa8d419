//! JSON to rhai values and back, with an error for whatever one of them cannot hold.

use std::fmt::Write as _;

use model::Value;
use model::value::{INLINE_VALUE_BYTES, MAX_DEPTH};
use rhai::{Array, Dynamic, FnPtr, ImmutableString, Map};

use crate::order::kind_of;

/// Why a value cannot cross between JSON and rhai.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotJson {
    /// A rhai value of a kind that JSON does not have.
    #[error("{0} is {1}, which JSON cannot hold")]
    Kind(String, &'static str),
    /// `'a'`, or an item of a string.
    #[error("{0} is a character: write it in double quotes, or append `.to_string()`")]
    Character(String),
    /// NaN or an infinity.
    #[error("{0} is {1}, which JSON cannot hold")]
    NotFinite(String, String),
    /// A whole number above what rhai holds.
    #[error("the value holds the number {0}, which does not fit into 64 bits with a sign")]
    Number(u64),
    /// Nested too deep.
    #[error("the value is nested deeper than {MAX_DEPTH} levels")]
    Depth,
    /// Too long.
    #[error("the value is longer than {INLINE_VALUE_BYTES} bytes of JSON text")]
    Bytes,
    /// A captured variable that is being changed right now.
    #[error("{0} is being changed by the method that calls this: copy it into a variable first")]
    Busy(String),
}

/// The rhai value of `value`; it is copied.
pub fn to_dynamic(value: &Value) -> Result<Dynamic, NotJson> {
    read(value, MAX_DEPTH)
}

fn read(value: &Value, depth: usize) -> Result<Dynamic, NotJson> {
    let below = depth.checked_sub(1).ok_or(NotJson::Depth)?;
    Ok(match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(value) => Dynamic::from_bool(*value),
        Value::Number(number) => read_number(number)?,
        Value::String(text) => Dynamic::from(ImmutableString::from(text.as_str())),
        Value::Array(items) => {
            let items: Result<Array, _> = items.iter().map(|item| read(item, below)).collect();
            Dynamic::from_array(items?)
        }
        Value::Object(map) => {
            let entries = map.iter().map(|(key, value)| Ok((key.into(), read(value, below)?)));
            Dynamic::from_map(entries.collect::<Result<Map, _>>()?)
        }
    })
}

fn read_number(number: &serde_json::Number) -> Result<Dynamic, NotJson> {
    match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(whole), ..) => Ok(Dynamic::from_int(whole)),
        (None, Some(large), _) => Err(NotJson::Number(large)),
        (None, None, Some(float)) => Ok(Dynamic::from_float(float)),
        (None, None, None) => Err(NotJson::NotFinite("the value".to_owned(), number.to_string())),
    }
}

/// The JSON value of `value`, which may be at most [`INLINE_VALUE_BYTES`] long.
pub fn to_value(value: &Dynamic) -> Result<Value, NotJson> {
    let mut writer = Writer { place: Vec::new(), bytes: INLINE_VALUE_BYTES };
    writer.write(value)
}

/// Walks a rhai value; knows where it is for messages, and how much may still follow.
struct Writer {
    place: Vec<Place>,
    bytes: usize,
}

enum Place {
    Key(String),
    Index(usize),
}

impl Writer {
    fn write(&mut self, value: &Dynamic) -> Result<Value, NotJson> {
        if value.is_locked() {
            return Err(NotJson::Busy(self.shown()));
        }
        if self.place.len() >= MAX_DEPTH {
            return Err(NotJson::Depth);
        }
        self.spend(1)?;
        if value.is_unit() {
            Ok(Value::Null)
        } else if let Ok(value) = value.as_bool() {
            Ok(Value::Bool(value))
        } else if let Ok(value) = value.as_int() {
            Ok(Value::from(value))
        } else if let Ok(value) = value.as_float() {
            self.float(value)
        } else if let Ok(text) = value.as_immutable_string_ref() {
            self.spend(text.len())?;
            Ok(Value::String(text.to_string()))
        } else if let Ok(items) = value.as_array_ref() {
            self.list(&items)
        } else if let Ok(map) = value.as_map_ref() {
            self.map(&map)
        } else {
            Err(self.refusal(value))
        }
    }

    fn float(&self, value: f64) -> Result<Value, NotJson> {
        let number = serde_json::Number::from_f64(value);
        number.map(Value::Number).ok_or_else(|| NotJson::NotFinite(self.shown(), value.to_string()))
    }

    fn list(&mut self, items: &Array) -> Result<Value, NotJson> {
        let mut list = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            list.push(self.inside(Place::Index(index), item)?);
        }
        Ok(Value::Array(list))
    }

    fn map(&mut self, map: &Map) -> Result<Value, NotJson> {
        let mut object = model::Map::new();
        for (key, value) in map {
            self.spend(key.len() + 3)?;
            let value = self.inside(Place::Key(key.to_string()), value)?;
            object.insert(key.to_string(), value);
        }
        Ok(Value::Object(object))
    }

    fn inside(&mut self, place: Place, value: &Dynamic) -> Result<Value, NotJson> {
        self.place.push(place);
        let value = self.write(value)?;
        self.place.pop();
        Ok(value)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), NotJson> {
        self.bytes = self.bytes.checked_sub(bytes).ok_or(NotJson::Bytes)?;
        Ok(())
    }

    fn refusal(&self, value: &Dynamic) -> NotJson {
        if value.is_char() {
            NotJson::Character(self.shown())
        } else if value.is::<FnPtr>() {
            NotJson::Kind(self.shown(), "a function")
        } else {
            NotJson::Kind(self.shown(), kind_of(value))
        }
    }

    fn shown(&self) -> String {
        let mut path = String::new();
        for place in &self.place {
            let dot = if path.is_empty() { "" } else { "." };
            // Writing to a string cannot fail.
            let _ = match place {
                Place::Key(key) => write!(path, "{dot}{key}"),
                Place::Index(index) => write!(path, "[{index}]"),
            };
        }
        if path.is_empty() { "the value".to_owned() } else { format!("`{path}`") }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(value: impl Into<Dynamic>) -> String {
        to_value(&value.into()).unwrap_err().to_string()
    }

    #[test]
    fn json_survives_the_way_there_and_back() {
        let value = json!({
            "a": [null, true, -1, 2.5, "text", {}], "b": { "c": i64::MAX }, "x.dev/y": "ö",
        });
        assert_eq!(to_value(&to_dynamic(&value).unwrap()), Ok(value));
    }

    #[test]
    fn what_the_other_side_cannot_hold_is_refused_with_its_place() {
        let inside = |value: Dynamic| Map::from([("a".into(), Dynamic::from_array(vec![value]))]);
        assert_eq!(
            refused(inside('x'.into())),
            "`a[0]` is a character: write it in double quotes, or append `.to_string()`"
        );
        assert_eq!(refused(f64::NAN), "the value is NaN, which JSON cannot hold");
        assert_eq!(refused(inside(f64::INFINITY.into())), "`a[0]` is inf, which JSON cannot hold");
        let function = Dynamic::from(FnPtr::new("f").unwrap());
        assert_eq!(refused(inside(function)), "`a[0]` is a function, which JSON cannot hold");
        assert_eq!(to_dynamic(&json!(u64::MAX)).unwrap_err(), NotJson::Number(u64::MAX));
    }

    #[test]
    fn depth_and_length_are_bounded_both_ways() {
        let deep = (0..70).fold(Value::Null, |inner, _| json!([inner]));
        assert_eq!(to_dynamic(&deep).unwrap_err(), NotJson::Depth);
        let deep = (0..70).fold(Dynamic::UNIT, |inner, _| Dynamic::from_array(vec![inner]));
        assert_eq!(to_value(&deep), Err(NotJson::Depth));
        assert_eq!(to_value(&"x".repeat(INLINE_VALUE_BYTES).into()), Err(NotJson::Bytes));
    }
}
