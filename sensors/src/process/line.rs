//! One line that a sensor's program prints: an event or a cursor.

use host::redact::Redactor;
use model::json::{LargeNumber, Unread};
use model::{Timestamp, Value};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// An event's id is a key in the store.
const MAX_ID: usize = 256;
const MAX_SUBJECT: usize = 1024;
/// A cursor is stored as one fact, which holds 512 KiB.
const MAX_CURSOR: usize = 256 * 1024;
/// How much of a line that is wrong is shown.
const SHOWN: usize = 80;

/// What a line says.
#[derive(Debug, PartialEq)]
pub(super) enum Line {
    /// Nothing.
    Blank,
    /// Something happened.
    Event(Told),
    /// All events before it are done with.
    Cursor(Value),
}

/// An event as the program tells it.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Told {
    /// `ready`, or `pack.ready`.
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) data: Value,
    pub(super) id: Option<String>,
    pub(super) subject: Option<String>,
    #[serde(default, deserialize_with = "time")]
    pub(super) time: Option<Timestamp>,
    /// CloudEvents' extension for distributed tracing.
    pub(super) traceparent: Option<String>,
    pub(super) tracestate: Option<String>,
}

fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
    let wrong = || {
        let message = format!("`time: {text}` is no point in time such as 2026-01-01T00:00:00Z");
        D::Error::custom(message)
    };
    text.parse().map(Some).map_err(|_| wrong())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Standing {
    cursor: Value,
}

impl Line {
    /// Reads a line without its end; an error says what is wrong, for "line 3 …". Neither holds a
    /// value that `redactor` knows.
    pub(super) fn read(line: &[u8], redactor: &Redactor) -> Result<Self, String> {
        let text = std::str::from_utf8(line).map_err(|_| "is not UTF-8".to_owned())?.trim();
        if text.is_empty() {
            return Ok(Self::Blank);
        }
        let shown = || redactor.text(text).chars().take(SHOWN).collect::<String>();
        let value: Value = model::json::read(text.as_bytes()).map_err(|error| match error {
            Unread::Json(error) => {
                format!("is not JSON ({}): `{}`", without_place(&error), shown())
            }
            Unread::Number(number) => format!("does not fit: {}", on_this_line(&number)),
        })?;
        let value = redactor.value(value);
        let Some(object) = value.as_object() else {
            return Err(format!("is no JSON object: `{}`", shown()));
        };
        if object.contains_key("type") {
            Self::event(value)
        } else if object.contains_key("cursor") {
            let Standing { cursor } = decode(value)?;
            match cursor.to_string().len() {
                size if size > MAX_CURSOR => {
                    Err(format!("holds a cursor of {size} bytes, more than {MAX_CURSOR}"))
                }
                _ => Ok(Self::Cursor(cursor)),
            }
        } else {
            Err(format!("has neither `type` and `data` nor `cursor`: `{}`", shown()))
        }
    }

    fn event(value: Value) -> Result<Self, String> {
        let told: Told = decode(value)?;
        let wrong = |name: &str, text: &Option<String>, max| match text.as_deref() {
            Some("") => Some(format!("has an empty `{name}`")),
            Some(text) if text.len() > max => {
                Some(format!("has more than {max} bytes in `{name}`"))
            }
            _ => None,
        };
        let wrong = wrong("id", &told.id, MAX_ID).or(wrong("subject", &told.subject, MAX_SUBJECT));
        match wrong {
            Some(wrong) => Err(wrong),
            None => Ok(Self::Event(told)),
        }
    }
}

fn decode<T: for<'de> Deserialize<'de>>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| format!("does not fit: {error}"))
}

/// Its line is the one that is told of.
fn on_this_line(number: &LargeNumber) -> String {
    number.to_string().replacen("at line 1, column", "at column", 1)
}

/// A parser's message; its line is always 1 here.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}
