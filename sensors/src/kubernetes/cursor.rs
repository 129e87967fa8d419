//! Where a sensor stands: up to which versions it knows everything.

use std::collections::BTreeMap;

use model::{Timestamp, Value};
use serde::{Deserialize, Serialize};

use super::ways::{Changes, Way};

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
    /// Whether the kind was taken away since.
    #[serde(default)]
    pub(super) unserved: bool,
    /// The ways of counting of those who are told, by their names.
    #[serde(default)]
    pub(super) ways: BTreeMap<String, Known>,
    /// The number of the next one.
    #[serde(default)]
    pub(super) next_way: u32,
}

/// A way of counting that is taken up. Stored, like the cursor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Known {
    /// Its number, which no earlier one has had.
    pub(super) number: u32,
    /// Whether every object that is remembered has a mark of it.
    pub(super) marked: bool,
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
            ways: BTreeMap::new(),
            next_way: 0,
        }
    }

    pub(super) fn read(value: &Value) -> Result<Self, String> {
        serde_json::from_value(value.clone())
            .map_err(|error| format!("the stored cursor is not a cluster's: {error}"))
    }

    pub(super) fn write(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Takes up these ways of counting and gives up all others.
    /// `only`: the one there was when the cursor did not say which.
    pub(super) fn take_up(&mut self, changes: &[Changes], only: &Changes) -> Vec<Way> {
        let mut before = std::mem::take(&mut self.ways);
        if self.next_way == 0 && (self.known_at.is_some() || self.listing) {
            before.insert(only.name(), Known { number: 0, marked: true });
            self.next_way = 1;
        }
        let mut taken: Vec<Way> = Vec::new();
        for one in changes {
            let known = before.remove(&one.name()).unwrap_or_else(|| {
                self.next_way += 1;
                Known { number: self.next_way - 1, marked: false }
            });
            taken.push(Way { number: known.number, changes: one.clone() });
            self.ways.insert(one.name(), known);
        }
        taken
    }

    /// Whether every object that is remembered is so for each who is told.
    pub(super) fn is_marked(&self) -> bool {
        self.ways.values().all(|way| way.marked)
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
