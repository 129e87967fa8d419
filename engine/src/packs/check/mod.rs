//! What can be found wrong without running anything: between the files of a pack, and between
//! packs and what is built in.

mod actions;
mod rights;
mod rules;
mod sensors;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use ::actions::BuiltinContext;
use model::diagnostic::instead;
use model::{ActionRef, Diagnostic, Location, PackName, TriggerType};

use super::broken::AllBroken;
use super::reload::discover;
use super::shipped::{call_shipped, on_shelf, unwritable};
use super::together::Together;
use super::triggers::TriggerInfo;
use super::{Findings, Generation, Library, Pack, offline};
use crate::environment::{Environment, check_pack};
use crate::render;

/// Everything that is wrong with the packs in `paths`, by themselves and together.
pub fn check_packs(paths: &[PathBuf]) -> Findings {
    check_packs_in(paths, None)
}

/// The same, and whether they fit the environment that they are to run in.
///
/// `builtin:NAME` is a pack that ships with Tripline.
pub fn check_packs_in(paths: &[PathBuf], environment: Option<&Environment>) -> Findings {
    let shelf = match tempfile::tempdir() {
        Ok(shelf) => shelf,
        Err(error) => return vec![unwritable(&error.to_string())],
    };
    let checked = on_shelf(paths, shelf.path()).map(|paths| check_folders(&paths, environment));
    let mut findings = checked.unwrap_or_else(|findings| findings);
    for finding in &mut findings {
        call_shipped(&mut finding.at.file, shelf.path());
    }
    findings
}

fn check_folders(paths: &[PathBuf], environment: Option<&Environment>) -> Findings {
    let context = offline::context();
    let mut read = Together::read(discover(paths), &context, environment);
    let names: Vec<PackName> = read.packs.iter().map(|pack| pack.name.clone()).collect();
    let mut findings = std::mem::take(&mut read.findings);
    if names.is_empty() && findings.is_empty() {
        findings.push(no_pack(paths));
    }
    // What is beside a pack is there for it, and not asked about.
    offline::beside(&mut read, &context);
    let library =
        Library::new(render::builtin(&BuiltinContext::default(), render::On::Here), context);
    let mut crossed = cross_check(&read.packs, &read.broken, &library, environment);
    findings.extend(names.iter().filter_map(|name| crossed.remove(name)).flatten());
    findings.extend(environment.map(|e| e.strangers(names.iter())).unwrap_or_default());
    findings.sort_by(|a, b| a.at.cmp(&b.at));
    findings
}

/// The packs in `paths` as far as they can be read, with the configuration that `environment`
/// gives them.
pub fn packs_in(paths: &[PathBuf], environment: &Environment) -> Vec<Arc<Pack>> {
    Together::read(discover(paths), &offline::context(), Some(environment)).packs
}

fn no_pack(paths: &[PathBuf]) -> Diagnostic {
    let shown = paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    Diagnostic::error(Location::file(shown), "there is no pack here")
        .with_hint("a pack is a folder with a pack.yaml; name it, or the folder that holds it")
}

/// What is wrong between packs, by pack. What is `broken` is there, and nothing is known of it.
pub(super) fn cross_check(
    packs: &[Arc<Pack>],
    broken: &AllBroken,
    library: &Library,
    environment: Option<&Environment>,
) -> BTreeMap<PackName, Findings> {
    let by_name = packs.iter().map(|pack| (pack.name.clone(), pack.clone())).collect();
    let generation = Generation::idle(by_name);
    let triggers = &generation.triggers;
    let mut findings = BTreeMap::new();
    for pack in packs {
        let check = Check { library, generation: &generation, triggers, broken, pack };
        let mut found = check.all();
        if !check.is_unread(&pack.name) {
            found.extend(environment.map(|e| check_pack(pack, e)).unwrap_or_default());
        }
        findings.insert(pack.name.clone(), found);
    }
    findings
}

struct Check<'a> {
    library: &'a Library,
    generation: &'a Generation,
    triggers: &'a BTreeMap<TriggerType, TriggerInfo>,
    broken: &'a AllBroken,
    pack: &'a Arc<Pack>,
}

impl Check<'_> {
    fn all(&self) -> Findings {
        let rules = self.pack.rules.values().flat_map(|rule| self.rule(rule));
        let actions = self.pack.actions.values().flat_map(|action| self.action(action));
        let sensors = self.pack.sensors.values();
        let sensors = sensors
            .flat_map(|spec| self.sensor_connection(spec).into_iter().chain(self.program(spec)))
            .chain(self.pack.sensors.values().filter_map(|spec| self.poked(spec)))
            .chain(self.pack.sensors.values().flat_map(|spec| self.sensor_secrets(spec)))
            .chain(self.pack.sensors.values().filter_map(|spec| self.sensor_host(spec)));
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
            if self.is_unread(name) {
                return None;
            }
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

    /// That there is no action of this name, unless its file is there and wrong.
    fn no_action(&self, reference: &ActionRef) -> Option<(String, String)> {
        let names = self.action_names();
        if names.iter().any(|name| name == reference.as_str()) {
            return None;
        }
        let known = names.iter().map(String::as_str);
        let hint = self.rejected(reference.pack());
        let hint = hint.unwrap_or_else(|| instead(reference.as_str(), known));
        Some((format!("there is no action `{reference}`"), hint))
    }

    /// Every action that there is, also those whose file is wrong.
    fn action_names(&self) -> Vec<String> {
        let mut names = self.library.names(self.generation);
        names.extend(self.broken.actions());
        names
    }

    /// Every trigger type that there is, also those whose file is wrong.
    fn trigger_names(&self) -> Vec<String> {
        self.triggers.keys().map(ToString::to_string).chain(self.broken.triggers()).collect()
    }

    /// What to do where something is missing because its pack could not be used.
    fn rejected(&self, pack: &str) -> Option<String> {
        let hint = || format!("the pack `{pack}` has errors of its own: mend them first");
        self.broken.packs.contains(pack).then(hint)
    }

    /// Whether the pack's `pack.yaml` is wrong, so that nobody knows what it says.
    fn is_unread(&self, pack: &PackName) -> bool {
        self.broken.of(pack).is_some_and(|broken| broken.manifest)
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
