//! Ways of counting: which changes of an object count as such, for those who are told of them.
//!
//! Rules that share a watch may count differently. What is remembered of an object holds a [`Mark`]
//! for each way, under a number that the cursor gives it. A way that is given up and taken up again
//! has another number, so that what changed in between is nobody's.

use host::kubernetes::Path;
use model::{Hash, Map, Value};
use serde::{Deserialize, Serialize};

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
                let found = paths.iter().map(|path| path.find(value).cloned().unwrap_or_default());
                Hash::of_value(&Value::Array(found.collect()))
            }
            // As far as the generation tells.
            Self::Spec if generation.is_some() => {
                Hash::of_value(&without(value, &["metadata", "status"]))
            }
            Self::Spec | Self::Any => {
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
}

fn without(value: &Value, names: &[&str]) -> Value {
    let fields = value.as_object().into_iter().flatten();
    let kept = fields.filter(|(name, _)| !names.contains(&name.as_str()));
    Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect::<Map>())
}
