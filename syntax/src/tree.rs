//! Text → tree. The only place that calls the YAML library.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use model::{Diagnostic, Location};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::options::MergeKeyPolicy;
use serde_saphyr::{Options, Spanned, alias_limits, budget, options};

use crate::node::{Document, Entry, Key, Kind, Node};
use crate::problem;
use crate::source::{Place, Source};

/// Largest file: twice the largest event, since event files are read too.
pub const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Deepest nesting.
pub const MAX_DEPTH: usize = 64;
/// Most values in a file, aliases spread out.
pub(crate) const MAX_NODES: usize = 250_000;
/// Most parts of values repeated by aliases: far above any honest file, far below a bomb.
pub(crate) const MAX_REPEATED: usize = 50_000;
/// The library needs about 60 KiB of stack a level when it is not optimised.
const STACK_BYTES: usize = 16 * 1024 * 1024;

/// Reads the YAML `text` of `file`.
///
/// Errors: everything that is wrong, with its place; a syntax error hides what comes after it.
pub fn parse(file: &str, text: &str) -> Result<Document, Vec<Diagnostic>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes, more than {MAX_BYTES}", text.len());
        return Err(vec![Diagnostic::error(Location::file(file), message)]);
    }
    let source = Source { file: file.to_owned(), text: text.to_owned() };
    // The library recurses: callers' stacks (2 MiB under tokio) do not hold the deepest file.
    let read = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let reader = thread.spawn_scoped(scope, || build(source)).ok()?;
        reader.join().ok()
    });
    read.unwrap_or_else(|| {
        let message = "the file cannot be read: no thread to read it on could be run";
        Err(vec![Diagnostic::error(Location::file(file), message)])
    })
}

fn build(source: Source) -> Result<Document, Vec<Diagnostic>> {
    let read = serde_saphyr::from_str_with_options::<Spanned<Raw>>(&source.text, limits());
    let raw = read.map_err(|error| vec![problem::describe(&error, &source)])?;
    let mut builder =
        Builder { source: Arc::new(source), refused: BTreeSet::new(), problems: Vec::new() };
    let root = builder.node(raw);
    if builder.problems.is_empty() { Ok(Document::new(root)) } else { Err(builder.problems) }
}

/// Reads YAML that may not be text: UTF-8, with or without a byte order mark.
pub fn parse_bytes(file: &str, bytes: &[u8]) -> Result<Document, Vec<Diagnostic>> {
    parse(file, text(file, bytes)?)
}

/// The text of a file that may not be one.
///
/// Errors: the place of the first byte that is not UTF-8.
pub fn text<'b>(file: &str, bytes: &'b [u8]) -> Result<&'b str, Vec<Diagnostic>> {
    std::str::from_utf8(bytes).map_err(|error| vec![problem::not_utf8(file, bytes, error)])
}

fn limits() -> Options {
    options! {
        budget: budget! { max_depth: MAX_DEPTH, max_nodes: MAX_NODES, max_documents: 2 },
        alias_limits: alias_limits! { max_total_replayed_events: MAX_REPEATED },
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

/// The tree as the library hands it over.
enum Raw {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    List(Vec<Spanned<Raw>>),
    // A Vec of pairs: a visitor's own error would point at the map's first key.
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Raw, E> {
        Ok(Raw::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Raw, E> {
        Ok(Raw::Number(number.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Raw, E> {
        Number::from_f64(number).map(Raw::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Raw, E> {
        Ok(Raw::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

/// Gives every value its source, and refuses numbers that do not read as they are meant.
struct Builder {
    source: Arc<Source>,
    /// Places of refused numbers: an alias shows one again.
    refused: BTreeSet<Place>,
    problems: Vec<Diagnostic>,
}

impl Builder {
    fn node(&mut self, raw: Spanned<Raw>) -> Node {
        let place = place(raw.referenced);
        let kind = match raw.value {
            Raw::Null => Kind::Null,
            Raw::Bool(flag) => Kind::Bool(flag),
            Raw::Number(number) => {
                self.check_number(&number, raw.defined);
                Kind::Number(number)
            }
            Raw::String(text) => Kind::String(text),
            Raw::List(items) => Kind::List(items.into_iter().map(|item| self.node(item)).collect()),
            Raw::Map(entries) => {
                Kind::Map(entries.into_iter().map(|(key, value)| self.entry(key, value)).collect())
            }
        };
        Node::new(kind, place, Arc::clone(&self.source))
    }

    fn entry(&mut self, key: Spanned<String>, value: Spanned<Raw>) -> Entry {
        let key = Key::new(key.value, place(key.referenced), Arc::clone(&self.source));
        Entry { key, value: self.node(value) }
    }

    fn check_number(&mut self, number: &Number, defined: serde_saphyr::Location) {
        let at = place(defined);
        let Some(written) = written(&self.source.text, defined) else { return };
        if let Some((message, hint)) = misread(written, number)
            && self.refused.insert(at)
        {
            self.problems.push(self.source.error(at, message).with_hint(hint));
        }
    }
}

/// The text of a value in its file.
fn written(text: &str, at: serde_saphyr::Location) -> Option<&str> {
    let start = usize::try_from(at.span().byte_offset()?).ok()?;
    let len = usize::try_from(at.span().byte_len()?).ok()?;
    text.get(start..start.checked_add(len)?).map(str::trim)
}

/// Why the number `written` is refused: programs disagree about what it is.
fn misread(written: &str, number: &Number) -> Option<(String, String)> {
    let quote = format!("quote it if it is a text: \"{written}\"");
    let digits = written.trim_start_matches(['-', '+']);
    let whole = digits.bytes().all(|b| b.is_ascii_digit());
    if written.contains('_') {
        let plain = written.replace('_', "");
        Some((
            format!("`{written}` is a number with `_`, which some programs read as a text"),
            format!("write {plain}, or {quote}"),
        ))
    } else if digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit() {
        Some((
            format!(
                "`{written}` is a number with a leading zero, which some programs read as octal"
            ),
            format!("write it without the zero, or {quote}"),
        ))
    } else if number.as_i64().is_none() && (whole || !number.is_f64()) {
        Some((
            format!("`{written}` does not fit into a whole number of 64 bits with a sign"),
            quote,
        ))
    } else {
        None
    }
}

fn place(at: serde_saphyr::Location) -> Place {
    match (usize::try_from(at.line()), usize::try_from(at.column())) {
        (Ok(line), Ok(column)) if line > 0 => Place { line, column },
        _ => Place::START,
    }
}
