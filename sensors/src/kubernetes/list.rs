//! All objects, page by page, next to all that are remembered.

use std::collections::{BTreeMap, BTreeSet};

use host::kubernetes::{Resource, Selected};
use model::ErrorKind;

use super::compare::{Heard, absent, present};
use super::object::{Entry, Object};
use super::outbox::Outbox;
use super::{ObjectSensor, Stop};

/// Objects of one page.
pub(super) const PAGE: usize = 500;
/// More than so many deletions at once, and more than a tenth of all, may be a mistake.
const GUARD: usize = 10;

/// A list that would tell too many deletions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Guarded {
    pub(super) missing: usize,
    pub(super) of: usize,
}

/// What a list found, beside what was told of it.
struct Found {
    /// All that is there.
    there: BTreeSet<String>,
    /// Objects in the place of others of their name, whose deletions are counted first.
    replaced: Vec<(Object, Heard)>,
    /// How many of these are held back: with one more, there are too many.
    held: usize,
    /// Further ones.
    more: usize,
    /// How much was remembered.
    of: usize,
}

impl ObjectSensor {
    /// Compares all objects with what is remembered, tells what differs and remembers it.
    /// Where the sensor stands then is not stored yet.
    pub(super) async fn compare(
        &self,
        outbox: &mut Outbox<'_>,
        resource: &Resource,
        doubted: bool,
    ) -> Result<(), Stop> {
        outbox.cursor.listing = true;
        let begun_at = outbox.now();
        let mut found = self.begin_list(outbox, doubted).await?;
        let (mut versions, mut times) = (BTreeMap::new(), BTreeMap::new());
        for scope in self.scopes() {
            let heard = |known_at, doubted| match known_at {
                None => Heard::First,
                Some(known_at) => Heard::Listed { known_at, doubted },
            };
            let (selected, mut next) = (self.selected(resource, scope.as_deref()), None);
            let name = scope.clone().unwrap_or_default();
            let mut size = PAGE;
            loop {
                let page = match self.cluster.list(&selected, size, next.as_deref()).await {
                    // Some of the objects are huge.
                    Err(failure) if failure.kind == ErrorKind::TooLarge && size > 1 => {
                        size = size.div_ceil(4);
                        continue;
                    }
                    page => page?,
                };
                // All pages are of the moment of the first.
                times.entry(name.clone()).or_insert(page.at.unwrap_or(begun_at));
                let doubted = doubted || outbox.cursor.is_past(&name, &page.version);
                let heard = heard(outbox.cursor.known_at(&name), doubted);
                let objects = page.objects.into_iter().filter_map(|value| outbox.read(value));
                let objects: Vec<Object> = objects.collect();
                outbox.fetch(objects.iter().map(|object| object.key.clone()).collect()).await?;
                for object in objects {
                    self.look(outbox, &mut found, object, heard).await?;
                }
                next = page.next;
                if next.is_none() {
                    versions.insert(name, page.version);
                    break;
                }
            }
        }
        // A list that was broken off is an error, and does not come here.
        self.miss(outbox, resource, found).await?;
        outbox.cursor.versions = versions;
        outbox.cursor.times = times;
        outbox.cursor.known_at = Some(begun_at);
        outbox.cursor.compared_at = Some(begun_at);
        outbox.cursor.listing = false;
        outbox.cursor.unserved = false;
        outbox.cursor.ways.values_mut().for_each(|way| way.marked = true);
        Ok(())
    }

    async fn begin_list(&self, outbox: &Outbox<'_>, doubted: bool) -> Result<Found, Stop> {
        let (_, of) = self.missing(outbox, &BTreeSet::new()).await?;
        // A kind that was taken away took its objects with it, but none of another history.
        let one_cause = outbox.cursor.unserved && !doubted;
        let guards = self.config.guards_deletions() && !one_cause;
        let held = if guards { self.allowed(of) } else { 0 };
        Ok(Found { there: BTreeSet::new(), replaced: Vec::new(), held, more: 0, of })
    }

    /// How many deletions of so many objects are no mistake.
    fn allowed(&self, of: usize) -> usize {
        // A few more may have gone since a person was asked.
        self.question.confirmed() + GUARD.max(of / 10)
    }

    async fn look(
        &self,
        outbox: &mut Outbox<'_>,
        found: &mut Found,
        object: Object,
        heard: Heard,
    ) -> Result<(), Stop> {
        found.there.insert(object.key.clone());
        let before = outbox.recall(&object.key).await?;
        let is_another = before.as_ref().is_some_and(|entry| entry.uid != object.uid);
        if is_another && found.held > 0 {
            match found.replaced.len() < found.held {
                true => found.replaced.push((object, heard)),
                false => found.more += 1,
            }
            return Ok(());
        }
        self.tell(outbox, before, object, heard).await
    }

    /// Tells what is new about an object.
    async fn tell(
        &self,
        outbox: &mut Outbox<'_>,
        before: Option<Entry>,
        object: Object,
        heard: Heard,
    ) -> Result<(), Stop> {
        let created = object.created;
        for change in present(before.as_ref(), object, heard, self.config.selective()) {
            let change = change.since(outbox.cursor.begun, created);
            outbox.put(&change, outbox.cursor.known_at.is_some());
        }
        if outbox.is_full() {
            outbox.store().await?;
        }
        Ok(())
    }

    /// Tells what is remembered and not there any more.
    async fn miss(
        &self,
        outbox: &mut Outbox<'_>,
        resource: &Resource,
        found: Found,
    ) -> Result<(), Stop> {
        // So that nothing gathered is missing in what is remembered.
        if !outbox.is_empty() {
            outbox.store().await?;
        }
        let (missing, _) = self.missing(outbox, &found.there).await?;
        // Left is not gone.
        let mut unchosen = match self.config.selective() {
            true => self.remaining(outbox, resource, missing.iter().cloned().collect()).await?,
            false => BTreeMap::new(),
        };
        let mut gone = Vec::new();
        for key in missing {
            let entry = outbox.recall(&key).await?;
            let same = |now: &Object| entry.is_some_and(|entry| entry.uid == now.uid);
            let now = unchosen.remove(&key).filter(same);
            gone.push((key, now));
        }
        let deleted = gone.iter().filter(|(_, now)| now.is_none()).count();
        let (missing, of) = (deleted + found.replaced.len() + found.more, found.of);
        if found.held > 0 && missing > found.held {
            return Err(Stop::Guarded(Guarded { missing, of }));
        }
        for (object, heard) in found.replaced {
            let before = outbox.recall(&object.key).await?;
            self.tell(outbox, before, object, heard).await?;
        }
        for (key, now) in gone {
            if let Some(entry) = outbox.recall(&key).await? {
                outbox.put(&absent(&entry, &key, now), true);
            }
            if outbox.is_full() {
                outbox.store().await?;
            }
        }
        Ok(())
    }

    /// The names of what is remembered and not `there`, and how much is remembered.
    async fn missing(
        &self,
        outbox: &Outbox<'_>,
        there: &BTreeSet<String>,
    ) -> Result<(Vec<String>, usize), Stop> {
        let (mut missing, mut of, mut after) = (Vec::new(), 0, String::new());
        loop {
            let page = outbox.context.memory.all(&after, PAGE).await?;
            of += page.len();
            let Some((last, _)) = page.last() else { return Ok((missing, of)) };
            after.clone_from(last);
            let names = page.into_iter().map(|(key, _)| key);
            missing.extend(names.filter(|key| !there.contains(key)));
        }
    }

    pub(super) fn scopes(&self) -> Vec<Option<String>> {
        match self.config.namespaces.as_slice() {
            [] => vec![None],
            names => names.iter().cloned().map(Some).collect(),
        }
    }

    pub(super) fn selected<'a>(
        &'a self,
        resource: &'a Resource,
        scope: Option<&'a str>,
    ) -> Selected<'a> {
        Selected {
            resource,
            namespace: scope,
            labels: self.config.labels.as_deref(),
            fields: self.config.fields.as_deref(),
            metadata_only: self.config.metadata_only,
        }
    }
}
