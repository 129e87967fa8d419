//! Values too large for a fact: kept beside the log, named by their content.

use std::fmt;
use std::io::{self, BufWriter, Write};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Value;

/// A text that is not a SHA-256 in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a content hash: expected 64 hexadecimal digits")]
pub struct BadHash(String);

/// A SHA-256 of content: names blobs, pack versions and chain programs.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(extend("pattern" = r"^[0-9a-f]{64}$"))]
pub struct Hash([u8; 32]);

impl Hash {
    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The hash over named parts, each with its length, so that parts cannot run together.
    pub fn of_parts<'a>(parts: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut hasher = Sha256::new();
        for (name, bytes) in parts {
            for piece in [name.as_bytes(), bytes] {
                hasher.update((piece.len() as u64).to_le_bytes());
                hasher.update(piece);
            }
        }
        Self(hasher.finalize().into())
    }

    /// The hash of a value's JSON text: keys of JSON objects are sorted, so equal values hash equal.
    pub fn of_value(value: &impl Serialize) -> Self {
        Self::and_length(value).0
    }

    /// The same, and how many bytes that text has. It is not kept anywhere.
    pub fn and_length(value: &impl Serialize) -> (Self, usize) {
        // The text comes in pieces of a few bytes, which the hash takes better by the block.
        let mut hashed = BufWriter::with_capacity(1024, Hashed::default());
        // serde_json's maps are ordered by key (the feature `preserve_order` is off). Nothing here can
        // fail: the hash takes all, and what is stored is nothing that JSON refuses.
        let _ = serde_json::to_writer(&mut hashed, value);
        let _ = hashed.flush();
        let Hashed { hasher, length } = std::mem::take(hashed.get_mut());
        (Self(hasher.finalize().into()), length)
    }

    /// The raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hash with these raw bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The first 12 digits, enough for people.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

/// Takes the hash of what is written to it.
#[derive(Default)]
struct Hashed {
    hasher: Sha256,
    length: usize,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.length += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digit = |n: u8| char::from(b"0123456789abcdef"[usize::from(n)]);
        let digits = self.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
        f.write_str(&digits.collect::<String>())
    }
}

impl FromStr for Hash {
    type Err = BadHash;

    fn from_str(text: &str) -> Result<Self, BadHash> {
        let bad = || BadHash(text.to_owned());
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(pair).map_err(|_| bad())?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| bad())?;
        }
        Ok(Self(bytes))
    }
}

crate::text::as_text!(Hash);

/// Names a blob.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct BlobRef {
    /// The content's hash, which is its name.
    pub blob: Hash,
    /// Length in bytes.
    pub size: u64,
    /// The beginning, for people.
    pub head: String,
}

impl BlobRef {
    const HEAD_CHARS: usize = 256;

    /// The name of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let head = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * Self::HEAD_CHARS)]);
        Self {
            blob: Hash::of(bytes),
            size: bytes.len() as u64,
            head: head.chars().take(Self::HEAD_CHARS).collect(),
        }
    }

    /// What a chain sees in place of the value: `{ blob, size, head }`.
    pub fn to_value(&self) -> Value {
        serde_json::json!({ "blob": self.blob.to_string(), "size": self.size, "head": self.head })
    }
}

/// A value in the log, or where it lies.
#[derive(Debug, Clone, PartialEq, JsonSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// The value itself.
    Inline(Value),
    /// The JSON text of the value, in the blob store.
    Blob(BlobRef),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_read_as_they_are_written() {
        let hash = Hash::of(b"Hello");
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert!("xyz".parse::<Hash>().is_err());
    }

    #[test]
    fn a_value_is_hashed_and_measured_as_its_text() {
        let long = serde_json::json!({ "long": "ä\n".repeat(3000), "a": [1, -2.5, null, {}] });
        for value in [long, serde_json::json!(""), Value::Null] {
            let text = value.to_string();
            let expected = (Hash::of(text.as_bytes()), text.len());
            assert_eq!(Hash::and_length(&value), expected);
            assert_eq!(crate::json::length(&value), text.len());
        }
    }

    #[test]
    fn parts_cannot_run_together() {
        let one = Hash::of_parts([("a", b"bc".as_slice())]);
        let other = Hash::of_parts([("ab", b"c".as_slice())]);
        assert_ne!(one, other);
    }

    #[test]
    fn a_head_is_cut_between_characters() {
        let text = "ä".repeat(10_000);
        assert_eq!(BlobRef::of(text.as_bytes()).head.chars().filter(|c| *c == 'ä').count(), 256);
    }
}
