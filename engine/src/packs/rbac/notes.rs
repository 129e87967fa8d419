//! What the files do not tell, and what to do about it.

use std::collections::{BTreeMap, BTreeSet};

/// What is not known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unknown {
    /// Of which kind an object is.
    Kind,
    /// Which action is run.
    Action,
    /// Which cluster is asked.
    Connection,
    /// In which namespace: none is said.
    Namespace,
    /// In which namespace: it is computed.
    AnyNamespace,
    /// What is needed in the cluster of another connection.
    Elsewhere,
}

impl Unknown {
    fn told(&self) -> &'static str {
        match self {
            Self::Kind => {
                "the kind is computed, and left out: say which with `--kind API_VERSION/KIND`, or add these for each"
            }
            Self::Action => {
                "the action is computed, and left out: add what it needs of the cluster"
            }
            Self::Connection => "the connection is computed: counted here",
            Self::Namespace => {
                "no namespace is named, and `default` is taken: say another one with `--in NAMESPACE`"
            }
            Self::AnyNamespace => {
                "the namespace is computed, and all of them are granted: say which with `--in NAMESPACE`"
            }
            Self::Elsewhere => "left out is what other clusters are asked for",
        }
    }
}

/// Notes, each with the places that it is about.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Notes(BTreeMap<Unknown, BTreeSet<String>>);

/// A note for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What is not known, and what to do.
    pub text: &'static str,
    /// Where.
    pub places: Vec<String>,
}

impl Notes {
    pub(super) fn add(&mut self, unknown: Unknown, place: String) {
        self.0.entry(unknown).or_default().insert(place);
    }

    pub(super) fn extend(&mut self, more: &Self) {
        for (unknown, places) in &more.0 {
            self.0.entry(unknown.clone()).or_default().extend(places.iter().cloned());
        }
    }

    pub(super) fn told(self) -> Vec<Note> {
        let note = |(unknown, places): (Unknown, BTreeSet<String>)| Note {
            text: unknown.told(),
            places: places.into_iter().collect(),
        };
        self.0.into_iter().map(note).collect()
    }
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.text, self.places.join(", "))
    }
}
