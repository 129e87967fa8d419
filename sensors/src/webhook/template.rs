//! What a signature covers: `{body}`, or more, such as `v0:{timestamp}:{body}`.

use crate::BuildError;

/// A text with places for parts of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Body,
    Timestamp,
    Id,
}

fn wrong(message: &str, hint: &str) -> BuildError {
    BuildError::at("signature.signed", message).with_hint(hint)
}

impl Template {
    /// Reads `text`; what it names must be there to be signed, and what is checked must be signed.
    pub(super) fn parse(text: &str, timestamp: bool, id: bool) -> Result<Self, BuildError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let close = rest[open..].find('}').map(|at| open + at);
            let close = close
                .ok_or_else(|| wrong(&format!("`{text}`: a `{{` without its `}}`"), "close it"))?;
            parts.push(Part::Text(rest[..open].to_owned()));
            parts.push(match &rest[open..=close] {
                "{body}" => Part::Body,
                "{timestamp}" => Part::Timestamp,
                "{id}" => Part::Id,
                other => {
                    let message = format!("`{other}` stands for nothing");
                    return Err(wrong(&message, "known here: {body}, {timestamp}, {id}"));
                }
            });
            rest = &rest[close + 1..];
        }
        parts.push(Part::Text(rest.to_owned()));
        let has = |part| parts.contains(&part);
        Err(match () {
            () if !has(Part::Body) => wrong(
                &format!("`{text}` lacks {{body}}: the signature would not cover the body"),
                "sign it, such as `signed: \"{body}\"`",
            ),
            () if timestamp && !has(Part::Timestamp) => wrong(
                "`timestamp` requires {timestamp} in `signed`: an unsigned time proves nothing",
                "sign both as the sender does, such as `signed: \"{timestamp}.{body}\"`",
            ),
            () if has(Part::Timestamp) && !timestamp => wrong(
                "{timestamp} requires `timestamp`: nothing says where the time stands",
                "add `timestamp: { header: NAME }`",
            ),
            () if has(Part::Id) && !id => wrong(
                "{id} requires `id`: nothing says where the id stands",
                "add `id: { header: NAME }`",
            ),
            () => return Ok(Self(parts)),
        })
    }

    /// Whether the id is signed.
    pub(super) fn signs_id(&self) -> bool {
        self.0.contains(&Part::Id)
    }

    /// The pieces of what is signed, in order.
    pub(super) fn pieces<'a>(
        &'a self,
        body: &'a [u8],
        timestamp: &'a str,
        id: &'a str,
    ) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().map(move |part| match part {
            Part::Text(text) => text.as_bytes(),
            Part::Body => body,
            Part::Timestamp => timestamp.as_bytes(),
            Part::Id => id.as_bytes(),
        })
    }
}
