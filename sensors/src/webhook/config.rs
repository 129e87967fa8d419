//! What a webhook's YAML says, checked as far as that goes without its secrets.

use model::value::MAX_DEPTH;
use model::{Duration, Map, Schema, Size, Value, keys};

use super::template::Template;
use crate::BuildError;
use crate::fields::{find, optional, text};
use crate::secret::{self, SecretRef};

/// An event's data has no more.
const MAX_BODY: u64 = 4 << 20;
const DEFAULT_TOLERANCE: Duration = Duration::from_secs(300);

/// A webhook's parameters.
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    pub(super) secrets: Vec<SecretRef>,
    /// The header with the signature, in lower case like all header names here.
    pub(super) signature: String,
    pub(super) encoding: Encoding,
    pub(super) prefix: String,
    pub(super) signed: Template,
    pub(super) timestamp: Option<(String, Duration)>,
    pub(super) id: Id,
    pub(super) body_limit: usize,
    pub(super) pokes: Option<String>,
    /// Says `secret: true` of what is secret in the payload.
    pub(super) secret_fields: Schema,
}

/// What tells deliveries apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Id {
    /// Nothing: each request is one of its own.
    Random,
    /// This header. Most senders don't sign it: then it is believed.
    Header(String),
    /// What is signed: sent again under whatever headers, it is the same delivery.
    Content,
}

/// How a signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Hex,
    Base64,
}

impl WebhookConfig {
    /// Reads parameters that fit their schema.
    pub(crate) fn read(parameters: &Map) -> Result<Self, Vec<BuildError>> {
        let secrets = read_secrets(parameters)?;
        Self::rest(parameters, secrets).map_err(|error| vec![error])
    }

    fn rest(parameters: &Map, secrets: Vec<SecretRef>) -> Result<Self, BuildError> {
        let string = |path| find(parameters, path).and_then(Value::as_str);
        let timestamp = match string("timestamp.header") {
            Some(_) => {
                let tolerance = optional(parameters, "timestamp.tolerance")?;
                let name = header(parameters, "timestamp.header")?;
                Some((name, tolerance.unwrap_or(DEFAULT_TOLERANCE)))
            }
            None => None,
        };
        let id = match (string("id.header"), find(parameters, "id.content")) {
            (Some(_), _) => Id::Header(header(parameters, "id.header")?),
            (None, Some(_)) => Id::Content,
            (None, None) => Id::Random,
        };
        let secret_fields = secret_fields(parameters, &id)?;
        let signed = string("signature.signed").unwrap_or("{body}");
        let has_id = matches!(id, Id::Header(_));
        let signed = Template::parse(signed, timestamp.is_some(), has_id)?;
        Ok(Self {
            secrets,
            signature: header(parameters, "signature.header")?,
            encoding: match string("signature.encoding") {
                Some("base64") => Encoding::Base64,
                _ => Encoding::Hex,
            },
            prefix: string("signature.prefix").unwrap_or_default().to_owned(),
            signed,
            timestamp,
            id,
            body_limit: body_limit(parameters)?,
            pokes: string("pokes").map(ToOwned::to_owned),
            secret_fields,
        })
    }
}

fn read_secrets(parameters: &Map) -> Result<Vec<SecretRef>, Vec<BuildError>> {
    let list = parameters.get("secrets").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for (i, value) in list.iter().enumerate() {
        match secret::read(&format!("secrets.{i}"), value) {
            Ok(reference) => good.push(reference),
            Err(error) => bad.push(error),
        }
    }
    if bad.is_empty() { Ok(good) } else { Err(bad) }
}

/// A header's name in lower case.
fn header(parameters: &Map, path: &str) -> Result<String, BuildError> {
    let name = text(parameters, path)?;
    if !is_header(name) {
        let error = BuildError::at(path, format!("`{name}` is not the name of a header"));
        return Err(error.with_hint("write it as X-Hub-Signature-256"));
    }
    Ok(name.to_ascii_lowercase())
}

/// Whether a header can have this name.
fn is_header(name: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(token)
}

/// A schema of the places that `secret_fields` names, such as `body.password`: through lists too.
fn secret_fields(parameters: &Map, id: &Id) -> Result<Schema, BuildError> {
    let listed = parameters.get("secret_fields").and_then(Value::as_array);
    let mut payload = Value::Object(Map::new());
    for (i, field) in listed.into_iter().flatten().enumerate() {
        let field = field.as_str().unwrap_or_default();
        let wrong = |message| BuildError::at(&format!("secret_fields.{i}"), message);
        let names = names_towards(field).map_err(|why| {
            wrong(format!("`{field}` is no place in a request: {why}")).with_hint(
                r#"write it as body.password, body["a.key with dots"], headers.x-api-key or query.code"#,
            )
        })?;
        if let Some((why, hint)) = told_by(id, &names) {
            return Err(wrong(format!("`{field}` {why}")).with_hint(hint));
        }
        let place = names.iter().fold(&mut payload, |at, name| &mut at["properties"][name]);
        place["secret"] = true.into();
    }
    let properties = payload["properties"].as_object().cloned().unwrap_or_default();
    Schema::compile(&properties).map_err(|error| BuildError::at("secret_fields", error.message))
}

/// Why an event's id would tell what is secret at a place in the request, and what to do.
fn told_by(id: &Id, names: &[String]) -> Option<(&'static str, &'static str)> {
    let (part, name) = (names.first()?.as_str(), names.get(1));
    match id {
        Id::Content if part == "body" => Some((
            "is signed, and with `id: { content: true }` each event's id is a hash of what is signed, by which a short secret can be guessed",
            "name the header with the delivery's id in `id: { header: … }`, or leave `id` out",
        )),
        Id::Header(header) if part == "headers" && name.is_none_or(|name| name == header) => {
            Some((
                "is stored and shown as each event's id, by `id: { header: … }`",
                "name in `id` a header that is not secret, or leave `id` out; or name the headers that are secret one by one",
            ))
        }
        _ => None,
    }
}

/// The names on the way to a place in a request, as its payload has them. Those of headers and of the
/// query lie side by side, so that dots within them need no quotes.
fn names_towards(field: &str) -> Result<Vec<String>, String> {
    let names = match field.split_once('.') {
        Some((part @ ("headers" | "query"), name)) if !name.is_empty() => vec![part, name],
        _ => keys::read(field)?,
    };
    let mut names: Vec<String> = names.into_iter().map(ToOwned::to_owned).collect();
    match (names[0].as_str(), names.len() - 1) {
        ("body" | "headers" | "query", 0) | ("query", 1) => Ok(names),
        ("body", depth) if depth <= MAX_DEPTH => Ok(names),
        ("body", depth) => Err(format!("no body is nested {depth} deep")),
        ("headers", 1) if is_header(&names[1]) => {
            names[1].make_ascii_lowercase();
            Ok(names)
        }
        ("headers", 1) => Err(format!("`{}` is not the name of a header", names[1])),
        ("headers" | "query", _) => Err(format!("nothing lies within one of the {}", names[0])),
        (other, _) => Err(format!("`{other}` is none of body, headers and query")),
    }
}

fn body_limit(parameters: &Map) -> Result<usize, BuildError> {
    let value = parameters.get("body_limit").unwrap_or(&Value::Null);
    let bytes = match value {
        Value::String(text) => text.parse::<Size>().ok().map(Size::bytes),
        value => value.as_u64(),
    };
    bytes.filter(|bytes| (1..=MAX_BODY).contains(bytes)).map(|bytes| bytes as usize).ok_or_else(
        || {
            let message = format!("`body_limit: {value}` is not a size from 1 byte to 4MiB");
            BuildError::at("body_limit", message).with_hint("write it as 256KiB or 1MiB")
        },
    )
}
