//! What a signature covers: `{body}`, or more, such as `v0:{timestamp}:{body}`.

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

impl Template {
    /// Reads `text`; what it names must be there to be signed, and what is checked must be signed.
    pub(super) fn parse(text: &str, timestamp: bool, id: bool) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let close = rest[open..].find('}').map(|at| open + at);
            let close = close.ok_or_else(|| format!("`{text}`: a `{{` without its `}}`"))?;
            parts.push(Part::Text(rest[..open].to_owned()));
            parts.push(match &rest[open..=close] {
                "{body}" => Part::Body,
                "{timestamp}" => Part::Timestamp,
                "{id}" => Part::Id,
                other => {
                    return Err(format!(
                        "`{text}`: unknown place `{other}`: expected {{body}}, {{timestamp}} or {{id}}"
                    ));
                }
            });
            rest = &rest[close + 1..];
        }
        parts.push(Part::Text(rest.to_owned()));
        let has = |part| parts.contains(&part);
        let wrong = match () {
            () if !has(Part::Body) => "{body} is missing: the signature would not cover the body",
            () if timestamp && !has(Part::Timestamp) => {
                "`timestamp` requires {timestamp} in `signed`: an unsigned time proves nothing"
            }
            () if has(Part::Timestamp) && !timestamp => {
                "{timestamp} requires `timestamp: { header }`, which says where the time stands"
            }
            () if has(Part::Id) && !id => {
                "{id} requires `id: { header }`, which says where the id stands"
            }
            () => return Ok(Self(parts)),
        };
        Err(format!("`{text}`: {wrong}"))
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
