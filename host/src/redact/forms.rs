//! The forms in which output has a value.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use model::token::{Derivation, percent_encode};
use model::{Token, Value};
use zeroize::Zeroizing;

use super::MIN_BYTES;
use super::needle::Needle;
use super::spelling;

/// Longer values are looked for as their standards spell them alone: each spelling takes memory.
const MAX_SPELLED: usize = 64 * 1024;
/// A line of a longer value is looked for by itself if it has so many bytes.
const MIN_LINE: usize = 16;

/// What is looked for, with what stands for it, and whether line breaks may stand within.
type Forms = BTreeMap<Vec<u8>, (Arc<str>, bool)>;

/// What is looked for to find these values; each with what stands for it.
pub(super) fn needles<'a>(values: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Needle> {
    let mut forms = Forms::new();
    for (value, label) in values {
        if value.len() >= MIN_BYTES {
            collect(value, label, &mut forms);
        }
    }
    let needle = |(bytes, (label, wraps))| Needle { bytes: Zeroizing::new(bytes), label, wraps };
    forms.into_iter().map(needle).collect()
}

/// Every form in which `value` is looked for. Where two have the same form, the first stands.
fn collect(value: &str, label: &str, forms: &mut Forms) {
    let mut add = |form: String, label: Arc<str>, wraps: bool| {
        let form = form.into_bytes();
        if form.len() >= MIN_BYTES {
            forms.entry(form).or_insert((label, wraps)).1 |= wraps;
        }
    };
    let label: Arc<str> = label.into();
    let same = || label.clone();
    let is_token = label.parse::<Token>().is_ok();
    // What an exact encoding of a token's value stands for can be said exactly.
    let derived = |derivation: fn(String) -> Derivation, of: &str| match is_token {
        true => derivation(of.to_owned()).text().into(),
        false => same(),
    };
    let base64 = STANDARD.encode(value);
    let of_base64 = derived(Derivation::Base64, &label);
    add(percent_encode(&base64), derived(Derivation::UrlEncode, &of_base64), false);
    add(base64, of_base64, true);
    let mut put = |form: String, label: Arc<str>| add(form, label, false);
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
    put(encoded, derived(Derivation::UrlEncode, &label));
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

pub(super) fn escape(text: &str) -> String {
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
