//! Tokens: unguessable text that stands for a secret's value, and can be put into other text.
//!
//! A token is all that journals, logs, the API and chains ever see of a secret. What is derived
//! from one (`base64("user:" + token)`) is text as well: it names the derivation and its arguments,
//! tokens among them, so that whoever may know the values can work it out.
//!
//! ```
//! use model::token::{Derivation, Token};
//! let token = Token::random(&[7; 32]);
//! let header = format!("Basic {}", Derivation::Base64(format!("user:{token}")).text());
//! let shown = model::token::substitute(&header, &|_| Some("password".to_owned()));
//! assert_eq!(shown.as_deref(), Some("Basic dXNlcjpwYXNzd29yZA=="));
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use crate::derive::{Derivation, percent_encode};

use crate::Value;
use crate::id::{DIGEST_CHARS, base32, is_digest};

const PREFIX: &str = "tlsec_";
const LENGTH: usize = PREFIX.len() + DIGEST_CHARS;
/// What begins and ends the text of something derived; hexadecimal stands between.
pub(crate) const DERIVED: (&str, char) = ("tlder_", '_');
/// Derivations of derivations go no deeper: each level doubles the text.
const MAX_NESTING: usize = 6;

/// A text that is not a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a token: expected `{PREFIX}` and {DIGEST_CHARS} characters a-z, 2-7")]
pub struct BadToken;

/// Text that stands for a secret's value: `tlsec_` and 26 base32 characters of randomness.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Token(String);

impl Token {
    /// A token of the caller's random bytes, of which 130 bits are used.
    pub fn random(random: &[u8; 32]) -> Self {
        Self(format!("{PREFIX}{}", base32(random)))
    }

    /// The token as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Token {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        match text.strip_prefix(PREFIX) {
            Some(digest) if is_digest(digest) => Ok(Self(text.to_owned())),
            _ => Err(BadToken),
        }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

crate::text::as_text!(Token);

/// Where a token, or something derived, stands in a text.
enum Found {
    Token(Token),
    Derived(Derivation),
}

/// The first token or derivation of `text` from byte `from` on.
fn find(text: &str, mut from: usize) -> Option<(Range<usize>, Found)> {
    while let Some(at) = text.get(from..)?.find("tl").map(|at| from + at) {
        let rest = &text[at..];
        if let Some(token) = rest.get(..LENGTH).and_then(|token| token.parse().ok()) {
            return Some((at..at + LENGTH, Found::Token(token)));
        }
        if let Some((length, derived)) = Derivation::read(rest) {
            return Some((at..at + length, Found::Derived(derived)));
        }
        from = at + 2;
    }
    None
}

/// Whether `text` holds a token, or something derived from one.
pub fn is_in(text: &str) -> bool {
    find(text, 0).is_some()
}

/// Whether `text` is a token, or something derived from one, and nothing besides.
pub fn is_one(text: &str) -> bool {
    find(text, 0).is_some_and(|(range, _)| range == (0..text.len()))
}

/// Whether a text anywhere in `value`, names of its maps included, holds a token.
pub fn is_within(value: &Value) -> bool {
    match value {
        Value::String(text) => is_in(text),
        Value::Array(items) => items.iter().any(is_within),
        Value::Object(map) => map.iter().any(|(name, item)| is_in(name) || is_within(item)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether `stored` is `asked`, secret places of which may have got tokens before it was stored.
pub fn stands_for(stored: &Value, asked: &Value) -> bool {
    match (stored, asked) {
        (Value::Object(stored), Value::Object(asked)) => {
            let same = |(name, value)| stored.get(name).is_some_and(|s| stands_for(s, value));
            stored.len() == asked.len() && asked.iter().all(same)
        }
        (Value::Array(stored), Value::Array(asked)) => {
            stored.len() == asked.len() && stored.iter().zip(asked).all(|(s, a)| stands_for(s, a))
        }
        (Value::String(text), Value::String(_) | Value::Number(_)) => {
            stored == asked || text.parse::<Token>().is_ok()
        }
        (stored, asked) => stored == asked,
    }
}

/// Every token in `value`, also as an argument of what is derived.
pub fn within(value: &Value) -> BTreeSet<Token> {
    let mut tokens = BTreeSet::new();
    visit_value(value, &mut |_, found| {
        if let Found::Token(token) = found {
            tokens.insert(token);
        }
    });
    tokens
}

/// What is derived in `value`, by the texts that stand for it, as far as all tokens in it are known.
pub fn worked_out(
    value: &Value,
    known: &dyn Fn(&Token) -> Option<String>,
) -> BTreeMap<String, String> {
    let mut derived = BTreeMap::new();
    visit_value(value, &mut |text, found| {
        if let Found::Derived(_) = found
            && let Some(plain) = substitute(text, known)
        {
            derived.insert(text.to_owned(), plain);
        }
    });
    derived
}

/// Calls `visit` with each token and each derivation in `value`, those within others too.
fn visit_value(value: &Value, visit: &mut dyn FnMut(&str, Found)) {
    match value {
        Value::String(text) => visit_text(text, visit, MAX_NESTING),
        Value::Array(items) => items.iter().for_each(|item| visit_value(item, visit)),
        Value::Object(map) => map.iter().for_each(|(name, item)| {
            visit_text(name, visit, MAX_NESTING);
            visit_value(item, visit);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn visit_text(text: &str, visit: &mut dyn FnMut(&str, Found), depth: usize) {
    let mut from = 0;
    while let Some((range, found)) = find(text, from) {
        from = range.end;
        if let Found::Derived(derived) = &found
            && depth > 0
        {
            derived.arguments().for_each(|argument| visit_text(argument, visit, depth - 1));
        }
        visit(&text[range], found);
    }
}

/// `text` with each token replaced by what `value` knows of it, derivations worked out; `None` if
/// nothing of it is replaced. What `value` does not know stays as it is.
pub fn substitute(text: &str, value: &dyn Fn(&Token) -> Option<String>) -> Option<String> {
    substitute_within(text, value, MAX_NESTING)
}

fn substitute_within(
    text: &str,
    value: &dyn Fn(&Token) -> Option<String>,
    depth: usize,
) -> Option<String> {
    let (mut out, mut done) = (None::<String>, 0);
    let mut from = 0;
    while let Some((range, found)) = find(text, from) {
        from = range.end;
        let new = match found {
            Found::Token(token) => value(&token),
            Found::Derived(derived) if depth > 0 => {
                work_out(&derived, &|argument| substitute_within(argument, value, depth - 1))
            }
            Found::Derived(_) => None,
        };
        if let Some(new) = new {
            let out = out.get_or_insert_with(|| String::with_capacity(text.len()));
            out.push_str(&text[done..range.start]);
            out.push_str(&new);
            done = range.end;
        }
    }
    out.map(|out| out + &text[done..])
}

/// What is derived, if all tokens in its arguments are known.
fn work_out(derived: &Derivation, substituted: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let known = derived.clone().map(|argument| match is_in(argument) {
        true => substituted(argument).filter(|argument| !is_in(argument)),
        false => Some(argument.to_owned()),
    });
    known.map(|known| known.apply())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn token(n: u8) -> Token {
        Token::random(&[n; 32])
    }

    fn values(asked: &Token) -> Option<String> {
        match asked {
            one if *one == token(1) => Some("first value".to_owned()),
            two if *two == token(2) => Some("Ü/?".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn tokens_are_replaced_wherever_they_stand_and_unknown_ones_stay() {
        let (one, two, other) = (token(1), token(2), token(3));
        for (text, expected) in [
            (format!("{one}"), Some("first value".to_owned())),
            (format!("a{one}{two}z"), Some("afirst valueÜ/?z".to_owned())),
            (format!("{one}abc tl tlsec_ tlder_"), Some("first valueabc tl tlsec_ tlder_".into())),
            (format!("{other}"), None),
            (format!("{other} {one}"), Some(format!("{other} first value"))),
            ("nothing".to_owned(), None),
        ] {
            assert_eq!(substitute(&text, &values), expected, "{text}");
        }
    }

    #[test]
    fn what_is_derived_is_worked_out_only_if_every_token_in_it_is_known() {
        let (one, two, other) = (token(1), token(2), token(3));
        let basic = Derivation::Base64(format!("u:{one}")).text();
        let nested = Derivation::UrlEncode(format!("{basic}&{two}")).text();
        let unknown = Derivation::Base64(format!("{one}{other}")).text();
        assert_eq!(substitute(&basic, &values).as_deref(), Some("dTpmaXJzdCB2YWx1ZQ=="));
        let expected = "<dTpmaXJzdCB2YWx1ZQ%3D%3D%26%C3%9C%2F%3F>";
        assert_eq!(substitute(&format!("<{nested}>"), &values).as_deref(), Some(expected));
        assert_eq!(substitute(&unknown, &values), None);
    }

    #[test]
    fn what_is_derived_in_a_value_is_told_with_what_it_stands_for() {
        let basic = Derivation::Base64(format!("u:{}", token(1))).text();
        let nested = Derivation::UrlEncode(basic.clone()).text();
        let unknown = Derivation::Base64(token(3).to_string()).text();
        let value = json!({ "a": [format!("Basic {nested}"), unknown], "b": token(1).as_str() });
        let expected = [
            (basic, "dTpmaXJzdCB2YWx1ZQ==".to_owned()),
            (nested, "dTpmaXJzdCB2YWx1ZQ%3D%3D".to_owned()),
        ];
        assert_eq!(worked_out(&value, &values), BTreeMap::from(expected));
    }

    #[test]
    fn every_token_of_a_value_is_found() {
        let (one, two, three) = (token(1), token(2), token(3));
        let derived = Derivation::Base64(format!("u:{two}")).text();
        let value = json!({ "a": [format!("x{one}"), { "b": derived }], three.as_str(): 1 });
        assert_eq!(within(&value), BTreeSet::from([one, two, three]));
        assert!(is_within(&value));
        assert!(!is_within(&json!({ "a": ["tlsec_short", 1, null] })));
    }
}
