//! Keys that stand twice in one object. Readers differ in which of the two counts: whoever signs such
//! a text, or looks at it on its way, may have read another one than we.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Characters of a key that are told.
const SHOWN: usize = 80;

/// Refuses JSON in which a key stands twice in one object, however it is escaped.
///
/// ```
/// use model::json::check_keys;
/// assert!(check_keys(br#"{ "a": { "b": 1 }, "b": [] }"#).is_ok());
/// let refused = check_keys(br#"{ "a": [{ "b": 1, "\u0062": 2 }] }"#).unwrap_err().to_string();
/// assert!(refused.starts_with("the key `b` stands twice in one object at line 1 column"), "{refused}");
/// ```
pub fn check_keys(json: &[u8]) -> Result<(), serde_json::Error> {
    serde_json::from_slice(json).map(|Unequal| ())
}

/// Any JSON in which the keys of each object differ.
struct Unequal;

impl<'de> Deserialize<'de> for Unequal {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Unequal {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while let Some(Self) = items.next_element()? {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self, A::Error> {
        let mut keys = BTreeSet::new();
        while let Some(key) = fields.next_key::<String>()? {
            if keys.contains(&key) {
                let shown: String = key.chars().take(SHOWN).collect();
                return Err(A::Error::custom(format!(
                    "the key `{shown}` stands twice in one object"
                )));
            }
            let Self = fields.next_value()?;
            keys.insert(key);
        }
        Ok(self)
    }
}
