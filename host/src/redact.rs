//! The redactor: finds secrets' values in what others print, and puts what stands for them there.
//!
//! A value is found as it is and in letters of one case, escaped for JSON (also within JSON, twice), for URLs
//! and for HTML, as several languages do it, quoted for shells, YAML and Python, in base64 at any offset of
//! either alphabet (also over line breaks, as `base64` and MIME wrap it, escaped for URLs, and of UTF-16), and
//! in hexadecimal; of a value of several lines, each long line too. Nothing finds a value that a program took apart or encrypted: what must not
//! be printed must not be given to a program that would.

mod forms;
mod index;
mod known;
mod needle;
mod spelling;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use model::{Map, Value};

pub use known::{Known, known};

use index::Index;

/// Values shorter than this are not looked for: they would be found in ordinary words.
pub const MIN_BYTES: usize = 8;

/// Finds values in text.
#[derive(Default)]
pub struct Redactor {
    index: Index,
    /// Who is told when it is gone.
    held_by: Option<&'static Known>,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redactor({} needles)", self.index.needles().count())
    }
}

impl Drop for Redactor {
    fn drop(&mut self) {
        if let Some(known) = self.held_by {
            known.forget(&self.index);
        }
    }
}

impl Redactor {
    /// One that looks for these values; each with what stands for it, such as its token.
    pub fn new<'a>(values: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut redactor = Self::default();
        for needle in forms::needles(values) {
            redactor.index.add(Arc::new(needle));
        }
        redactor
    }

    /// Whether it looks for nothing.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// `text` with what stands for the values in their places.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.bytes(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            // Needles are whole characters, so what is left of a text is text.
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }

    /// The same of bytes that need not be text.
    pub fn bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        self.index.replaced(bytes)
    }

    /// Every text in `value`, names of maps and numbers included.
    pub fn value(&self, value: Value) -> Value {
        if self.is_empty() {
            return value;
        }
        match value {
            Value::String(text) => match self.text(&text) {
                Cow::Borrowed(_) => Value::String(text),
                Cow::Owned(clean) => Value::String(clean),
            },
            Value::Number(number) => match self.text(&number.to_string()) {
                Cow::Borrowed(_) => Value::Number(number),
                Cow::Owned(clean) => Value::String(clean),
            },
            Value::Array(items) => items.into_iter().map(|item| self.value(item)).collect(),
            Value::Object(map) => {
                let clean = |(name, item): (String, Value)| {
                    (self.text(&name).into_owned(), self.value(item))
                };
                Value::Object(map.into_iter().map(clean).collect::<Map>())
            }
            Value::Null | Value::Bool(_) => value,
        }
    }

    /// Redacts what comes in pieces.
    pub fn stream(&self) -> Stream<'_> {
        Stream { redactor: self, held: Vec::new() }
    }
}

/// Redacts what comes in pieces: what may be the beginning of a value is held back.
pub struct Stream<'a> {
    redactor: &'a Redactor,
    held: Vec<u8>,
}

impl Stream<'_> {
    /// What can be passed on once `piece` has come.
    pub fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(piece);
        let (mut out, mut at) = (Vec::with_capacity(self.held.len()), 0);
        while at < self.held.len() && !self.redactor.index.may_go_on(&self.held[at..]) {
            if let Some((needle, length)) = self.redactor.index.at(&self.held[at..]) {
                out.extend_from_slice(needle.label.as_bytes());
                at += length;
            } else {
                out.push(self.held[at]);
                at += 1;
            }
        }
        self.held.drain(..at);
        out
    }

    /// The rest, once nothing more comes.
    pub fn finish(self) -> Vec<u8> {
        self.redactor.bytes(&self.held).into_owned()
    }
}
