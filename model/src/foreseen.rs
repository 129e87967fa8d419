//! A value as far as a file tells it before anything runs.

use std::collections::BTreeMap;

use crate::Value;

/// Stands in a text where a computed part will be.
pub const HOLE: char = '\u{FFFC}';

/// A value of which parts may be computed later.
///
/// ```
/// use model::{Foreseen, Value};
/// let name = Foreseen::Text(vec![Some("web-".to_owned()), None]);
/// let map = Foreseen::Map([("kind".to_owned(), Value::from("Pod").into()), ("name".to_owned(), name)].into());
/// assert_eq!(map.at("kind").text(), Some("Pod"));
/// assert!(map.at("name").text().is_none() && map.at("name").is_given());
/// assert!(!map.at("namespace").is_given());
/// assert!(map.at("kind").is_whole() && !map.is_whole());
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Foreseen {
    /// The whole of it.
    Value(Value),
    /// A text; none: a part that is computed.
    Text(Vec<Option<String>>),
    /// A list of so many.
    List(Vec<Foreseen>),
    /// A map with these keys and no others.
    Map(BTreeMap<String, Foreseen>),
    /// Nothing.
    Computed,
}

/// What is not there.
static NOTHING: Foreseen = Foreseen::Value(Value::Null);
/// What nobody knows.
static COMPUTED: Foreseen = Foreseen::Computed;

impl From<Value> for Foreseen {
    fn from(value: Value) -> Self {
        match value {
            Value::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            Value::Object(map) => {
                Self::Map(map.into_iter().map(|(key, value)| (key, value.into())).collect())
            }
            plain => Self::Value(plain),
        }
    }
}

impl Foreseen {
    /// What stands under `key`: null where nothing does.
    pub fn at(&self, key: &str) -> &Self {
        match self {
            Self::Map(entries) => entries.get(key).unwrap_or(&NOTHING),
            Self::Computed => &COMPUTED,
            _ => &NOTHING,
        }
    }

    /// The text, where all of it is known.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Value(value) => value.as_str(),
            _ => None,
        }
    }

    /// The text with a [`HOLE`] for each part that is computed.
    pub fn text_with_holes(&self) -> Option<String> {
        match self {
            Self::Text(parts) => {
                let hole = || HOLE.to_string();
                Some(parts.iter().map(|part| part.clone().unwrap_or_else(hole)).collect())
            }
            whole => whole.text().map(ToOwned::to_owned),
        }
    }

    /// Whether nothing of it is computed.
    pub fn is_whole(&self) -> bool {
        match self {
            Self::Value(_) => true,
            Self::Text(_) | Self::Computed => false,
            Self::List(items) => items.iter().all(Self::is_whole),
            Self::Map(entries) => entries.values().all(Self::is_whole),
        }
    }

    /// Whether it is there, as far as that is known: anything but null.
    pub fn is_given(&self) -> bool {
        *self != NOTHING
    }
}
