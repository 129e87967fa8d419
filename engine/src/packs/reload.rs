//! The packs of the configured folders: which content is active, and how that changes.
//!
//! A change is atomic: all rules of one generation or all of the next. A pack that fails to load
//! keeps its last good content and says so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use model::{Actor, BatchId, Diagnostic, Fact, Location, PackName, Stream};
use store::{Batch, Write};

use super::absent;
use super::broken::AllBroken;
use super::check::cross_check;
use super::load::load_snapshot;
use super::pin::Snapshot;
use super::together::name_of;
use super::{Findings, Generation, Pack};
use crate::core::{Core, Trouble};
use crate::decide::decide_under;
use crate::environment::{Environment, EnvironmentStatus, Keeper, check_pack};
use crate::notices;
use crate::pages::{Begun, Room, Sides};
use crate::random;

/// The configured folders and what became of them.
pub struct Packs {
    folders: Vec<PathBuf>,
    environment: Keeper,
    /// Held while something changes, which may wait for the store.
    turn: tokio::sync::Mutex<()>,
    /// What is active, and recorded as such.
    slots: ArcSwap<BTreeMap<PathBuf, PackStatus>>,
}

/// One pack's folder.
#[derive(Clone)]
pub struct PackStatus {
    /// The folder.
    pub folder: PathBuf,
    /// The active content.
    pub active: Option<Arc<Pack>>,
    /// Whether the active content is older than the files, because these are broken or gone.
    pub stale: bool,
    /// What was found about the files.
    pub findings: Findings,
    /// Whether they are to be read again though nothing has changed: their copy could not be written.
    pub unpinned: bool,
}

impl Packs {
    /// Packs of `folders`: a folder with a `pack.yaml` is one, else its sub-folders that have one.
    /// They run in the environment of the file `environment`, of which a copy is kept in `state`.
    pub fn new(folders: Vec<PathBuf>, environment: Option<PathBuf>, state: &Path) -> Self {
        let environment = Keeper::new(environment, state);
        Self {
            folders,
            environment,
            turn: tokio::sync::Mutex::default(),
            slots: ArcSwap::default(),
        }
    }

    /// Reads the environment, without which packs are not read.
    pub fn read_environment(&self) -> Result<(), Findings> {
        self.environment.read().map(drop)
    }

    /// How the environment stands.
    pub fn environment(&self) -> EnvironmentStatus {
        self.environment.status()
    }

    /// The folders that are watched.
    pub fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// The folder of the environment's file.
    pub fn environment_folder(&self) -> Option<PathBuf> {
        self.environment.folder()
    }

    /// Keeps everything as it is, the copies of contents too, until the answer is dropped.
    pub(crate) async fn still(&self) -> impl Drop {
        self.turn.lock().await
    }

    /// How each pack stands.
    pub fn status(&self) -> Vec<PackStatus> {
        self.slots.load().values().cloned().collect()
    }

    /// Whether a copy could not be written of content that may be good.
    pub(crate) fn is_unpinned(&self) -> bool {
        self.slots.load().values().any(|slot| slot.unpinned)
    }

    /// Reads the folders and activates what has changed. True if anything did.
    pub(crate) async fn reload(&self, core: &Core) -> Result<(bool, Begun), Trouble> {
        let _turn = self.turn.lock().await;
        let slots = self.slots.load_full();
        let first = slots.is_empty();
        // Its first content was read before; a broken one changes nothing.
        let moved = self.environment.read().unwrap_or_default();
        let environment = self.environment.status().active;
        let mut next = self.read(core, &slots, &environment).await;
        absent::keep(&self.folders, &slots, &mut next);
        let checked = self.fall_back(core, &mut next, &environment).await;
        let found = next.values().flat_map(|slot| slot.findings.clone());
        self.environment.remember(&checked, &found.collect::<Findings>());
        blame(&mut next, &self.environment.status());
        let generation = core.generation.load_full();
        let packs: BTreeMap<PackName, Arc<Pack>> = next
            .values()
            .filter_map(|slot| slot.active.clone())
            .map(|pack| (pack.name.clone(), pack))
            .collect();
        let changed = first || !same_packs(&packs, &generation.packs);
        let rejected = newly_rejected(&slots, &next, &self.environment.status());
        let good_again = good_again(&slots, &next);
        core.connections.set(environment.connections.values().cloned());
        core.environment.store(environment.clone());
        let is_told = !rejected.is_empty() || !good_again.is_empty();
        if !changed && !moved && !is_told {
            self.slots.store(Arc::new(next));
            return Ok((false, Begun::default()));
        }
        let number = generation.number + u64::from(changed);
        let switches = core.store.rule_switches().await?;
        for pack in packs.values() {
            core.library.hold(pack);
        }
        let active = Generation::assemble(number, packs, &switches, Some(&environment));
        let active = Arc::new(active);
        if !changed && !is_told {
            // Only what the environment lends has changed.
            self.slots.store(Arc::new(next));
            core.generation.store(active);
            return Ok((moved, Begun::default()));
        }
        let news = News { rejected, good_again, changed };
        let (recorded, told) = record(core, &active, &generation, &news).await?;
        let mut begun = Begun::of(&recorded.writes);
        append(core, recorded).await?;
        // Recorded, it is active, whatever becomes of what is told of it.
        self.slots.store(Arc::new(next));
        core.generation.store(active);
        for sides in told {
            begun.extend(tell(core, sides).await);
        }
        Ok((changed || moved, begun))
    }

    /// The rules' enabled states have changed.
    pub async fn switched(&self, core: &Core) -> Result<(), Trouble> {
        let _turn = self.turn.lock().await;
        let generation = core.generation.load_full();
        let switches = core.store.rule_switches().await?;
        let (packs, environment) = (generation.packs.clone(), core.environment.load());
        let next = Generation::assemble(generation.number, packs, &switches, Some(&environment));
        core.generation.store(Arc::new(next));
        Ok(())
    }

    async fn read(
        &self,
        core: &Core,
        before: &BTreeMap<PathBuf, PackStatus>,
        environment: &Arc<Environment>,
    ) -> BTreeMap<PathBuf, PackStatus> {
        let mut next = BTreeMap::new();
        for folder in discover(&self.folders) {
            let last = before.get(&folder).and_then(|slot| slot.active.clone());
            let (context, pins, shown) =
                (core.library.context().clone(), core.folders.clone(), folder.clone());
            let (known, environment) = (last.clone(), environment.clone());
            let read = tokio::task::spawn_blocking(move || {
                let mut read = Snapshot::read(&shown);
                read.0.configure(&environment);
                let hash = read.0.hash();
                if let Some(same) = known.filter(|pack| pack.hash == hash && read.1.is_empty()) {
                    return (Some(same), Vec::new(), false);
                }
                let folder = pins.pack(&hash);
                let read_so = load_snapshot(&read, &shown, &folder, &context);
                let (pack, mut findings) = read_so.usable();
                // What does not fit is refused further on: it may hold secrets of the environment.
                if pack.as_ref().is_some_and(|pack| fits(pack, &environment))
                    && let Err(error) = read.0.write(&folder)
                {
                    let at = Location::file(folder.display().to_string());
                    findings
                        .push(Diagnostic::error(at, format!("the pack cannot be pinned: {error}")));
                    return (None, findings, true);
                }
                (pack.map(Arc::new), findings, false)
            });
            let (active, findings, unpinned) = match read.await {
                Ok(read) => read,
                Err(error) => {
                    let at = Location::file(folder.display().to_string());
                    let error = Diagnostic::error(at, format!("reading it failed: {error}"));
                    (None, vec![error], false)
                }
            };
            let stale = active.is_none();
            let active = active.or(last);
            let status = PackStatus { folder: folder.clone(), active, stale, findings, unpinned };
            next.insert(folder, status);
        }
        next
    }

    /// Packs that can't be used, by themselves or with the others, get their last good content.
    /// Answers which were held against the environment.
    async fn fall_back(
        &self,
        core: &Core,
        slots: &mut BTreeMap<PathBuf, PackStatus>,
        environment: &Environment,
    ) -> BTreeSet<PackName> {
        refuse_equal_names(slots);
        let recorded = core.store.generation().await.ok().flatten().map(|(_, packs)| packs);
        for slot in slots.values_mut().filter(|slot| slot.stale && slot.active.is_none()) {
            slot.active = last_good(core, slot, recorded.as_ref()).await;
        }
        let packs: Vec<Arc<Pack>> = slots.values().filter_map(|slot| slot.active.clone()).collect();
        let rejected = slots.values().filter(|slot| slot.active.is_none());
        let rejected = rejected.filter_map(|slot| name_of(&slot.folder)).collect();
        let broken = AllBroken { packs: rejected, ..AllBroken::default() };
        let mut findings = cross_check(&packs, &broken, &core.library, Some(environment));
        let generation = core.generation.load_full();
        for slot in slots.values_mut() {
            let Some(pack) = slot.active.clone() else { continue };
            let found = findings.remove(&pack.name).unwrap_or_default();
            if !slot.stale && found.iter().any(Diagnostic::is_error) {
                slot.active = generation.packs.get(&pack.name).cloned();
                slot.stale = true;
            }
            slot.findings.extend(found);
        }
        packs.iter().map(|pack| pack.name.clone()).collect()
    }
}

fn fits(pack: &Pack, environment: &Environment) -> bool {
    !check_pack(pack, environment).iter().any(Diagnostic::is_error)
}

/// The packs that a broken environment gives values to keep its last good ones, and say so.
fn blame(slots: &mut BTreeMap<PathBuf, PackStatus>, status: &EnvironmentStatus) {
    let concerns = |pack: &Arc<Pack>| {
        let environment = &status.active;
        environment.packs.contains_key(&pack.name)
            || environment.connections.values().any(|spec| spec.admits(&pack.name))
    };
    for slot in slots.values_mut().filter(|slot| slot.active.as_ref().is_some_and(concerns)) {
        slot.stale |= status.stale;
        slot.findings.extend(status.findings.iter().cloned());
    }
}

/// The content that was active when the engine last ran.
async fn last_good(
    core: &Core,
    slot: &PackStatus,
    recorded: Option<&BTreeMap<PackName, model::Hash>>,
) -> Option<Arc<Pack>> {
    let name = slot.folder.file_name()?.to_str()?.parse::<PackName>().ok()?;
    let hash = recorded?.get(&name)?;
    core.library.pack(&core.folders, *hash).await.ok()
}

/// Each folder that holds a pack, once.
pub(super) fn discover(folders: &[PathBuf]) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for folder in folders {
        if folder.join("pack.yaml").exists() || !folder.is_dir() {
            found.push(folder.clone());
            continue;
        }
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        let packs = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.join("pack.yaml").exists());
        found.extend(packs);
    }
    found.sort();
    found.dedup();
    found
}

/// The pack has the name of the one in `owner`.
pub(super) fn same_name(pack: &Pack, owner: &Path) -> Diagnostic {
    let message = format!("the name `{}` is taken by the pack in {}", pack.name, owner.display());
    let finding = Diagnostic::error(pack.at.clone(), message).with_hint("rename one of them");
    match pack.texts.get(&pack.at.file) {
        Some(text) => finding.in_text(text),
        None => finding,
    }
}

/// A name belongs to the first folder that claims it.
fn refuse_equal_names(slots: &mut BTreeMap<PathBuf, PackStatus>) {
    let mut owners: BTreeMap<PackName, PathBuf> = BTreeMap::new();
    for slot in slots.values_mut() {
        let Some(name) = slot.active.as_ref().map(|pack| pack.name.clone()) else { continue };
        if let Some(owner) = owners.get(&name) {
            slot.findings.extend(slot.active.as_deref().map(|pack| same_name(pack, owner)));
            slot.active = None;
            slot.stale = true;
        } else {
            owners.insert(name, slot.folder.clone());
        }
    }
}

fn same_packs(a: &BTreeMap<PackName, Arc<Pack>>, b: &BTreeMap<PackName, Arc<Pack>>) -> bool {
    a.len() == b.len()
        && a.iter().all(|(name, pack)| b.get(name).is_some_and(|p| p.hash == pack.hash))
}

/// Notices that no rule wants go into the commit of what they tell, as far as it has room; each of
/// the others gets one of its own right after it.
const TOLD_TOGETHER: usize = 400;

/// Packs whose files are refused and were not, or for another reason.
fn newly_rejected(
    before: &BTreeMap<PathBuf, PackStatus>,
    now: &BTreeMap<PathBuf, PackStatus>,
    environment: &EnvironmentStatus,
) -> Vec<(PackName, String)> {
    let mut rejected = Vec::new();
    for (folder, slot) in now.iter().filter(|(_, slot)| slot.stale) {
        let same = before.get(folder).is_some_and(|old| old.stale && old.findings == slot.findings);
        if same {
            continue;
        }
        let mut errors = slot.findings.iter().filter(|finding| finding.is_error());
        let error = errors.next();
        log_rejected(folder, error, errors.count(), environment);
        let name = slot.active.as_ref().map(|pack| pack.name.clone());
        let name = name.or_else(|| folder.file_name()?.to_str()?.parse().ok());
        let error = error.map(ToString::to_string).unwrap_or_default();
        rejected.extend(name.map(|name| (name, error)));
    }
    rejected
}

/// Packs whose files were refused and are again what is active.
fn good_again(
    before: &BTreeMap<PathBuf, PackStatus>,
    now: &BTreeMap<PathBuf, PackStatus>,
) -> BTreeSet<PackName> {
    let was_refused = |folder: &PathBuf| before.get(folder).is_some_and(|slot| slot.stale);
    let good = now.iter().filter(|(folder, slot)| !slot.stale && was_refused(folder));
    good.filter_map(|(_, slot)| slot.active.as_ref().map(|pack| pack.name.clone())).collect()
}

/// What a look at the files brought.
struct News {
    rejected: Vec<(PackName, String)>,
    good_again: BTreeSet<PackName>,
    /// Whether the active contents are others.
    changed: bool,
}

/// Says in the log whose fault it is, and where the rest of the findings is told. Of a broken file of the
/// environment it says so already.
fn log_rejected(
    folder: &Path,
    error: Option<&Diagnostic>,
    more: usize,
    environment: &EnvironmentStatus,
) {
    if error.is_some_and(|error| environment.findings.contains(error)) {
        return;
    }
    let of_environment =
        |error: &Diagnostic| Some(&error.at.file) == environment.active.file.as_ref();
    let pack = folder.display();
    let mut told = error.map(Diagnostic::in_short).unwrap_or_default();
    if more > 0 {
        told = format!("{told}; and {more} more: tripline check {pack}");
    }
    if error.is_some_and(of_environment) {
        tracing::warn!(%pack, error = told, "the environment does not fit the pack");
    } else {
        tracing::warn!(%pack, error = told, "the pack's files are refused");
    }
}

/// What records the generation, and events that tell of it, for commits of their own.
async fn record(
    core: &Core,
    now: &Arc<Generation>,
    before: &Generation,
    news: &News,
) -> Result<(Sides, Vec<Sides>), Trouble> {
    let recorded = core.store.generation().await?.map(|(_, packs)| packs).unwrap_or_default();
    let mut told = Vec::new();
    let mut writes: BTreeMap<Stream, Vec<Fact>> = BTreeMap::new();
    let is_new =
        |pack: &Arc<Pack>| before.packs.get(&pack.name).is_none_or(|old| old.hash != pack.hash);
    let is_good_again = |pack: &Arc<Pack>| news.good_again.contains(&pack.name);
    for pack in now.packs.values().filter(|pack| is_new(pack) || is_good_again(pack)) {
        // At a start all packs are new to the process, but not to the store.
        if recorded.get(&pack.name) != Some(&pack.hash) || is_good_again(pack) {
            told.extend(notices::pack_activated(core, now, pack));
        }
        let fact = Fact::PackActivated { version: pack.version.clone(), hash: pack.hash };
        writes.entry(Stream::Pack(pack.name.clone())).or_default().push(fact);
    }
    for (name, error) in &news.rejected {
        told.push(notices::pack_rejected(core, name, error));
        let fact = Fact::PackRejected { error: error.clone() };
        writes.entry(Stream::Pack(name.clone())).or_default().push(fact);
    }
    if news.changed {
        let fact = Fact::GenerationActivated { generation: now.number, packs: now.hashes() };
        writes.entry(Stream::Installation).or_default().push(fact);
    }
    let writes = writes.into_iter().map(|(stream, facts)| Write::new(stream, None, facts));
    let mut writes: Vec<Write> = writes.collect();
    let mut late = Vec::new();
    for event in told {
        let told = decide_under(core, now, event, None, Room::SHARE).await?.into_sides();
        let wanted = Begun::of(&told.writes);
        let facts: usize = writes.iter().chain(&told.writes).map(|write| write.facts.len()).sum();
        let alone = wanted.executions.is_empty() && told.sealing.is_empty();
        match facts <= TOLD_TOGETHER && alone {
            true => writes.extend(told.writes),
            false => late.push(told),
        }
    }
    Ok((writes.into(), late))
}

/// Stores an event that tells of a generation; what it brings into being.
async fn tell(core: &Core, sides: Sides) -> Begun {
    let begun = Begun::of(&sides.writes);
    match append(core, sides).await {
        Ok(()) => begun,
        Err(error) => {
            tracing::error!(%error, "what became of a pack could not be told as an event");
            Begun::default()
        }
    }
}

async fn append(core: &Core, sides: Sides) -> Result<(), Trouble> {
    let batch = Batch {
        id: BatchId::new(format!("packs/{}", random::name())),
        actor: Actor::engine(),
        at: core.now(),
        writes: sides.writes,
    };
    core.append_sealing(batch, sides.sealing).await?;
    Ok(())
}
