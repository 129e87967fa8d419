//! What can be found wrong without running anything: between the files of a pack, and between
//! packs and what is built in.

mod actions;
mod rights;
mod rules;
mod sensors;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::actions::BuiltinContext;
use model::diagnostic::instead;
use model::{ActionRef, Diagnostic, Location, PackName, TriggerType};

use super::load::load_in;
use super::reload::{discover, same_name};
use super::triggers::TriggerInfo;
use super::{Findings, Generation, Library, LoadContext, Pack, offline};
use crate::environment::{Environment, check_pack};

/// Everything that is wrong with the packs in `paths`, by themselves and together.
pub fn check_packs(paths: &[PathBuf]) -> Findings {
    check_packs_in(paths, None)
}

/// The same, and whether they fit the environment that they are to run in.
pub fn check_packs_in(paths: &[PathBuf], environment: Option<&Environment>) -> Findings {
    let context = offline::context();
    let (packs, rejected, mut findings) = read(paths, &context, environment);
    let library = Library::new(crate::render::builtin(&BuiltinContext::default()), context.clone());
    // What is beside a pack is there for it, and not asked about.
    let beside = offline::beside(&packs, &context);
    let all: Vec<Arc<Pack>> = packs.iter().chain(&beside).cloned().collect();
    let mut crossed = cross_check(&all, &rejected, &library, environment);
    findings.extend(packs.iter().filter_map(|pack| crossed.remove(&pack.name)).flatten());
    let names = || packs.iter().map(|pack| &pack.name);
    findings.extend(environment.map(|e| e.strangers(names())).unwrap_or_default());
    findings.sort_by(|a, b| a.at.cmp(&b.at));
    findings
}

/// The packs in `paths` that read well, with the configuration that `environment` gives them.
pub fn packs_in(paths: &[PathBuf], environment: &Environment) -> Vec<Arc<Pack>> {
    read(paths, &offline::context(), Some(environment)).0
}

fn read(
    paths: &[PathBuf],
    context: &LoadContext,
    environment: Option<&Environment>,
) -> (Vec<Arc<Pack>>, BTreeSet<String>, Findings) {
    let mut packs: Vec<Arc<Pack>> = Vec::new();
    let mut rejected = BTreeSet::new();
    let mut findings = Vec::new();
    let folders = discover(paths);
    if folders.is_empty() {
        let shown =
            paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        let finding = Diagnostic::error(Location::file(shown), "there is no pack here");
        findings.push(finding.with_hint(
            "a pack is a folder with a pack.yaml; name it, or the folder that holds it",
        ));
    }
    for folder in folders {
        let (pack, found) = load_in(&folder, context, environment);
        findings.extend(found);
        let Some(pack) = pack else {
            rejected.extend(name_of(&folder));
            continue;
        };
        match packs.iter().find(|other| other.name == pack.name) {
            Some(other) => findings.push(same_name(&pack, &other.folder)),
            None => packs.push(Arc::new(pack)),
        }
    }
    (packs, rejected, findings)
}

/// The name of a pack whose files could not be used: that of its folder.
pub(crate) fn name_of(folder: &Path) -> Option<String> {
    Some(folder.file_name()?.to_str()?.to_owned())
}

/// What is wrong between packs that each read well, by pack; `rejected` did not.
pub(super) fn cross_check(
    packs: &[Arc<Pack>],
    rejected: &BTreeSet<String>,
    library: &Library,
    environment: Option<&Environment>,
) -> BTreeMap<PackName, Findings> {
    let by_name = packs.iter().map(|pack| (pack.name.clone(), pack.clone())).collect();
    let generation = Generation::idle(by_name);
    let triggers = &generation.triggers;
    let mut findings = BTreeMap::new();
    for pack in packs {
        let check = Check { library, generation: &generation, triggers, rejected, pack };
        let mut found = check.all();
        found.extend(environment.map(|e| check_pack(pack, e)).unwrap_or_default());
        findings.insert(pack.name.clone(), found);
    }
    findings
}

struct Check<'a> {
    library: &'a Library,
    generation: &'a Generation,
    triggers: &'a BTreeMap<TriggerType, TriggerInfo>,
    rejected: &'a BTreeSet<String>,
    pack: &'a Arc<Pack>,
}

impl Check<'_> {
    fn all(&self) -> Findings {
        let rules = self.pack.rules.values().flat_map(|rule| self.rule(rule));
        let actions = self.pack.actions.values().flat_map(|action| self.action(action));
        let sensors = self.pack.sensors.values();
        let sensors = sensors
            .flat_map(|spec| self.sensor_connection(spec).into_iter().chain(self.program(spec)))
            .chain(self.pack.sensors.values().flat_map(|spec| self.sensor_secrets(spec)));
        let mut findings: Findings = self.required();
        for finding in rules.chain(actions).chain(sensors) {
            // A library is checked with every chain, and wrong only once.
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
        findings
    }

    /// Packs that it needs and that are not there, or in another version.
    fn required(&self) -> Findings {
        let unmet = self.pack.requires.iter().filter_map(|required| {
            let (name, versions) = (&required.pack, &required.versions);
            let (message, hint) = match self.generation.packs.get(name) {
                Some(pack) if versions.fit(&pack.version) => return None,
                Some(pack) => (
                    format!("the pack needs `{name}` {versions}, this is {}", pack.version),
                    "use another version of one of the two".to_owned(),
                ),
                None => (
                    format!("the pack needs `{name}`, which is not here"),
                    self.rejected(name.as_str()).unwrap_or_else(|| {
                        format!("put the folder `{name}` beside it: packs are loaded together")
                    }),
                ),
            };
            Some(self.shown(Diagnostic::error(required.at.clone(), message).with_hint(hint)))
        });
        unmet.collect()
    }

    /// What may have been meant by the name of no action.
    fn instead(&self, reference: &ActionRef) -> String {
        let names = self.library.names(self.generation);
        let known = names.iter().map(String::as_str);
        self.rejected(reference.pack()).unwrap_or_else(|| instead(reference.as_str(), known))
    }

    /// What to do where something is missing because its pack could not be used.
    fn rejected(&self, pack: &str) -> Option<String> {
        let hint = || format!("the pack `{pack}` has errors of its own: mend them first");
        self.rejected.contains(pack).then(hint)
    }

    /// The finding with its line. A chain knows a library by the name it imports, a user by its
    /// file.
    fn shown(&self, mut finding: Diagnostic) -> Diagnostic {
        let import = format!("/{}.rhai", finding.at.file);
        let texts = &self.pack.texts;
        let text = texts.get_key_value(&finding.at.file);
        let Some((file, text)) =
            text.or_else(|| texts.iter().find(|(file, _)| file.ends_with(&import)))
        else {
            return finding;
        };
        finding.at.file.clone_from(file);
        finding.in_text(text)
    }
}
