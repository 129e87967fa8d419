//! What an answer says about the request's effect.
//!
//! | answer | outcome | kind |
//! |---|---|---|
//! | an expected status | done | |
//! | 401, 407 | failed | `unauthenticated` |
//! | 403 | failed | `denied` |
//! | 404, 410 | failed | `not_found` |
//! | 408 | failed | `timeout` |
//! | 409, 412 | failed | `conflict` |
//! | 413 | failed | `too_large` |
//! | 429 | failed | `rate_limited` |
//! | other 4xx, 501, 505 | failed | `rejected` |
//! | 503 | failed | `unavailable` |
//! | other 5xx: the server, or a gateway before it, broke while it worked | unknown | `unavailable` |
//! | 1xx, 2xx, 3xx that was not expected: something was done | unknown | `rejected` |
//! | none: not connected | failed | `unavailable` |
//! | none, or cut short: connected, then lost | unknown | `unavailable` |
//! | too large, after an expected status | unknown | `too_large` |
//! | another digest than expected, after an expected status | unknown | `rejected` |
//! | a file that cannot be written, after an expected status | unknown | `unavailable` |
//!
//! What is unknown here has failed where the method is a read.

use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use host::redact::known;
use model::{ErrorKind, Map, Performance, StepError, Value};
use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};
use serde_json::json;

use super::exchange::{Answer, Body, Trouble};
use super::secrets::Secrets;

/// How much of a refusing answer's body an error shows.
const SHOWN: usize = 2_000;

pub(super) fn of_trouble(trouble: Trouble) -> Performance {
    match trouble {
        Trouble::Refused(error) => Performance::Failed(error),
        Trouble::NotSent(told) => Performance::Failed(StepError::new(
            ErrorKind::Unavailable,
            format!("no connection to the server: {told}"),
        )),
        Trouble::Lost(told) => Performance::Unknown(StepError::new(
            ErrorKind::Unavailable,
            format!("the connection was lost before the whole answer came: {told}"),
        )),
        Trouble::TooLarge(limit) => Performance::Unknown(StepError::new(
            ErrorKind::TooLarge,
            format!("the answer's body has more than {limit}"),
        )),
        Trouble::Unwritten(told) => Performance::Unknown(StepError::new(
            ErrorKind::Unavailable,
            format!("the server answered, and {told}"),
        )),
        Trouble::Digest { expected, found } => Performance::Unknown(
            StepError::new(
                ErrorKind::Rejected,
                format!("the answer's body has the SHA-256 {found}: expected {expected}"),
            )
            .with_details(json!({ "expected": expected, "found": found })),
        ),
        Trouble::Redirects => Performance::Failed(StepError::new(
            ErrorKind::Rejected,
            "the server redirected more than 5 times",
        )),
    }
}

pub(super) fn of_answer(
    mut answer: Answer,
    expect: &[RangeInclusive<u16>],
    secrets: &Secrets,
) -> Performance {
    let status = answer.status.as_u16();
    if !expect.iter().any(|range| range.contains(&status)) {
        secrets.veil(&mut answer);
        return unexpected(&answer);
    }
    match answer.body {
        Ok(Body::Bytes(body)) => {
            let result = result(status, &answer.headers, answer.url, body, answer.bodiless);
            Performance::Done(secrets.told_once(result))
        }
        Ok(Body::File(saved)) => {
            let mut result = result(status, &answer.headers, answer.url, Vec::new(), true);
            saved.describe(&mut result);
            Performance::Done(result)
        }
        Err(trouble) => of_trouble(trouble),
    }
}

fn unexpected(answer: &Answer) -> Performance {
    let (failed, kind) = verdict(answer.status.as_u16());
    let error = StepError::new(kind, message(answer)).with_details(details(answer));
    if failed { Performance::Failed(error) } else { Performance::Unknown(error) }
}

/// Whether it certainly had no effect, and the kind of failure: see the table above.
fn verdict(status: u16) -> (bool, ErrorKind) {
    match status {
        401 | 407 => (true, ErrorKind::Unauthenticated),
        403 => (true, ErrorKind::Denied),
        404 | 410 => (true, ErrorKind::NotFound),
        408 => (true, ErrorKind::Timeout),
        409 | 412 => (true, ErrorKind::Conflict),
        413 => (true, ErrorKind::TooLarge),
        429 => (true, ErrorKind::RateLimited),
        400..=499 | 501 | 505 => (true, ErrorKind::Rejected),
        503 => (true, ErrorKind::Unavailable),
        500..=599 => (false, ErrorKind::Unavailable),
        _ => (false, ErrorKind::Rejected),
    }
}

fn message(answer: &Answer) -> String {
    let status = answer.status;
    match answer.headers.get(LOCATION).and_then(|location| location.to_str().ok()) {
        Some(location) if status.is_redirection() => {
            format!("the server answered {status} to {location}, which was not followed")
        }
        _ => format!("the server answered {status}"),
    }
}

fn details(answer: &Answer) -> Value {
    let mut details = Map::new();
    details.insert("status".to_owned(), answer.status.as_u16().into());
    details.insert("url".to_owned(), answer.url.as_str().into());
    if let Ok(Body::Bytes(body)) = &answer.body {
        let text = known().beginning(&String::from_utf8_lossy(body), SHOWN);
        details.insert("body".to_owned(), text.into());
    }
    if let Some(after) = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()) {
        // Seconds, or an HTTP date.
        let seconds = after.trim().parse::<u64>().map(Value::from);
        details.insert("retry_after".to_owned(), seconds.unwrap_or_else(|_| after.into()));
    }
    Value::Object(details)
}

fn result(status: u16, headers: &HeaderMap, url: String, body: Vec<u8>, bodiless: bool) -> Value {
    let mut result =
        json!({ "status": status, "headers": named(headers), "json": null, "url": url });
    match is_json(headers).then(|| model::json::read::<Value>(&body)) {
        Some(Ok(value)) => result["json"] = value,
        Some(Err(why)) if !bodiless => result["json_error"] = why.to_string().into(),
        _ => {}
    }
    match String::from_utf8(body) {
        Ok(_) if bodiless => result["body"] = Value::Null,
        Ok(text) => result["body"] = text.into(),
        Err(bytes) => {
            result["body"] = Value::Null;
            result["body_base64"] = STANDARD.encode(bytes.as_bytes()).into();
        }
    }
    result
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|text| text.split(';').next()).unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

/// Headers by name (reqwest's are lower case); one that came several times is joined by commas.
fn named(headers: &HeaderMap) -> Map {
    let joined = |name| {
        let values = headers.get_all(name).iter();
        values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect::<Vec<_>>().join(", ")
    };
    headers.keys().map(|name| (name.to_string(), Value::from(joined(name)))).collect()
}
