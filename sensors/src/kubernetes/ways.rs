//! Ways of counting: which changes of an object count as such, for those who are told of them.
//!
//! Rules that share a watch may count differently. What is remembered of an object holds a [`Mark`]
//! for each way, under a number that the cursor gives it. A way that is given up and taken up again
//! has another number, so that what changed in between is nobody's.

use std::collections::BTreeMap;

use host::kubernetes::Path;
use model::{Hash, Map, Value};
use serde::{Deserialize, Serialize, Serializer};

use super::path::is_counted_up;

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

/// One of them, under its number.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub(super) number: u32,
    pub(super) changes: Changes,
}

/// What counts of an object. Stored: fields are only ever added, with a default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Where it alone says what counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) generation: Option<i64>,
    /// The hash of what counts.
    pub(super) print: String,
}

/// What shows that something that counts is not as it was, of an object with a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// Its generation, for a watch tells each write.
    Generation,
    /// Either: a cluster that was restored from a backup counts the same generations again.
    Either,
    /// Its content: the generation is one of another history.
    Content,
}

impl Mark {
    /// Whether something that counts is not as it was.
    pub(super) fn differs(&self, before: &Self, proof: Proof) -> bool {
        let content = before.print != self.print;
        let generation = before.generation != self.generation;
        match (before.generation.and(self.generation), proof) {
            (Some(_), Proof::Generation) => generation,
            (Some(_), Proof::Either) => generation || content,
            (None, _) | (Some(_), Proof::Content) => content,
        }
    }
}

impl Changes {
    /// What it is called in the cursor.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Spec => "spec".to_owned(),
            Self::Any => "any".to_owned(),
            Self::Paths(paths) => {
                let paths: Vec<String> = paths.iter().map(Path::to_string).collect();
                format!("paths {}", paths.join(" "))
            }
        }
    }

    pub(super) fn mark(&self, object: &Value) -> Mark {
        let generation = object["metadata"]["generation"].as_i64();
        let generation = generation.filter(|_| *self == Self::Spec);
        Mark { generation, print: self.print(object, generation) }
    }

    fn print(&self, value: &Value, generation: Option<i64>) -> String {
        let hash = match self {
            Self::Paths(paths) => {
                let found = paths.iter().map(|path| path.find(value));
                Hash::of_value(&found.collect::<Vec<_>>())
            }
            // As far as the generation tells.
            Self::Spec if generation.is_some() => {
                let counts = |(name, _): &(&String, _)| *name != "metadata" && *name != "status";
                Hash::of_value(&fields(value).filter(counts).collect::<BTreeMap<_, _>>())
            }
            Self::Spec | Self::Any => Hash::of_value(&whole(value)),
        };
        hash.to_string()[..32].to_owned()
    }
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// The fields of an object, but for what the API server counts up by itself.
fn whole(object: &Value) -> BTreeMap<&str, Part<'_>> {
    fields(object).map(|(name, value)| (name.as_str(), Part::of(name, value))).collect()
}

/// A field of an object as it counts.
enum Part<'a> {
    Value(&'a Value),
    Metadata(&'a Map),
}

impl<'a> Part<'a> {
    fn of(name: &str, value: &'a Value) -> Self {
        match value {
            Value::Object(metadata) if name == "metadata" => Self::Metadata(metadata),
            value => Self::Value(value),
        }
    }
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(value) => value.serialize(serializer),
            Self::Metadata(fields) => {
                let counts = |(name, _): &(&String, _)| !is_counted_up(name);
                serializer.collect_map(fields.iter().filter(counts))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_print_is_of_the_text_of_what_counts_and_stays_as_it_was_stored() {
        let object = json!({ "kind": "Thing", "spec": { "n": 1 }, "status": { "ready": true },
            "metadata": { "name": "a", "generation": 2, "resourceVersion": "7" } });
        let unnumbered = json!({ "kind": "Thing", "spec": 1, "metadata": "none" });
        let paths = ["spec.n", "spec.gone"].map(|path| path.parse().unwrap()).to_vec();
        let any =
            r#"{"kind":"Thing","metadata":{"name":"a"},"spec":{"n":1},"status":{"ready":true}}"#;
        for (changes, object, counts) in [
            (Changes::Spec, &object, r#"{"kind":"Thing","spec":{"n":1}}"#),
            (Changes::Any, &object, any),
            (Changes::Paths(paths), &object, "[1,null]"),
            (Changes::Spec, &unnumbered, r#"{"kind":"Thing","metadata":"none","spec":1}"#),
        ] {
            let expected = Hash::of(counts.as_bytes()).to_string()[..32].to_owned();
            assert_eq!(changes.mark(object).print, expected, "{changes:?}");
        }
    }
}
