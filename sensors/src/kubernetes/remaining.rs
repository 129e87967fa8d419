//! What a watch with a selector calls deleted: whether it is gone, or there without being chosen.
//!
//! That takes a look at each, or one at everything around them: whichever takes fewer requests. All who
//! ask a cluster share its rate, and a namespace that goes takes thousands of objects along.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};
use host::kubernetes::{Resource, Selected};
use model::ErrorKind;

use super::list::PAGE;
use super::object::{Object, key_of};
use super::outbox::Outbox;
use super::{ObjectSensor, Stop};

/// So few are looked up one by one without asking what a list would take.
const FEW: usize = 10;
/// Look-ups at a time: as many as the API server answers without queueing, beside others' requests.
const SIDE_BY_SIDE: usize = 16;

impl ObjectSensor {
    /// Those of the objects with these names that are there, chosen or not.
    pub(super) async fn remaining(
        &self,
        outbox: &Outbox<'_>,
        resource: &Resource,
        names: BTreeSet<String>,
    ) -> Result<BTreeMap<String, Object>, Stop> {
        let (mut there, mut apart) = (BTreeMap::new(), BTreeSet::new());
        for (namespace, names) in by_namespace(names) {
            let picked = names.len() > FEW
                && self.pick(outbox, resource, namespace.as_deref(), &names, &mut there).await?;
            if !picked {
                apart.extend(names);
            }
        }
        let scattered = self.config.namespaces.is_empty() && apart.len() > FEW;
        if scattered && self.pick(outbox, resource, None, &apart, &mut there).await? {
            return Ok(there);
        }
        // Boxed, so that it is plain to the compiler that other threads may have them.
        let looks: Vec<BoxFuture<'_, _>> =
            apart.iter().map(|key| self.get(outbox, resource, key).boxed()).collect();
        let looked = futures::stream::iter(looks);
        let found: Vec<Option<Object>> =
            looked.buffer_unordered(SIDE_BY_SIDE).try_collect().await?;
        there.extend(found.into_iter().flatten().map(|object| (object.key.clone(), object)));
        Ok(there)
    }

    /// Puts those of `names` that a list of everything in `namespace` holds into `there`. False: it would
    /// take more requests than there are names.
    async fn pick(
        &self,
        outbox: &Outbox<'_>,
        resource: &Resource,
        namespace: Option<&str>,
        names: &BTreeSet<String>,
        there: &mut BTreeMap<String, Object>,
    ) -> Result<bool, Stop> {
        let chosen = self.selected(resource, namespace);
        let selected = Selected { labels: None, fields: None, ..chosen };
        let (mut asked, mut next) = (0, None);
        loop {
            let page = self.cluster.list(&selected, PAGE, next.as_deref()).await;
            let page = match page {
                Err(failure) if failure.is_denied() || failure.kind == ErrorKind::TooLarge => {
                    return Ok(false);
                }
                page => page?,
            };
            asked += 1;
            if asked + page.remaining.unwrap_or(0).div_ceil(PAGE) > names.len() {
                return Ok(false);
            }
            let wanted =
                |value: &model::Value| key_of(value).is_some_and(|key| names.contains(&key));
            let found = page.objects.into_iter().filter(wanted);
            let found = found.filter_map(|value| outbox.read(value));
            there.extend(found.map(|object| (object.key.clone(), object)));
            next = page.next;
            if next.is_none() {
                return Ok(true);
            }
        }
    }

    /// The object of this name, if it is there.
    async fn get(
        &self,
        outbox: &Outbox<'_>,
        resource: &Resource,
        key: &str,
    ) -> Result<Option<Object>, Stop> {
        let (namespace, name) = match key.split_once('/') {
            Some((namespace, name)) => (Some(namespace), name),
            None => (None, key),
        };
        let found = self.cluster.find_pruned(&self.selected(resource, namespace), name).await?;
        Ok(found.and_then(|value| outbox.read(value)))
    }
}

fn by_namespace(names: BTreeSet<String>) -> BTreeMap<Option<String>, BTreeSet<String>> {
    let mut groups: BTreeMap<Option<String>, BTreeSet<String>> = BTreeMap::new();
    for name in names {
        let namespace = name.split_once('/').map(|(namespace, _)| namespace.to_owned());
        groups.entry(namespace).or_default().insert(name);
    }
    groups
}
