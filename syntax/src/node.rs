//! The tree: a value, what it holds, and where it stands.

use std::sync::Arc;

use model::{Diagnostic, Location, Map, Value};
use serde_json::Number;

use crate::source::{Place, Source};

/// One file, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    root: Node,
}

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    kind: Kind,
    place: Place,
    source: Arc<Source>,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Nothing: `null`, `~` or an empty value.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    String(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order in which it was written; every key stands once.
    Map(Vec<Entry>),
}

/// One pair of a map.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its key.
    pub key: Key,
    /// Its value.
    pub value: Node,
}

/// A map's key and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    name: String,
    place: Place,
    source: Arc<Source>,
}

impl Document {
    pub(crate) fn new(root: Node) -> Self {
        Self { root }
    }

    /// The file's value: [`Kind::Null`] where the file is empty.
    pub fn root(&self) -> &Node {
        &self.root
    }
}

impl Key {
    pub(crate) fn new(name: String, place: Place, source: Arc<Source>) -> Self {
        Self { name, place, source }
    }

    /// The key as text.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it stands.
    pub fn location(&self) -> Location {
        self.source.location(self.place)
    }

    /// An error that points here and shows the line.
    pub fn error(&self, message: impl Into<String>) -> Diagnostic {
        self.source.error(self.place, message)
    }
}

impl Node {
    pub(crate) fn new(kind: Kind, place: Place, source: Arc<Source>) -> Self {
        Self { kind, place, source }
    }

    /// What it holds.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// What it is called in messages.
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "a boolean",
            Kind::Number(number) if number.is_f64() => "a number",
            Kind::Number(_) => "a whole number",
            Kind::String(_) => "a string",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }

    /// Where it stands.
    pub fn location(&self) -> Location {
        self.source.location(self.place)
    }

    /// The place of character `column` of line `line`, both from 1, of the text it holds.
    pub fn location_within(&self, line: usize, column: usize) -> Location {
        self.source.location(self.place_within(line, column))
    }

    fn place_within(&self, line: usize, column: usize) -> Place {
        let (line, column) = (line.saturating_sub(1), column.saturating_sub(1));
        match &self.kind {
            Kind::String(text) => self.source.place_in_scalar(self.place, text, line, column),
            _ => self.place,
        }
    }

    /// An error that points here and shows the line.
    pub fn error(&self, message: impl Into<String>) -> Diagnostic {
        self.source.error(self.place, message)
    }

    /// An error that points at `line` and `column`, both from 1, of the text it holds.
    pub fn error_within(
        &self,
        line: usize,
        column: usize,
        message: impl Into<String>,
    ) -> Diagnostic {
        self.source.error(self.place_within(line, column), message)
    }

    /// The text it holds.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::String(text) => Some(text),
            _ => None,
        }
    }

    /// The items of a list.
    pub fn as_list(&self) -> Option<&[Node]> {
        match &self.kind {
            Kind::List(items) => Some(items),
            _ => None,
        }
    }

    /// The pairs of a map, as written.
    pub fn as_map(&self) -> Option<&[Entry]> {
        match &self.kind {
            Kind::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value under a map's key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The pair under a map's key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.as_map()?.iter().find(|entry| entry.key.name == key)
    }

    /// Whether it holds nothing.
    pub fn is_null(&self) -> bool {
        self.kind == Kind::Null
    }

    /// The value without its places.
    pub fn to_value(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(flag) => Value::Bool(*flag),
            Kind::Number(number) => Value::Number(number.clone()),
            Kind::String(text) => Value::String(text.clone()),
            Kind::List(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Kind::Map(entries) => Value::Object(to_map(entries)),
        }
    }

    /// Where the dotted `path` into this value stands (`size`, `tags.1`, as in
    /// [`model::Violation::path`]): of its key where it is a map's, and of the deepest part that
    /// exists where it is absent.
    pub fn location_of(&self, path: &str) -> Location {
        self.source.location(self.place_of(path))
    }

    /// An error that points at the dotted `path` into this value, like [`Self::location_of`].
    pub fn error_at(&self, path: &str, message: impl Into<String>) -> Diagnostic {
        self.source.error(self.place_of(path), message)
    }

    fn place_of(&self, path: &str) -> Place {
        match &self.kind {
            Kind::Map(entries) => place_in_map(entries, path).unwrap_or(self.place),
            Kind::List(items) => {
                let (index, rest) = path.split_once('.').unwrap_or((path, ""));
                let item = index.parse::<usize>().ok().and_then(|index| items.get(index));
                item.map_or(self.place, |item| item.place_of(rest))
            }
            _ => self.place,
        }
    }
}

/// A key may hold dots itself: the longest one that begins `path` is meant.
fn place_in_map(entries: &[Entry], path: &str) -> Option<Place> {
    let rest = |entry: &Entry| {
        let rest = path.strip_prefix(entry.key.name())?;
        if rest.is_empty() { Some("") } else { rest.strip_prefix('.') }
    };
    let fits = entries.iter().filter_map(|entry| rest(entry).map(|rest| (entry, rest)));
    let (entry, rest) = fits.max_by_key(|(entry, _)| entry.key.name().len())?;
    Some(match (rest, &entry.value.kind) {
        ("", _) | (_, Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::String(_)) => {
            entry.key.place
        }
        _ => entry.value.place_of(rest),
    })
}

fn to_map(entries: &[Entry]) -> Map {
    entries.iter().map(|entry| (entry.key.name.clone(), entry.value.to_value())).collect()
}
