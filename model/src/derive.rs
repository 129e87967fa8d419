//! What can be derived from a secret that only its token is known of.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::token::{DERIVED, is_in};

/// Most bytes of a derivation's text: longer ones come from nesting without end.
const MAX_TEXT: usize = 256 * 1024;

/// A function of text that may hold tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Derivation {
    /// Base64 with padding, RFC 4648.
    Base64(String),
    /// Everything but letters, digits and `-._~` as `%XX`, RFC 3986.
    UrlEncode(String),
    /// HMAC-SHA256 of the message under the key, in hexadecimal.
    Hmac(String, String),
    /// The same in base64.
    HmacBase64(String, String),
}

impl Derivation {
    /// The value, if no argument holds a token; else text that stands for it.
    pub fn value(self) -> String {
        match self.arguments().any(is_in) {
            true => self.text(),
            false => self.apply(),
        }
    }

    /// Text that stands for the value.
    pub fn text(&self) -> String {
        let json = serde_json::to_string(self).unwrap_or_default();
        let (start, end) = DERIVED;
        let mut text = String::with_capacity(start.len() + 2 * json.len() + 1);
        text.push_str(start);
        for byte in json.bytes() {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        text.push(end);
        text
    }

    /// The derivation that `text` begins with, and how many bytes it takes.
    pub(crate) fn read(text: &str) -> Option<(usize, Self)> {
        let (start, end) = DERIVED;
        let body = text.strip_prefix(start)?;
        let length = body.find(end).filter(|length| *length <= MAX_TEXT)?;
        let derived = serde_json::from_slice(&bytes(&body[..length])?).ok()?;
        Some((start.len() + length + end.len_utf8(), derived))
    }

    /// What it is derived from.
    pub fn arguments(&self) -> impl Iterator<Item = &str> {
        let (one, other) = match self {
            Self::Base64(text) | Self::UrlEncode(text) => (text, None),
            Self::Hmac(key, message) | Self::HmacBase64(key, message) => (key, Some(message)),
        };
        std::iter::once(one).chain(other).map(String::as_str)
    }

    /// The same derivation of other arguments, if there is one for each.
    pub(crate) fn map(self, new: impl Fn(&str) -> Option<String>) -> Option<Self> {
        Some(match self {
            Self::Base64(text) => Self::Base64(new(&text)?),
            Self::UrlEncode(text) => Self::UrlEncode(new(&text)?),
            Self::Hmac(key, message) => Self::Hmac(new(&key)?, new(&message)?),
            Self::HmacBase64(key, message) => Self::HmacBase64(new(&key)?, new(&message)?),
        })
    }

    /// The value, its arguments taken as they are.
    pub(crate) fn apply(&self) -> String {
        match self {
            Self::Base64(text) => STANDARD.encode(text),
            Self::UrlEncode(text) => percent_encode(text),
            Self::Hmac(key, message) => {
                hmac(key, message).iter().fold(String::with_capacity(64), |mut hex, byte| {
                    // Writing to a string does not fail.
                    let _ = write!(hex, "{byte:02x}");
                    hex
                })
            }
            Self::HmacBase64(key, message) => STANDARD.encode(hmac(key, message)),
        }
    }
}

fn hmac(key: &str, message: &str) -> Vec<u8> {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.as_bytes()) else { return Vec::new() };
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// `text` as it may stand in any part of a URL.
pub fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            // Writing to a string does not fail.
            _ => _ = write!(encoded, "%{byte:02X}"),
        }
        encoded
    })
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = hex.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_no_token_is_worked_out_at_once() {
        for (derivation, expected) in [
            (Derivation::Base64("user:pass".into()), "dXNlcjpwYXNz"),
            (Derivation::UrlEncode("a b&ü~".into()), "a%20b%26%C3%BC~"),
            // RFC 4231, test case 2.
            (
                Derivation::Hmac("Jefe".into(), "what do ya want for nothing?".into()),
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                Derivation::HmacBase64("Jefe".into(), "what do ya want for nothing?".into()),
                "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=",
            ),
        ] {
            assert_eq!(derivation.value(), expected);
        }
    }

    #[test]
    fn damaged_text_is_no_derivation() {
        let good = Derivation::Base64("x".into()).text();
        assert_eq!(Derivation::read(&good).unwrap().0, good.len());
        for bad in ["tlder_", "tlder__", "tlder_0_", "tlder_zz_", "tlder_7b7d_", "tlder_ü_"] {
            assert_eq!(Derivation::read(bad), None, "{bad}");
        }
    }
}
