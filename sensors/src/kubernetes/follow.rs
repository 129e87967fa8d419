//! What changes, as it changes.

use std::collections::BTreeSet;

use futures::FutureExt;
use futures::future::select_all;
use host::kubernetes::{Resource, Told, Watch};
use model::{Duration, Timestamp};

use super::compare::{Heard, absent, deleted, present};
use super::object::Object;
use super::outbox::Outbox;
use super::{ObjectSensor, Stop};
use crate::SensorState;

/// Objects that a selector no longer chooses and that are known to have been chosen: as many as are
/// told apart from those that come to be chosen for the first time.
const MAX_LEFT: usize = 10_000;

/// Watches from where the cursor stands.
pub(super) struct Following<'s, 'o, 'a> {
    sensor: &'s ObjectSensor,
    outbox: &'o mut Outbox<'a>,
    resource: Resource,
    left: BTreeSet<String>,
}

impl<'s, 'o, 'a> Following<'s, 'o, 'a> {
    pub(super) fn new(
        sensor: &'s ObjectSensor,
        outbox: &'o mut Outbox<'a>,
        resource: Resource,
    ) -> Self {
        Self { sensor, outbox, resource, left: BTreeSet::new() }
    }

    /// Follows until then, or until nothing has come for `quiet`.
    pub(super) async fn until(
        &mut self,
        time: Timestamp,
        quiet: Option<Duration>,
    ) -> Result<(), Stop> {
        let scopes = self.sensor.scopes();
        let mut watches = Vec::new();
        for scope in &scopes {
            watches.push(self.begin(scope.as_deref()).await?);
        }
        self.outbox.context.sink.state(SensorState::Running);
        let clock = self.outbox.context.clock.clone();
        loop {
            let end = quiet.map_or(time, |quiet| quiet.after(clock.now()).min(time));
            let words = watches.iter_mut().map(|watch| watch.next().boxed());
            let (word, n) = tokio::select! {
                (word, n, _) = select_all(words) => (word, n),
                () = clock.sleep_until(end) => return Ok(()),
            };
            let scope = scopes[n].as_deref();
            let mut word = Some(word);
            let mut marked = false;
            // What is here already goes into the same commit.
            while let Some(told) = word {
                let Some(told) = told? else {
                    watches[n] = self.begin(scope).await?;
                    break;
                };
                marked |= matches!(told, Told::Bookmark(_));
                self.take(scope, told).await?;
                if self.outbox.is_full() {
                    self.outbox.store().await?;
                }
                word = watches[n].next().now_or_never();
            }
            // What does not count moves nothing until the next bookmark.
            if marked || !self.outbox.is_empty() {
                self.outbox.store().await?;
            }
        }
    }

    async fn begin(&self, scope: Option<&str>) -> Result<Watch, Stop> {
        let version = self.outbox.cursor.versions.get(scope.unwrap_or_default());
        let selected = self.sensor.selected(&self.resource, scope);
        let timing = &self.sensor.timing;
        let version = version.map_or("", String::as_str);
        let watch = self.sensor.cluster.watch(&selected, version, timing.length, timing.idle);
        Ok(watch.await?)
    }

    async fn take(&mut self, scope: Option<&str>, word: Told) -> Result<(), Stop> {
        let version = match word {
            Told::Bookmark(version) => Some(version),
            Told::Added(value) | Told::Modified(value) => match self.outbox.read(value) {
                Some(object) => Some(self.present(object).await?),
                None => None,
            },
            Told::Deleted(value) => match self.outbox.read(value) {
                Some(object) => Some(self.absent(object).await?),
                None => None,
            },
        };
        if let Some(version) = version {
            let scope = scope.unwrap_or_default().to_owned();
            self.outbox.cursor.versions.insert(scope, version);
        }
        self.outbox.cursor.known_at = Some(self.outbox.now());
        Ok(())
    }

    async fn present(&mut self, object: Object) -> Result<String, Stop> {
        let before = self.outbox.recall(&object.key).await?;
        let (version, uid) = (object.version.clone(), object.uid.clone());
        let heard = Heard::Watched { left_before: self.left.remove(&uid) };
        let selective = self.sensor.config.selective();
        for change in present(before.as_ref(), object, heard, selective) {
            self.outbox.put(&change, false);
        }
        Ok(version)
    }

    /// An object was deleted, or a selector does not choose it any more.
    async fn absent(&mut self, object: Object) -> Result<String, Stop> {
        let (key, version) = (object.key.clone(), object.version.clone());
        let before = self.outbox.recall(&key).await?;
        let now = match self.sensor.config.selective() {
            true => self.sensor.get(self.outbox, &self.resource, &key, Some(&object.uid)).await?,
            false => None,
        };
        let change = match (&before, now) {
            (Some(entry), Some(now)) => {
                if self.left.len() < MAX_LEFT {
                    self.left.insert(now.uid.clone());
                }
                absent(entry, &key, Some(now))
            }
            (None, Some(_)) => return Ok(version),
            (before, None) => deleted(before.as_ref(), object),
        };
        self.outbox.put(&change, false);
        Ok(version)
    }
}
