//! Paths into an event: `trigger.object.metadata.labels["app.kubernetes.io/part-of"]`.

use std::cell::OnceCell;
use std::fmt;

use model::diagnostic::suggest;
use model::{Envelope, Value};

/// What a path begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Root {
    /// The event's data.
    Trigger,
    /// The event's envelope.
    Event,
    /// The pack's configuration.
    Config,
    /// One item of a list: paths inside `any` and `all` begin there.
    Item,
}

/// One step of a path: a map's key or, where it is a number, a list's index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Segment {
    name: String,
    /// The name as an index; `None` where no list could have it (`x`, `01`).
    index: Option<usize>,
}

/// A place in an event, its envelope or the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    root: Root,
    segments: Vec<Segment>,
    text: String,
}

/// A text that is not a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadPath {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// What criteria look into.
#[derive(Debug)]
pub struct View<'e> {
    envelope: &'e Envelope,
    data: &'e Value,
    /// Few rules look at the envelope.
    written: OnceCell<Value>,
}

const ROOTS: [(&str, Root); 3] =
    [("trigger", Root::Trigger), ("event", Root::Event), ("config", Root::Config)];

impl<'e> View<'e> {
    /// A view of an event.
    pub fn new(event: &'e model::Event) -> Self {
        Self { envelope: &event.envelope, data: &event.data, written: OnceCell::new() }
    }

    /// What rules see as `trigger`.
    pub fn trigger(&self) -> &Value {
        self.data
    }

    /// What rules see as `event`.
    pub fn event(&self) -> &Value {
        self.written.get_or_init(|| envelope_value(self.envelope))
    }
}

/// Every attribute is there, null where the event does not have it.
fn envelope_value(envelope: &Envelope) -> Value {
    let cause = envelope.cause.as_ref().map(|cause| {
        serde_json::json!({ "execution": cause.execution.to_string(), "depth": cause.depth })
    });
    serde_json::json!({
        "id": envelope.id,
        "source": envelope.source,
        "type": envelope.kind.as_str(),
        "time": envelope.time.to_string(),
        "subject": envelope.subject,
        "cause": cause,
    })
}

impl Path {
    /// A path that begins with `trigger`, `event` or `config`.
    pub fn parse(text: &str) -> Result<Self, BadPath> {
        let mut segments = split(text)?;
        let first = segments.remove(0).name;
        let root = ROOTS.iter().find(|(name, _)| *name == first).map(|(_, root)| *root);
        let root = root.ok_or_else(|| unknown_root(&first))?;
        Ok(Self { root, segments, text: text.to_owned() })
    }

    /// A path into an item of a list. `item` is the item itself.
    pub fn parse_in_item(text: &str) -> Result<Self, BadPath> {
        let mut segments = split(text)?;
        if segments.first().is_some_and(|first| first.name == "item") {
            segments.remove(0);
        }
        Ok(Self { root: Root::Item, segments, text: text.to_owned() })
    }

    /// What it begins with.
    pub fn root(&self) -> Root {
        self.root
    }

    /// Its steps after the root.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// What stands there below `root`.
    pub fn find<'v>(&self, root: &'v Value) -> Option<&'v Value> {
        self.segments.iter().try_fold(root, |value, segment| segment.step(value))
    }
}

impl Segment {
    pub(crate) fn new(name: String) -> Self {
        // Only the plain writing is an index, so that one place has one path.
        let index = name.parse().ok().filter(|index: &usize| index.to_string() == name);
        Self { name, index }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn step<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        match value {
            Value::Object(map) => map.get(&self.name),
            Value::Array(items) => items.get(self.index?),
            _ => None,
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn unknown_root(found: &str) -> BadPath {
    let names = ROOTS.iter().map(|(name, _)| *name);
    let hint = match suggest(found, names) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("the event's data is `trigger`: `trigger.{found}`?"),
    };
    BadPath {
        message: format!(
            "`{found}` is not known here: a path begins with trigger, event or config"
        ),
        hint: Some(hint),
    }
}

/// The steps of a path; at least one.
fn split(text: &str) -> Result<Vec<Segment>, BadPath> {
    let keys = model::keys::read(text).map_err(|why| BadPath {
        message: format!("`{text}` is not a path: {why}"),
        hint: Some(r#"write it like `trigger.labels["a.b/c"].items.0`"#.to_owned()),
    })?;
    Ok(keys.into_iter().map(|key| Segment::new(key.to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_through_maps_lists_and_quoted_keys() {
        let data = json!({ "a": [{ "b": 1 }, 2], "x.y/z": { "0": "zero" }, "l": { "a": null } });
        for (path, found) in [
            ("trigger", Some(data.clone())),
            ("trigger.a.0.b", Some(json!(1))),
            ("trigger.a[1]", Some(json!(2))),
            ("trigger.a.2", None),
            ("trigger.a.01", None),
            ("trigger.a.b", None),
            ("trigger[\"x.y/z\"].0", Some(json!("zero"))),
            ("trigger['x.y/z']['0']", Some(json!("zero"))),
            ("trigger.l.a", Some(json!(null))),
            ("trigger.l.a.b", None),
        ] {
            assert_eq!(Path::parse(path).unwrap().find(&data).cloned(), found, "{path}");
        }
        assert_eq!(
            Path::parse_in_item("item.b").unwrap().find(&json!({ "b": 1 })),
            Some(&json!(1))
        );
        assert_eq!(Path::parse_in_item("item").unwrap().find(&json!("x")), Some(&json!("x")));
    }

    #[test]
    fn what_is_not_a_path_is_refused() {
        for text in [
            "",
            ".",
            "trigger.",
            "trigger..a",
            "trigger[",
            "trigger[]",
            "trigger[x]",
            "trigger[\"a]",
            "trigger[\"a\"",
            "trigger[\"a\"]b",
            "trigger a",
            "trigger.a b",
            "trigger]",
            "\"trigger\"",
        ] {
            assert!(Path::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_unknown_beginning_is_told_with_the_known_ones() {
        let error = Path::parse("triger.a").unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("did you mean `trigger`?"));
        let error = Path::parse("body.a").unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("the event's data is `trigger`: `trigger.body`?"));
    }
}
