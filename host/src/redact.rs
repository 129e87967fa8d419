//! The redactor: finds secrets' values in what others print, and puts what stands for them there.
//!
//! A value is found as it is and in letters of one case, escaped for JSON (also within JSON, twice), for URLs
//! and for HTML, as several languages do it, quoted for shells, YAML and Python, in base64 at any offset of
//! either alphabet (also over line breaks, as `base64` and MIME wrap it, escaped for URLs, and of UTF-16), and
//! in hexadecimal; of a value of several lines, each long line too. Nothing finds a value that a program took apart or encrypted: what must not
//! be printed must not be given to a program that would.

mod spelling;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use model::token::{Derivation, percent_encode};
use model::{Map, Token, Value};
use zeroize::Zeroizing;

/// Values shorter than this are not looked for: they would be found in ordinary words.
pub const MIN_BYTES: usize = 8;
/// Longer values are looked for as their standards spell them alone: each spelling takes memory.
const MAX_SPELLED: usize = 64 * 1024;
/// A line of a longer value is looked for by itself if it has so many bytes.
const MIN_LINE: usize = 16;
/// Most bytes with which a line is indented that goes on with what the line before began.
const MAX_INDENT: usize = 64;

/// What is looked for, and what is put in its place.
struct Needle {
    bytes: Zeroizing<Vec<u8>>,
    label: String,
    /// Line breaks may stand within it.
    wraps: bool,
}

/// How a text begins.
enum Fit {
    /// With the needle, which takes so many bytes of it.
    Whole(usize),
    /// As the needle does, and it ends before that.
    Begun,
    Not,
}

impl Needle {
    fn fit(&self, text: &[u8]) -> Fit {
        if !self.wraps {
            return match text.len() < self.bytes.len() {
                false if text.starts_with(&self.bytes) => Fit::Whole(self.bytes.len()),
                true if self.bytes.starts_with(text) => Fit::Begun,
                _ => Fit::Not,
            };
        }
        let mut at = 0;
        for (n, byte) in self.bytes.iter().enumerate() {
            if n > 0 {
                at += line_break(&text[at..]);
            }
            match text.get(at) {
                Some(found) if found == byte => at += 1,
                None => return Fit::Begun,
                Some(_) if n > 0 && may_break(&text[at..]) => return Fit::Begun,
                Some(_) => return Fit::Not,
            }
        }
        Fit::Whole(at)
    }
}

/// What ends a line, also where it is escaped for JSON.
const BREAKS: [&[u8]; 4] = [b"\n", b"\r\n", b"\\n", b"\\r\\n"];

/// Whether `text` ends within the end of a line.
fn may_break(text: &[u8]) -> bool {
    BREAKS.iter().any(|one| text.len() < one.len() && one.starts_with(text))
}

/// How many bytes of a line's end `text` begins with; the indent of the next line included.
fn line_break(text: &[u8]) -> usize {
    let Some(found) = BREAKS.into_iter().find(|one| text.starts_with(one)) else { return 0 };
    let indent = text[found.len()..].iter().take(MAX_INDENT);
    found.len() + indent.take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

/// Finds values in text.
#[derive(Default)]
pub struct Redactor {
    needles: Vec<Needle>,
    /// Needles by their first eight bytes.
    by_start: HashMap<[u8; MIN_BYTES], Vec<usize>>,
    /// Which first bytes there are.
    first: [u64; 4],
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redactor({} needles)", self.needles.len())
    }
}

impl Redactor {
    /// One that looks for these values; each with what stands for it, such as its token.
    pub fn new<'a>(values: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut forms = BTreeMap::new();
        for (value, label) in values {
            if value.len() >= MIN_BYTES {
                collect(value, label, &mut forms);
            }
        }
        let mut redactor = Self::default();
        for (bytes, (label, wraps)) in forms {
            redactor.add(Needle { bytes: Zeroizing::new(bytes), label, wraps });
        }
        redactor
    }

    fn add(&mut self, needle: Needle) {
        let Some(start) = start(&needle.bytes) else { return };
        self.first[usize::from(start[0]) / 64] |= 1 << (start[0] % 64);
        self.by_start.entry(start).or_default().push(self.needles.len());
        self.needles.push(needle);
    }

    /// Whether it looks for nothing.
    pub fn is_empty(&self) -> bool {
        self.needles.is_empty()
    }

    fn may_begin(&self, byte: u8) -> bool {
        self.first[usize::from(byte) / 64] & (1 << (byte % 64)) != 0
    }

    /// Needles that `text` may begin with.
    fn candidates(&self, text: &[u8]) -> impl Iterator<Item = &Needle> {
        let (plain, wrapped) = (start(text), start_over_breaks(text));
        let wrapped = wrapped.filter(|wrapped| plain.as_ref() != Some(wrapped));
        let of = |start: [u8; MIN_BYTES]| self.by_start.get(&start).into_iter().flatten();
        plain.into_iter().chain(wrapped).flat_map(of).map(|index| &self.needles[*index])
    }

    /// The longest needle that `text` begins with, and how many bytes of it that takes.
    fn at(&self, text: &[u8]) -> Option<(&Needle, usize)> {
        if !self.may_begin(*text.first()?) {
            return None;
        }
        let found = self.candidates(text).filter_map(|needle| match needle.fit(text) {
            Fit::Whole(length) => Some((needle, length)),
            Fit::Begun | Fit::Not => None,
        });
        found.max_by_key(|(needle, _)| needle.bytes.len())
    }

    /// Whether `text`, which ends here for now, may be the beginning of a needle.
    fn may_go_on(&self, text: &[u8]) -> bool {
        let begun = |needle: &Needle| matches!(needle.fit(text), Fit::Begun);
        match text.first() {
            Some(first) if !self.may_begin(*first) => false,
            None => false,
            // Too short yet to tell which ones it could be.
            _ if start_over_breaks(text).is_none() => self.needles.iter().any(begun),
            _ => self.candidates(text).any(begun),
        }
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
        let (mut out, mut done, mut at) = (None::<Vec<u8>>, 0, 0);
        while at < bytes.len() && !self.is_empty() {
            let Some((needle, length)) = self.at(&bytes[at..]) else {
                at += 1;
                continue;
            };
            let out = out.get_or_insert_with(|| Vec::with_capacity(bytes.len()));
            out.extend_from_slice(&bytes[done..at]);
            out.extend_from_slice(needle.label.as_bytes());
            at += length;
            done = at;
        }
        match out {
            None => Cow::Borrowed(bytes),
            Some(mut out) => {
                out.extend_from_slice(&bytes[done..]);
                Cow::Owned(out)
            }
        }
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
        while at < self.held.len() && !self.redactor.may_go_on(&self.held[at..]) {
            if let Some((needle, length)) = self.redactor.at(&self.held[at..]) {
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

fn start(bytes: &[u8]) -> Option<[u8; MIN_BYTES]> {
    bytes.first_chunk().copied()
}

/// The same of the text without its line breaks.
fn start_over_breaks(text: &[u8]) -> Option<[u8; MIN_BYTES]> {
    let (mut start, mut at) = ([0; MIN_BYTES], 0);
    for (n, byte) in start.iter_mut().enumerate() {
        if n > 0 {
            at += line_break(&text[at..]);
        }
        if may_break(&text[at..]) {
            return None;
        }
        *byte = *text.get(at)?;
        at += 1;
    }
    Some(start)
}

/// What is looked for, with what stands for it, and whether line breaks may stand within.
type Forms = BTreeMap<Vec<u8>, (String, bool)>;

/// Every form in which `value` is looked for. Where two have the same form, the first stands.
fn collect(value: &str, label: &str, forms: &mut Forms) {
    let mut add = |form: String, label: String, wraps: bool| {
        let form = form.into_bytes();
        if form.len() >= MIN_BYTES {
            forms.entry(form).or_insert((label, wraps)).1 |= wraps;
        }
    };
    let same = || label.to_owned();
    // What an exact encoding of a token's value stands for can be said exactly.
    let derived = |derivation: fn(String) -> Derivation, of: String| match label.parse::<Token>() {
        Ok(_) => derivation(of).text(),
        Err(_) => same(),
    };
    let base64 = STANDARD.encode(value);
    let of_base64 = derived(Derivation::Base64, same());
    add(percent_encode(&base64), derived(Derivation::UrlEncode, of_base64.clone()), false);
    add(base64, of_base64, true);
    let mut put = |form: String, label: String| add(form, label, false);
    put(value.to_owned(), same());
    let escaped = escape(value);
    let encoded = percent_encode(value);
    put(encoded.replace("%20", "+"), same());
    put(lower_escapes(&encoded), same());
    let spelled = match value.len() <= MAX_SPELLED {
        true => spelling::spellings(value, &escaped, &encoded),
        false => Vec::new(),
    };
    for spelling in spelled {
        let within = escape(&spelling);
        put(escape(&within), same());
        put(within, same());
        put(lower_escapes(&spelling), same());
        put(spelling, same());
    }
    put(encoded, derived(Derivation::UrlEncode, same()));
    let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    put(hex.to_uppercase(), same());
    put(hex, same());
    if value.contains('\n') {
        let lines = value.lines().map(str::trim);
        for line in lines.filter(|line| line.len() >= MIN_LINE && !line.starts_with("-----")) {
            put(line.to_owned(), same());
        }
    }
    let utf_16: Vec<u8> = value.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for plain in [value.as_bytes(), escaped.as_bytes(), &utf_16] {
        for offset in 0..3 {
            let standard = within_base64(&STANDARD_NO_PAD, plain, offset);
            add(percent_encode(&standard), same(), false);
            add(standard, same(), true);
            add(within_base64(&URL_SAFE_NO_PAD, plain, offset), same(), true);
        }
    }
    add(escaped, same(), false);
}

/// The characters of base64 text that depend on nothing but `value`, if `offset` bytes stand before
/// it within a group of three.
fn within_base64(engine: &impl Engine, value: &[u8], offset: usize) -> String {
    let padded = Zeroizing::new([&[0_u8; 2][..offset], value].concat());
    let text = engine.encode(padded.as_slice());
    let (from, to) = ((8 * offset).div_ceil(6), 8 * padded.len() / 6);
    text[from..to].to_owned()
}

fn escape(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// `%C3` as `%c3`.
fn lower_escapes(encoded: &str) -> String {
    let mut parts = encoded.split('%');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // Two digits follow each `%`, unless it stands for itself.
        let (digits, rest) = part.split_at_checked(2).unwrap_or(("", part));
        out = out + "%" + &digits.to_ascii_lowercase() + rest;
    }
    out
}

/// Redactors of everything that this process has opened, for its own log.
#[derive(Default)]
pub struct Known(Mutex<Vec<Weak<Redactor>>>);

impl Known {
    /// `redactor` counts for as long as somebody holds it.
    pub fn hold(&self, redactor: &Arc<Redactor>) {
        let mut held = self.lock();
        held.retain(|redactor| redactor.strong_count() > 0);
        held.push(Arc::downgrade(redactor));
    }

    /// `bytes` without any value that is known now.
    pub fn bytes<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let held: Vec<_> = self.lock().iter().filter_map(Weak::upgrade).collect();
        held.iter().fold(Cow::Borrowed(bytes), |bytes, redactor| match redactor.bytes(&bytes) {
            Cow::Borrowed(_) => bytes,
            Cow::Owned(clean) => Cow::Owned(clean),
        })
    }

    /// The first characters of `text` without any value that is known now. What is cut first would
    /// keep the beginning of a value that the cut goes through.
    pub fn beginning(&self, text: &str, characters: usize) -> String {
        let clean = self.bytes(text.as_bytes());
        String::from_utf8_lossy(&clean).chars().take(characters).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Redactor>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What this process knows. One for all, because the log is.
pub fn known() -> &'static Known {
    static KNOWN: Known = Known(Mutex::new(Vec::new()));
    &KNOWN
}

#[cfg(test)]
mod tests;
