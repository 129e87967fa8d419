//! Which rules an event may concern, found without asking each.
//!
//! A rule that compares a path with a fixed scalar can only match an event that holds this scalar
//! there. So each rule is filed under the rarest of its comparisons (its anchors), and an event is
//! walked once: paths that it does not have, and scalars that no rule asks for, cost nothing.

use std::collections::{BTreeMap, HashMap};

use model::Value;

use crate::compare::ScalarKey;
use crate::criteria::{Criteria, Criterion};
use crate::operator::Operator;
use crate::path::{Root, Segment, View};

/// Longest `in` list that is filed under each of its values.
const MAX_ALTERNATIVES: usize = 64;

/// A place and the scalar a rule asks for there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Anchor {
    root: Root,
    segments: Vec<Segment>,
    scalar: ScalarKey,
}

/// How many rules ask for each scalar at each place.
#[derive(Debug, Default)]
pub(crate) struct Frequencies(HashMap<Anchor, usize>);

/// Rules filed by their anchors.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Rules without anchors are asked each time.
    always: Vec<usize>,
    trigger: Trie,
    event: Trie,
}

/// One level of paths.
#[derive(Debug, Default)]
struct Trie {
    below: BTreeMap<String, Trie>,
    here: HashMap<ScalarKey, Vec<usize>>,
}

impl Frequencies {
    /// Counts the comparisons of all rules.
    pub(crate) fn of<'r>(rules: impl Iterator<Item = &'r Criteria>) -> Self {
        let mut counts = HashMap::new();
        for criteria in rules {
            for criterion in criteria.all.iter().chain(criteria.any.iter().flatten()) {
                for anchor in anchors(criterion).into_iter().flatten() {
                    *counts.entry(anchor).or_default() += 1;
                }
            }
        }
        Self(counts)
    }

    /// The anchors to file a rule under: one of them holds whenever the rule matches. `None`
    /// where nothing is known of the events it matches.
    pub(crate) fn rarest(&self, criteria: &Criteria) -> Option<Vec<Anchor>> {
        let one = self.rarest_of(&criteria.all);
        let groups = criteria.any.iter().map(|group| self.rarest_of(group));
        let any: Option<Vec<Vec<Anchor>>> = groups.collect();
        let any = any.map(|groups| groups.concat()).filter(|_| !criteria.any.is_empty());
        one.into_iter().chain(any).min_by_key(|anchors| self.cost(anchors))
    }

    fn rarest_of(&self, criteria: &[Criterion]) -> Option<Vec<Anchor>> {
        criteria.iter().filter_map(anchors).min_by_key(|anchors| self.cost(anchors))
    }

    fn cost(&self, anchors: &[Anchor]) -> usize {
        anchors.iter().map(|anchor| self.0.get(anchor).copied().unwrap_or(0)).sum()
    }
}

/// The scalars of which one must stand at the criterion's path.
fn anchors(criterion: &Criterion) -> Option<Vec<Anchor>> {
    let root = criterion.path.root();
    // A pack's configuration is not part of the event.
    if !matches!(root, Root::Trigger | Root::Event) {
        return None;
    }
    let scalars = criterion.tests.iter().filter(|test| !test.ignores_case()).filter_map(|test| {
        match (test.operator(), test.written()) {
            (Operator::Eq, written) => Some(vec![ScalarKey::of(written)?]),
            (Operator::In, Value::Array(items)) if items.len() <= MAX_ALTERNATIVES => {
                items.iter().map(ScalarKey::of).collect()
            }
            _ => None,
        }
    });
    let segments = criterion.path.segments();
    let anchor = |scalar| Anchor { root, segments: segments.to_vec(), scalar };
    Some(scalars.min_by_key(Vec::len)?.into_iter().map(anchor).collect())
}

impl Index {
    /// Files a rule under each of `anchors`.
    pub(crate) fn insert(&mut self, rule: usize, anchors: Option<&[Anchor]>) {
        let Some(anchors) = anchors else { return self.always.push(rule) };
        for Anchor { root, segments, scalar } in anchors {
            let trie = if *root == Root::Event { &mut self.event } else { &mut self.trigger };
            let place = segments.iter().fold(trie, |trie, segment| {
                trie.below.entry(segment.name().to_owned()).or_default()
            });
            place.here.entry(scalar.clone()).or_default().push(rule);
        }
    }

    /// Adds the rules that may match, some perhaps twice.
    pub(crate) fn collect(&self, view: &View<'_>, found: &mut Vec<usize>) {
        found.extend_from_slice(&self.always);
        self.trigger.collect(view.trigger(), found);
        if !self.event.is_empty() {
            self.event.collect(view.event(), found);
        }
    }
}

impl Trie {
    fn is_empty(&self) -> bool {
        self.below.is_empty() && self.here.is_empty()
    }

    fn collect(&self, value: &Value, found: &mut Vec<usize>) {
        if !self.here.is_empty()
            && let Some(scalar) = ScalarKey::of(value)
            && let Some(rules) = self.here.get(&scalar)
        {
            found.extend_from_slice(rules);
        }
        match value {
            Value::Object(map) if self.below.len() <= map.len() => {
                for (name, below) in &self.below {
                    if let Some(value) = map.get(name) {
                        below.collect(value, found);
                    }
                }
            }
            Value::Object(map) => {
                for (name, value) in map {
                    if let Some(below) = self.below.get(name) {
                        below.collect(value, found);
                    }
                }
            }
            Value::Array(items) if !self.below.is_empty() => {
                for (index, value) in items.iter().enumerate() {
                    if let Some(below) = self.below.get(&index.to_string()) {
                        below.collect(value, found);
                    }
                }
            }
            _ => {}
        }
    }
}
