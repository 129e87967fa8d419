//! Webhooks: whether a request is an event, decided by its signature over the raw bytes.
//!
//! The algorithm is HMAC-SHA256, fixed by configuration and never by the request. A webhook is not
//! a task: the server calls [`Webhook::receive`] and answers when the event is durable.

mod config;
mod template;
#[cfg(test)]
mod tests;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use model::event::MAX_ID;
use model::json::{LargeNumber, Unread};
use model::{Envelope, Event, Hash, Map, Schema, Timestamp, TraceContext, TriggerType, Value};
use sha2::Sha256;

pub use config::WebhookConfig;

use config::{Encoding, Id};

use crate::secret::{self, SecretRef};
use crate::{BuildContext, BuildError};

/// A header may list several signatures; no honest sender lists more.
const MAX_SIGNATURES: usize = 10;
const MIN_KEY: usize = 8;

/// Headers that hold credentials and are nobody's business further on.
const HIDDEN_HEADERS: [&str; 4] =
    ["authorization", "proxy-authorization", "cookie", "x-gitlab-token"];

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method, in upper case.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query's names and values, decoded, in order.
    pub query: Vec<(String, String)>,
    /// The headers' names and values, in order.
    pub headers: Vec<(String, String)>,
    /// The raw body.
    pub body: Bytes,
    /// When it came.
    pub received_at: Timestamp,
}

/// Why a request is no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The body is larger than `body_limit`.
    #[error("the body has {found} bytes, more than {limit}")]
    TooLarge {
        /// Its length.
        found: usize,
        /// The bound.
        limit: usize,
    },
    /// Not sent as JSON.
    #[error(
        "the content type is `{0}`: expected application/json; choose JSON in the sender's settings"
    )]
    NotJson(String),
    /// Not said to be JSON, nor anything else.
    #[error(
        "no `Content-Type` was sent: expected application/json; choose JSON in the sender's settings"
    )]
    Untyped,
    /// A header that must be there is not, or is empty.
    #[error("the header `{0}` is missing or empty")]
    Missing(String),
    /// No signature fits.
    #[error("the signature in `{0}` does not fit the body and any of the secrets")]
    BadSignature(String),
    /// The time of sending is not one, or too far off.
    #[error("the time in `{header}` is not within {tolerance} of now")]
    Stale {
        /// The header with the time.
        header: String,
        /// How far off it may be.
        tolerance: model::Duration,
    },
    /// The body was signed and is not JSON.
    #[error("the body is not JSON: {0}")]
    Malformed(String),
    /// The body was signed and says something twice.
    #[error("{0}: readers differ in which of the two counts; send it once")]
    Ambiguous(String),
    /// The body holds a number that no rule could be given.
    #[error("{0}")]
    Number(LargeNumber),
    /// The delivery's id is too long.
    #[error("the id in `{0}` has more than {MAX_ID} bytes")]
    LongId(String),
    /// The system has no random bytes for an id.
    #[error("no id could be made for the request; send it again later")]
    NoRandom,
}

impl Refusal {
    /// The HTTP status to answer with.
    pub const fn status(&self) -> u16 {
        match self {
            Self::TooLarge { .. } => 413,
            Self::NotJson(_) | Self::Untyped => 415,
            Self::Missing(_) | Self::BadSignature(_) | Self::Stale { .. } => 401,
            Self::Malformed(_) | Self::Ambiguous(_) | Self::Number(_) | Self::LongId(_) => 400,
            Self::NoRandom => 503,
        }
    }

    /// A name for counting.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too_large",
            Self::NotJson(_) | Self::Untyped => "not_json",
            Self::Missing(_) => "missing_signature",
            Self::BadSignature(_) => "bad_signature",
            Self::Stale { .. } => "stale",
            Self::Malformed(_) | Self::Ambiguous(_) | Self::Number(_) => "malformed",
            Self::LongId(_) => "long_id",
            Self::NoRandom => "unavailable",
        }
    }
}

/// Decides whether requests are events.
pub struct Webhook {
    config: WebhookConfig,
    source: String,
    kind: TriggerType,
    keys: Vec<Hmac<Sha256>>,
    random: fn() -> Option<[u8; 16]>,
}

/// Without the keys.
impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Webhook {
    /// A webhook with the secrets that `config` refers to.
    pub fn new(config: WebhookConfig, context: &BuildContext) -> Result<Self, Vec<BuildError>> {
        let (mut keys, mut errors) = (Vec::new(), Vec::new());
        for (i, reference) in config.secrets.iter().enumerate() {
            match key(&format!("secrets.{i}"), reference, context) {
                Ok(key) => keys.push(key),
                Err(error) => errors.push(error),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let kind = "webhook.received".parse();
        let kind = kind.map_err(|error| vec![BuildError::at("", format!("{error}"))])?;
        Ok(Self { config, source: context.source.clone(), kind, keys, random: context.random })
    }

    /// The largest body it takes, in bytes: who reads the request need not read more.
    pub const fn body_limit(&self) -> usize {
        self.config.body_limit
    }

    /// The sensor of its pack that is to look at once when a request came.
    pub fn pokes(&self) -> Option<&str> {
        self.config.pokes.as_deref()
    }

    /// What of its events' data is secret.
    pub const fn secret_fields(&self) -> &Schema {
        &self.config.secret_fields
    }

    /// The event that `request` is, or why it is none.
    pub fn receive(&self, request: &Request) -> Result<Event, Refusal> {
        let limit = self.config.body_limit;
        if request.body.len() > limit {
            return Err(Refusal::TooLarge { found: request.body.len(), limit });
        }
        let headers = join_headers(&request.headers);
        match header(&headers, "content-type").unwrap_or_default() {
            "" => return Err(Refusal::Untyped),
            kind if is_json(kind) => {}
            other => return Err(Refusal::NotJson(other.chars().take(80).collect())),
        }
        let id = self.verify(request, &headers)?;
        let body = body(&request.body)?;
        // One that is none is the sender's trouble, not this event's.
        let [place, state] = ["traceparent", "tracestate"].map(|name| header(&headers, name));
        let (traceparent, tracestate) = TraceContext::split(TraceContext::read(place, state));
        let envelope = Envelope {
            id: id.map_or_else(|| self.random_id(), Ok)?,
            source: self.source.clone(),
            kind: self.kind.clone(),
            time: request.received_at,
            subject: None,
            cause: None,
            traceparent,
            tracestate,
        };
        Ok(Event { envelope, data: self.payload(request, headers, body) })
    }

    /// Checks signature and time; returns the delivery's id where there is one.
    fn verify(&self, request: &Request, headers: &Map) -> Result<Option<String>, Refusal> {
        let config = &self.config;
        let required = |name: &str| {
            header(headers, name)
                .filter(|text| !text.is_empty())
                .ok_or_else(|| Refusal::Missing(name.to_owned()))
        };
        let signatures = required(&config.signature)?;
        let timestamp = match &config.timestamp {
            Some((name, _)) => required(name)?,
            None => "",
        };
        let id = match &config.id {
            Id::Header(name) if config.signed.signs_id() => Some(required(name)?),
            Id::Header(name) => header(headers, name).filter(|id| !id.is_empty()),
            Id::Random | Id::Content => None,
        };
        if !self.is_signed(signatures, &request.body, timestamp, id.unwrap_or_default()) {
            return Err(Refusal::BadSignature(config.signature.clone()));
        }
        self.check_time(timestamp, request.received_at)?;
        match (id, &config.id) {
            (Some(id), Id::Header(name)) if id.len() > MAX_ID => Err(Refusal::LongId(name.clone())),
            (_, Id::Content) => Ok(Some(self.content_id(&request.body, timestamp))),
            (id, _) => Ok(id.map(ToOwned::to_owned)),
        }
    }

    /// An id for what was signed. Not the signature: that depends on the key, and is nobody's
    /// business further on.
    fn content_id(&self, body: &[u8], timestamp: &str) -> String {
        let pieces = self.config.signed.pieces(body, timestamp, "");
        Hash::of_parts(pieces.map(|piece| ("signed", piece))).to_string()
    }

    /// Whether any listed signature is that of any key. Each comparison takes constant time.
    fn is_signed(&self, signatures: &str, body: &[u8], timestamp: &str, id: &str) -> bool {
        let listed = signatures.split(' ').take(MAX_SIGNATURES);
        let candidates: Vec<Vec<u8>> = listed.filter_map(|text| self.decode(text)).collect();
        self.keys.iter().any(|key| {
            let mut mac = key.clone();
            for piece in self.config.signed.pieces(body, timestamp, id) {
                mac.update(piece);
            }
            candidates.iter().any(|candidate| mac.clone().verify_slice(candidate).is_ok())
        })
    }

    fn decode(&self, text: &str) -> Option<Vec<u8>> {
        let text = text.strip_prefix(&self.config.prefix)?;
        match self.config.encoding {
            Encoding::Hex => decode_hex(text),
            Encoding::Base64 => STANDARD.decode(text).ok(),
        }
    }

    fn check_time(&self, timestamp: &str, now: Timestamp) -> Result<(), Refusal> {
        let Some((header, tolerance)) = &self.config.timestamp else { return Ok(()) };
        let sent = timestamp.parse().ok().and_then(|time| Timestamp::from_second(time).ok());
        let off = sent.map(|sent| now.as_millisecond().abs_diff(sent.as_millisecond()));
        match off {
            // The sender's time is in whole seconds, cut.
            Some(off) if off <= tolerance.as_millis().saturating_add(999) => Ok(()),
            _ => Err(Refusal::Stale { header: header.clone(), tolerance: *tolerance }),
        }
    }

    fn payload(&self, request: &Request, mut headers: Map, body: Value) -> Value {
        headers.remove(&self.config.signature);
        for name in HIDDEN_HEADERS {
            headers.remove(name);
        }
        let mut query = Map::new();
        for (name, value) in &request.query {
            match query.get_mut(name) {
                Some(Value::Array(list)) => list.push(value.as_str().into()),
                Some(one) => *one = Value::Array(vec![one.take(), value.as_str().into()]),
                None => drop(query.insert(name.clone(), value.as_str().into())),
            }
        }
        serde_json::json!({
            "method": request.method,
            "path": request.path,
            "query": query,
            "headers": headers,
            "body": body,
        })
    }

    fn random_id(&self) -> Result<String, Refusal> {
        let bytes = (self.random)().ok_or(Refusal::NoRandom)?;
        Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
    }
}

/// What a signed body says, once.
fn body(text: &[u8]) -> Result<Value, Refusal> {
    let body = model::json::read(text).map_err(|error| match error {
        Unread::Json(error) => Refusal::Malformed(error.to_string()),
        Unread::Number(number) => Refusal::Number(number),
    })?;
    model::json::check_keys(text).map_err(|twice| Refusal::Ambiguous(twice.to_string()))?;
    Ok(body)
}

/// The key that a secret stands for: `whsec_…` holds it in base64, anything else is it.
fn key(
    path: &str,
    reference: &SecretRef,
    context: &BuildContext,
) -> Result<Hmac<Sha256>, BuildError> {
    let secret = secret::resolve(reference, path, context)?;
    let bytes = match secret.expose().strip_prefix("whsec_") {
        Some(text) => STANDARD.decode(text).map_err(|_| {
            BuildError::at(path, format!("the secret in {reference} is not `whsec_` and base64"))
        })?,
        None => secret.expose().as_bytes().to_vec(),
    };
    if bytes.len() < MIN_KEY {
        let message = format!("the key in {reference} has fewer than {MIN_KEY} bytes");
        return Err(BuildError::at(path, message));
    }
    Hmac::new_from_slice(&bytes).map_err(|error| BuildError::at(path, error.to_string()))
}

/// Names in lower case; values of a repeated header joined as HTTP says.
fn join_headers(headers: &[(String, String)]) -> Map {
    let mut joined = Map::new();
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        let value = match joined.get(&name).and_then(Value::as_str) {
            Some(first) => format!("{first}, {value}"),
            None => value.clone(),
        };
        joined.insert(name, value.into());
    }
    joined
}

fn header<'a>(headers: &'a Map, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(Value::as_str).map(str::trim)
}

/// `application/json` or `application/…+json`, whatever follows after a semicolon.
fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let pair = |at| u8::from_str_radix(&text[at..at + 2], 16).ok();
    (0..text.len()).step_by(2).map(pair).collect()
}
