//! Numbers as the API server means them: whole ones of 64 bits with a sign, and floats. What is larger
//! is a float to it, and is written by it without a point.
//!
//! It nests objects deeper than is read here as a rule. Where one such object must not hide the others,
//! the levels below are left out.

use std::fmt;

use model::{Map, Value};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Levels of an object that are looked at: about as many as are read without bounds, and more than any
/// rule is shown, so that an object without the levels below is too deep still.
pub(super) const LEVELS: usize = 124;

/// Reads what the API server says.
pub(super) fn read(text: &[u8]) -> serde_json::Result<Value> {
    let mut value = serde_json::from_slice(text)?;
    round(&mut value);
    Ok(value)
}

/// The same, however deep it is: what lies deeper than `levels` is null. Whether something does.
pub(super) fn read_pruned(text: &[u8], levels: usize) -> serde_json::Result<(Value, bool)> {
    let error = match read(text) {
        Ok(value) => return Ok((value, false)),
        Err(error) => error,
    };
    let mut reader = serde_json::Deserializer::from_slice(text);
    let pruned = Pruned(levels).deserialize(&mut reader).ok().filter(|_| reader.end().is_ok());
    let mut value = pruned.ok_or(error)?;
    round(&mut value);
    Ok((value, true))
}

/// Reads so many levels.
#[derive(Clone, Copy)]
struct Pruned(usize);

impl<'de> DeserializeSeed<'de> for Pruned {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        match self.0 {
            // Without a bound on levels, and without a stack.
            0 => reader.deserialize_ignored_any(IgnoredAny).map(|_| Value::Null),
            _ => reader.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Pruned {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut read = Vec::new();
        while let Some(item) = items.next_element_seed(Self(self.0 - 1))? {
            read.push(item);
        }
        Ok(Value::Array(read))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut read = Map::new();
        while let Some(name) = fields.next_key()? {
            read.insert(name, fields.next_value_seed(Self(self.0 - 1))?);
        }
        Ok(Value::Object(read))
    }
}

fn round(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(round),
        Value::Object(map) => map.values_mut().for_each(round),
        Value::Number(number) if number.is_u64() && !number.is_i64() => {
            if let Some(float) = number.as_f64().and_then(serde_json::Number::from_f64) {
                *number = float;
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_nested_too_deep_to_be_read_loses_its_lowest_levels_alone() {
        let nested = |levels| (0..levels).fold("1".to_owned(), |inner, _| format!("[{inner}]"));
        let text =
            |levels| format!(r#"{{ "a": {}, "b": [true, -1, "x", null, 0.5] }}"#, nested(levels));
        let read = |levels| read_pruned(text(levels).as_bytes(), LEVELS).unwrap();
        assert_eq!(read(120), (serde_json::from_str(&text(120)).unwrap(), false));
        let (value, pruned) = read(20_000);
        assert!(pruned && model::value::is_too_deep(&value));
        assert_eq!(value["b"], json!([true, -1, "x", null, 0.5]));
        let depth = std::iter::successors(Some(&value["a"]), |value| value.get(0)).count();
        assert_eq!(depth, LEVELS);
        for broken in ["", "[1", "[1] 2", "{\"a\" 1}"] {
            assert!(read_pruned(broken.as_bytes(), LEVELS).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_number_that_the_api_server_holds_as_a_float_is_one() {
        let text = br#"{ "a": [9223372036854775807, 9223372036854775808, 18446744073709552000] }"#;
        let read = read(text).unwrap();
        let expected = json!({ "a": [i64::MAX, 9_223_372_036_854_775_808_f64, 18_446_744_073_709_552_000_f64] });
        assert_eq!(read, expected);
        assert_eq!(model::value::fits(&read), Ok(()));
    }
}
