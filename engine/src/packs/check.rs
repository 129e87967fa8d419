//! What can be found wrong without running anything: between the files of a pack, and between
//! packs and what is built in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use actions::BuiltinContext;
use chains::Signature;
use host::secret::SecretRef;
use model::diagnostic::instead;
use model::{ActionRef, Diagnostic, Effect, Location, Map, PackName, Schema, TriggerType, Value};
use rules::{Rule, Trigger};

use super::assemble::{sensor_ref, sensor_type};
use super::load::load_in;
use super::named::Named;
use super::reached::{self, Unlisted};
use super::reload::{discover, same_name};
use super::{
    ActionKind, Findings, Generation, Library, LoadContext, Pack, PackAction, Resolved, SensorSpec,
    offline,
};
use crate::environment::{Environment, check_pack};
use crate::notices;

/// A trigger type that rules can name.
#[derive(Debug, Clone)]
pub struct TriggerInfo {
    /// Its name.
    pub kind: TriggerType,
    /// When it happens.
    pub description: String,
    /// What a rule's `trigger.parameters` may hold.
    pub parameters: Schema,
    /// What a rule sees as `trigger`.
    pub payload: Schema,
}

/// The trigger types that are built in and those of these packs.
pub(super) fn triggers<'a>(
    packs: impl Iterator<Item = &'a Arc<Pack>>,
) -> BTreeMap<TriggerType, TriggerInfo> {
    let compiled =
        |properties: &Map| Schema::compile(properties).unwrap_or_else(|_| Schema::empty());
    let builtin = sensors::trigger_types().into_iter().chain(notices::trigger_types());
    let builtin = builtin.filter_map(|kind| {
        Some(TriggerInfo {
            kind: kind.name.parse().ok()?,
            description: kind.description.to_owned(),
            parameters: compiled(&kind.parameters),
            payload: compiled(&kind.payload),
        })
    });
    let own = packs.flat_map(|pack| pack.triggers.values()).map(|spec| TriggerInfo {
        kind: spec.kind.clone(),
        description: spec.description.clone(),
        parameters: Schema::empty(),
        payload: spec.payload.clone(),
    });
    builtin.chain(own).map(|info| (info.kind.clone(), info)).collect()
}

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

    fn rule(&self, rule: &Rule) -> Findings {
        let mut findings = self.trigger(rule);
        let reference = &rule.action.reference;
        match self.library.resolve(self.generation, Some(self.pack), reference) {
            Err(_) => {
                let hint = self.instead(reference);
                let message = format!("there is no action `{reference}`");
                findings.push(rule.action.error(message).with_hint(hint));
            }
            Ok(resolved) => {
                let named = Named::by_rule(&rule.action);
                findings.extend(self.uses(reference, &rule.action.location, named));
                findings.extend(self.unlisted(reached::by_rule(self.pack, &rule.action)));
                findings.extend(rule.action.check(resolved.parameters()));
            }
        }
        findings
    }

    fn trigger(&self, rule: &Rule) -> Findings {
        let trigger = &rule.trigger;
        let Some(known) = self.triggers.get(&trigger.kind) else {
            return vec![self.unknown_trigger(trigger)];
        };
        let misfits = || trigger.check(&known.parameters);
        match sensor_type(&trigger.kind) {
            Some(kind) => {
                let misfits = misfits();
                if misfits.is_empty() {
                    self.sensor(trigger, kind).into_iter().collect()
                } else {
                    misfits
                }
            }
            None if is_builtin(&trigger.kind) => {
                let git = &self.library.context().git;
                let errors = sensors::check(trigger.kind.as_str(), &trigger.parameters, git);
                let told = errors.into_iter().map(|error| {
                    let finding = trigger.error_at(&error.path, error.message);
                    hinted(finding, error.hint)
                });
                told.collect()
            }
            None => misfits(),
        }
    }

    fn unknown_trigger(&self, trigger: &Trigger) -> Diagnostic {
        const LATER: [&str; 7] =
            ["kubernetes.", "github.", "gitlab.", "tripline.approval.", "aws.", "nats.", "argocd."];
        let kind = trigger.kind.as_str();
        let at = trigger.location.clone();
        if LATER.iter().any(|prefix| kind.starts_with(prefix)) {
            let message =
                format!("the trigger type `{kind}` is not supported by this version of Tripline");
            let known = sensors::trigger_types();
            let known: Vec<&str> = known.iter().map(|kind| kind.name).collect();
            let hint = format!("known here: {}", known.join(", "));
            return self.shown(Diagnostic::error(at, message).with_hint(hint));
        }
        let known = self.triggers.keys().map(TriggerType::as_str);
        let hint = self.rejected(trigger.kind.pack()).unwrap_or_else(|| instead(kind, known));
        let finding = Diagnostic::error(at, format!("there is no trigger type `{kind}`"));
        self.shown(finding.with_hint(hint))
    }

    /// The sensor that a trigger names, or the pack's sensors of the type it needs.
    fn sensor(&self, trigger: &Trigger, kind: &str) -> Option<Diagnostic> {
        let Some(named) = trigger.parameters.get("sensor").and_then(Value::as_str) else {
            if self.pack.sensors.values().any(|spec| spec.kind == kind) {
                return None;
            }
            let message = format!("the pack has no sensor of type `{kind}` for `{}`", trigger.kind);
            let hint =
                "add one to its folder `sensors`, or name another pack's: `sensor: pack.name`";
            let finding = Diagnostic::error(trigger.location.clone(), message).with_hint(hint);
            return Some(self.shown(finding));
        };
        let reference = sensor_ref(&self.pack.name, named);
        let spec = reference.and_then(|r| self.generation.packs.get(&r.pack)?.sensors.get(&r.name));
        match spec {
            Some(spec) if spec.kind == kind => None,
            Some(spec) => {
                let message =
                    format!("the sensor `{named}` is of type `{}`, not `{kind}`", spec.kind);
                let hint = format!("`{}` needs a sensor of type `{kind}`", trigger.kind);
                Some(trigger.error_at("sensor", message).with_hint(hint))
            }
            None => {
                let known = self.sensors_of(kind);
                let owner = named.split_once('.').and_then(|(pack, _)| self.rejected(pack));
                let hint = match (owner, known.is_empty()) {
                    (Some(hint), _) => hint,
                    (None, true) => {
                        "add it to its pack's folder `sensors`; packs are checked together"
                            .to_owned()
                    }
                    (None, false) => instead(named, known.iter().map(String::as_str)),
                };
                let finding = trigger.error_at("sensor", format!("there is no sensor `{named}`"));
                Some(finding.with_hint(hint))
            }
        }
    }

    /// The sensors that a trigger of this pack can name: its own, then those of other packs.
    fn sensors_of(&self, kind: &str) -> Vec<String> {
        let fitting = |pack: &Arc<Pack>| {
            let own = pack.name == self.pack.name;
            let sensors = pack.sensors.iter().filter(|(_, spec)| spec.kind == kind);
            let name = |name| if own { format!("{name}") } else { format!("{}.{name}", pack.name) };
            sensors.map(|(sensor, _)| name(sensor)).collect::<Vec<_>>()
        };
        self.generation.packs.values().flat_map(fitting).collect()
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

    fn action(&self, action: &PackAction) -> Findings {
        let asked = [("verify", &action.verify), ("plan", &action.plan)];
        let mut findings: Findings =
            asked.into_iter().filter_map(|(key, named)| self.reader(key, named.as_ref())).collect();
        if let ActionKind::Chain(program) = &action.kind {
            let parameters = &action.metadata.parameters;
            let found = chains::check(program, parameters, self);
            findings.extend(found.into_iter().map(|finding| self.shown(finding)));
            for call in chains::calls_named(program) {
                findings.extend(self.uses(&call.action, &call.at, Named::by_call(&call)));
                findings.extend(self.unlisted(reached::by_call(self.pack, &call)));
            }
        } else if !self.pack.permissions.exec {
            let message = "the pack runs programs but does not ask for `permissions.exec`";
            findings.push(self.denied(&action.at, message, "add `exec: true` to its permissions"));
        }
        findings
    }

    /// What keeps a sensor that is a program from telling anything.
    fn program(&self, spec: &SensorSpec) -> Option<Diagnostic> {
        if spec.kind != "process" {
            return None;
        }
        if !self.pack.permissions.exec {
            let message = "the pack runs programs but does not ask for `permissions.exec`";
            return Some(self.denied(&spec.at, message, "add `exec: true` to its permissions"));
        }
        self.pack.triggers.is_empty().then(|| {
            let message = "the pack has no event type for what the sensor's program prints";
            Diagnostic::warning(spec.at.clone(), message)
                .with_hint("add one to its folder `triggers`")
        })
    }

    /// An action under `verify` or `plan` that is not there, or does not only read.
    fn reader(&self, key: &str, named: Option<&(ActionRef, Location)>) -> Option<Diagnostic> {
        let (asked, at) = named?;
        match self.library.resolve(self.generation, Some(self.pack), asked) {
            Err(_) => {
                let message = format!("there is no action `{asked}`");
                let finding = Diagnostic::error(at.clone(), message);
                Some(self.shown(finding.with_hint(self.instead(asked))))
            }
            Ok(resolved)
                if resolved.effect(&Value::Null) != Effect::Read || !resolved.is_performed() =>
            {
                let message = format!("`{key}` needs an action that only reads; `{asked}` is not");
                let finding = Diagnostic::error(at.clone(), message);
                Some(self.shown(finding.with_hint("declare `effect: read` in its file")))
            }
            Ok(_) => None,
        }
    }

    /// A sensor that uses a connection which the pack does not ask for.
    fn sensor_connection(&self, sensor: &SensorSpec) -> Option<Diagnostic> {
        let name = sensor.parameters.get("connection")?.as_str()?;
        self.unasked(&Named::connection(name, sensor.at.clone()))
    }

    /// A connection or secret that stands in a file and that the pack does not ask for.
    fn unasked(&self, named: &Named) -> Option<Diagnostic> {
        let (at, message, hint) = named.unasked(&self.pack.permissions)?;
        Some(self.denied(at, &message, &hint))
    }

    /// Secrets of the store that a sensor uses and that the pack does not ask for.
    fn sensor_secrets(&self, sensor: &SensorSpec) -> Findings {
        let named = stored_secrets(&sensor.parameters).into_iter();
        let named = named.map(|path| Named::secret(path, sensor.at.clone()));
        named.filter_map(|named| self.unasked(&named)).collect()
    }

    /// A pack that may not reach any host by the action that asks hosts.
    fn no_host(&self, reference: &ActionRef, at: &Location) -> Option<Diagnostic> {
        let permissions = &self.pack.permissions;
        let nowhere = permissions.hosts.is_empty() && permissions.connections.is_empty();
        if reference.as_str() != "http.request" || !nowhere {
            return None;
        }
        let message = "the pack uses `http.request` but asks for no host and no connection";
        let hint = "add the hosts to `permissions.hosts` in its pack.yaml";
        Some(self.denied(at, message, hint))
    }

    /// A host that stands in a file and that the pack does not ask for. Where it asks for none at
    /// all, that is told already.
    fn unlisted(&self, found: Option<Unlisted>) -> Option<Diagnostic> {
        let (host, at) = found.filter(|_| !self.pack.permissions.hosts.is_empty())?;
        let message = format!("the pack sends requests to `{host}` but does not ask for it");
        let hint = format!("add `{host}` to `permissions.hosts` in its pack.yaml");
        Some(self.denied(&at, &message, &hint))
    }

    /// What a call of `reference` needs, with what it names, and the pack does not ask for.
    fn uses(&self, reference: &ActionRef, at: &Location, named: Option<Named>) -> Findings {
        let resolved = self.library.resolve(self.generation, Some(self.pack), reference);
        let Ok(resolved) = resolved else { return Vec::new() };
        // A parameter of a pack's own action may be called `connection` too.
        let named = named.filter(|_| resolved.version().is_none());
        let named = named.and_then(|named| self.unasked(&named));
        let action = self.permission(reference, at);
        let told = action.is_some() || named.is_some();
        let host = if told { None } else { self.no_host(reference, at) };
        [action, named, host].into_iter().flatten().collect()
    }

    fn permission(&self, reference: &ActionRef, at: &Location) -> Option<Diagnostic> {
        let own = reference.pack() == self.pack.name.as_str();
        // Of `secrets.get`, as of `secret(path)`, the path decides.
        let by_path = reference.as_str() == "secrets.get";
        if own || by_path || self.pack.permissions.allows_action(reference) {
            return None;
        }
        let message = format!("the pack uses `{reference}` but does not ask for it");
        let hint = format!("add `{reference}` to `permissions.actions` in its pack.yaml");
        Some(self.denied(at, &message, &hint))
    }

    /// A use that would be denied whenever it came to it.
    fn denied(&self, at: &Location, message: &str, hint: &str) -> Diagnostic {
        self.shown(Diagnostic::error(at.clone(), message).with_hint(hint))
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

fn hinted(finding: Diagnostic, hint: Option<String>) -> Diagnostic {
    match hint {
        Some(hint) => finding.with_hint(hint),
        None => finding,
    }
}

fn is_builtin(trigger: &TriggerType) -> bool {
    sensors::trigger_types().iter().any(|kind| kind.name == trigger.as_str())
}

/// What `chains::check` wants to know of actions.
impl chains::Catalog for Check<'_> {
    fn get(&self, action: &ActionRef) -> Option<Signature> {
        let resolved = self.library.resolve(self.generation, Some(self.pack), action).ok()?;
        let effect = match &resolved {
            Resolved::Chain { .. } => None,
            resolved => resolved.metadata().effect,
        };
        Some(Signature { parameters: resolved.parameters().clone(), effect })
    }

    fn names(&self) -> Vec<String> {
        self.library.names(self.generation)
    }

    fn payload(&self, kind: &TriggerType) -> Option<Schema> {
        self.triggers.get(kind).map(|info| info.payload.clone())
    }

    fn trigger_types(&self) -> Vec<String> {
        self.triggers.keys().map(ToString::to_string).collect()
    }
}

/// The paths in the secret store that a sensor's parameters refer to.
fn stored_secrets(parameters: &Map) -> BTreeSet<String> {
    let several: Vec<&Value> = match parameters.get("secrets") {
        Some(Value::Array(list)) => list.iter().collect(),
        Some(Value::Object(map)) => map.values().collect(),
        _ => Vec::new(),
    };
    let references = several.into_iter().chain(parameters.get("credentials"));
    let stored = |reference: &Value| match SecretRef::read(reference) {
        Some(SecretRef::Stored(path)) => Some(path),
        _ => None,
    };
    references.filter_map(stored).collect()
}
