//! What keeps the state folder from growing without end: from time to time, what is no longer
//! kept is forgotten, in small steps between which everybody else has their turn.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use host::git::Mirrors;
use model::{ExecutionId, Hash, Timestamp};
use store::{Position, Retention, StoreError};

use crate::core::Core;
use crate::driver::Driver;
use crate::going_on::latest_run;
use crate::packs::Packs;
use crate::pages;
use crate::sensing::Sensing;

/// Between two steps. A step takes some milliseconds of the thread that writes the store.
const BREATH: Duration = Duration::from_millis(20);
/// After the start, when what matters more has begun.
const SOON: Duration = Duration::from_secs(10);
/// Executions that have not ended, read at a time.
const PAGE: usize = 1_000;
/// A folder that is younger may belong to something that is not stored yet.
const YOUNG: Duration = Duration::from_secs(24 * 60 * 60);

/// A mirror that no sensor fills any more stays for so long: a sensor may be away for a while, such
/// as one whose secret is missing.
const UNUSED_MIRRORS: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Forgets what `keep` does not keep: soon after the start, then again after each `every`.
pub(crate) async fn run(
    core: Arc<Core>,
    (packs, driver, sensing): (Arc<Packs>, Driver, Arc<Sensing>),
    keep: Retention,
    every: Duration,
) {
    let mut pause = every.min(SOON);
    loop {
        tokio::select! {
            () = core.stopping.cancelled() => return,
            () = tokio::time::sleep(pause) => pause = every,
        }
        pages::retry(&core, &driver).await;
        if let Err(error) = core.drop_versions().await {
            tracing::warn!(%error, "old versions of secrets stay for now");
        }
        match sensing.forget_unwanted(keep.default.events).await {
            Ok(0) => {}
            Ok(objects) => tracing::info!(objects, "forgot what watches nobody wants remembered"),
            Err(error) => {
                tracing::warn!(%error, "what watches nobody wants remembered stays for now");
            }
        }
        match once(&core, &packs, &sensing, &keep).await {
            Ok(0) => {}
            Ok(facts) => tracing::info!(facts, "forgot what is no longer kept"),
            Err(error) => tracing::warn!(%error, "what is no longer kept stays for now"),
        }
    }
}

/// Everything that can be forgotten now; how many facts that were.
async fn once(
    core: &Core,
    packs: &Packs,
    sensing: &Sensing,
    keep: &Retention,
) -> Result<u64, StoreError> {
    let now = core.now();
    // What hinders one of them is no reason to let the others grow.
    let pruned = prune(core, keep, now).await;
    let tidied = tidy(core, keep, now).await;
    drop_logs(core).await?;
    drop_logs_of_runs(core).await?;
    drop_sensor_logs(core, keep);
    drop_exports(core).await?;
    drop_mirrors(core, sensing.mirrors());
    drop_parts(core);
    // A page that is still to be stored may be all that names a pack's content.
    if core.store.deferred().await?.is_empty() {
        packs.drop_unused(core, sensing).await?;
    }
    tidied.and(pruned)
}

/// Takes the bodies of facts that are not kept; how many.
async fn prune(core: &Core, keep: &Retention, now: Timestamp) -> Result<u64, StoreError> {
    let (mut facts, mut after) = (0, Position(0));
    while !core.stopping.is_cancelled() {
        let pruned = core.store.prune(keep, after, now).await?;
        facts += pruned.facts;
        match pruned.next {
            Some(next) => after = next,
            None => break,
        }
        tokio::time::sleep(BREATH).await;
    }
    Ok(facts)
}

/// Gives back the place of what is pruned.
async fn tidy(core: &Core, keep: &Retention, now: Timestamp) -> Result<(), StoreError> {
    while !core.stopping.is_cancelled() && core.store.tidy(keep, now).await? {
        tokio::time::sleep(BREATH).await;
    }
    Ok(())
}

/// Removes what executions that are not kept exported for themselves.
async fn drop_exports(core: &Core) -> Result<(), StoreError> {
    let exports = core.folders.exports();
    let failed = |error: std::io::Error| StoreError::Io(format!("exports: {error}"));
    for owner in exports.owners().map_err(failed)? {
        let Ok(id) = owner.parse::<ExecutionId>() else { continue };
        if core.store.execution(&id).await?.is_none() {
            exports.release(&owner).map_err(failed)?;
        }
    }
    Ok(())
}

/// Removes what is left of downloads that a kill has cut short and that nobody took up again.
fn drop_parts(core: &Core) {
    let parts = host::download::parts_of(&core.folders.exports());
    for name in old_entries(&parts, YOUNG) {
        remove(&parts.join(name));
    }
}

/// Removes mirrors that no sensor fills.
fn drop_mirrors(core: &Core, mirrors: &Mirrors) {
    let (folder, used) = (core.folders.git(), mirrors.folders());
    for name in old_entries(&folder, UNUSED_MIRRORS) {
        let mirror = folder.join(name);
        if std::path::absolute(&mirror).is_ok_and(|mirror| !used.contains(&mirror)) {
            remove(&mirror);
        }
    }
}

/// Removes the logs of executions that are not kept.
async fn drop_logs(core: &Core) -> Result<(), StoreError> {
    // `logs/ex_…`: a child's lie within those of its root.
    for name in old_entries(&core.folders.logs_of_all(), YOUNG) {
        let Ok(id) = name.parse::<ExecutionId>() else { continue };
        if core.store.execution(&id).await?.is_none() {
            remove(&core.folders.logs(&id));
        }
    }
    Ok(())
}

/// Removes the logs of runs that are not kept, of children that went on while what runs them has not ended.
async fn drop_logs_of_runs(core: &Core) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let page = core.store.unfinished(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.id.clone());
        for row in page.into_iter().filter(|row| row.id.parent().is_none()) {
            drop_runs_below(core, row.id).await?;
        }
    }
}

async fn drop_runs_below(core: &Core, root: ExecutionId) -> Result<(), StoreError> {
    let mut above = vec![root];
    while let Some(id) = above.pop() {
        for place in old_entries(&core.folders.logs(&id), Duration::ZERO) {
            let Ok(child) = format!("{id}/{place}").parse::<ExecutionId>() else { continue };
            if core.store.execution(&child).await?.is_some() {
                above.push(child);
            } else if latest_run(&*core.store, &child).await?.is_some() {
                remove(&core.folders.logs(&child));
            }
        }
    }
    Ok(())
}

/// Removes what programs of sensors printed that are gone, once it is as old as executions that go.
fn drop_sensor_logs(core: &Core, keep: &Retention) {
    let generation = core.generation.load();
    for pack in old_entries(&core.folders.sensor_logs(), Duration::ZERO) {
        let folder = core.folders.sensor_logs().join(&pack);
        let named = keep.packs.iter().find(|(name, _)| name.as_str() == pack);
        let age = named.map_or(&keep.default, |(_, ages)| ages).executions.to_std();
        for file in old_entries(&folder, age) {
            // `name.log` and `name.older.log`.
            let sensor = file.split('.').next().unwrap_or_default();
            if !generation.subscriptions.contains_key(&format!("{pack}/{sensor}")) {
                remove(&folder.join(file));
            }
        }
        if !generation.packs.keys().any(|name| name.as_str() == pack) {
            // Only where nothing is left in it.
            let _ = std::fs::remove_dir(folder);
        }
    }
}

impl Packs {
    /// Removes copies of pack contents that nobody names: neither an active pack nor an execution
    /// that is kept, nor a step of one, nor a sensor that goes on with its files.
    async fn drop_unused(&self, core: &Core, sensing: &Sensing) -> Result<(), StoreError> {
        let _still = self.still().await;
        let copies = old_entries(&core.folders.packs(), YOUNG).into_iter();
        let copies: Vec<Hash> = copies.filter_map(|name| name.parse().ok()).collect();
        let mut used = core.store.named(&copies).await?;
        used.extend(core.generation.load().packs.values().map(|pack| pack.hash));
        used.extend(sensing.contents());
        if let Some((_, packs)) = core.store.generation().await? {
            used.extend(packs.into_values());
        }
        let unused: BTreeSet<Hash> = copies.into_iter().filter(|it| !used.contains(it)).collect();
        for hash in unused {
            remove(&core.folders.pack(&hash));
        }
        Ok(())
    }
}

/// Names of what lies in `parent` and has not changed for a while.
#[expect(clippy::disallowed_methods, reason = "compared with times that the file system keeps")]
fn old_entries(parent: &Path, old: Duration) -> Vec<String> {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let old = entries.filter(|entry| {
        let changed = entry.metadata().and_then(|found| found.modified());
        changed.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age > old))
    });
    old.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn remove(path: &Path) {
    let removed =
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    if let Err(error) = removed {
        tracing::warn!(path = %path.display(), %error, "it is no longer needed and stays");
    }
}
