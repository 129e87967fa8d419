//! What a webhook's YAML says, checked as far as that goes without its secrets.

use model::value::MAX_DEPTH;
use model::{Duration, Map, Schema, Size, Value};

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
        let names = names_towards(field).ok_or_else(|| {
            wrong(format!("`{field}` is no place in a request"))
                .with_hint("write it as body.password, headers.x-api-key or query.code")
        })?;
        if *id == Id::Content && names[0] == "body" {
            let message = format!(
                "`{field}` is signed, and with `id: {{ content: true }}` each event's id is a hash of what is signed, by which a short secret can be guessed"
            );
            return Err(wrong(message).with_hint(
                "name the header with the delivery's id in `id: { header: … }`, or leave `id` out",
            ));
        }
        let place = names.iter().fold(&mut payload, |at, name| &mut at["properties"][name]);
        place["secret"] = true.into();
    }
    let properties = payload["properties"].as_object().cloned().unwrap_or_default();
    Schema::compile(&properties).map_err(|error| BuildError::at("secret_fields", error.message))
}

/// The names on the way to a place in a request, as its payload has them. Those of headers and of the
/// query lie side by side, whatever dots are in them.
fn names_towards(field: &str) -> Option<Vec<String>> {
    let (part, within) = field.split_once('.').unzip();
    let part = part.unwrap_or(field);
    let within = match (part, within) {
        ("body" | "headers" | "query", None) => Vec::new(),
        ("body", Some(path)) => path.split('.').map(ToOwned::to_owned).collect(),
        ("headers", Some(name)) if is_header(name) => vec![name.to_ascii_lowercase()],
        ("query", Some(name)) => vec![name.to_owned()],
        _ => return None,
    };
    // No body is nested deeper.
    let fits = within.len() <= MAX_DEPTH && within.iter().all(|name| !name.is_empty());
    fits.then(|| std::iter::once(part.to_owned()).chain(within).collect())
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
