//! JSON text as it comes in from outside.
//!
//! serde_json reads a whole number from 2^63 on as one without a sign, which chains don't have, and
//! one from 2^64 on as a float, which is another number. Neither may slip in: such a number is
//! refused where it comes in, with its place.

mod keys;
mod objects;

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

pub use self::keys::check_keys;
use self::objects::Objects;

use crate::Value;

/// Why a text is not read.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// It is not JSON, or not of the shape that is wanted.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// It holds a number that nobody could work with.
    #[error(transparent)]
    Number(#[from] LargeNumber),
}

/// A whole number that 64 bits with a sign don't hold. Its digits are left out: they may be secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the whole number at line {line}, column {column} does not fit into 64 bits with a sign: write it as a text, in quotes"
)]
pub struct LargeNumber {
    /// Where it begins, from 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

/// Reads JSON. What has named fields is read from an object, from no array of their values.
///
/// ```
/// use model::{Value, json};
/// assert!(json::read::<Value>(b"[9223372036854775807, 1e30]").is_ok());
/// let refused = json::read::<Value>(b"[9223372036854775808]").unwrap_err();
/// assert!(refused.to_string().starts_with("the whole number at line 1, column 2 does not fit"));
/// ```
pub fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, Unread> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = T::deserialize(Objects(&mut reader))?;
    reader.end()?;
    match large_number(text) {
        Some(at) => Err(place(text, at).into()),
        None => Ok(value),
    }
}

/// What a program printed, as its result: JSON where it is JSON, `{}` where it is nothing, else
/// `{ text }`. So is JSON with a number that nobody could work with.
///
/// ```
/// use model::json;
/// assert_eq!(json::printed(b"done\n").to_string(), r#"{"text":"done"}"#);
/// ```
pub fn printed(output: &[u8]) -> Value {
    read(output).unwrap_or_else(|_| match String::from_utf8_lossy(output).trim_end() {
        "" => json!({}),
        text => json!({ "text": text }),
    })
}

/// How many bytes of JSON text `value` has: none of it is made.
///
/// ```
/// use model::json;
/// assert_eq!(json::length(&serde_json::json!({ "ä\n": [1.5, null] })), 19);
/// ```
pub fn length(value: &impl Serialize) -> usize {
    let mut counted = Counted(0);
    // It takes whatever comes, and what is stored is nothing that JSON refuses.
    let _ = serde_json::to_writer(&mut counted, value);
    counted.0
}

/// Counts what is written to it.
struct Counted(usize);

impl io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where the first number begins, in a text that is JSON, that does not fit.
fn large_number(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        at += match rest[0] {
            b'"' => quoted(rest),
            b'-' | b'0'..=b'9' => {
                let ends =
                    |byte: &u8| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
                let number = &rest[..rest.iter().position(ends).unwrap_or(rest.len())];
                if !fits(number) {
                    return Some(at);
                }
                number.len()
            }
            _ => 1,
        };
    }
    None
}

/// How long the string is that `text` begins with.
fn quoted(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

fn fits(number: &[u8]) -> bool {
    let whole = number.iter().all(|byte| matches!(byte, b'-' | b'0'..=b'9'));
    !whole || std::str::from_utf8(number).is_ok_and(|text| text.parse::<i64>().is_ok())
}

fn place(text: &[u8], at: usize) -> LargeNumber {
    let before = String::from_utf8_lossy(&text[..at]);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    LargeNumber { line, column }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Duration;

    fn check(text: &str, expected: Option<(usize, usize)>) {
        let found = match read::<Value>(text.as_bytes()) {
            Ok(_) => None,
            Err(Unread::Number(LargeNumber { line, column })) => Some((line, column)),
            Err(Unread::Json(error)) => panic!("{text}: {error}"),
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn a_whole_number_beyond_64_bits_with_a_sign_is_refused_with_its_place() {
        for text in [
            "9223372036854775807",
            "-9223372036854775808",
            "[0, -0, 1.5, 12345678901234567890.5, 1e19, 1E+19, 99999999999999999999e-1]",
            r#"{ "9223372036854775808": "18446744073709551616", "\"9223372036854775808": 1 }"#,
            r#""\\""#,
        ] {
            check(text, None);
        }
        for (text, line, column) in [
            ("9223372036854775808", 1, 1),
            ("-9223372036854775809", 1, 1),
            ("18446744073709551615", 1, 1),
            ("18446744073709551616", 1, 1),
            ("[1,\n \"ö\", {\"ä\": 340282366920938463463374607431768211456}]", 2, 13),
            (r#"["\\", 9223372036854775808]"#, 1, 8),
        ] {
            check(text, Some((line, column)));
        }
    }

    #[test]
    fn what_has_fields_is_read_from_an_object_alone() {
        #[derive(Debug, serde::Deserialize)]
        struct Named {
            name: String,
            more: Option<Value>,
        }
        let named = |text: &str| read::<Named>(text.as_bytes());
        assert_eq!(read::<Option<Duration>>(br#""1h""#).unwrap(), Some(Duration::from_secs(3_600)));
        let whole = named(r#" { "name": "a", "more": [1, null] } "#).unwrap();
        assert_eq!((whole.name.as_str(), whole.more), ("a", Some(json!([1, null]))));
        for (text, told) in [
            (r#"["a", 1]"#, "invalid type: sequence, expected struct Named at line 1 column 0"),
            ("7", "invalid type: integer `7`, expected struct Named at line 1 column 1"),
            (r#"{ "name": "a" } x"#, "trailing characters at line 1 column 17"),
        ] {
            assert_eq!(named(text).unwrap_err().to_string(), told);
        }
    }

    #[test]
    fn what_a_program_printed_is_json_or_text() {
        for (output, expected) in [
            (&b"{\"rows\": 3}\n"[..], json!({ "rows": 3 })),
            (br#"{ "text": "", "rows": 3 }"#, json!({ "text": "", "rows": 3 })),
            (br#"{ "text": " a " }"#, json!({ "text": " a " })),
            (b"", json!({})),
            (b" \n", json!({})),
            (b"done\n", json!({ "text": "done" })),
            (b"\xff", json!({ "text": "\u{fffd}" })),
            (b"[9223372036854775808]", json!({ "text": "[9223372036854775808]" })),
        ] {
            assert_eq!(printed(output), expected);
        }
    }

    #[test]
    fn what_is_no_json_is_told_as_such() {
        for text in ["", "{", "9223372036854775808]", "\"\\"] {
            assert!(matches!(read::<Value>(text.as_bytes()), Err(Unread::Json(_))), "{text}");
        }
    }
}
