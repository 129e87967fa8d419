//! The comparison as a function: a table, and histories of chance in which nobody may miss anything.

use std::collections::{BTreeMap, BTreeSet};

use model::{Duration, Timestamp, Value};
use serde_json::json;

use super::compare::{Change, Heard, Operation, absent, deleted, present};
use super::cursor::Cursor;
use super::object::{Entry, Object};
use super::ways::{Changes, Way};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// An object made at 100 s.
fn thing(uid: &str, version: u64, generation: u64, spec: u64) -> Value {
    json!({ "apiVersion": "example.com/v1", "kind": "Thing", "spec": { "n": spec },
        "metadata": { "name": "a", "namespace": "x", "uid": uid, "generation": generation,
            "resourceVersion": version.to_string(), "creationTimestamp": "1970-01-01T00:01:40Z",
            "managedFields": [{ "time": "1970-01-01T00:01:40Z" }] } })
}

fn read(value: Value, changes: &Changes) -> Object {
    Object::read(value, &[Way { number: 0, changes: changes.clone() }]).unwrap()
}

fn shown(changes: &[Change]) -> Vec<String> {
    let told = changes.iter().map(|change| {
        let operation = change.operation.map_or("-", |operation| operation.as_str());
        let remembered = change.entry.as_ref().map_or("-", |entry| entry.version.as_str());
        format!("{operation} {} {remembered}", change.uid)
    });
    told.collect()
}

fn listed(doubted: bool) -> Heard {
    Heard::Listed { known_at: at(200), doubted }
}

#[test]
fn what_is_new_about_an_object_follows_from_what_is_remembered() {
    let spec = &Changes::Spec;
    let watched = Heard::Watched { left_before: false };
    let back = Heard::Watched { left_before: true };
    let before = Some((1, 1, 1));
    for (case, before, now, heard, selective, expected) in [
        ("new to a watch", None, ("u", 2, 1, 1), watched, false, &["added u 2"][..]),
        ("new to a selector", None, ("u", 2, 1, 1), watched, true, &["added u 2"]),
        ("chosen again", None, ("u", 2, 1, 1), back, true, &["entered u 2"]),
        (
            "older than the last look, chosen since",
            None,
            ("u", 2, 1, 1),
            listed(false),
            true,
            &["entered u 2"],
        ),
        (
            "older than the last look, no selector",
            None,
            ("u", 2, 1, 1),
            listed(false),
            false,
            &["added u 2"],
        ),
        ("its generation moved", before, ("u", 2, 2, 2), watched, false, &["modified u 2"]),
        ("its status alone", before, ("u", 2, 1, 1), watched, false, &[]),
        ("the same in a list", before, ("u", 1, 1, 1), listed(false), false, &[]),
        ("its status alone, by a list", before, ("u", 2, 1, 1), listed(false), false, &[]),
        (
            "a known version with other content",
            before,
            ("u", 1, 1, 9),
            listed(false),
            false,
            &["modified u 1"],
        ),
        (
            "a known generation with other content, by a list",
            before,
            ("u", 7, 1, 9),
            listed(false),
            false,
            &["modified u 7"],
        ),
        (
            "a known generation with other content, by a watch",
            before,
            ("u", 7, 1, 9),
            watched,
            false,
            &[],
        ),
        (
            "another history, the same content",
            before,
            ("u", 7, 1, 1),
            listed(true),
            false,
            &["- u 7"],
        ),
        (
            "another history, other content",
            before,
            ("u", 7, 1, 9),
            listed(true),
            false,
            &["modified u 7"],
        ),
        (
            "made anew under its name",
            before,
            ("v", 5, 1, 1),
            listed(false),
            false,
            &["deleted u -", "added v 5"],
        ),
    ] {
        let entry = before.map(|(v, g, s)| read(thing("u", v, g, s), spec).entry());
        let (uid, version, generation, content) = now;
        let now = read(thing(uid, version, generation, content), spec);
        assert_eq!(shown(&present(entry.as_ref(), now, heard, selective)), expected, "{case}");
    }
}

#[test]
fn somebody_who_wrote_to_an_object_after_it_was_made_had_it_chosen() {
    let mut value = thing("u", 5, 1, 1);
    value["metadata"]["managedFields"] =
        json!([{ "time": "1970-01-01T00:02:00Z", "subresource": "status" }]);
    let watched = Heard::Watched { left_before: false };
    let told =
        |value: &Value| shown(&present(None, read(value.clone(), &Changes::Spec), watched, true));
    assert_eq!(told(&value), ["added u 5"], "a status is written to what is new, too");
    value["metadata"]["managedFields"] = json!([{ "time": "1970-01-01T00:02:00Z" }]);
    assert_eq!(told(&value), ["entered u 5"]);
}

#[test]
fn changes_at_other_paths_do_not_count() {
    let changes = Changes::Paths(vec!["spec.n".parse().unwrap()]);
    let entry = read(thing("u", 1, 1, 1), &changes).entry();
    let mut labelled = thing("u", 2, 1, 1);
    labelled["metadata"]["labels"] = json!({ "a": "b" });
    let watched = Heard::Watched { left_before: false };
    let told = |value: Value, changes: &Changes, entry: &Entry| {
        shown(&present(Some(entry), read(value, changes), watched, false))
    };
    assert!(told(labelled.clone(), &changes, &entry).is_empty());
    assert_eq!(told(thing("u", 2, 1, 2), &changes, &entry), ["modified u 2"]);
    let any = read(thing("u", 1, 1, 1), &Changes::Any).entry();
    assert_eq!(told(labelled, &Changes::Any, &any), ["modified u 2"]);
    assert!(told(thing("u", 2, 1, 1), &Changes::Any, &any).is_empty(), "versions alone");
}

#[test]
fn what_is_gone_is_told_as_it_was_known_last() {
    let entry = read(thing("u", 1, 1, 7), &Changes::Spec).entry();
    let stored = Entry::read(entry.write()).unwrap();
    assert_eq!(stored, entry);
    let gone = absent(&stored, "x/a", None);
    assert_eq!(
        (shown(std::slice::from_ref(&gone)), &gone.object["spec"]["n"]),
        (vec!["deleted u -".to_owned()], &json!(7))
    );
    let left = absent(&stored, "x/a", Some(read(thing("u", 3, 1, 7), &Changes::Spec)));
    assert_eq!(shown(&[left]), ["left u -"]);
}

#[test]
fn of_what_is_too_large_the_conditions_are_remembered() {
    let path = Changes::Paths(vec!["status.conditions".parse().unwrap()]);
    let mut chance = Chance(1);
    let noise: String = (0..60_000).map(|_| format!("{:08x}", chance.below(1 << 32))).collect();
    let large = |version, ready: &str, noise: &str| {
        let mut value = thing("u", version, 1, 1);
        value["spec"]["noise"] = noise.into();
        let of =
            |kind: &str, status: &str| json!({ "type": kind, "status": status, "reason": "r" });
        value["status"] = json!({ "conditions": [of("Ready", ready), of("Full", "False")] });
        read(value, &path)
    };
    let watched = Heard::Watched { left_before: false };
    let entry = Entry::read(large(1, "False", &noise).entry().write()).unwrap();
    assert_eq!(entry.object(), None, "too large");
    let next = |entry: &Entry, now| present(Some(entry), now, watched, false).remove(0);
    let told = next(&entry, large(2, "True", &noise));
    let before = told.conditions.clone().unwrap();
    let condition = json!({ "status": "False", "reason": "r" });
    assert_eq!((&before["Ready"], &before["Full"]), (&condition, &condition));
    // One that could not be told stays next to what was told last.
    let owed = told.owed().unwrap();
    assert_eq!(next(&owed, large(3, "True", &noise)).conditions, Some(before));
    // One that is small by now is remembered whole from then on.
    let small = next(&entry, large(4, "True", ""));
    assert!(small.conditions.is_some() && small.entry.unwrap().conditions().is_none());
}

#[test]
fn a_change_counts_for_those_who_count_so() {
    let paths = Changes::Paths(vec!["spec.n".parse().unwrap()]);
    let all = [Changes::Spec, Changes::Any, paths];
    let ways: Vec<Way> = (0..).zip(all).map(|(number, changes)| Way { number, changes }).collect();
    let read = |value| Object::read(value, &ways).unwrap();
    let entry = Entry::read(read(thing("u", 1, 1, 1)).entry().write()).unwrap();
    let watched = Heard::Watched { left_before: false };
    let counts = |value: Value| {
        let told = present(Some(&entry), read(value), watched, false);
        told.into_iter().map(|change| change.counts).collect::<Vec<_>>()
    };
    let mut status = thing("u", 2, 1, 1);
    status["status"] = json!({ "ready": true });
    let mut other = thing("u", 3, 2, 1);
    other["spec"]["other"] = true.into();
    assert_eq!(counts(status), [BTreeSet::from([1])]);
    assert_eq!(counts(other), [BTreeSet::from([0, 1])]);
    assert_eq!(counts(thing("u", 4, 2, 2)), [BTreeSet::from([0, 1, 2])]);
    assert!(counts(thing("u", 5, 1, 1)).is_empty());
    // Of a way that was taken up since nothing is known: it is marked, and nothing is told.
    let before =
        Entry::read(Object::read(thing("u", 1, 1, 1), &ways[..1]).unwrap().entry().write());
    let marked = present(before.as_ref(), read(thing("u", 1, 1, 1)), listed(false), false);
    assert_eq!(shown(&marked), ["- u 1"]);
}

#[test]
fn a_way_of_counting_that_is_taken_up_again_has_another_number() {
    let begun = Cursor::new(at(0));
    let numbers = |cursor: &mut Cursor, changes: &[Changes]| -> Vec<u32> {
        cursor.take_up(changes, &Changes::Spec).iter().map(|way| way.number).collect()
    };
    let mut cursor = begun.clone();
    assert_eq!(numbers(&mut cursor, &[Changes::Any, Changes::Spec]), [0, 1]);
    cursor.ways.values_mut().for_each(|way| way.marked = true);
    assert_eq!(numbers(&mut cursor, &[Changes::Spec]), [1]);
    assert!(cursor.is_marked());
    let mut cursor = Cursor::read(&cursor.write()).unwrap();
    assert_eq!(numbers(&mut cursor, &[Changes::Any, Changes::Spec]), [2, 1]);
    assert!(!cursor.is_marked());
}

#[test]
fn a_time_of_the_api_server_that_belongs_to_a_version_only_moves_on() {
    let mut cursor = Cursor::new(at(0));
    cursor.known_at = Some(at(9000));
    cursor.reach("a", "7".to_owned(), Some(at(20)));
    cursor.reach("a", "8".to_owned(), Some(at(10)));
    cursor.reach("a", "9".to_owned(), None);
    assert_eq!((cursor.known_at("a"), cursor.versions["a"].as_str()), (Some(at(20)), "9"));
    let mut value = thing("u", 5, 1, 1);
    let newest = |value: &Value| read(value.clone(), &Changes::Spec).newest;
    assert_eq!(newest(&value), Some(at(100)));
    value["metadata"]["managedFields"] =
        json!([{ "time": "1970-01-01T00:02:00Z", "subresource": "status" }]);
    assert_eq!(newest(&value), Some(at(120)));
}

#[test]
fn all_is_compared_again_once_it_is_time_whatever_ended_meanwhile() {
    let mut cursor = Cursor::new(at(0));
    cursor.compared_at = Some(at(100));
    let cursor = Cursor::read(&cursor.write()).unwrap();
    let due = |now| cursor.is_due(Duration::from_secs(60), at(now));
    assert_eq!([due(100), due(159), due(160), due(99)], [false, false, true, true]);
}

#[test]
fn what_was_stored_before_watches_were_shared_is_read_as_it_was_meant() {
    let stored = json!({ "begun": "1970-01-01T00:00:01Z", "versions": { "": "7" },
        "known_at": "1970-01-01T00:00:02Z", "listing": false, "history": "k", "unserved": false });
    let mut cursor = Cursor::read(&stored).unwrap();
    let ways = cursor.take_up(&[Changes::Any, Changes::Spec], &Changes::Spec);
    assert_eq!(ways.iter().map(|way| way.number).collect::<Vec<_>>(), [1, 0]);
    assert!(cursor.is_complete(&[None]) && !cursor.is_marked());
    assert_eq!(cursor.known_at(""), Some(at(2)));
    assert!(cursor.is_due(Duration::from_secs(3600), at(3)), "nobody knows when all was compared");
    let entry = json!({ "uid": "u", "version": "1", "generation": 1,
        "print": read(thing("u", 1, 1, 1), &Changes::Spec).marks[&0].print });
    let entry = Entry::read(entry).unwrap();
    let watched = Heard::Watched { left_before: false };
    let told = |generation| {
        let now = read(thing("u", 2, generation, 1), &Changes::Spec);
        shown(&present(Some(&entry), now, watched, false))
    };
    assert_eq!((told(1), told(2)), (vec![], vec!["modified u 2".to_owned()]));
}

/// Numbers of chance that are the same in each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A cluster with a few names, and what a watch of it would tell.
#[derive(Default)]
struct World {
    version: u64,
    there: BTreeMap<u64, Value>,
    log: Vec<(u64, u64, Option<Value>, Value)>,
}

impl World {
    fn step(&mut self, chance: &mut Chance) {
        self.version += 1;
        let name = chance.below(4);
        let uid = format!("u{}", self.version);
        let make = |uid: &str, version, n| {
            let mut value = thing(uid, version, n, n);
            value["metadata"]["name"] = name.to_string().into();
            value
        };
        let now = match (self.there.get(&name), chance.below(3)) {
            (None, _) => Some(make(&uid, self.version, 1)),
            (Some(_), 0) => None,
            (Some(old), _) => {
                let uid = old["metadata"]["uid"].as_str().unwrap();
                Some(make(uid, self.version, old["spec"]["n"].as_u64().unwrap() + 1))
            }
        };
        let last = now.clone().or(self.there.remove(&name)).unwrap();
        if let Some(now) = &now {
            self.there.insert(name, now.clone());
        }
        self.log.push((self.version, name, now, last));
    }
}

/// What somebody knows who hears nothing but what is told, and the sensor's own memory.
#[derive(Default)]
struct Told {
    memory: BTreeMap<String, Value>,
    known: BTreeMap<String, (String, u64)>,
    version: u64,
}

impl Told {
    fn take(&mut self, changes: Vec<Change>) {
        for change in changes {
            let n = change.object["spec"]["n"].as_u64().unwrap();
            let before = self.known.get(&change.key).cloned();
            let (uid, key) = (change.uid.clone(), change.key.clone());
            match change.operation.map(Operation::as_str) {
                Some("added") => assert_eq!(before, None, "{key} was added twice"),
                Some("modified") => {
                    let (known, m) = before.unwrap();
                    assert!(known == uid && m < n, "{key} was told twice, or out of order");
                }
                Some("deleted") => assert_eq!(before.unwrap().0, uid, "another {key} was deleted"),
                other => panic!("{other:?}"),
            }
            if let Some(entry) = change.entry {
                self.memory.insert(key.clone(), entry.write());
                self.known.insert(key, (uid, n));
            } else {
                self.memory.remove(&key);
                self.known.remove(&key);
            }
        }
    }

    fn recall(&self, key: &str) -> Option<Entry> {
        self.memory.get(key).cloned().and_then(Entry::read)
    }

    fn list(&mut self, world: &World) {
        let heard = match self.version {
            0 => Heard::First,
            _ => listed(false),
        };
        for value in world.there.values() {
            let object = read(value.clone(), &Changes::Spec);
            self.take(present(self.recall(&object.key).as_ref(), object, heard, false));
        }
        let there: Vec<String> = world.there.keys().map(|name| format!("x/{name}")).collect();
        let missing: Vec<String> =
            self.memory.keys().filter(|key| !there.contains(key)).cloned().collect();
        for key in missing {
            let gone = absent(&self.recall(&key).unwrap(), &key, None);
            self.take(vec![gone]);
        }
        self.version = world.version;
    }

    fn follow(&mut self, world: &World) {
        let heard = Heard::Watched { left_before: false };
        for (version, _, now, last) in &world.log {
            if *version <= self.version {
                continue;
            }
            let object = read(now.as_ref().unwrap_or(last).clone(), &Changes::Spec);
            let before = self.recall(&object.key);
            self.take(match now {
                Some(_) => present(before.as_ref(), object, heard, false),
                None => vec![deleted(before.as_ref(), object)],
            });
            self.version = *version;
        }
    }
}

#[test]
fn lists_and_watches_in_any_order_miss_nothing_and_tell_nothing_twice() {
    for seed in 0..50 {
        let (mut chance, mut world, mut told) = (Chance(seed), World::default(), Told::default());
        for _ in 0..200 {
            match chance.below(8) {
                0 => told.list(&world),
                1 if told.version > 0 => told.follow(&world),
                _ => world.step(&mut chance),
            }
        }
        told.list(&world);
        let there = world.there.iter().map(|(name, value)| {
            let uid = value["metadata"]["uid"].as_str().unwrap().to_owned();
            (format!("x/{name}"), (uid, value["spec"]["n"].as_u64().unwrap()))
        });
        assert_eq!(told.known, there.collect(), "seed {seed}");
    }
}
