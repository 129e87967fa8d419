//! What is sent: the step's parameters, read once and checked beyond their schema.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use model::{Duration, IdempotencyKey, TraceContext, Value};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::access::Access;
use super::download::Wanted;
use super::is_asking;

/// Headers about how the request is carried: letting them through would let two requests pass for one, or
/// have a proxy on the way drop others.
const CARRIED: [&str; 10] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Headers by which servers and proxies take a request for one to another host or path than its URL says,
/// which is what permissions and a connection's address hold it to.
const REDIRECTING: [&str; 10] = [
    "forwarded",
    "host",
    "x-forwarded-host",
    "x-forwarded-prefix",
    "x-forwarded-server",
    "x-forwarded-uri",
    "x-host",
    "x-http-host-override",
    "x-original-url",
    "x-rewrite-url",
];
/// Headers by which servers take a request for one of another method: a step that only asks has no effect.
const OVERRIDING: [&str; 3] = ["x-http-method", "x-http-method-override", "x-method-override"];
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// A request, ready to be sent.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Vec<u8>>,
    pub(super) expect: Vec<RangeInclusive<u16>>,
    pub(super) timeout: Duration,
    pub(super) follow_redirects: bool,
    /// The file that the answer's body goes to.
    pub(super) download: Option<Wanted>,
}

#[derive(Deserialize)]
struct Parameters {
    url: String,
    method: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, Value>,
    #[serde(default)]
    query: BTreeMap<String, Value>,
    json: Option<Value>,
    form: Option<BTreeMap<String, Value>>,
    body: Option<String>,
    expect: Option<Vec<Value>>,
    timeout: Option<Duration>,
    follow_redirects: Option<bool>,
    idempotency_header: Option<String>,
}

impl Request {
    /// The request that these parameters describe, else what is wrong with them.
    pub(super) fn parse(
        parameters: &Value,
        key: &IdempotencyKey,
        access: &Access,
    ) -> Result<Self, String> {
        let given = Parameters::deserialize(parameters).map_err(|error| error.to_string())?;
        let method = given.method.as_deref().unwrap_or("GET");
        let (content_type, body) = body(given.json, given.form, given.body)?;
        let mut headers = headers(&given.headers)?;
        if let Some(content_type) = content_type {
            headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(content_type));
        }
        if let Some(name) = given.idempotency_header {
            headers.insert(header_name(&name)?, header_value(&name, key.as_str())?);
        }
        if let Some(name) = OVERRIDING.iter().find(|name| headers.contains_key(**name))
            && is_asking(method)
        {
            return Err(format!(
                "the header `{name}` would make another request of the {method}: say the method in `method`"
            ));
        }
        access.sign(&mut headers)?;
        let expect = given.expect.as_deref().map_or_else(|| Ok(vec![200..=299]), ranges)?;
        Ok(Self {
            method: method.parse().map_err(|_| format!("`{method}` is not a method"))?,
            url: url(access.url(&given.url)?, &given.query)?,
            headers,
            body,
            expect,
            timeout: given.timeout.unwrap_or(DEFAULT_TIMEOUT),
            follow_redirects: given.follow_redirects.unwrap_or(true),
            download: None,
        })
    }

    /// The same from this place in a trace, unless its parameters name another.
    pub(super) fn within(mut self, trace: Option<TraceContext>) -> Self {
        let Some(TraceContext { parent, state }) = trace else { return self };
        if self.headers.contains_key("traceparent") {
            return self;
        }
        // Visible ASCII characters fit any header.
        let place = HeaderValue::try_from(parent.to_string()).ok();
        let state = state.and_then(|state| HeaderValue::try_from(state.to_string()).ok());
        self.headers.extend(place.map(|place| (HeaderName::from_static("traceparent"), place)));
        if let Some(state) = state {
            self.headers.entry("tracestate").or_insert(state);
        }
        self
    }

    /// The same with its answer's body in a file.
    pub(super) fn into_file(self, download: Option<Wanted>) -> Self {
        Self { download, ..self }
    }

    /// Whether an answer with this status is a success.
    pub(super) fn expects(&self, status: u16) -> bool {
        self.expect.iter().any(|range| range.contains(&status))
    }

    /// Whether it changes nothing.
    pub(super) fn is_read(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD)
    }
}

type Body = (Option<&'static str>, Option<Vec<u8>>);

fn body(
    json: Option<Value>,
    form: Option<BTreeMap<String, Value>>,
    text: Option<String>,
) -> Result<Body, String> {
    match (json, form, text) {
        (None, None, None) => Ok((None, None)),
        (Some(json), None, None) => {
            Ok((Some("application/json"), Some(json.to_string().into_bytes())))
        }
        (None, Some(form), None) => {
            Ok((Some("application/x-www-form-urlencoded"), Some(encode(&form)?.into_bytes())))
        }
        (None, None, Some(text)) => {
            Ok((Some("text/plain; charset=utf-8"), Some(text.into_bytes())))
        }
        _ => Err("a request has one body: give one of `json`, `form` and `body`".to_owned()),
    }
}

/// Pairs as a form or a query has them.
fn encode(pairs: &BTreeMap<String, Value>) -> Result<String, String> {
    let mut url = Url::parse("form:").map_err(|error| error.to_string())?;
    append(&mut url, pairs)?;
    Ok(url.query().unwrap_or_default().to_owned())
}

fn append(url: &mut Url, pairs: &BTreeMap<String, Value>) -> Result<(), String> {
    if pairs.is_empty() {
        return Ok(());
    }
    let mut query = url.query_pairs_mut();
    for (name, value) in pairs {
        let values = match value {
            Value::Array(values) => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        for value in values {
            query.append_pair(name, &text(name, value)?);
        }
    }
    Ok(())
}

fn url(mut url: Url, query: &BTreeMap<String, Value>) -> Result<Url, String> {
    append(&mut url, query)?;
    Ok(url)
}

fn headers(given: &BTreeMap<String, Value>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        headers.insert(header_name(name)?, header_value(name, &text(name, value)?)?);
    }
    Ok(headers)
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    let parsed: HeaderName =
        name.parse().map_err(|_| format!("`{name}` is not a header's name"))?;
    match parsed.as_str() {
        own if CARRIED.contains(&own) => {
            Err(format!("the header `{name}` is about how the request is carried: leave it out"))
        }
        own if REDIRECTING.contains(&own) => Err(format!(
            "the header `{name}` would name another host or path than the URL: leave it out, and say where the request goes in `url`"
        )),
        _ => Ok(parsed),
    }
}

/// The value itself stays out of the message: headers hold credentials.
fn header_value(name: &str, text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text).map_err(|_| {
        format!("the value of the header `{name}` holds line breaks or control characters")
    })
}

fn text(name: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        other => {
            let found = model::value::kind_of(other);
            Err(format!("`{name}` must be a string, a number or a boolean, found {found}"))
        }
    }
}

fn ranges(expect: &[Value]) -> Result<Vec<RangeInclusive<u16>>, String> {
    let range = |value: &Value| {
        let text = text("expect", value)?;
        range(&text).ok_or_else(|| {
            format!(
                "`expect`: `{text}` is not a status: expected such as `204`, `2xx` or `200-299`"
            )
        })
    };
    expect.iter().map(range).collect()
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let status = |text: &str| text.parse().ok().filter(|status| (100..=599).contains(status));
    if let Some(class) = text.strip_suffix("xx") {
        let class: u16 = class.parse().ok().filter(|class| (1..=5).contains(class))?;
        return Some(class * 100..=class * 100 + 99);
    }
    match text.split_once('-') {
        Some((from, to)) => Some(status(from)?..=status(to)?).filter(|range| !range.is_empty()),
        None => status(text).map(|status| status..=status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ExecutionId, StepPath};
    use serde_json::json;

    fn parse(parameters: Value) -> Result<Request, String> {
        let key = IdempotencyKey::new(&ExecutionId::random(&[7; 32]), &StepPath::top(1));
        Request::parse(&parameters, &key, &Access::default())
    }

    #[test]
    fn statuses_are_written_as_numbers_classes_and_ranges() {
        for (text, expected) in [
            ("204", Some(204..=204)),
            ("2xx", Some(200..=299)),
            ("200-404", Some(200..=404)),
            ("9xx", None),
            ("404-200", None),
            ("20", None),
            ("ok", None),
            ("", None),
        ] {
            assert_eq!(range(text), expected, "{text}");
        }
    }

    #[test]
    fn a_query_is_added_to_the_urls_own() {
        let query = json!({ "b": "x y", "c": [1, true] });
        let request = parse(json!({ "url": "http://h/p?a=1", "query": query })).unwrap();
        assert_eq!(request.url.as_str(), "http://h/p?a=1&b=x+y&c=1&c=true");
    }

    #[test]
    fn a_body_brings_its_content_type_unless_one_is_given() {
        let content_type = |parameters: Value| {
            let request = parse(parameters).unwrap();
            let header = request.headers.get(CONTENT_TYPE).map(|v| v.to_str().unwrap().to_owned());
            (header, String::from_utf8(request.body.unwrap_or_default()).unwrap())
        };
        let url = "http://h/";
        for (parameters, expected) in [
            (json!({ "url": url, "json": { "a": 1 } }), ("application/json", "{\"a\":1}")),
            (
                json!({ "url": url, "form": { "a": "x&y", "b": 2 } }),
                ("application/x-www-form-urlencoded", "a=x%26y&b=2"),
            ),
            (json!({ "url": url, "body": "t" }), ("text/plain; charset=utf-8", "t")),
            (
                json!({ "url": url, "body": "<a/>", "headers": { "Content-Type": "text/xml" } }),
                ("text/xml", "<a/>"),
            ),
        ] {
            assert_eq!(
                content_type(parameters),
                (Some(expected.0.to_owned()), expected.1.to_owned())
            );
        }
    }

    #[test]
    fn no_header_says_how_the_request_is_carried_or_names_another_host_or_path() {
        for name in CARRIED.iter().chain(&REDIRECTING) {
            for name in [(*name).to_owned(), name.to_uppercase()] {
                for parameters in
                    [json!({ "headers": { &name: "x" } }), json!({ "idempotency_header": name })]
                {
                    let mut parameters = parameters;
                    parameters["url"] = "http://h/".into();
                    let error = parse(parameters).unwrap_err();
                    assert!(error.contains(&name) && error.contains("leave it out"), "{error}");
                }
            }
        }
        for name in [":authority", "host ", " host", "host\r\nx"] {
            let error = parse(json!({ "url": "http://h/", "headers": { name: "x" } })).unwrap_err();
            assert!(error.contains("not a header's name"), "{error}");
        }
        let told = json!({ "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1" });
        assert!(parse(json!({ "url": "http://h/", "headers": told })).is_ok());
    }

    #[test]
    fn what_only_asks_is_not_made_to_change_something_by_a_header() {
        for name in OVERRIDING {
            for method in ["GET", "HEAD"] {
                let headers = json!({ name.to_uppercase(): "DELETE" });
                let asked = json!({ "url": "http://h/", "method": method, "headers": headers });
                let error = parse(asked).unwrap_err();
                assert!(error.contains(name) && error.contains(method), "{error}");
            }
            let told =
                json!({ "url": "http://h/", "method": "POST", "headers": { name: "PATCH" } });
            assert!(parse(told).is_ok(), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_sent_is_refused_with_a_reason() {
        for (parameters, reason) in [
            (json!({ "url": "ftp://h/" }), "expected http or https"),
            (json!({ "url": "nonsense" }), "`url`"),
            (json!({ "url": "http://h/", "json": 1, "body": "x" }), "one body"),
            (json!({ "url": "http://h/", "headers": { "a b": "c" } }), "not a header's name"),
            (json!({ "url": "http://h/", "headers": { "a": "c\r\nd: e" } }), "line breaks"),
            (json!({ "url": "http://h/", "headers": { "Content-Length": 3 } }), "leave it out"),
            (json!({ "url": "http://h/", "query": { "a": { "b": 1 } } }), "found a map"),
            (json!({ "url": "http://h/", "expect": ["ok"] }), "`ok` is not a status"),
            (json!({ "url": "http://h/", "timeout": "soon" }), "not a duration"),
        ] {
            let error = parse(parameters.clone()).unwrap_err();
            assert!(error.contains(reason), "{parameters}: {error}");
        }
    }
}
