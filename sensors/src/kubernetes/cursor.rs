//! Where a sensor stands: up to which versions it knows everything.

use std::collections::BTreeMap;

use model::{Timestamp, Value};
use serde::{Deserialize, Serialize};

/// Stored: fields are only ever added, with a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// When the sensor was begun.
    pub(super) begun: Timestamp,
    /// The version up to which each namespace is known; under the empty name, all of them.
    #[serde(default)]
    pub(super) versions: BTreeMap<String, String>,
    /// When that was.
    #[serde(default)]
    pub(super) known_at: Option<Timestamp>,
    /// Whether a list is being compared, and not all of it is remembered yet.
    #[serde(default)]
    pub(super) listing: bool,
    /// What tells one history of the cluster from another: the uid of the namespace kube-system.
    #[serde(default)]
    pub(super) history: Option<String>,
    /// Whether the cluster did not know the kind when it was asked last.
    #[serde(default)]
    pub(super) unserved: bool,
}

impl Cursor {
    pub(super) fn new(begun: Timestamp) -> Self {
        Self {
            begun,
            versions: BTreeMap::new(),
            known_at: None,
            listing: false,
            history: None,
            unserved: false,
        }
    }

    pub(super) fn read(value: &Value) -> Result<Self, String> {
        serde_json::from_value(value.clone())
            .map_err(|error| format!("the stored cursor is not a cluster's: {error}"))
    }

    pub(super) fn write(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Whether all is known up to the versions here, for each of `scopes`.
    pub(super) fn is_complete(&self, scopes: &[Option<String>]) -> bool {
        let known = |scope: &Option<String>| {
            self.versions.get(scope.as_deref().unwrap_or_default()).is_some_and(|v| !v.is_empty())
        };
        !self.listing && self.known_at.is_some() && scopes.iter().all(known)
    }

    /// Whether `version`, of a list of `scope`, lies before what is known.
    pub(super) fn is_past(&self, scope: Option<&str>, version: &str) -> bool {
        let known = self.versions.get(scope.unwrap_or_default());
        let number = |text: &str| text.parse::<u64>().ok();
        known.and_then(|known| number(known)).zip(number(version)).is_some_and(|(k, v)| v < k)
    }
}
