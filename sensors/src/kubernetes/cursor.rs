//! Where a sensor stands: up to which versions it knows everything.

use std::collections::BTreeMap;

use model::{Duration, Timestamp, Value};
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
    /// A time by the API server's clock at which each namespace was no further than its version.
    #[serde(default)]
    pub(super) times: BTreeMap<String, Timestamp>,
    /// When all that is remembered was compared last with all that is there.
    #[serde(default)]
    pub(super) compared_at: Option<Timestamp>,
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
            times: BTreeMap::new(),
            compared_at: None,
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
    pub(super) fn is_past(&self, scope: &str, version: &str) -> bool {
        let known = self.versions.get(scope);
        known.is_some_and(|known| is_before(version, known))
    }

    /// All of `scope` is known up to this version, which the API server made at `time` or later.
    pub(super) fn reach(&mut self, scope: &str, version: String, time: Option<Timestamp>) {
        self.versions.insert(scope.to_owned(), version);
        if let Some(time) = time.max(self.times.get(scope).copied()) {
            self.times.insert(scope.to_owned(), time);
        }
    }

    /// What was made before this had been made when all of `scope` was known last; none: it never was.
    pub(super) fn known_at(&self, scope: &str) -> Option<Timestamp> {
        let time = self.times.get(scope).copied();
        // Earlier cursors tell only when it was here.
        self.known_at.map(|here| time.unwrap_or(here))
    }

    /// Whether all was compared longer ago than `check`, or nobody knows when.
    pub(super) fn is_due(&self, check: Duration, now: Timestamp) -> bool {
        self.compared_at.is_none_or(|last| last > now || check.after(last) <= now)
    }
}

/// Whether the version `one` lies before `other`.
pub(super) fn is_before(one: &str, other: &str) -> bool {
    let number = |text: &str| text.parse::<u64>().ok();
    number(one).zip(number(other)).is_some_and(|(one, other)| one < other)
}
