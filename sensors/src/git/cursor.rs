//! What the sensor remembers of a repository, and what is news compared with it: pure functions.

use std::collections::BTreeMap;

use host::git::RefPattern;
use model::Value;
use serde::{Deserialize, Serialize};

/// Refs and the commits they stand at.
pub(super) type Refs = BTreeMap<String, String>;

/// Whether refs that are there at first sight are events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Initial {
    /// They are only remembered.
    Skip,
    /// Each is one.
    Emit,
}

/// What is watched. Another selection is another snapshot: refs that it adds are first seen, refs
/// that it leaves out are not deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Selection {
    pub(super) repository: String,
    pub(super) patterns: Vec<String>,
}

/// Where each selected ref stood, and how often it has changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    version: u32,
    selection: Selection,
    /// The highest counter of any ref that is gone: one that comes (again) starts above it, so
    /// that no event's id is used twice and deleted refs need not be remembered.
    floor: u64,
    refs: BTreeMap<String, Standing>,
}

/// Where a ref stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Standing {
    /// `None` until its first event is stored: it was seen for the first time just now.
    commit: Option<String>,
    changes: u64,
}

/// A ref that is not where it stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) name: String,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
    /// Whether it was there before anybody looked.
    pub(super) first_seen: bool,
    /// How often the ref has changed, this time included.
    pub(super) count: u64,
}

const VERSION: u32 = 1;

impl Cursor {
    pub(super) fn read(value: &Value) -> Result<Self, String> {
        let cursor: Self =
            serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
        match cursor.version {
            VERSION => Ok(cursor),
            other => Err(format!("it has version {other}, this program knows {VERSION}")),
        }
    }

    pub(super) fn write(&self) -> Value {
        // A struct of texts and numbers always has a JSON form.
        serde_json::to_value(self).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.refs.is_empty()
    }

    /// The cursor for `selection`, with what it has just seen for the first time.
    pub(super) fn adapt(
        before: Option<Self>,
        selection: &Selection,
        initial: Initial,
        refs: &Refs,
    ) -> Self {
        let mut cursor = match before {
            Some(cursor) if cursor.selection == *selection => return cursor,
            Some(cursor) => cursor,
            None => Self::empty(),
        };
        let old = std::mem::replace(&mut cursor.selection, selection.clone());
        if old.repository != selection.repository {
            cursor.forget(|_| true);
        }
        cursor.forget(|name| !is_selected(&selection.patterns, name));
        for (name, commit) in refs {
            let known = old.repository == selection.repository && is_selected(&old.patterns, name);
            if !known {
                let commit = (initial == Initial::Skip).then(|| commit.clone());
                let standing = Standing { commit, changes: cursor.floor };
                cursor.refs.insert(name.clone(), standing);
            }
        }
        cursor
    }

    fn empty() -> Self {
        let selection = Selection { repository: String::new(), patterns: Vec::new() };
        Self { version: VERSION, selection, floor: 0, refs: BTreeMap::new() }
    }

    /// Drops refs without calling them deleted.
    fn forget(&mut self, gone: impl Fn(&str) -> bool) {
        let gone_changes = self.refs.iter().filter(|(name, _)| gone(name)).map(|(_, s)| s.changes);
        self.floor = self.floor.max(gone_changes.max().unwrap_or(0));
        self.refs.retain(|name, _| !gone(name));
    }

    /// What is news, by the refs' names.
    pub(super) fn changes(&self, refs: &Refs) -> Vec<Change> {
        let names: std::collections::BTreeSet<&String> =
            self.refs.keys().chain(refs.keys()).collect();
        names.into_iter().filter_map(|name| self.change(name, refs.get(name))).collect()
    }

    fn change(&self, name: &str, after: Option<&String>) -> Option<Change> {
        let standing = self.refs.get(name);
        let before = standing.and_then(|standing| standing.commit.as_ref());
        if before == after {
            return None;
        }
        Some(Change {
            name: name.to_owned(),
            before: before.cloned(),
            after: after.cloned(),
            first_seen: standing.is_some() && before.is_none(),
            count: standing.map_or(self.floor, |standing| standing.changes) + 1,
        })
    }

    /// The event of `change` is about to be stored.
    pub(super) fn apply(&mut self, change: &Change) {
        if let Some(commit) = &change.after {
            let standing = Standing { commit: Some(commit.clone()), changes: change.count };
            self.refs.insert(change.name.clone(), standing);
        } else {
            self.refs.remove(&change.name);
            self.floor = self.floor.max(change.count);
        }
    }
}

fn is_selected(patterns: &[String], name: &str) -> bool {
    patterns.iter().filter_map(|p| p.parse::<RefPattern>().ok()).any(|p| p.matches(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refs(list: &[(&str, &str)]) -> Refs {
        list.iter().map(|(name, commit)| (format!("refs/{name}"), (*commit).to_owned())).collect()
    }

    fn watching(repository: &str, patterns: &[&str]) -> Selection {
        let patterns = patterns.iter().map(|p| format!("refs/{p}")).collect();
        Selection { repository: repository.to_owned(), patterns }
    }

    /// Looks once, as the sensor does; returns what is news as `ref: before -> after #count`.
    fn look(
        cursor: &mut Option<Cursor>,
        selection: &Selection,
        initial: Initial,
        seen: &[(&str, &str)],
    ) -> Vec<String> {
        let seen = refs(seen);
        let mut next = Cursor::adapt(cursor.take(), selection, initial, &seen);
        let changes = next.changes(&seen);
        for change in &changes {
            next.apply(change);
        }
        assert_eq!(next.changes(&seen), [], "what was applied is no news");
        *cursor = Some(Cursor::read(&next.write()).unwrap());
        let show = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".to_owned());
        let lines = changes.iter().map(|c| {
            format!("{}: {} -> {} #{}", &c.name[5..], show(&c.before), show(&c.after), c.count)
        });
        lines.collect()
    }

    #[test]
    fn a_ref_that_goes_and_returns_makes_two_events_with_ids_of_their_own() {
        let (mut cursor, heads) = (None, watching("r", &["*"]));
        let mut look = |seen: &[(&str, &str)]| look(&mut cursor, &heads, Initial::Skip, seen);
        assert!(look(&[("a", "1")]).is_empty());
        assert_eq!(look(&[("a", "2")]), ["a: 1 -> 2 #1"]);
        assert_eq!(look(&[("a", "1")]), ["a: 2 -> 1 #2"]);
        assert!(look(&[("a", "1")]).is_empty());
    }

    #[test]
    fn a_ref_that_is_deleted_and_made_again_never_uses_an_id_twice() {
        let (mut cursor, heads) = (None, watching("r", &["*"]));
        let mut look = |seen: &[(&str, &str)]| look(&mut cursor, &heads, Initial::Skip, seen);
        look(&[("a", "1"), ("b", "1")]);
        assert_eq!(look(&[("a", "2"), ("b", "1")]), ["a: 1 -> 2 #1"]);
        assert_eq!(look(&[("b", "1")]), ["a: 2 -> - #2"]);
        assert_eq!(look(&[("a", "2"), ("b", "1")]), ["a: - -> 2 #3"]);
        assert_eq!(look(&[("a", "2"), ("b", "2")]), ["b: 1 -> 2 #1"]);
    }

    #[test]
    fn refs_at_first_sight_are_events_only_where_asked_for() {
        let heads = watching("r", &["*"]);
        assert!(look(&mut None, &heads, Initial::Skip, &[("a", "1")]).is_empty());
        assert_eq!(look(&mut None, &heads, Initial::Emit, &[("a", "1")]), ["a: - -> 1 #1"]);
    }

    #[test]
    fn another_selection_deletes_nothing_and_makes_nothing() {
        let mut cursor = None;
        let (both, one) = (watching("r", &["a*", "b*"]), watching("r", &["b*", "c*"]));
        look(&mut cursor, &both, Initial::Skip, &[("a", "1"), ("b", "1")]);
        let changed = [("b", "2"), ("c", "1")];
        assert_eq!(look(&mut cursor, &one, Initial::Skip, &changed), ["b: 1 -> 2 #1"]);
        let other = watching("elsewhere", &["b*"]);
        assert!(look(&mut cursor, &other, Initial::Skip, &[("b", "9")]).is_empty());
        assert_eq!(look(&mut cursor, &other, Initial::Skip, &[("b", "8")]), ["b: 9 -> 8 #2"]);
    }

    #[test]
    fn a_stored_cursor_stays_readable() {
        let stored = serde_json::json!({
            "version": 1,
            "selection": { "repository": "r", "patterns": ["refs/*"] },
            "floor": 3,
            "refs": { "refs/a": { "commit": "1", "changes": 2 } },
        });
        let cursor = Cursor::read(&stored).unwrap();
        assert_eq!(cursor.write(), stored);
        let mut newer = stored;
        newer["version"] = 2.into();
        assert_eq!(Cursor::read(&newer).unwrap_err(), "it has version 2, this program knows 1");
    }
}
