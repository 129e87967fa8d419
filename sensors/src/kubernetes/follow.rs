//! What changes, as it changes.

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt;
use futures::future::select_all;
use host::kubernetes::{Resource, Told};
use model::{Duration, Timestamp};

use super::compare::{Change, Heard, absent, deleted, present};
use super::cursor::is_before;
use super::ear::{Batch, Ear};
use super::object::Object;
use super::outbox::Outbox;
use super::{ObjectSensor, Stop};
use crate::SensorState;

/// Objects that a selector no longer chooses and that are known to have been chosen: as many as are
/// told apart from those that come to be chosen for the first time.
const MAX_LEFT: usize = 10_000;

/// What a watch told, as it is read here.
enum Word {
    There(Object),
    /// It is gone, or not chosen any more.
    Gone(Object),
    /// Nothing is missing up to this version.
    Mark(String),
}

impl Word {
    /// The object that it is about.
    fn object(&self) -> Option<&Object> {
        match self {
            Self::There(object) | Self::Gone(object) => Some(object),
            Self::Mark(_) => None,
        }
    }

    fn version(&self) -> &str {
        match self {
            Self::There(object) | Self::Gone(object) => &object.version,
            Self::Mark(version) => version,
        }
    }
}

/// Watches from where the cursor stands.
pub(super) struct Following<'s, 'o, 'a> {
    sensor: &'s ObjectSensor,
    outbox: &'o mut Outbox<'a>,
    resource: Resource,
    /// The versions of the namespaces when it began: what lies before happened while nobody watched.
    missed: BTreeMap<String, String>,
    left: BTreeSet<String>,
}

impl<'s, 'o, 'a> Following<'s, 'o, 'a> {
    pub(super) fn new(
        sensor: &'s ObjectSensor,
        outbox: &'o mut Outbox<'a>,
        resource: Resource,
        missed: BTreeMap<String, String>,
    ) -> Self {
        Self { sensor, outbox, resource, missed, left: BTreeSet::new() }
    }

    /// Follows until then; with `quiet` until all that was missed is told, or nothing has come for so long.
    pub(super) async fn until(
        &mut self,
        time: Timestamp,
        quiet: Option<Duration>,
    ) -> Result<(), Stop> {
        let scopes = self.sensor.scopes();
        let mut ears = Vec::new();
        for scope in &scopes {
            ears.push(self.begin(scope.as_deref()).await?);
        }
        self.outbox.context.sink.state(SensorState::Running);
        let clock = self.outbox.context.clock.clone();
        let mut turn = 0;
        while quiet.is_none() || !self.has_caught_up() {
            let end = quiet.map_or(time, |quiet| quiet.after(clock.now()).min(time));
            // The first that has something to say is heard: each is so in its turn.
            let (before, after) = ears.split_at_mut(turn);
            let heard = after.iter_mut().chain(before).map(|ear| ear.next().boxed());
            let (first, n) = tokio::select! {
                (first, n, _) = select_all(heard) => (first, n),
                () = clock.sleep_until(end) => return Ok(()),
            };
            let n = (turn + n) % ears.len();
            turn = (n + 1) % ears.len();
            let scope = scopes[n].as_deref();
            let Batch { words, ended, room } = ears[n].batch(first);
            self.take(scope, words).await?;
            drop(room);
            if let Some(ended) = ended {
                ended?;
                ears[n] = self.begin(scope).await?;
            }
        }
        Ok(())
    }

    /// Whether all that was missed is told.
    fn has_caught_up(&self) -> bool {
        let versions = &self.outbox.cursor.versions;
        let told = |name: &String| versions.get(name).map_or("", String::as_str);
        self.missed.iter().all(|(name, version)| !is_before(told(name), version))
    }

    async fn begin(&self, scope: Option<&str>) -> Result<Ear, Stop> {
        let version = self.outbox.cursor.versions.get(scope.unwrap_or_default());
        let selected = self.sensor.selected(&self.resource, scope);
        let timing = &self.sensor.timing;
        let version = version.map_or("", String::as_str);
        let watch = self.sensor.cluster.watch(&selected, version, timing.length, timing.idle);
        Ok(Ear::new(watch.await?))
    }

    async fn take(&mut self, scope: Option<&str>, words: Vec<Told>) -> Result<(), Stop> {
        let marked = words.iter().any(|word| matches!(word, Told::Bookmark(_)));
        let words: Vec<Word> = words.into_iter().filter_map(|word| self.read(word)).collect();
        let known: BTreeSet<String> =
            words.iter().filter_map(Word::object).map(|it| it.key.clone()).collect();
        self.outbox.fetch(known.into_iter().collect()).await?;
        let unchosen = self.unchosen(&words).await?;
        let scope = scope.unwrap_or_default();
        let missed = self.missed.get(scope).cloned().unwrap_or_default();
        for word in words {
            let (version, time) =
                (word.version().to_owned(), word.object().and_then(|it| it.newest));
            let catch_up = version == missed || is_before(&version, &missed);
            match word {
                Word::Mark(_) => {}
                Word::There(object) => self.present(object, catch_up).await?,
                Word::Gone(object) => {
                    let now = unchosen.get(&object.key).filter(|now| now.uid == object.uid);
                    self.absent(object, now.cloned(), catch_up).await?;
                }
            }
            self.outbox.cursor.reach(scope, version, time);
            self.outbox.cursor.known_at = Some(self.outbox.now());
            if self.outbox.is_full() {
                self.outbox.send().await?;
            }
        }
        // What does not count moves nothing until the next bookmark.
        if marked || !self.outbox.is_empty() {
            self.outbox.send().await?;
        }
        Ok(self.outbox.settle().await?)
    }

    fn read(&self, word: Told) -> Option<Word> {
        Some(match word {
            Told::Bookmark(version) => Word::Mark(version),
            Told::Added(value) | Told::Modified(value) => Word::There(self.outbox.read(value)?),
            Told::Deleted(value) => Word::Gone(self.outbox.read(value)?),
        })
    }

    /// Those of the objects that are called deleted here which are only not chosen any more.
    async fn unchosen(&self, words: &[Word]) -> Result<BTreeMap<String, Object>, Stop> {
        let gone = words.iter().filter_map(|word| match word {
            Word::Gone(object) => Some(object.key.clone()),
            Word::There(_) | Word::Mark(_) => None,
        });
        match self.sensor.config.selective() {
            true => self.sensor.remaining(self.outbox, &self.resource, gone.collect()).await,
            false => Ok(BTreeMap::new()),
        }
    }

    async fn present(&mut self, object: Object, catch_up: bool) -> Result<(), Stop> {
        let before = self.outbox.recall(&object.key).await?;
        let heard = Heard::Watched { left_before: self.left.remove(&object.uid) };
        let selective = self.sensor.config.selective();
        for change in present(before.as_ref(), object, heard, selective) {
            self.outbox.put(&change, catch_up);
        }
        Ok(())
    }

    /// An object was deleted, or a selector does not choose it any more; `now` is what it is then.
    async fn absent(
        &mut self,
        object: Object,
        now: Option<Object>,
        catch_up: bool,
    ) -> Result<(), Stop> {
        let (key, version) = (object.key.clone(), object.version.clone());
        let before = self.outbox.recall(&key).await?;
        let change = match (&before, now) {
            (Some(entry), Some(now)) => {
                if self.left.len() < MAX_LEFT {
                    self.left.insert(now.uid.clone());
                }
                // It may have been chosen again since, and have left once more.
                Change { version, ..absent(entry, &key, Some(now)) }
            }
            (None, Some(_)) => return Ok(()),
            (before, None) => deleted(before.as_ref(), object),
        };
        self.outbox.put(&change, catch_up);
        Ok(())
    }
}
