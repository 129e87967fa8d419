//! An object as it is compared and told: without bookkeeping, a Secret without its values.

use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use model::{Hash, Map, Timestamp, Value};
use serde::{Deserialize, Serialize};

use super::path::Path;

/// Most characters of a compressed object that is remembered: of what is larger, only that it was
/// there. An entry is one fact, and one fact has 512 KiB.
const MAX_REMEMBERED: usize = 256 * 1024;
/// Most bytes that a remembered object can unpack to.
const MAX_UNPACKED: u64 = 8 << 20;

/// Which changes count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Changes {
    /// Those that move the object's generation; of kinds that have none, any.
    Spec,
    /// Any.
    Any,
    /// Those of the values at these paths.
    Paths(Vec<Path>),
}

/// An object that is there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Object {
    /// `namespace/name`, or the name alone.
    pub(super) key: String,
    pub(super) uid: String,
    pub(super) version: String,
    /// Where it alone says what counts.
    pub(super) generation: Option<i64>,
    pub(super) created: Option<Timestamp>,
    /// Whether somebody wrote to it after it was made, its status apart.
    pub(super) written_later: bool,
    /// The hash of what counts.
    pub(super) print: String,
    /// What is told of it.
    pub(super) value: Value,
}

/// What is remembered of an object. Stored: fields are only ever added, with a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) uid: String,
    pub(super) version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) generation: Option<i64>,
    pub(super) print: String,
    /// The object, deflated and in base64; none: it is too large.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    packed: Option<String>,
}

impl Object {
    /// Reads what the API server says; none: it is no object with a name.
    pub(super) fn read(mut value: Value, changes: &Changes) -> Option<Self> {
        host::kubernetes::veil(&mut value);
        let metadata = value.get_mut("metadata")?.as_object_mut()?;
        let managed = metadata.remove("managedFields").unwrap_or_default();
        let text = |name: &str| metadata.get(name).and_then(Value::as_str);
        let name = text("name")?;
        let key = match text("namespace") {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name.to_owned(),
        };
        let created = text("creationTimestamp").and_then(|time| time.parse::<Timestamp>().ok());
        let (uid, version) = (text("uid")?.to_owned(), text("resourceVersion")?.to_owned());
        let generation = metadata.get("generation").and_then(Value::as_i64);
        let generation = generation.filter(|_| *changes == Changes::Spec);
        let written_later = created.is_some_and(|created| written_after(&managed, created));
        let print = print(&value, generation, changes);
        Some(Self { key, uid, version, generation, created, written_later, print, value })
    }

    /// What is to be remembered of it.
    pub(super) fn entry(&self) -> Entry {
        Entry {
            uid: self.uid.clone(),
            version: self.version.clone(),
            generation: self.generation,
            print: self.print.clone(),
            packed: pack(&self.value),
        }
    }
}

impl Entry {
    /// The object as it was told last.
    pub(super) fn object(&self) -> Option<Value> {
        let packed = STANDARD_NO_PAD.decode(self.packed.as_ref()?).ok()?;
        let mut text = Vec::new();
        DeflateDecoder::new(packed.as_slice()).take(MAX_UNPACKED).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    pub(super) fn read(value: Value) -> Option<Self> {
        serde_json::from_value(value).ok()
    }

    pub(super) fn write(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

fn pack(value: &Value) -> Option<String> {
    let mut packer = DeflateEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(value.to_string().as_bytes()).ok()?;
    let packed = STANDARD_NO_PAD.encode(packer.finish().ok()?);
    (packed.len() <= MAX_REMEMBERED).then_some(packed)
}

fn written_after(managed: &Value, created: Timestamp) -> bool {
    let writers = managed.as_array().into_iter().flatten();
    let mut own = writers.filter(|writer| writer.get("subresource").is_none());
    own.any(|writer| {
        let time = writer["time"].as_str().and_then(|time| time.parse::<Timestamp>().ok());
        time.is_some_and(|time| time > created)
    })
}

fn print(value: &Value, generation: Option<i64>, changes: &Changes) -> String {
    let hash = match changes {
        Changes::Paths(paths) => {
            let found = paths.iter().map(|path| path.find(value).cloned().unwrap_or_default());
            Hash::of_value(&Value::Array(found.collect()))
        }
        // As far as the generation tells, for when it cannot be trusted.
        Changes::Spec if generation.is_some() => {
            Hash::of_value(&without(value, &["metadata", "status"]))
        }
        Changes::Spec | Changes::Any => {
            let mut whole = without(value, &[]);
            if let Some(metadata) = whole.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.remove("resourceVersion");
                metadata.remove("generation");
            }
            Hash::of_value(&whole)
        }
    };
    hash.to_string()[..32].to_owned()
}

fn without(value: &Value, names: &[&str]) -> Value {
    let fields = value.as_object().into_iter().flatten();
    let kept = fields.filter(|(name, _)| !names.contains(&name.as_str()));
    Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect::<Map>())
}
