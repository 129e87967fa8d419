//! The request as it would be sent, without what gets it in.

use model::{Change, Map, Plan, StepError, Value};
use reqwest::header::HeaderMap;
use serde_json::json;

use super::access::Access;
use super::request::Request;

/// What stands in the place of the header that a connection's credentials make.
const CREDENTIALS: &str = "(credentials of the connection)";

/// What is asked for; its host is checked, and nothing is sent.
pub(super) fn plan(access: &Access, request: &Request) -> Result<Plan, StepError> {
    access.reach(&request.url)?;
    let what = format!("{} {}", request.method, shown(request));
    let mut after = json!({ "headers": headers(&request.headers) });
    if let Some(body) = &request.body {
        let text = String::from_utf8_lossy(body);
        after["body"] = serde_json::from_str(&text).unwrap_or_else(|_| Value::from(text));
    }
    let sends = format!("sends {what}");
    Ok(match &request.download {
        None => Plan::new(sends).with(Change::to(what, after)),
        Some(wanted) => Plan::new(format!("{sends} and writes the answer to {}", wanted.path()))
            .with(Change::to(what, after))
            .with(wanted.change()),
    })
}

/// The URL without a password in it.
fn shown(request: &Request) -> String {
    let mut url = request.url.clone();
    if url.password().is_some() {
        // Fails only for URLs that cannot have one.
        let _ = url.set_password(Some("…"));
    }
    url.into()
}

fn headers(headers: &HeaderMap) -> Map {
    let text = |value: &reqwest::header::HeaderValue| match value.is_sensitive() {
        true => CREDENTIALS.to_owned(),
        false => String::from_utf8_lossy(value.as_bytes()).into_owned(),
    };
    headers.iter().map(|(name, value)| (name.to_string(), text(value).into())).collect()
}
